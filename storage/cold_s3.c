/* SPDX-License-Identifier: MIT */
#include "storage/cold_s3.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/cold_s3_private.h"
#include "wire/s3.h"

enum { SWEEP_PAGES_MAX = 100, LIST_MAX = 1000, QUERY_MAX = 8 * 1024 };

/* ---- reading ---- */

/* 206, the very range, and all of it. */
static enum err check_range(const struct s3_request *request, const struct http_response *response)
{
    uint64_t offset = 0;
    const char *dash = strchr(request->range, '-');
    struct span first = span_of(request->range + strlen("bytes="), (size_t)(dash - request->range) - strlen("bytes="));
    if (text_parse_u64(first, &offset) != ERR_OK || response->status != 206 ||
        !s3_range_is(s3_header(response, "content-range"), offset, request->to_max))
        return ERR_CORRUPT;
    return response->body_len == request->to_max ? ERR_OK : ERR_AGAIN;
}

static enum err s3_store_read(struct cold_store *store, struct cold_call *call, const char *name, uint64_t offset,
                              uint8_t *to, size_t len)
{
    struct http_response response;
    char range[64];
    assert(cold_name_is_good(name) && len > 0);
    (void)snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, offset, offset + len - 1);
    struct s3_request request = {.kind = S3_GET,
                                 .method = HTTP_GET,
                                 .name = name,
                                 .query = "",
                                 .range = range,
                                 .to = to,
                                 .to_max = len,
                                 .check = check_range};
    return s3_send(cold_s3_of(store)->client, call, &request, &response);
}

enum err cold_s3_head(struct cold_s3 *s, struct cold_call *call, const char *name, uint64_t *ret_bytes, char *ret_tag,
                      size_t tag_bytes)
{
    struct http_response response;
    struct s3_request request = {.kind = S3_HEAD, .method = HTTP_HEAD, .name = name, .query = ""};
    enum err err = s3_send(s->client, call, &request, &response);
    if (err != ERR_OK)
        return err;
    if (text_parse_u64(s3_header(&response, "content-length"), ret_bytes) != ERR_OK)
        return cold_fail(call, ERR_CORRUPT, "%s: the server does not say how large it is", name);
    if (ret_tag != NULL && text_copy(s3_header(&response, "etag"), ret_tag, tag_bytes) != ERR_OK)
        ret_tag[0] = '\0';
    return ERR_OK;
}

static enum err s3_store_size(struct cold_store *store, struct cold_call *call, const char *name, uint64_t *ret_bytes)
{
    return cold_s3_head(cold_s3_of(store), call, name, ret_bytes, NULL, 0);
}

/* ---- listing ---- */

/* Asks for a listing of the bucket; the answer goes to page, which the caller releases. */
static enum err ask_list(struct cold_s3 *s, struct cold_call *call, const struct buf *query, struct buf *page)
{
    struct http_response response;
    buf_init(page, COLD_S3_LIST_BYTES, s3_client_account(s->client));
    uint8_t *to = buf_reserve(page, COLD_S3_LIST_BYTES);
    if (to == NULL)
        return ERR_NOMEM;
    struct s3_request request = {.kind = S3_LIST,
                                 .method = HTTP_GET,
                                 .query = (const char *)query->data,
                                 .to = to,
                                 .to_max = COLD_S3_LIST_BYTES};
    enum err err = s3_send(s->client, call, &request, &response);
    if (err == ERR_OK)
        buf_commit(page, response.body_len);
    return err;
}

/* All parameters of a query; an error of one is the query's. */
static enum err build_query(struct buf *to, const char *const parameters[][2], size_t count)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        if (parameters[i][1] != NULL)
            err = s3_parameter(to, parameters[i][0], parameters[i][1]);
    }
    return err == ERR_OK ? buf_append_byte(to, '\0') : err;
}

/* A listing that cannot be read. */
static enum err judge_listing(struct cold_call *call, enum err err)
{
    if (err != ERR_PROTOCOL && err != ERR_TRUNCATED && err != ERR_TOO_LARGE)
        return err;
    return cold_fail(call, ERR_CORRUPT, "the server's listing of the bucket cannot be read");
}

struct listing {
    const char *prefix;
    const char *after;
    cold_each *each;
    void *arg;
    size_t count; /* of the page */
    size_t told;
    char last[S3_KEY_MAX + 1];
};

/* Of s3_object. What is not ours to name is passed over. */
static enum err on_object(void *arg, const char *key, uint64_t bytes)
{
    struct listing *l = arg;
    size_t len = strlen(l->prefix);
    if (strncmp(key, l->prefix, len) != 0 || ++l->count > LIST_MAX)
        return ERR_PROTOCOL;
    (void)snprintf(l->last, sizeof(l->last), "%s", key);
    const char *name = key + len;
    if (!cold_name_is_good(name) || strcmp(name, l->after) <= 0)
        return ERR_OK;
    l->told++;
    return l->each(l->arg, name, bytes);
}

static enum err list_page(struct cold_s3 *s, struct cold_call *call, struct listing *l, bool *ret_more)
{
    const char *const parameters[][2] = {{"list-type", "2"},
                                         {"max-keys", "1000"},
                                         {"prefix", l->prefix},
                                         {"start-after", l->last[0] == '\0' ? NULL : l->last}};
    struct buf query;
    struct buf page = {0};
    l->count = 0;
    buf_init(&query, QUERY_MAX, NULL);
    enum err err = build_query(&query, parameters, ARRAY_LEN(parameters));
    if (err == ERR_OK)
        err = ask_list(s, call, &query, &page);
    if (err == ERR_OK)
        err = judge_listing(call, s3_read_list(buf_span(&page), on_object, l, ret_more));
    if (err == ERR_OK && *ret_more && l->count == 0)
        err = judge_listing(call, ERR_PROTOCOL);
    buf_release(&query);
    buf_release(&page);
    return err;
}

/* Pages of objects that are not ours are passed over, so that each call tells something. */
static enum err s3_store_list(struct cold_store *store, struct cold_call *call, const char *after, cold_each *each,
                              void *arg, bool *ret_more)
{
    struct cold_s3 *s = cold_s3_of(store);
    struct listing l = {.prefix = s3_client_prefix(s->client), .after = after, .each = each, .arg = arg};
    bool more = true;
    enum err err = ERR_OK;
    if (after[0] != '\0')
        (void)snprintf(l.last, sizeof(l.last), "%s%s", l.prefix, after);
    while (err == ERR_OK && more && l.told == 0)
        err = list_page(s, call, &l, &more);
    if (err == ERR_OK)
        *ret_more = more;
    return err;
}

/* ---- removing ---- */

static enum err s3_store_remove(struct cold_store *store, struct cold_call *call, const char *name)
{
    struct http_response response;
    struct s3_request request = {.kind = S3_DELETE, .method = HTTP_DELETE, .name = name, .query = ""};
    enum err err = s3_send(cold_s3_of(store)->client, call, &request, &response);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err cold_s3_abort(struct cold_s3 *s, struct cold_call *call, const char *name, const char *id)
{
    const char *const parameters[][2] = {{"uploadId", id}};
    struct http_response response;
    struct buf query;
    buf_init(&query, QUERY_MAX, NULL);
    enum err err = build_query(&query, parameters, ARRAY_LEN(parameters));
    if (err == ERR_OK) {
        struct s3_request request = {
            .kind = S3_UPLOAD_ABORT, .method = HTTP_DELETE, .name = name, .query = (const char *)query.data};
        err = s3_send(s->client, call, &request, &response);
    }
    buf_release(&query);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* The uploads of one page that are ours, copied out: they are aborted when the page is read. */
struct stale {
    const char *prefix;
    cold_is_ours *ours;
    struct buf texts; /* name and id of each, NUL-terminated */
    size_t count;
    char last_key[S3_KEY_MAX + 1];
    char last_id[S3_UPLOAD_ID_MAX + 1];
};

static enum err on_upload(void *arg, const char *key, const char *id)
{
    struct stale *stale = arg;
    size_t len = strlen(stale->prefix);
    if (strncmp(key, stale->prefix, len) != 0)
        return ERR_PROTOCOL;
    (void)snprintf(stale->last_key, sizeof(stale->last_key), "%s", key);
    (void)snprintf(stale->last_id, sizeof(stale->last_id), "%s", id);
    if (!cold_name_is_good(key + len) || !stale->ours(key + len))
        return ERR_OK;
    enum err err = buf_append(&stale->texts, key + len, strlen(key + len) + 1);
    if (err == ERR_OK)
        err = buf_append(&stale->texts, id, strlen(id) + 1);
    stale->count++;
    return err;
}

static enum err read_stale(struct cold_s3 *s, struct cold_call *call, struct stale *stale, bool *ret_more)
{
    const char *const parameters[][2] = {{"key-marker", stale->last_key[0] == '\0' ? NULL : stale->last_key},
                                         {"max-uploads", "1000"},
                                         {"prefix", stale->prefix},
                                         {"upload-id-marker", stale->last_key[0] == '\0' ? NULL : stale->last_id},
                                         {"uploads", ""}};
    struct buf query;
    struct buf page = {0};
    buf_init(&query, QUERY_MAX, NULL);
    enum err err = build_query(&query, parameters, ARRAY_LEN(parameters));
    if (err == ERR_OK)
        err = ask_list(s, call, &query, &page);
    if (err == ERR_OK)
        err = judge_listing(call, s3_read_uploads(buf_span(&page), on_upload, stale, ret_more));
    buf_release(&query);
    buf_release(&page);
    return err;
}

static enum err abort_stale(struct cold_s3 *s, struct cold_call *call, const struct stale *stale)
{
    const char *name = (const char *)stale->texts.data;
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < stale->count; i++) {
        const char *id = name + strlen(name) + 1;
        err = cold_s3_abort(s, call, name, id);
        name = id + strlen(id) + 1;
    }
    return err;
}

static enum err s3_store_sweep(struct cold_store *store, struct cold_call *call, cold_is_ours *ours,
                               uint64_t *ret_count)
{
    struct cold_s3 *s = cold_s3_of(store);
    struct stale *stale = calloc(1, sizeof(*stale));
    uint64_t count = 0;
    bool more = true;
    enum err err = stale == NULL ? ERR_NOMEM : ERR_OK;
    for (int page = 0; err == ERR_OK && more && page < SWEEP_PAGES_MAX; page++) {
        stale->prefix = s3_client_prefix(s->client);
        stale->ours = ours;
        stale->count = 0;
        buf_init(&stale->texts, COLD_S3_LIST_BYTES, s3_client_account(s->client));
        err = read_stale(s, call, stale, &more);
        if (err == ERR_OK)
            err = abort_stale(s, call, stale);
        count += stale->count;
        buf_release(&stale->texts);
    }
    free(stale);
    if (err == ERR_OK)
        *ret_count = count;
    return err;
}

static void s3_store_free(struct cold_store *store)
{
    if (store != NULL)
        free(cold_s3_of(store));
}

static const struct cold_store_class s3_class = {
    .create = cold_s3_create,
    .append = cold_s3_append,
    .finish = cold_s3_finish,
    .abandon = cold_s3_abandon,
    .read = s3_store_read,
    .size = s3_store_size,
    .list = s3_store_list,
    .remove = s3_store_remove,
    .sweep = s3_store_sweep,
    .free = s3_store_free,
};

enum err cold_s3_new(struct s3_client *client, struct cold_store **ret_store)
{
    struct cold_s3 *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->store.class = &s3_class;
    s->client = client;
    *ret_store = &s->store;
    return ERR_OK;
}

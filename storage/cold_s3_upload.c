/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/cold_s3_private.h"
#include "wire/s3.h"

enum { TAG_MAX = 128, PARTS_MAX = 1024, COMPLETE_MAX = PARTS_MAX * (TAG_MAX * 6 + 96) + 256, ANSWER_MAX = 16 * 1024 };

struct part {
    char tag[TAG_MAX]; /* as the server gave it */
    uint8_t md5[S3_MD5_BYTES];
};

struct cold_upload {
    struct cold_s3 *s3;
    char name[COLD_NAME_MAX];
    char id[S3_UPLOAD_ID_MAX + 1]; /* "": nothing went out yet */
    uint8_t *buffer;               /* S3_PART_MIN bytes */
    size_t len;
    uint64_t bytes; /* of the object so far */
    struct part *parts;
    size_t part_count;
    size_t part_cap;
    bool no_md5;
};

enum err cold_s3_create(struct cold_store *store, struct cold_call *call, const char *name,
                        struct cold_upload **ret_upload)
{
    struct cold_s3 *s = cold_s3_of(store);
    struct account *account = s3_client_account(s->client);
    if (cold_cancelled(call))
        return ERR_CANCELLED;
    if (account != NULL && !account_take(account, S3_PART_MIN))
        return ERR_NOMEM;
    struct cold_upload *u = calloc(1, sizeof(*u));
    uint8_t *buffer = u == NULL ? NULL : malloc(S3_PART_MIN);
    if (buffer == NULL) {
        free(u);
        if (account != NULL)
            account_give(account, S3_PART_MIN);
        return ERR_NOMEM;
    }
    u->s3 = s;
    u->buffer = buffer;
    (void)snprintf(u->name, sizeof(u->name), "%s", name);
    *ret_upload = u;
    return ERR_OK;
}

static void free_upload(struct cold_upload *u)
{
    struct account *account = s3_client_account(u->s3->client);
    if (account != NULL)
        account_give(account, S3_PART_MIN);
    free(u->parts);
    free(u->buffer);
    free(u);
}

void cold_s3_abandon(struct cold_upload *upload, struct cold_call *call)
{
    if (upload == NULL)
        return;
    if (upload->id[0] != '\0') { /* also behind the deadline: what is not aborted is paid for */
        struct cold_call last = {.deadline_ns = s3_client_now(upload->s3->client) + COLD_S3_ABORT_S * SECOND_NS};
        last.deadline_ns = MAX(last.deadline_ns, call->deadline_ns);
        if (cold_s3_abort(upload->s3, &last, upload->name, upload->id) != ERR_OK)
            upload->id[0] = '\0'; /* sweep finds it */
    }
    free_upload(upload);
}

/* ---- parts ---- */

static enum err begin_upload(struct cold_upload *u, struct cold_call *call)
{
    struct http_response response;
    uint8_t answer[ANSWER_MAX];
    struct s3_request request = {.kind = S3_UPLOAD_CREATE,
                                 .method = HTTP_POST,
                                 .name = u->name,
                                 .query = "?uploads=",
                                 .to = answer,
                                 .to_max = sizeof(answer)};
    enum err err = s3_send(u->s3->client, call, &request, &response);
    if (err != ERR_OK)
        return err;
    err = s3_read_text(span_of(answer, response.body_len), "InitiateMultipartUploadResult", "UploadId", u->id,
                       sizeof(u->id));
    if (err == ERR_OK && u->id[0] != '\0')
        return ERR_OK;
    u->id[0] = '\0';
    return cold_fail(call, ERR_CORRUPT, "%s: the server begins an upload and does not name it", u->name);
}

/* The tag of a stored body, as text that can be put into the request that completes the upload. */
static enum err take_tag(const struct http_response *response, char to[TAG_MAX])
{
    struct span tag = s3_header(response, "etag");
    if (tag.len == 0 || tag.len >= TAG_MAX || memchr(tag.data, '\0', tag.len) != NULL)
        return ERR_CORRUPT;
    memcpy(to, tag.data, tag.len);
    to[tag.len] = '\0';
    return ERR_OK;
}

static enum err room_for_part(struct cold_upload *u)
{
    if (u->part_count < u->part_cap)
        return ERR_OK;
    size_t cap = u->part_cap == 0 ? 8 : u->part_cap * 2;
    struct part *parts = cap > PARTS_MAX ? NULL : realloc(u->parts, cap * sizeof(*parts));
    if (parts == NULL)
        return cap > PARTS_MAX ? ERR_TOO_LARGE : ERR_NOMEM;
    u->parts = parts;
    u->part_cap = cap;
    return ERR_OK;
}

/* The buffer goes out as a part. */
static enum err send_part(struct cold_upload *u, struct cold_call *call)
{
    struct http_response response;
    char number[16];
    struct buf query;
    enum err err = u->id[0] == '\0' ? begin_upload(u, call) : ERR_OK;
    if (err == ERR_OK)
        err = room_for_part(u);
    if (err != ERR_OK)
        return err;
    struct part *part = &u->parts[u->part_count];
    (void)snprintf(number, sizeof(number), "%zu", u->part_count + 1);
    buf_init(&query, 4 * S3_UPLOAD_ID_MAX, NULL);
    err = s3_parameter(&query, "partNumber", number);
    if (err == ERR_OK)
        err = s3_parameter(&query, "uploadId", u->id);
    if (err == ERR_OK)
        err = buf_append_byte(&query, '\0');
    if (err == ERR_OK) {
        struct s3_request request = {.kind = S3_UPLOAD_PART,
                                     .method = HTTP_PUT,
                                     .name = u->name,
                                     .query = (const char *)query.data,
                                     .body = span_of(u->buffer, u->len)};
        err = s3_send(u->s3->client, call, &request, &response);
    }
    buf_release(&query);
    if (err != ERR_OK)
        return err;
    if (take_tag(&response, part->tag) != ERR_OK)
        return cold_fail(call, ERR_CORRUPT, "%s: the server takes a part and gives no tag for it", u->name);
    u->no_md5 = u->no_md5 || s3_md5(span_of(u->buffer, u->len), part->md5) != ERR_OK;
    u->part_count++;
    u->len = 0;
    return ERR_OK;
}

enum err cold_s3_append(struct cold_upload *upload, struct cold_call *call, struct span bytes)
{
    if (cold_cancelled(call))
        return ERR_CANCELLED;
    while (bytes.len > 0) {
        enum err err = upload->len == S3_PART_MIN ? send_part(upload, call) : ERR_OK;
        if (err != ERR_OK)
            return err;
        size_t part = MIN(bytes.len, S3_PART_MIN - upload->len);
        memcpy(upload->buffer + upload->len, bytes.data, part);
        upload->len += part;
        upload->bytes += part;
        bytes = span_skip(bytes, part);
    }
    return ERR_OK;
}

/* ---- the end ---- */

static enum err append_escaped(struct buf *to, const char *text)
{
    enum err err = ERR_OK;
    for (; err == ERR_OK && *text != '\0'; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        err = entity != NULL ? buf_append_text(to, entity) : buf_append_byte(to, (uint8_t)*text);
    }
    return err;
}

static enum err list_of_parts(const struct cold_upload *u, struct buf *to)
{
    enum err err = buf_append_text(to, "<CompleteMultipartUpload>");
    for (size_t i = 0; err == ERR_OK && i < u->part_count; i++) {
        err = buf_appendf(to, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        if (err == ERR_OK)
            err = append_escaped(to, u->parts[i].tag);
        if (err == ERR_OK)
            err = buf_append_text(to, "</ETag></Part>");
    }
    return err == ERR_OK ? buf_append_text(to, "</CompleteMultipartUpload>") : err;
}

/* A 200 that completes an upload may turn out to be an error in its body: the status went out before the work was done. */
static enum err check_complete(const struct s3_request *request, const struct http_response *response)
{
    char tag[TAG_MAX];
    struct span body = span_of(request->to, response->body_len);
    return s3_read_text(body, "CompleteMultipartUploadResult", "ETag", tag, sizeof(tag)) == ERR_OK ? ERR_OK : ERR_AGAIN;
}

static enum err complete(struct cold_upload *u, struct cold_call *call)
{
    struct http_response response;
    uint8_t answer[ANSWER_MAX];
    struct buf query;
    struct buf list;
    buf_init(&query, 4 * S3_UPLOAD_ID_MAX, NULL);
    buf_init(&list, COMPLETE_MAX, s3_client_account(u->s3->client));
    enum err err = s3_parameter(&query, "uploadId", u->id);
    if (err == ERR_OK)
        err = buf_append_byte(&query, '\0');
    if (err == ERR_OK)
        err = list_of_parts(u, &list);
    if (err == ERR_OK) {
        struct s3_request request = {.kind = S3_UPLOAD_COMPLETE,
                                     .method = HTTP_POST,
                                     .name = u->name,
                                     .query = (const char *)query.data,
                                     .body = buf_span(&list),
                                     .to = answer,
                                     .to_max = sizeof(answer),
                                     .check = check_complete};
        err = s3_send(u->s3->client, call, &request, &response);
    }
    buf_release(&query);
    buf_release(&list);
    if (err == ERR_NOT_FOUND) /* completed by a request whose answer was lost? HEAD will tell */
        err = ERR_OK;
    if (err == ERR_OK)
        u->id[0] = '\0'; /* there is nothing to abort any more */
    return err;
}

/* All of it in one request. */
static enum err put(struct cold_upload *u, struct cold_call *call)
{
    struct http_response response;
    struct s3_request request = {
        .kind = S3_PUT, .method = HTTP_PUT, .name = u->name, .query = "", .body = span_of(u->buffer, u->len)};
    return s3_send(u->s3->client, call, &request, &response);
}

/* The tag that most servers make of what we sent. */
static enum err own_tag(const struct cold_upload *u, char to[S3_ETAG_CHARS])
{
    uint8_t md5[S3_MD5_BYTES];
    if (u->no_md5)
        return ERR_UNSUPPORTED;
    if (u->part_count == 0) {
        enum err err = s3_md5(span_of(u->buffer, u->len), md5);
        if (err == ERR_OK)
            s3_etag_of(md5, 0, to);
        return err;
    }
    uint8_t *all = malloc(u->part_count * S3_MD5_BYTES);
    if (all == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < u->part_count; i++)
        memcpy(all + i * S3_MD5_BYTES, u->parts[i].md5, S3_MD5_BYTES);
    enum err err = s3_md5(span_of(all, u->part_count * S3_MD5_BYTES), md5);
    if (err == ERR_OK)
        s3_etag_of(md5, u->part_count, to);
    free(all);
    return err;
}

static enum err prove(struct cold_upload *u, struct cold_call *call, enum cold_proof *ret_proof)
{
    char own[S3_ETAG_CHARS];
    char tag[TAG_MAX];
    uint64_t bytes = 0;
    enum err err = cold_s3_head(u->s3, call, u->name, &bytes, tag, sizeof(tag));
    if (err == ERR_NOT_FOUND)
        return cold_fail(call, ERR_UNAVAILABLE, "%s was sent and is not there", u->name);
    if (err != ERR_OK)
        return err;
    if (bytes != u->bytes)
        return cold_fail(call, ERR_CORRUPT, "%s was sent with %llu bytes and has %llu", u->name,
                         (unsigned long long)u->bytes, (unsigned long long)bytes);
    bool same = own_tag(u, own) == ERR_OK && s3_etag_is(span_text(tag), own);
    *ret_proof = same ? COLD_PROVED : COLD_UNPROVED;
    return ERR_OK;
}

enum err cold_s3_finish(struct cold_upload *upload, struct cold_call *call, enum cold_proof *ret_proof)
{
    enum err err = ERR_OK;
    if (upload->id[0] == '\0') {
        err = put(upload, call);
    } else {
        if (upload->len > 0)
            err = send_part(upload, call);
        if (err == ERR_OK)
            err = complete(upload, call);
    }
    if (err == ERR_OK)
        err = prove(upload, call, ret_proof);
    cold_s3_abandon(upload, call);
    return err;
}

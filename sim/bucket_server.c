/* SPDX-License-Identifier: MIT */
/* What the simulated server does with a request that it has let in. Memory that is missing ends the test. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "sim/bucket_private.h"

static void blob_set(struct sim_blob *blob, const void *data, size_t len)
{
    free(blob->data);
    blob->data = malloc(len + 1);
    if (blob->data == NULL)
        abort();
    if (len > 0)
        memcpy(blob->data, data, len);
    blob->len = len;
}

/* ---- answers ---- */

static void answer(struct http_response *r, unsigned status, const char *headers)
{
    r->status = status;
    (void)snprintf(r->headers, sizeof(r->headers), "%s", headers);
}

void sim_bucket_refuse(struct http_response *r, unsigned status, const char *code)
{
    answer(r, status, "");
    if (code != NULL)
        (void)snprintf(r->error, sizeof(r->error), "<Error><Code>%s</Code><Message>simulated</Message></Error>", code);
}

static enum err give_body(struct http_response *r, const void *body, size_t len)
{
    if (len > r->body_max)
        return ERR_TOO_LARGE;
    if (len > 0)
        memcpy(r->body, body, len);
    r->body_len = len;
    return ERR_OK;
}

/* Gives an XML text, and frees it. */
static enum err give_text(struct http_response *r, struct buf *text)
{
    answer(r, 200, "");
    enum err err = give_body(r, text->data, text->len);
    buf_release(text);
    return err;
}

static void add(struct buf *text, const char *piece)
{
    if (buf_append_text(text, piece) != ERR_OK)
        abort();
}

/* ---- objects ---- */

static size_t place_of(const struct sim_bucket *b, const char *key)
{
    size_t at = 0;
    while (at < b->object_count && strcmp(b->objects[at].key, key) < 0)
        at++;
    return at;
}

struct sim_object *sim_bucket_find(const struct sim_bucket *b, const char *key)
{
    size_t at = place_of(b, key);
    return at < b->object_count && strcmp(b->objects[at].key, key) == 0 ? &b->objects[at] : NULL;
}

static struct sim_object *store(struct sim_bucket *b, const char *key, const void *data, size_t len)
{
    struct sim_object *o = sim_bucket_find(b, key);
    if (o == NULL) {
        size_t at = place_of(b, key);
        struct sim_object *list = realloc(b->objects, (b->object_count + 1) * sizeof(*list));
        if (list == NULL)
            abort();
        memmove(list + at + 1, list + at, (b->object_count - at) * sizeof(*list));
        b->objects = list;
        b->object_count++;
        o = &list[at];
        memset(o, 0, sizeof(*o));
        (void)snprintf(o->key, sizeof(o->key), "%s", key);
    }
    blob_set(&o->body, data, len);
    return o;
}

static void tag_with(struct sim_object *o, const uint8_t *bytes, size_t len, size_t parts)
{
    uint8_t md5[S3_MD5_BYTES];
    if (s3_md5(span_of(bytes, len), md5) != ERR_OK)
        abort();
    s3_etag_of(md5, parts, o->tag);
}

static void remove_object(struct sim_bucket *b, const char *key)
{
    struct sim_object *o = sim_bucket_find(b, key);
    if (o == NULL)
        return;
    free(o->body.data);
    size_t at = (size_t)(o - b->objects);
    memmove(o, o + 1, (b->object_count - at - 1) * sizeof(*o));
    b->object_count--;
}

/* ---- requests ---- */

static const char *parameter(const struct sim_asked *a, const char *name)
{
    for (size_t i = 0; i < a->parameter_count; i++) {
        if (strcmp(a->parameters[i][0], name) == 0)
            return a->parameters[i][1];
    }
    return NULL;
}

const char *sim_bucket_header(const struct sim_asked *a, const char *name)
{
    for (size_t i = 0; i < a->http->header_count; i++) {
        if (strncmp(a->http->headers[i], name, strlen(name)) == 0)
            return a->http->headers[i] + strlen(name);
    }
    return NULL;
}

/* Decodes %XX up to one of the ends; returns where it stopped. */
static const char *decode(const char *from, const char *ends, char *to, size_t to_bytes)
{
    size_t len = 0;
    for (; *from != '\0' && strchr(ends, *from) == NULL; from++) {
        unsigned value = (unsigned char)*from;
        if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1) /* NOLINT(cert-err34-c): our own encoding */
            from += 2;
        if (len + 1 == to_bytes)
            abort();
        to[len++] = (char)value;
    }
    to[len] = '\0';
    return from;
}

bool sim_bucket_take_apart(const struct sim_bucket *b, const struct http_request *http, struct sim_asked *a)
{
    char name[SIM_NAME_MAX];
    const char *at = strstr(http->url, "://");
    at = at == NULL ? NULL : strchr(at + 3, '/');
    *a = (struct sim_asked){.http = http};
    if (at == NULL)
        return false;
    at = decode(at + 1, "/?", name, sizeof(name));
    if (*at == '/')
        at = decode(at + 1, "?", a->key, sizeof(a->key));
    while (*at == '?' || *at == '&') {
        if (a->parameter_count == SIM_PARAMETERS_MAX)
            return false;
        char(*pair)[SIM_VALUE_MAX] = a->parameters[a->parameter_count++];
        at = decode(at + 1, "=", pair[0], SIM_VALUE_MAX);
        if (*at != '=')
            return false;
        at = decode(at + 1, "&", pair[1], SIM_VALUE_MAX);
        if (a->parameter_count > 1 && strcmp(a->parameters[a->parameter_count - 2][0], pair[0]) >= 0)
            return false;
    }
    return strcmp(name, b->name) == 0;
}

static enum err get(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    const struct sim_object *o = sim_bucket_find(b, a->key);
    const char *range = sim_bucket_header(a, "Range: bytes=");
    char headers[256];
    if (o == NULL) {
        sim_bucket_refuse(r, 404, a->http->method == HTTP_HEAD ? NULL : "NoSuchKey");
        return ERR_OK;
    }
    if (a->http->method == HTTP_HEAD || range == NULL) {
        (void)snprintf(headers, sizeof(headers), "content-length: %zu\netag: \"%s\"\n", o->body.len, o->tag);
        answer(r, 200, headers);
        return a->http->method == HTTP_HEAD ? ERR_OK : give_body(r, o->body.data, o->body.len);
    }
    uint64_t first = strtoull(range, NULL, 10);
    uint64_t last = strtoull(strchr(range, '-') + 1, NULL, 10);
    if (first >= o->body.len) {
        sim_bucket_refuse(r, 416, "InvalidRange");
        return ERR_OK;
    }
    last = MIN(last, o->body.len - 1);
    (void)snprintf(headers, sizeof(headers), "content-range: bytes %" PRIu64 "-%" PRIu64 "/%zu\n", first, last,
                   o->body.len);
    answer(r, 206, headers);
    return give_body(r, o->body.data + first, (size_t)(last - first + 1));
}

static enum err list_objects(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    const char *prefix = parameter(a, "prefix");
    const char *after = parameter(a, "start-after");
    struct buf text;
    size_t count = 0;
    bool more = false;
    buf_init(&text, 1 << 20, NULL);
    add(&text, "<?xml version=\"1.0\"?><ListBucketResult>");
    for (size_t i = 0; i < b->object_count && !more; i++) {
        const struct sim_object *o = &b->objects[i];
        if (strncmp(o->key, prefix, strlen(prefix)) != 0 || (after != NULL && strcmp(o->key, after) <= 0))
            continue;
        more = count == SIM_BUCKET_PAGE;
        count++;
        if (!more &&
            buf_appendf(&text, "<Contents><Key>%s</Key><Size>%zu</Size></Contents>", o->key, o->body.len) != ERR_OK)
            abort();
    }
    add(&text, more ? "<IsTruncated>true</IsTruncated>" : "<IsTruncated>false</IsTruncated>");
    add(&text, "</ListBucketResult>");
    return give_text(r, &text);
}

static enum err list_uploads(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    const char *prefix = parameter(a, "prefix");
    struct buf text;
    buf_init(&text, 1 << 20, NULL);
    add(&text, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>");
    for (size_t i = 0; i < b->upload_count; i++) {
        const struct sim_upload *u = b->uploads[i];
        if (strncmp(u->key, prefix, strlen(prefix)) == 0 &&
            buf_appendf(&text, "<Upload><Key>%s</Key><UploadId>id+%" PRIu64 "/=</UploadId></Upload>", u->key, u->id) !=
                ERR_OK)
            abort();
    }
    add(&text, "</ListMultipartUploadsResult>");
    return give_text(r, &text);
}

/* ---- uploads in parts ---- */

static enum err begin_upload(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    struct buf text;
    struct sim_upload *u = calloc(1, sizeof(*u));
    struct sim_upload **list = realloc(b->uploads, (b->upload_count + 1) * sizeof(struct sim_upload *));
    if (u == NULL || list == NULL)
        abort();
    (void)snprintf(u->key, sizeof(u->key), "%s", a->key);
    u->id = ++b->next_id;
    b->uploads = list;
    b->uploads[b->upload_count++] = u;
    buf_init(&text, 4096, NULL);
    if (buf_appendf(&text,
                    "<InitiateMultipartUploadResult><UploadId>id+%" PRIu64
                    "/=</UploadId></InitiateMultipartUploadResult>",
                    u->id) != ERR_OK)
        abort();
    return give_text(r, &text);
}

static size_t find_upload(const struct sim_bucket *b, const struct sim_asked *a)
{
    char id[64];
    for (size_t i = 0; i < b->upload_count; i++) {
        (void)snprintf(id, sizeof(id), "id+%" PRIu64 "/=", b->uploads[i]->id);
        if (strcmp(b->uploads[i]->key, a->key) == 0 && strcmp(id, parameter(a, "uploadId")) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void end_upload(struct sim_bucket *b, size_t at)
{
    for (size_t i = 0; i < SIM_PARTS_MAX; i++)
        free(b->uploads[at]->parts[i].data);
    free(b->uploads[at]);
    memmove(b->uploads + at, b->uploads + at + 1, (b->upload_count - at - 1) * sizeof(struct sim_upload *));
    b->upload_count--;
}

static enum err complete(struct sim_bucket *b, size_t at, struct http_response *r)
{
    const struct sim_upload *u = b->uploads[at];
    struct buf whole;
    struct buf md5s;
    struct buf text;
    size_t count = 0;
    buf_init(&whole, 512 * MIB, NULL);
    buf_init(&md5s, 1 << 16, NULL);
    buf_init(&text, 4096, NULL);
    while (count < SIM_PARTS_MAX && u->parts[count].data != NULL)
        count++;
    for (size_t i = 0; i < count; i++) {
        uint8_t md5[S3_MD5_BYTES];
        struct span part = span_of(u->parts[i].data, u->parts[i].len);
        if (s3_md5(part, md5) != ERR_OK || buf_append(&md5s, md5, sizeof(md5)) != ERR_OK ||
            buf_append_span(&whole, part) != ERR_OK)
            abort();
        if (i + 1 < count && part.len < S3_PART_MIN) {
            sim_bucket_refuse(r, 400, "EntityTooSmall");
            buf_release(&whole);
            buf_release(&md5s);
            return ERR_OK;
        }
    }
    struct sim_object *o = store(b, u->key, whole.data, whole.len);
    tag_with(o, md5s.data, md5s.len, count);
    if (buf_appendf(&text, "<CompleteMultipartUploadResult><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
                    o->tag) != ERR_OK)
        abort();
    end_upload(b, at);
    buf_release(&whole);
    buf_release(&md5s);
    return give_text(r, &text);
}

static void put_body(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    char headers[128];
    struct sim_object part = {.key = ""};
    const struct http_request *http = a->http;
    if (parameter(a, "partNumber") == NULL) {
        tag_with(store(b, a->key, http->body, http->body_len), http->body, http->body_len, 0);
    } else {
        size_t at = find_upload(b, a);
        uint64_t number = strtoull(parameter(a, "partNumber"), NULL, 10);
        if (at == SIZE_MAX || number == 0 || number > SIM_PARTS_MAX) {
            sim_bucket_refuse(r, 404, "NoSuchUpload");
            return;
        }
        blob_set(&b->uploads[at]->parts[number - 1], http->body, http->body_len);
    }
    tag_with(&part, http->body, http->body_len, 0);
    (void)snprintf(headers, sizeof(headers), "etag: \"%s\"\n", part.tag);
    answer(r, 200, headers);
}

static enum err post_or_delete(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    bool upload = parameter(a, "uploadId") != NULL;
    size_t at = upload ? find_upload(b, a) : SIZE_MAX;
    if (upload && at == SIZE_MAX) {
        sim_bucket_refuse(r, 404, "NoSuchUpload");
        return ERR_OK;
    }
    if (a->http->method == HTTP_POST)
        return upload ? complete(b, at, r) : begin_upload(b, a, r);
    if (upload)
        end_upload(b, at);
    else
        remove_object(b, a->key);
    answer(r, 204, "");
    return ERR_OK;
}

enum err sim_bucket_serve(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r)
{
    switch (a->http->method) {
    case HTTP_GET:
    case HTTP_HEAD:
        if (a->key[0] != '\0')
            return get(b, a, r);
        return parameter(a, "uploads") != NULL ? list_uploads(b, a, r) : list_objects(b, a, r);
    case HTTP_PUT:
        put_body(b, a, r);
        return ERR_OK;
    case HTTP_POST:
    case HTTP_DELETE:
        return post_or_delete(b, a, r);
    }
    return ERR_PROTOCOL;
}

void sim_bucket_clear(struct sim_bucket *b)
{
    while (b->upload_count > 0)
        end_upload(b, 0);
    for (size_t i = 0; i < b->object_count; i++)
        free(b->objects[i].body.data);
    free(b->objects);
    free(b->uploads);
    b->objects = NULL;
    b->uploads = NULL;
    b->object_count = 0;
}

/* SPDX-License-Identifier: MIT */
#include "wire/s3.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "wire/multihash.h"
#include "wire/xml.h"

/* ---- addresses ---- */

static bool stays(uint8_t c, bool keep_slash)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~' || (keep_slash && c == '/');
}

enum err s3_encode(struct buf *to, struct span text, bool keep_slash)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < text.len; i++)
        err = stays(text.data[i], keep_slash) ? buf_append_byte(to, text.data[i])
                                              : buf_appendf(to, "%%%02X", text.data[i]);
    return err;
}

enum err s3_address(struct buf *to, const char *endpoint, const char *bucket, const char *key)
{
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    enum err err = buf_append(to, endpoint, len);
    if (err == ERR_OK)
        err = buf_append_byte(to, '/');
    if (err == ERR_OK)
        err = s3_encode(to, span_text(bucket), false);
    if (err == ERR_OK && key != NULL)
        err = buf_append_byte(to, '/');
    if (err == ERR_OK && key != NULL)
        err = s3_encode(to, span_text(key), true);
    return err;
}

enum err s3_parameter(struct buf *to, const char *name, const char *value)
{
    bool first = to->len == 0 || memchr(to->data, '?', to->len) == NULL;
    enum err err = buf_append_byte(to, first ? '?' : '&');
    if (err == ERR_OK)
        err = s3_encode(to, span_text(name), false);
    if (err == ERR_OK)
        err = buf_append_byte(to, '=');
    if (err == ERR_OK && value != NULL)
        err = s3_encode(to, span_text(value), false);
    return err;
}

static void hex(const uint8_t *bytes, size_t len, char *to)
{
    for (size_t i = 0; i < len; i++)
        (void)snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

enum err s3_body_hash(struct span body, char to[S3_SHA256_CHARS])
{
    struct multihash hash;
    enum err err = multihash_sum(MULTIHASH_SHA2_256, 0, body, &hash);
    if (err == ERR_OK)
        hex(hash.digest, hash.len, to);
    return err;
}

/* ---- answers ---- */

static enum err copy_text(struct span text, char *to, size_t to_bytes)
{
    return text_copy(text, to, to_bytes) == ERR_OK ? ERR_OK : ERR_PROTOCOL;
}

/* The entries of a listing, of either kind. */
struct listing {
    const char *root;
    const char *entry;
    s3_object *object; /* one of the two */
    s3_upload *upload;
    void *arg;
    char key[S3_KEY_MAX + 1];
    char id[S3_UPLOAD_ID_MAX + 1];
    uint64_t bytes;
    bool has_size;
    bool has_more; /* the answer says whether there are more */
    bool more;
};

static enum err end_entry(struct listing *l)
{
    if (l->key[0] == '\0' || (l->object != NULL ? !l->has_size : l->id[0] == '\0'))
        return ERR_PROTOCOL;
    enum err err = l->object != NULL ? l->object(l->arg, l->key, l->bytes) : l->upload(l->arg, l->key, l->id);
    l->key[0] = l->id[0] = '\0';
    l->has_size = false;
    return err;
}

static enum err on_listing(void *arg, const struct xml_element *e)
{
    struct listing *l = arg;
    if (e->depth == 1)
        return span_equal_text(e->name, l->root) && l->has_more ? ERR_OK : ERR_PROTOCOL;
    if (e->depth == 2 && span_equal_text(e->name, l->entry))
        return end_entry(l);
    if (e->depth == 2 && span_equal_text(e->name, "IsTruncated")) {
        l->has_more = true;
        return text_parse_bool(e->text, &l->more) == ERR_OK ? ERR_OK : ERR_PROTOCOL;
    }
    if (e->depth != 3 || !span_equal_text(e->parent, l->entry))
        return ERR_OK;
    if (span_equal_text(e->name, "Key"))
        return copy_text(e->text, l->key, sizeof(l->key));
    if (span_equal_text(e->name, "UploadId"))
        return copy_text(e->text, l->id, sizeof(l->id));
    if (span_equal_text(e->name, "Size")) {
        l->has_size = true;
        return text_parse_u64(e->text, &l->bytes) == ERR_OK ? ERR_OK : ERR_PROTOCOL;
    }
    return ERR_OK;
}

static enum err read_listing(struct span xml, struct listing *l, bool *ret_more)
{
    enum err err = xml_read(xml, on_listing, l);
    if (err == ERR_OK)
        *ret_more = l->more;
    return err;
}

enum err s3_read_list(struct span xml, s3_object *each, void *arg, bool *ret_more)
{
    struct listing l = {.root = "ListBucketResult", .entry = "Contents", .object = each, .arg = arg};
    return read_listing(xml, &l, ret_more);
}

enum err s3_read_uploads(struct span xml, s3_upload *each, void *arg, bool *ret_more)
{
    struct listing l = {.root = "ListMultipartUploadsResult", .entry = "Upload", .upload = each, .arg = arg};
    return read_listing(xml, &l, ret_more);
}

struct wanted {
    const char *root;
    const char *child;
    char *to;
    size_t to_bytes;
    bool found;
    bool root_fits;
};

static enum err on_wanted(void *arg, const struct xml_element *e)
{
    struct wanted *w = arg;
    if (e->depth == 1)
        w->root_fits = span_equal_text(e->name, w->root);
    if (e->depth != 2 || w->found || !span_equal_text(e->name, w->child))
        return ERR_OK;
    w->found = true;
    return text_copy(e->text, w->to, w->to_bytes);
}

enum err s3_read_text(struct span xml, const char *root, const char *child, char *to, size_t to_bytes)
{
    struct wanted w = {.root = root, .child = child, .to = to, .to_bytes = to_bytes};
    enum err err = xml_read(xml, on_wanted, &w);
    if (err != ERR_OK)
        return err;
    if (!w.root_fits)
        return ERR_PROTOCOL;
    return w.found ? ERR_OK : ERR_NOT_FOUND;
}

void s3_read_error(struct span xml, char ret_code[S3_CODE_MAX])
{
    char code[S3_CODE_MAX] = "";
    if (s3_read_text(xml, "Error", "Code", code, sizeof(code)) != ERR_OK ||
        strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(code))
        code[0] = '\0';
    memcpy(ret_code, code, sizeof(code));
}

bool s3_range_is(struct span content_range, uint64_t offset, uint64_t len)
{
    char begin[64];
    int n = snprintf(begin, sizeof(begin), "bytes %" PRIu64 "-%" PRIu64 "/", offset, offset + len - 1);
    return n > 0 && content_range.len > (size_t)n && memcmp(content_range.data, begin, (size_t)n) == 0;
}

/* ---- tags ---- */

enum err s3_md5(struct span body, uint8_t ret_md5[S3_MD5_BYTES])
{
    size_t len = 0;
    uint8_t md5[EVP_MAX_MD_SIZE];
    if (EVP_Q_digest(NULL, "MD5", NULL, body.data, body.len, md5, &len) != 1 || len != S3_MD5_BYTES)
        return ERR_UNSUPPORTED;
    memcpy(ret_md5, md5, S3_MD5_BYTES);
    return ERR_OK;
}

void s3_etag_of(const uint8_t md5[S3_MD5_BYTES], size_t parts, char to[S3_ETAG_CHARS])
{
    hex(md5, S3_MD5_BYTES, to);
    if (parts > 0)
        (void)snprintf(to + (size_t)2 * S3_MD5_BYTES, S3_ETAG_CHARS - (size_t)2 * S3_MD5_BYTES, "-%zu", parts);
}

bool s3_etag_is(struct span etag, const char *own)
{
    etag = span_trim(etag);
    if (etag.len >= 2 && etag.data[0] == '"' && etag.data[etag.len - 1] == '"')
        etag = span_first(span_skip(etag, 1), etag.len - 2);
    return span_equal_text(etag, own);
}

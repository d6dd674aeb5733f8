/* SPDX-License-Identifier: MIT */
/*
 * The S3 protocol without I/O: addresses of objects, what the answers say, and the tags that servers make of what they got.
 *
 *      https://host/bucket/key?query      path-style, which every server understands
 *
 * Signing is the HTTP client's (http_signer). Spec: Amazon S3 API Reference, version 2006-03-01.
 *
 * Pure; any thread.
 */
#ifndef HEARTH_WIRE_S3_H
#define HEARTH_WIRE_S3_H

#include "base/attr.h"
#include "base/buf.h"

enum {
    S3_KEY_MAX = 1024,
    S3_UPLOAD_ID_MAX = 1024,
    S3_CODE_MAX = 64,
    S3_PART_MIN = 5 * 1024 * 1024, /* of every part but the last */
    S3_MD5_BYTES = 16,
    S3_ETAG_CHARS = 56, /* of those that we make ourselves, with the NUL */
    S3_SHA256_CHARS = 65,
};

/* Appends text as RFC 3986 wants it in a signed address: all but A-Z a-z 0-9 - . _ ~ becomes %XX; a slash too unless it is kept. */
enum err s3_encode(struct buf *to, struct span text, bool keep_slash) MUST_CHECK;

/* Appends endpoint, "/", bucket and, when key is not NULL, "/" and key. */
enum err s3_address(struct buf *to, const char *endpoint, const char *bucket, const char *key) MUST_CHECK;

/* Appends one parameter of a query, "?" or "&" before it. They must come in order of name. value NULL is "". */
enum err s3_parameter(struct buf *to, const char *name, const char *value) MUST_CHECK;

/* The SHA-256 of a body in hex, for x-amz-content-sha256. */
enum err s3_body_hash(struct span body, char to[S3_SHA256_CHARS]) MUST_CHECK;

/* ---- answers ---- */

/* ListObjectsV2. Names are NUL-terminated and decoded; an error of each() is the result. ERR_PROTOCOL: no such answer. */
typedef enum err s3_object(void *arg, const char *key, uint64_t bytes);
enum err s3_read_list(struct span xml, s3_object *each, void *arg, bool *ret_more) MUST_CHECK;

/* ListMultipartUploads. */
typedef enum err s3_upload(void *arg, const char *key, const char *id);
enum err s3_read_uploads(struct span xml, s3_upload *each, void *arg, bool *ret_more) MUST_CHECK;

/* The text of one child of the root, which must be named so: UploadId of InitiateMultipartUploadResult. ERR_NOT_FOUND, ERR_TOO_LARGE. */
enum err s3_read_text(struct span xml, const char *root, const char *child, char *to, size_t to_bytes) MUST_CHECK;

/* The code of an error, "" when the answer is none. */
void s3_read_error(struct span xml, char ret_code[S3_CODE_MAX]);

/* "bytes 0-99/1234": whether an answer has just this range. */
bool s3_range_is(struct span content_range, uint64_t offset, uint64_t len);

/* ---- tags ---- */

/*
 * Most servers tag an object with the MD5 of its body, and one that came in parts with the MD5 of their MD5s and the number of parts.
 * ERR_UNSUPPORTED: this machine has no MD5.
 */
enum err s3_md5(struct span body, uint8_t ret_md5[S3_MD5_BYTES]) MUST_CHECK;
void s3_etag_of(const uint8_t md5[S3_MD5_BYTES], size_t parts, char to[S3_ETAG_CHARS]);

/* Whether a server's tag, in quotes or not, is this one. */
bool s3_etag_is(struct span etag, const char *own);

#endif

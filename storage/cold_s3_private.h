/* SPDX-License-Identifier: MIT */
/* What the files of storage/cold_s3 share. */
#ifndef HEARTH_STORAGE_COLD_S3_PRIVATE_H
#define HEARTH_STORAGE_COLD_S3_PRIVATE_H

#include "storage/cold_s3.h"

enum { COLD_S3_ABORT_S = 5 };

struct cold_s3 {
    struct cold_store store;
    struct s3_client *client;
};

static inline struct cold_s3 *cold_s3_of(struct cold_store *store)
{
    return CONTAINER_OF(store, struct cold_s3, store);
}

/* HEAD: size, and the tag as text (may be NULL). */
enum err cold_s3_head(struct cold_s3 *s, struct cold_call *call, const char *name, uint64_t *ret_bytes, char *ret_tag,
                      size_t tag_bytes) MUST_CHECK;

/* Of name, or of a key that has the prefix already when it is one of a listing. One that is gone is no error. */
enum err cold_s3_abort(struct cold_s3 *s, struct cold_call *call, const char *name, const char *id) MUST_CHECK;

/* ---- cold_s3_upload.c: of the class ---- */

enum err cold_s3_create(struct cold_store *store, struct cold_call *call, const char *name,
                        struct cold_upload **ret_upload) MUST_CHECK;
enum err cold_s3_append(struct cold_upload *upload, struct cold_call *call, struct span bytes) MUST_CHECK;
enum err cold_s3_finish(struct cold_upload *upload, struct cold_call *call, enum cold_proof *ret_proof) MUST_CHECK;
void cold_s3_abandon(struct cold_upload *upload, struct cold_call *call);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A cold tier's objects in a bucket behind the S3 protocol.
 *
 *      create    nothing yet: a buffer of one part
 *      append    fills it; a full one goes out as a part of a multipart upload, which the first one begins
 *      finish    what never filled a part is one PUT; else the last part, and the upload is completed; then HEAD: size and tag
 *      abandon   the upload is aborted
 *      sweep     each upload of ours under the prefix is aborted
 *
 * finish proves the object by the server's tag where that is an MD5 as most make it; each body's SHA-256 was signed with it in any case. One
 * request that was answered but not heard is found out: an upload that is gone when it is completed again may be complete.
 *
 * The prefix is this node's alone.
 */
#ifndef HEARTH_STORAGE_COLD_S3_H
#define HEARTH_STORAGE_COLD_S3_H

#include "storage/cold_store.h"
#include "storage/s3_client.h"

enum { COLD_S3_LIST_BYTES = 2 * 1024 * 1024 };

/* The client is borrowed and outlives the store. ERR_NOMEM. */
enum err cold_s3_new(struct s3_client *client, struct cold_store **ret_store) MUST_CHECK;

#endif

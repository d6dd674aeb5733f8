/* SPDX-License-Identifier: MIT */
/*
 * A root and all below it as one CAR of version 1 (wire/car.h), while its blocks arrive in any order.
 *
 *      car_exporter_next_want -> fetch, verify -> car_exporter_put      (any order, bounded)
 *      car_exporter_read      -> the bytes of the stream, in order
 *
 * Each block once, depth first, where it stands first (dag_walk, in order): the stream of a DAG is always the same, and the same as the
 * reference's. Blocks that there was no memory to remember may come again, which CARs allow. No I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_CAR_EXPORTER_H
#define HEARTH_STORAGE_CAR_EXPORTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct car_exporter;

struct car_exporter_options {
    uint64_t skip; /* bytes of the stream that are passed over: an export that goes on */
    size_t window_blocks;
    size_t window_bytes;
    struct account *account; /* of tables; may be NULL */
    struct account *shared;  /* of bytes read ahead, for several readers; may be NULL, see dag_window_init */
};

/* ERR_NOMEM. */
enum err car_exporter_new(const struct cid *root, const struct car_exporter_options *options,
                          struct car_exporter **ret_exporter) MUST_CHECK;
void car_exporter_free(struct car_exporter *exporter);

/* As dag_walk_next_want, dag_walk_put, dag_walk_retry and dag_walk_waits_for. */
enum err car_exporter_next_want(struct car_exporter *exporter, struct cid *ret_cid) MUST_CHECK;
enum err car_exporter_put(struct car_exporter *exporter, const struct cid *cid, struct block_ref *block) MUST_CHECK;
void car_exporter_retry(struct car_exporter *exporter, const struct cid *cid);
bool car_exporter_waits_for(const struct car_exporter *exporter, const struct cid *cid);

/*
 * Appends up to length_bytes to out, fewer only at the end. ERR_OK: all there or the end was reached; ERR_AGAIN: some bytes are still
 * missing, call again later with what is left; else the error that ended the export.
 */
enum err car_exporter_read(struct car_exporter *exporter, struct buf *out, size_t length_bytes) MUST_CHECK;

/* The offset of the next byte that will be read. */
uint64_t car_exporter_position(const struct car_exporter *exporter);

/* A static sentence about the error, "" when there is none. */
const char *car_exporter_why(const struct car_exporter *exporter);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The blocks of a CAR as they come, into a sink; its roots, remembered.
 *
 * Blocks leave as they stand in the stream, each verified (wire/car.h); what a CID carries itself is verified, counted and stored nowhere. No
 * I/O; one thread at a time.
 */
#ifndef HEARTH_STORAGE_CAR_IMPORTER_H
#define HEARTH_STORAGE_CAR_IMPORTER_H

#include "base/attr.h"
#include "storage/importer.h"
#include "wire/car.h"

struct car_importer;

enum { CAR_WHY_BYTES = 160 };

struct car_totals {
    uint64_t blocks; /* in the stream, repeated ones counted again */
    uint64_t bytes;  /* of these, without CIDs */
};

/* account (may be NULL) is charged for roots and for the block that is being assembled. ERR_NOMEM. */
enum err car_importer_new(const struct import_sink *sink, struct account *account,
                          struct car_importer **ret_importer) MUST_CHECK;
void car_importer_free(struct car_importer *importer); /* NULL is ignored */

/*
 * Takes bytes from the front of *in, up to the end of one block: so that whoever has a full window keeps the rest. Errors as car_reader_next,
 * or the sink's; then it is over and car_importer_why tells more.
 */
enum err car_importer_write(struct car_importer *importer, struct span *in) MUST_CHECK;

/* The stream has ended. ERR_TRUNCATED when it may not end here. */
enum err car_importer_finish(struct car_importer *importer) MUST_CHECK;

/* The n-th root of the header; false when there are fewer. */
bool car_importer_root(const struct car_importer *importer, size_t n, struct cid *ret_cid);

struct car_totals car_importer_totals(const struct car_importer *importer);

/* A sentence about the error that says where in the stream it is, "" when there is none. Lives as long as the importer. */
const char *car_importer_why(const struct car_importer *importer);

#endif

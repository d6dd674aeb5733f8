/* SPDX-License-Identifier: MIT */
/*
 * Writing msgpack values by hand, where the shape is not one of the declared messages: answers, help, results. The first failure
 * sticks and pack_end reports it, so that a writer reads as a list of what is written.
 */
#ifndef HEARTH_SCHEMAS_PACK_H
#define HEARTH_SCHEMAS_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct pack {
    struct buf *to;
    size_t start;
    enum err err;
};

struct pack pack_begin(struct buf *to);

/* ERR_OK, or the first failure; then nothing of it is left in the buffer. */
enum err pack_end(struct pack *p) MUST_CHECK;

void pack_map(struct pack *p, uint32_t pairs);
void pack_array(struct pack *p, uint32_t values);
void pack_nil(struct pack *p);
void pack_bool(struct pack *p, bool value);
void pack_u64(struct pack *p, uint64_t value);
void pack_i64(struct pack *p, int64_t value);
void pack_f64(struct pack *p, double value);
void pack_text(struct pack *p, const char *text);
void pack_span(struct pack *p, struct span text); /* as text; bytes that are not UTF-8 become '?' */
void pack_bytes(struct pack *p, struct span bytes);
void pack_raw(struct pack *p, struct span packed); /* one or more values, packed already */

void pack_pair_bool(struct pack *p, const char *key, bool value);
void pack_pair_u64(struct pack *p, const char *key, uint64_t value);
void pack_pair_text(struct pack *p, const char *key, const char *text);
void pack_pair_span(struct pack *p, const char *key, struct span text);

/* For arrays and maps whose count is known last: writes a 32-bit header and returns where; pack_count fills it in. */
size_t pack_array_open(struct pack *p);
size_t pack_map_open(struct pack *p);
void pack_count(struct pack *p, size_t where, uint32_t count);

#endif

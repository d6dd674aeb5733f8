/* SPDX-License-Identifier: MIT */
/*
 * A trace in memory, to be replayed as often as one likes: 4 bytes a request, 20 with sizes and times, and about 120 an object.
 *
 *   objects[request] ──> dense number of the object, in order of first use ──> ids[number]
 */
#ifndef HEARTH_TIERSIM_TRACE_H
#define HEARTH_TIERSIM_TRACE_H

#include "tiersim/contender.h"
#include "tiersim/trace_reader.h"

#define TRACE_REQUESTS_MAX (UINT32_MAX - 1) /* next uses are numbers of 32 bits */
#define TRACE_OBJECTS_MAX  (UINT32_C(1) << 30)
#define TRACE_BYTES_MAX    (UINT64_C(1) << 62) /* of all requests, so that no sum of two overflows */

struct trace {
    uint32_t *objects;
    uint64_t *bytes; /* NULL: one each */
    double *times_s; /* NULL: a millisecond each */
    size_t requests;
    uint64_t *ids;
    uint32_t object_count;
    uint64_t requested_bytes;
    uint64_t footprint_bytes; /* of all objects, each with its last size */
};

/*
 * Reads all. On an error nothing is left: the reader's, of which trace_reader_why tells; ERR_NOMEM; ERR_TOO_LARGE over a limit above;
 * ERR_NOT_FOUND when there is no request.
 */
enum err trace_load(struct trace_reader *reader, struct trace *ret_trace) MUST_CHECK;
void trace_release(struct trace *trace);

/* Request number i as policies see it, without its future. */
struct tier_request trace_request(const struct trace *trace, size_t i);

/* For each request the number of the object's next one, UINT32_MAX for none; the caller frees. NULL without memory. */
uint32_t *trace_next_uses(const struct trace *trace);

#endif

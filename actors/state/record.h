/* SPDX-License-Identifier: MIT */
/* One record of a batch: this header, then the message in array form. Private to actors/state. */
#ifndef HEARTH_ACTORS_STATE_RECORD_H
#define HEARTH_ACTORS_STATE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct state_record {
    uint64_t at; /* ns since the epoch */
    uint32_t bytes;
    uint16_t kind;
    uint16_t unused;
};

/* Takes the next record from the front of *records; false at the end. */
bool state_record_next(struct span *records, struct state_record *ret_record, struct span *ret_packed);

#endif

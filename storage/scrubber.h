/* SPDX-License-Identifier: MIT */
/*
 * The scrubber: is what the media holds still what was stored?
 *
 *      pass:  key 0 ---- after ----> end      one page at a time, each paid for with bytes / rate seconds
 *                          |
 *                          +-- kept in the catalogue with the next commit, so that a pass of weeks survives restarts
 *
 * A pass follows the catalogue in order of key and begins SCRUB_EVERY_NS after the one before has ended. Pages wait while the store is
 * busy, but for SCRUB_PATIENCE_NS at most: a store that is never idle is checked too. This module decides when, and counts; the store
 * reads the pages. Rejected: following the segments in order of offset, which reads faster but cannot tell live records from dead ones
 * without asking the catalogue for each.
 *
 * Pure but for scrubber_check, which blocks on the disk. One thread at a time.
 */
#ifndef HEARTH_STORAGE_SCRUBBER_H
#define HEARTH_STORAGE_SCRUBBER_H

#include "storage/disk_tier.h"
#include "storage/scrub_progress.h"

enum { SCRUB_PAGE_BYTES = 4 * 1024 * 1024 };

#define SCRUB_EVERY_NS    (UINT64_C(7 * 24 * 3600) * 1000000000)
#define SCRUB_START_NS    (UINT64_C(30) * 1000000000) /* a start has better things to do */
#define SCRUB_PATIENCE_NS (UINT64_C(60) * 1000000000)
#define SCRUB_SAVE_NS     (UINT64_C(60) * 1000000000) /* so much of a pass is done again after a crash */

struct scrubber {
    uint64_t rate; /* bytes a second; 0 = off */
    struct scrub_progress progress;
    uint64_t due_ns;  /* the next page, monotonic */
    uint64_t save_ns; /* when progress is to be saved; 0: nothing new */
    bool running;
};

void scrubber_init(struct scrubber *scrubber, uint64_t rate, const struct scrub_progress *progress, uint64_t now_ns,
                   uint64_t real_now_ns);

/* When it wants to be asked again, monotonic; UINT64_MAX: not before something else happens. */
uint64_t scrubber_due(const struct scrubber *scrubber);

/* Whether a page is to be read now, from progress.after on. Then exactly one scrubber_page or scrubber_failed follows. */
bool scrubber_begin(struct scrubber *scrubber, uint64_t now_ns, uint64_t real_now_ns, bool busy);

struct scrub_page {
    struct block_key after; /* of its last block; len 0: the catalogue has no more */
    uint64_t blocks;
    uint64_t bytes;
    uint64_t bad;
};
void scrubber_page(struct scrubber *scrubber, const struct scrub_page *page, uint64_t now_ns, uint64_t real_now_ns);
/* The page could not be read: tried again after the patience. */
void scrubber_failed(struct scrubber *scrubber, uint64_t now_ns);

/* Whether progress is worth a commit of its own; scrubber_take gives what is to be saved, or NULL when nothing is new. */
bool scrubber_wants_save(const struct scrubber *scrubber, uint64_t now_ns);
const struct scrub_progress *scrubber_take(struct scrubber *scrubber);
/* What was taken is not saved. */
void scrubber_save_again(struct scrubber *scrubber, uint64_t now_ns);

/*
 * Reads the block and checks record and hash. ERR_OK: good, or a hash function that cannot be computed here (the checksum held).
 * ERR_CORRUPT, ERR_TRUNCATED: wrong; ERR_NOT_FOUND: its segment is gone; other errors say nothing about the block.
 */
enum err scrubber_check(struct disk_tier *tier, const struct block_place *place, struct account *account) MUST_CHECK;

#endif

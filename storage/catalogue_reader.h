/* SPDX-License-Identifier: MIT */
/*
 * Reading the catalogue: point lookups and pages, each one statement that ends before the call returns, so that no reader ever pins
 * the WAL across a message wait.
 *
 * Threads: one at a time per reader. Lookups take about 6 us from cache, so the owner's thread may do them.
 */
#ifndef HEARTH_STORAGE_CATALOGUE_READER_H
#define HEARTH_STORAGE_CATALOGUE_READER_H

#include "storage/catalogue.h"
#include "storage/compactor.h"
#include "storage/metadata.h"
#include "wire/cid.h"

struct catalogue_reader;

/* The database must exist. ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO. */
enum err catalogue_reader_open(const struct catalogue_options *options,
                               struct catalogue_reader **ret_reader) MUST_CHECK;
/* NULL-safe. */
void catalogue_reader_close(struct catalogue_reader *reader);

/*
 * What is looked up between them sees one state of the database, for one lock and one look at the log instead of one each.
 * They do not nest, and come in one call of the owner: a reader that is held keeps the log from being reset.
 */
void catalogue_begin_reading(struct catalogue_reader *reader);
void catalogue_end_reading(struct catalogue_reader *reader);

/* ERR_NOT_FOUND when no row of the disk names it. */
enum err catalogue_find(struct catalogue_reader *reader, const struct block_key *key,
                        struct block_place *ret_place) MUST_CHECK;

/* The same of the rows of packs. */
enum err catalogue_find_cold(struct catalogue_reader *reader, const struct block_key *key,
                             struct cold_place *ret_place) MUST_CHECK;

/* Whether it has one in a pack that is whole: COLD_ROWS_IN_WHOLE. */
enum err catalogue_cold_counts(struct catalogue_reader *reader, const struct block_key *key,
                               bool *ret_counts) MUST_CHECK;

/* As cold_rows_medium, _pack, _between, _unused, _thinnest, _page and _uncounted. */
enum err catalogue_medium(struct catalogue_reader *reader, struct cold_medium *ret_medium) MUST_CHECK;
enum err catalogue_pack(struct catalogue_reader *reader, uint64_t pack, struct pack_row *ret_row) MUST_CHECK;
enum err catalogue_packs_between(struct catalogue_reader *reader, uint64_t after, uint64_t before,
                                 struct pack_row *ret_row) MUST_CHECK;
enum err catalogue_unused_pack(struct catalogue_reader *reader, uint64_t but, struct pack_row *ret_row) MUST_CHECK;
enum err catalogue_thinnest_pack(struct catalogue_reader *reader, unsigned percent, uint64_t before_ns,
                                 struct pack_row *ret_row) MUST_CHECK;
enum err catalogue_unchecked_pack(struct catalogue_reader *reader, uint64_t before_ns,
                                  struct pack_row *ret_row) MUST_CHECK;
enum err catalogue_pack_rows(struct catalogue_reader *reader, uint64_t pack, struct block_key *after,
                             struct cold_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;
enum err catalogue_uncounted(struct catalogue_reader *reader, struct cold_place *ret_places, size_t max,
                             size_t *ret_count) MUST_CHECK;

enum err catalogue_tier_pins(struct catalogue_reader *reader, const struct block_key *after,
                             struct tier_pin_row *ret_rows, size_t max, size_t *ret_count) MUST_CHECK;
/* Whether a block shall not leave a tier, "disk" or "cold": CHANGE_TIER_PIN. */
enum err catalogue_tier_pinned(struct catalogue_reader *reader, const struct block_key *key, const char *tier,
                               bool *ret_pinned) MUST_CHECK;

/* Whether a block is needed on the disk: a recursive pin needs its links, or it is pinned to that tier. */
enum err catalogue_node_held(struct catalogue_reader *reader, const struct block_key *key, bool *ret_held) MUST_CHECK;

/* Up to max rows with keys after `after` (len 0: from the first), in order of key. *ret_count < max means the end. */
enum err catalogue_page(struct catalogue_reader *reader, const struct block_key *after, struct block_place *ret_places,
                        size_t max, size_t *ret_count) MUST_CHECK;

/* The same of all stored blocks; those that are only cold have segment 0 and their pack as offset. */
enum err catalogue_page_stored(struct catalogue_reader *reader, const struct block_key *after,
                               struct block_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;

/* All segments that the database knows, in order of id; freed by the caller. */
enum err catalogue_segments(struct catalogue_reader *reader, struct segment_checkpoint **ret_list,
                            size_t *ret_count) MUST_CHECK;

/* As segment_rows_deadest, segment_rows_use and segment_rows_open. */
enum err catalogue_deadest(struct catalogue_reader *reader, struct segment_use *ret_rows, size_t max,
                           size_t *ret_count) MUST_CHECK;
enum err catalogue_open_segment(struct catalogue_reader *reader, struct segment_use *ret_use) MUST_CHECK;
enum err catalogue_segment_use(struct catalogue_reader *reader, uint64_t segment,
                               struct segment_use *ret_use) MUST_CHECK;

/* As quarantine_missing, quarantine_due and quarantine_page. */
enum err catalogue_missing(struct catalogue_reader *reader, const struct block_key *after, const struct block_key *upto,
                           struct block_place *ret_places, size_t max, size_t *ret_count) MUST_CHECK;
enum err catalogue_quarantine_due(struct catalogue_reader *reader, uint64_t now_ns, struct quarantine_row *ret_rows,
                                  size_t max, size_t *ret_count) MUST_CHECK;
enum err catalogue_quarantine_page(struct catalogue_reader *reader, const struct block_key *after,
                                   struct quarantine_row *ret_rows, size_t max, size_t *ret_count) MUST_CHECK;

/*
 * Looks at up to max rows after `after` and gives those that neither a pin nor a held block needs, *ret_count of them. *ret_last: the last
 * row looked at, len 0 when it was the last of all. Says nothing while pins are being counted.
 */
enum err catalogue_unheld(struct catalogue_reader *reader, const struct block_key *after,
                          struct block_place *ret_places, size_t max, size_t *ret_count,
                          struct block_key *ret_last) MUST_CHECK;

struct pin_row {
    uint8_t cid[PIN_CID_MAX];
    uint8_t cid_len;
    bool recursive;
    uint64_t created_at_ns;
    char name[PIN_NAME_MAX + 1];
};

/* Pins after the given CID in order of (cid, recursive); all pins of one CID are in one page, so a page may hold max + 1. */
enum err catalogue_pins(struct catalogue_reader *reader, struct span after, struct pin_row *ret_pins, size_t max,
                        size_t *ret_count) MUST_CHECK;

/* How a CID is pinned; all false: not at all. Which indirect pins there are is known once the pins are counted. */
struct pin_state {
    bool recursive;
    bool direct;
    bool indirect;               /* a held block links to it */
    char name[PIN_NAME_MAX + 1]; /* of the recursive pin, else of the direct one */
};
enum err catalogue_pin_state(struct catalogue_reader *reader, const struct cid *cid,
                             struct pin_state *ret_state) MUST_CHECK;

/*
 * Up to max CIDs (version 1) that have no pin and are below a recursive one, after the given one in order of (multihash, codec); *ret_more: there may be
 * others behind. A page may be empty before the end.
 */
enum err catalogue_indirect_pins(struct catalogue_reader *reader, const struct cid *after, struct cid *ret_cids,
                                 size_t max, size_t *ret_count, struct cid *ret_last, bool *ret_more) MUST_CHECK;

/* As metadata_of, metadata_find. */
enum err catalogue_metadata_of(struct catalogue_reader *reader, struct span cid, metadata_each *each,
                               void *arg) MUST_CHECK;
enum err catalogue_metadata_find(struct catalogue_reader *reader, const struct metadata_query *query,
                                 metadata_each *each, void *arg, bool *ret_more) MUST_CHECK;

/* What the rows say of a block besides its place. */
enum { FACTS_PINS_MAX = 16 };
struct catalogue_block_facts {
    struct pin_row pins[FACTS_PINS_MAX]; /* of its CIDs, under whatever CID */
    size_t pin_count;
    int64_t holds; /* by recursive pins of them, and by links of held blocks */
    bool quarantined;
    struct quarantine_row quarantine;
};
enum err catalogue_facts(struct catalogue_reader *reader, const struct block_key *key,
                         struct catalogue_block_facts *ret_facts) MUST_CHECK;

#endif

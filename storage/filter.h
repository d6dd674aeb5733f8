/* SPDX-License-Identifier: MIT */
/*
 * The absent filter: a blocked Bloom filter of 10 bits a key (fewer where memory is short) that says "certainly not stored" without asking the database.
 *
 *      key --> 64-bit hash --> one 64-byte line; some bits in it          one cache miss a question
 *
 *      file:  offset  0   8   magic "HRFILT01"
 *                     8   4   CRC-32C of all that follows
 *                    12   4   bits a key; 0 stands for 10
 *                    16  16   id of the database
 *                    32   8   generation of its rows
 *                    40   8   keys added
 *                    48   8   lines n
 *                    56   8   seed of the hash
 *                    64  64n  lines
 *
 * Integers are little-endian. A filter answers "perhaps" to everything until it is complete, so one that is half-built never says
 * absent. A file counts only for the very generation it names, and its checksum stands in for a sync: torn, old or foreign, it is
 * rebuilt. The hash is keyed by a random seed, since peers choose keys. One thread.
 */
#ifndef HEARTH_STORAGE_FILTER_H
#define HEARTH_STORAGE_FILTER_H

#include "mailbox/ports.h"
#include "storage/catalogue.h"

enum { FILTER_BITS_PER_KEY = 10, FILTER_BITS_LEAST = 4 };
enum { FILTER_LINE_BYTES = 64, FILTER_HEADER_BYTES = 64, FILTER_KEYS_MIN = 65536 };

struct filter;

/* An empty, incomplete filter with room for keys (more may be added; it only gets less sharp). NULL without memory in account. */
struct filter *filter_new(uint64_t keys, uint64_t seed, struct account *account) MUST_CHECK;
/*
 * The same for keys where the account has room for them and a quarter of it left; else for keys_least, with fewer bits a key: at 5 bits one
 * absent key of ten is not known to be. NULL under FILTER_BITS_LEAST.
 */
struct filter *filter_new_within(uint64_t keys, uint64_t keys_least, uint64_t seed, struct account *account) MUST_CHECK;
unsigned filter_bits_per_key(const struct filter *filter);
/* NULL-safe. */
void filter_free(struct filter *filter);

void filter_add(struct filter *filter, const struct block_key *key);

/* From now on absent answers are meant: every stored key was added. */
void filter_complete(struct filter *filter);

/* True only if the key was never added to a complete filter. NULL filter: false. */
bool filter_absent(const struct filter *filter, const struct block_key *key);

/* The same for many, which costs a cache miss for several of them together. */
void filter_absent_many(const struct filter *filter, const struct block_key *keys, size_t count, bool *ret_absent);

/* More keys than it has room for: time to build a larger one. */
bool filter_crowded(const struct filter *filter);

/* Writes a complete filter for the given state of the database: beside, then renamed over path. Blocks. */
enum err filter_save(const struct filter *filter, const struct disk_port *port, const char *path,
                     const struct catalogue_info *info) MUST_CHECK;

/* Reads it back, complete. ERR_NOT_FOUND, ERR_MISMATCH (another database or generation), ERR_CORRUPT, ERR_NOMEM. Blocks. */
enum err filter_load(const struct disk_port *port, const char *path, const struct catalogue_info *info,
                     struct account *account, struct filter **ret_filter) MUST_CHECK;

#endif

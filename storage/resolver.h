/* SPDX-License-Identifier: MIT */
/*
 * From `/ipfs/<cid>/a/b/c` to a CID, block by block, through basic folders and HAMT shards, and through the maps and lists of dag-cbor and
 * dag-json. There a path may end inside of a block: then the block is the end, and the components left over are the remainder.
 *
 *      resolver_next_want -> fetch, verify -> resolver_put, until resolver_done
 *
 * Only the blocks on the way are asked for, not the one that the path ends at. Empty components and "." are dropped,
 * ".." takes the component before it away, as the reference does. In a folder with one name twice the first link
 * counts. A shard's fanout must be that of the shard above and its level is bounded. No I/O; one thread at a time.
 * Spec: ipfs/specs unixfs, path resolution.
 */
#ifndef HEARTH_STORAGE_RESOLVER_H
#define HEARTH_STORAGE_RESOLVER_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/block_ref.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

struct resolver;

enum { RESOLVER_PATH_MAX = 4096 };

/*
 * text: a CID, `<cid>/path`, `/ipfs/<cid>/path`, `ipfs://<cid>/path`. ERR_INVALID, ERR_TOO_LARGE; ERR_UNSUPPORTED for
 * /ipns/ and other namespaces; ERR_NOMEM. *ret_why (may be NULL) is set to a static sentence on failure.
 */
enum err resolver_new(struct span text, struct account *account, struct resolver **ret_resolver,
                      const char **ret_why) MUST_CHECK;
void resolver_free(struct resolver *resolver);

/* The block to fetch next, once. ERR_AGAIN: it was asked for, or the path is resolved or failed. */
enum err resolver_next_want(struct resolver *resolver, struct cid *ret_cid) MUST_CHECK;

/*
 * Gives a verified block; one that is not waited for is ignored. ERR_NOT_FOUND: no such name; ERR_CORRUPT,
 * ERR_UNSUPPORTED: a node on the way; then the resolver is over.
 */
enum err resolver_put(struct resolver *resolver, const struct cid *cid, struct block_ref *block) MUST_CHECK;

/* The block cannot be had for the moment: it comes out of resolver_next_want again. */
void resolver_retry(struct resolver *resolver, const struct cid *cid);

bool resolver_waits_for(const struct resolver *resolver, const struct cid *cid);

/* Whether the path is resolved; *ret_cid (may be NULL) is what it names. */
bool resolver_done(const struct resolver *resolver, struct cid *ret_cid);

/* What of the path lies inside the block that it names, components joined by '/'; empty: it names the block. Lives as long as the resolver. */
struct span resolver_remainder(const struct resolver *resolver);

/* The error of a failed resolver, else ERR_OK; a static sentence about it, else "". */
enum err resolver_error(const struct resolver *resolver);
const char *resolver_why(const struct resolver *resolver);

#endif

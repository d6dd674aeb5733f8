/* SPDX-License-Identifier: MIT */
/*
 * Paths that begin with a name.
 *
 *      /ipns/k51qzi5…/a/b      a key's name, in any text form of a peer id, then what is below what it names
 *      ipns://k51qzi5…/a/b     the same
 *      /ipns/example.com/a     a domain: whoever resolves it asks DNSLink
 *
 * Pure functions, thread-safe. Spec: ipfs/specs ipns-record.
 */
#ifndef HEARTH_WIRE_IPNS_PATH_H
#define HEARTH_WIRE_IPNS_PATH_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum { IPNS_PATH_MAX = 4096, IPNS_DOMAIN_MAX = 253 };

struct ipns_path {
    struct span host; /* the component behind /ipns/; borrowed, as rest is */
    struct span rest; /* empty, or beginning with '/' */
    bool is_domain;
    struct peer_id name; /* unless is_domain */
};

/* Whether the text says that it begins with a name. */
bool ipns_path_is(struct span text);

/* ERR_INVALID: neither a peer id nor what looks like a domain stands there; ERR_TOO_LARGE. */
enum err ipns_path_parse(struct span text, struct ipns_path *ret_path) MUST_CHECK;

/* Reads a name as people give it to commands: a peer id or domain, with or without /ipns/ and without anything behind it. */
enum err ipns_path_parse_name(struct span text, struct ipns_path *ret_path) MUST_CHECK;

/*
 * Puts what a name stands for in its place: value, then rest. Slashes at the end of value are dropped when something follows.
 * ERR_INVALID: value is no path of /ipfs/ or /ipns/; ERR_TOO_LARGE.
 */
enum err ipns_path_join(struct span value, struct span rest, struct buf *out) MUST_CHECK;

#endif

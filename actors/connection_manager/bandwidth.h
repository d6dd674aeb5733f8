/* SPDX-License-Identifier: MIT */
/*
 * Bandwidth: which rates hold, of the whole node (by the hour), of protocols and of peers, each way. The waiting is rate_line's.
 *
 *      socket bytes   all[direction], and the bucket of the peer
 *      streams        protocols[i].line[direction]: incoming bytes are held back by the stream's window, outgoing ones in its queue
 *
 * No sockets, no clock, no allocation. One thread; a struct bandwidth does not move once turns stand in its lines.
 */
#ifndef HEARTH_ACTORS_CONNECTION_MANAGER_BANDWIDTH_H
#define HEARTH_ACTORS_CONNECTION_MANAGER_BANDWIDTH_H

#include "actors/connection_manager/rate_line.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

struct config;

enum { BANDWIDTH_PEERS_MAX = 64, BANDWIDTH_PROTOCOLS_MAX = 16, BANDWIDTH_HOURS_MAX = 24, BANDWIDTH_NAME_MAX = 128 };

enum bandwidth_direction { BANDWIDTH_IN, BANDWIDTH_OUT, BANDWIDTH_DIRECTIONS };

struct bandwidth_protocol {
    char name[BANDWIDTH_NAME_MAX];
    struct rate_line line[BANDWIDTH_DIRECTIONS];
};

struct bandwidth {
    bool limited; /* some limit is configured: else nothing need be asked */
    struct rate_line all[BANDWIDTH_DIRECTIONS];
    uint64_t usual[BANDWIDTH_DIRECTIONS]; /* outside of the schedule's hours */
    struct bandwidth_protocol protocols[BANDWIDTH_PROTOCOLS_MAX];
    size_t protocol_count;
    struct {
        struct peer_id id; /* empty: every peer */
        uint64_t rate[BANDWIDTH_DIRECTIONS];
    } peers[BANDWIDTH_PEERS_MAX];
    size_t peer_count;
    struct {
        uint8_t from;
        uint8_t to;
        uint64_t rate[BANDWIDTH_DIRECTIONS];
    } hours[BANDWIDTH_HOURS_MAX];
    size_t hour_count;
};

/* Of Swarm.Bandwidth. ERR_INVALID: *ret_item is what is wrong. */
enum err bandwidth_init(struct bandwidth *b, const struct config *config, uint64_t now_ns,
                        const char **ret_item) MUST_CHECK;

/* It is this hour of the local day. */
void bandwidth_hour(struct bandwidth *b, unsigned hour, uint64_t now_ns);

/* The lines of the first rule for the protocol: of its name, or of what it begins with before a slash. NULL: none. */
struct bandwidth_protocol *bandwidth_protocol_of(struct bandwidth *b, struct span name);

/* Sets the buckets of a peer that has just come. */
void bandwidth_peer(const struct bandwidth *b, const struct peer_id *id, uint64_t now_ns,
                    struct rate_bucket buckets[BANDWIDTH_DIRECTIONS]);

/* When one of the lines has somebody to hand out; UINT64_MAX: never. */
uint64_t bandwidth_deadline(struct bandwidth *b, uint64_t now_ns);

#endif

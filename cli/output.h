/* SPDX-License-Identifier: MIT */
/* What the command prints: escaped text of strangers, tables, progress, errors. stdout is for results, stderr for people. */
#ifndef HEARTH_CLI_OUTPUT_H
#define HEARTH_CLI_OUTPUT_H

#include <stdio.h>

#include "cli/client.h"
#include "schemas/walk.h"

/* Control characters of strangers never reach the terminal as they are. */
void print_escaped(FILE *to, struct span text);

/* `Error: …` on stderr, and the exit status that belongs to it. */
int say_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
int say_outcome_error(const struct outcome *outcome);

/* Values of a result; absent or of another type = empty or 0. */
struct span value_text(struct span map, const char *key); /* text or bytes */
uint64_t value_u64(struct span map, const char *key);
bool value_bool(struct span map, const char *key);
bool value_has(struct span map, const char *key);
double value_f64(struct span map, const char *key);

/* The elements of a list of a map: position starts as a zeroed struct. */
struct elements {
    struct walk walk;
    uint32_t left;
};
struct elements value_elements(struct span map, const char *key);
bool elements_next(struct elements *elements, struct span *ret_value);
/* An element that is text or bytes. */
struct span element_text(struct span value);

/* A CID in the base that --cid-base names. */
void print_cid(FILE *to, const struct globals *globals, struct span cid);

/* The name of a key in the form that --ipns-base names. */
void print_name(const struct globals *globals, struct span name);

/* What stands behind the last slash: of an address that names a peer, its id. */
struct span last_part(struct span text);

/* UTC time, or never; and a line of a label and that. */
void print_time(uint64_t ns);
void print_utc(const char *label, uint64_t ns);

/* Text, or what shall pass for it, as a JSON string. */
void print_json_text(struct span text);

/* A packed value as one line of JSON. */
void print_json(struct span value);

/* A line on stderr that shows how far it is; nothing unless stderr is a terminal. */
struct progress {
    bool shown;
    const char *name;
    uint64_t total;
    uint64_t done;
    uint64_t started_ns;
    uint64_t drawn_ns;
};
void progress_begin(struct progress *p, const char *name, uint64_t total, bool wanted);
void progress_add(struct progress *p, uint64_t bytes);
void progress_end(struct progress *p);

/* Text forms of `actors`, `actors tree` and the orders about actors. */
void print_actors(const struct invocation *in, struct span result);
void print_tree(const struct invocation *in, struct span result);
void print_ordered(const struct invocation *in, struct span result);

/* Text form of `trace`. */
void print_trace(const struct invocation *in, struct span result);

/* Text form of `swarm resources`. */
void print_resources(const struct invocation *in, struct span result);

/* Text forms of `heat top` and `heat explain`. */
void print_hottest(const struct invocation *in, struct span result);
void print_explained(const struct invocation *in, struct span result);
void print_denylists(const struct invocation *in, struct span result);
void print_verdict(const struct invocation *in, struct span result);

/* Text forms of `swarm peers` and `swarm addrs autonat`. */
void print_peers(const struct invocation *in, struct span result);
void print_autonat(const struct invocation *in, struct span result);

/* Text forms of `swarm peering`. */
void print_peering_added(const struct invocation *in, struct span result);
void print_peering_removed(const struct invocation *in, struct span result);
void print_peerings(const struct invocation *in, struct span result);

/* Text forms of `routing findprovs`, `routing findpeer`, `routing get` and `stats dht`. */
void print_providers(const struct invocation *in, struct span result);
void print_found_peer(const struct invocation *in, struct span result);
void print_route_value(const struct invocation *in, struct span result);
void print_dht(const struct invocation *in, struct span result);
/* Text forms of `key` and `name`. */
void print_key_id(const struct invocation *in, struct span result);
void print_keys(const struct invocation *in, struct span result);
void print_key_renamed(const struct invocation *in, struct span result);

/* Text forms of `provide stat` and `provide clear`. */
void print_provide_stat(const struct invocation *in, struct span result);
void print_cleared(const struct invocation *in, struct span result);

/* Prints the text form of an operation's result. The exit status. */
int print_result(const struct invocation *in, struct span result);
/* On stderr, where a result says that it is a part. */
void say_partial(struct span result);

#endif

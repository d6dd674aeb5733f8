/* SPDX-License-Identifier: MIT */
/*
 * One end of a link between processes, for tests that play the other end by hand: what they write to `peer` is read by actor RECEIVER as
 * from SENDER. The runtime is opened and never started; one for the whole program.
 */
#ifndef HEARTH_TESTS_SUPPORT_LINK_ENDS_H
#define HEARTH_TESTS_SUPPORT_LINK_ENDS_H

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mailbox/ipc_link.h"
#include "mailbox/supervisor.h"
#include "schemas/messages.h"

enum { SENDER = 1, RECEIVER, STRANGER, LINK_ACTORS };

struct link_ends {
    struct ctx *self;
    struct ipc_link link;
    int peer;
    uint8_t scratch[LINK_HEAD_BYTES + LINK_FRAGMENT_BYTES];
};

static struct budget link_budget;

static inline struct runtime *link_runtime(void)
{
    static struct runtime *rt;
    static const struct actor_class classes[LINK_ACTORS] = {
        [SENDER] = {.name = "sender"}, [RECEIVER] = {.name = "receiver"}, [STRANGER] = {.name = "stranger"}};
    static const struct actor_class *const list[LINK_ACTORS] = {NULL, &classes[1], &classes[2], &classes[3]};
    static const struct child_spec children[] = {{.id = "receiver", .start = RECEIVER}};
    static const struct supervisor_spec tree = {
        .name = "root", .period_ms = 1000, .children = children, .child_count = ARRAY_LEN(children)};
    static const struct edge_spec edges[] = {{.from = SENDER, .to = RECEIVER}};
    char why[256];
    if (rt != NULL)
        return rt;
    if (budget_init(&link_budget, 64 * MIB) != ERR_OK)
        abort();
    const struct runtime_config config = {.name = "link",
                                          .classes = list,
                                          .class_count = LINK_ACTORS,
                                          .tree = &tree,
                                          .edges = edges,
                                          .edge_count = ARRAY_LEN(edges),
                                          .schemas = &schema_messages,
                                          .budget = &link_budget};
    if (runtime_open(&config, &rt, why, sizeof(why)) != ERR_OK)
        abort();
    return rt;
}

static inline void link_ends_open(struct link_ends *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    e->self = actor_of(link_runtime(), RECEIVER);
    e->link = (struct ipc_link){.fd = pair[0], .peer = SENDER, .lane = LANE_DATA};
    e->peer = pair[1];
}

static inline void link_ends_close(struct link_ends *e)
{
    link_release(e->self, &e->link);
    (void)close(e->link.fd);
    (void)close(e->peer);
}

/* The head of a fragment and so many bytes behind it; as what a process writes that obeys no rule. */
static inline void link_ends_write(struct link_ends *e, uint32_t magic, uint32_t body_bytes, uint64_t total_bytes,
                                   uint64_t offset, struct span payload)
{
    uint8_t *bytes = malloc(LINK_HEAD_BYTES + payload.len);
    if (bytes == NULL)
        abort();
    memcpy(bytes, &magic, 4);
    memcpy(bytes + 4, &body_bytes, 4);
    memcpy(bytes + 8, &total_bytes, 8);
    memcpy(bytes + 16, &offset, 8);
    if (payload.len > 0)
        memcpy(bytes + LINK_HEAD_BYTES, payload.data, payload.len);
    (void)!send(e->peer, bytes, LINK_HEAD_BYTES + payload.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    free(bytes);
}

/* What is read; a batch that is whole is dropped as by a life that is over, which looks at each record. */
static inline enum err link_ends_read(struct link_ends *e)
{
    struct batch *batch = NULL;
    bool more = false;
    enum err err = link_receive(e->self, &e->link, e->scratch, &batch, &more);
    if (err == ERR_OK)
        delivery_discard(e->self, batch);
    return err;
}

#endif

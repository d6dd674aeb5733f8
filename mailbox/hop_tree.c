/* SPDX-License-Identifier: MIT */
#include "mailbox/hop_tree.h"

#include <stdlib.h>

enum { NONE = -1 };

struct node {
    struct trace_hop row;
    struct hop_ref id;
    struct hop_ref cause;
    bool begun; /* its first event is there */
    int parent;
    int first;
    int last;
    int next; /* of the same parent */
};

struct tree {
    struct node *nodes;
    int count;
    int first; /* at the margin */
    int last;
};

static bool same(const struct hop_ref *a, const struct hop_ref *b)
{
    return a->correlation == b->correlation && a->epoch == b->epoch && a->from == b->from;
}

/* The latest first: most events are about what has just been begun. Jobs have no name by which they could be found. */
static int find(const struct tree *t, const struct hop_ref *id)
{
    for (int i = t->count; i-- > 0;)
        if (t->nodes[i].row.what != TRACE_JOB && same(&t->nodes[i].id, id))
            return i;
    return NONE;
}

static struct node *add(struct tree *t, const struct hop_event *e)
{
    struct node *n = &t->nodes[t->count++];
    enum trace_what what = (e->hop.correlation & HOP_CAST_BIT) != 0      ? TRACE_CAST
                           : (e->hop.correlation & HOP_REQUEST_BIT) != 0 ? TRACE_REQUEST
                                                                         : TRACE_CALL;
    *n = (struct node){.id = e->hop,
                       .cause = e->cause,
                       .row = {.what = what, .kind = e->kind, .from = e->hop.from, .to = e->to},
                       .parent = NONE,
                       .first = NONE,
                       .last = NONE,
                       .next = NONE};
    return n;
}

static void begin(struct tree *t, const struct hop_event *e, enum trace_what what)
{
    int known =
        e->type == HOP_JOB ? NONE : find(t, &e->hop); /* on another thread it may be handled before it is noted */
    struct node *n = known == NONE ? add(t, e) : &t->nodes[known];
    n->begun = true;
    n->cause = e->cause;
    n->row.what = what;
    n->row.sent_ns = e->at_ns;
    n->row.deadline_ns = what == TRACE_CAST || what == TRACE_JOB ? 0 : e->until_ns;
    if (what != TRACE_JOB)
        return;
    n->row.received_ns = e->until_ns;
    n->row.handled_ns = n->row.ended_ns = e->hop.correlation;
    n->row.ended = true;
    n->row.err = e->err;
}

static void go_on(struct tree *t, const struct hop_event *e)
{
    int known = find(t, &e->hop);
    struct trace_hop *row = known == NONE ? &add(t, e)->row : &t->nodes[known].row;
    if (e->type == HOP_HANDLED) {
        row->received_ns = e->at_ns;
        row->handled_ns = e->until_ns;
        row->dropped = e->err != ERR_OK;
        return;
    }
    row->ended = true;
    row->ended_ns = e->at_ns;
    row->err = e->err;
}

static void take(struct tree *t, const struct hop_event *e)
{
    switch (e->type) {
    case HOP_REQUEST:
        begin(t, e, TRACE_REQUEST);
        break;
    case HOP_CALL:
        begin(t, e, TRACE_CALL);
        break;
    case HOP_CAST:
        begin(t, e, TRACE_CAST);
        break;
    case HOP_JOB:
        begin(t, e, TRACE_JOB);
        break;
    case HOP_HANDLED:
    case HOP_ANSWER:
    case HOP_ENDED:
        go_on(t, e);
        break;
    }
}

/* True when the cause of each is there. */
static bool join(struct tree *t)
{
    bool whole = true;
    for (int i = 0; i < t->count; i++) {
        struct node *n = &t->nodes[i];
        n->parent = n->cause.correlation == 0 ? NONE : find(t, &n->cause);
        if (n->parent >= i)
            n->parent = NONE; /* what came later caused nothing */
        whole = whole && n->begun && (n->parent != NONE || n->cause.correlation == 0);
        int *first = n->parent == NONE ? &t->first : &t->nodes[n->parent].first;
        int *last = n->parent == NONE ? &t->last : &t->nodes[n->parent].last;
        if (*last == NONE)
            *first = i;
        else
            t->nodes[*last].next = i;
        *last = i;
    }
    return whole;
}

static size_t write_out(const struct tree *t, struct trace_hop *rows, size_t max)
{
    size_t count = 0;
    uint16_t depth = 0;
    for (int at = t->first; at != NONE && count < max;) {
        const struct node *n = &t->nodes[at];
        rows[count] = n->row;
        rows[count++].depth = depth;
        if (n->first != NONE) {
            at = n->first;
            depth++;
            continue;
        }
        while (at != NONE && t->nodes[at].next == NONE) {
            at = t->nodes[at].parent;
            depth -= at != NONE;
        }
        at = at == NONE ? NONE : t->nodes[at].next;
    }
    return count;
}

size_t hop_tree_make(const struct hop_event *events, size_t count, struct trace_hop *ret_rows, size_t max,
                     bool *ret_whole)
{
    struct tree t = {.nodes = calloc(count + 1, sizeof(*t.nodes)), .first = NONE, .last = NONE};
    *ret_whole = false;
    if (t.nodes == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        take(&t, &events[i]);
    *ret_whole = join(&t) && (size_t)t.count <= max;
    size_t rows = write_out(&t, ret_rows, max);
    free(t.nodes);
    return rows;
}

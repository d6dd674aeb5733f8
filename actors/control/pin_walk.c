/* SPDX-License-Identifier: MIT */
#include "actors/control/pin_walk.h"

#include <stdlib.h>

#include "storage/dag_walk.h"

enum slot_state { SLOT_FREE, SLOT_TO_ASK, SLOT_ASKED };

struct slot {
    enum slot_state state;
    enum pin_ask ask;
    bool leaf;
    struct cid cid;
};

struct pin_walk {
    struct dag_walk *walk;
    struct pin_walk_options options;
    struct slot slots[PIN_WALK_SLOTS];
    unsigned used;
    uint64_t blocks;
    uint64_t missing;
    struct cid missed[PIN_WALK_MISSING];
    bool ended; /* the walk gave its last visit */
    enum err failure;
    const char *why;
};

enum err pin_walk_new(const struct cid *root, const struct pin_walk_options *options, struct pin_walk **ret_walk)
{
    struct pin_walk *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    struct dag_walk_options o = {.window_blocks = PIN_WALK_SLOTS,
                                 .window_bytes = PIN_WALK_WINDOW_BYTES,
                                 .blocks_max = PIN_WALK_SEEN,
                                 .depth_max = options->recursive ? DAG_WALK_DEPTH_ALL : 0,
                                 .forget_leaves = true,
                                 .forget_when_full = true,
                                 .account = options->account,
                                 .shared = options->shared};
    enum err err = dag_walk_new(root, &o, &w->walk);
    if (err != ERR_OK) {
        free(w);
        return err;
    }
    w->options = *options;
    w->why = "";
    *ret_walk = w;
    return ERR_OK;
}

void pin_walk_free(struct pin_walk *walk)
{
    if (walk == NULL)
        return;
    dag_walk_free(walk->walk);
    free(walk);
}

static void fail(struct pin_walk *w, enum err err, const char *why)
{
    if (w->failure == ERR_OK) {
        w->failure = err;
        w->why = why;
    }
}

static struct slot *take_slot(struct pin_walk *w, const struct cid *cid, enum pin_ask ask, bool leaf)
{
    struct slot *slot = w->slots;
    while (slot->state != SLOT_FREE)
        slot++;
    *slot = (struct slot){.state = SLOT_TO_ASK, .ask = ask, .leaf = leaf, .cid = *cid};
    w->used++;
    return slot;
}

/* A leaf comes without its block, unless its CID carries it; so does a block that was skipped, which was counted then. */
static void visit(struct pin_walk *w, const struct dag_visit *v)
{
    bool leaf = v->cid.codec == CODEC_RAW || !w->options.recursive;
    if (v->block != NULL)
        w->blocks++;
    else if (leaf)
        (void)take_slot(w, &v->cid, PIN_ASK_HAS, true);
    block_ref_unref(v->block);
}

/* Visits what is to be visited, wants what is to be wanted, while there are slots. */
static void fill(struct pin_walk *w)
{
    struct dag_visit v;
    struct cid cid;
    enum err err = ERR_OK;
    while (w->failure == ERR_OK && err == ERR_OK && w->used < PIN_WALK_SLOTS) {
        err = dag_walk_next(w->walk, &v);
        if (err == ERR_OK)
            visit(w, &v);
    }
    w->ended = err == ERR_CLOSED;
    if (err != ERR_OK && err != ERR_AGAIN && err != ERR_CLOSED)
        fail(w, err, dag_walk_why(w->walk));
    while (w->failure == ERR_OK && w->used < PIN_WALK_SLOTS && dag_walk_next_want(w->walk, &cid) == ERR_OK)
        (void)take_slot(w, &cid, PIN_ASK_GET, false);
}

enum err pin_walk_next(struct pin_walk *walk, unsigned *ret_slot)
{
    fill(walk);
    for (unsigned i = 0; i < PIN_WALK_SLOTS && walk->failure == ERR_OK; i++) {
        if (walk->slots[i].state == SLOT_TO_ASK) {
            walk->slots[i].state = SLOT_ASKED;
            *ret_slot = i;
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}

enum pin_ask pin_walk_question(const struct pin_walk *walk, unsigned slot, struct cid *ret_cid)
{
    *ret_cid = walk->slots[slot].cid;
    return walk->slots[slot].ask;
}

void pin_walk_unasked(struct pin_walk *walk, unsigned slot)
{
    walk->slots[slot].state = SLOT_TO_ASK;
}

static void miss(struct pin_walk *w, const struct slot *slot)
{
    if (!w->options.note_missing) {
        fail(w, ERR_NOT_FOUND, "a block below it is not stored here, and none is fetched offline");
        return;
    }
    if (w->missing < PIN_WALK_MISSING)
        w->missed[w->missing] = slot->cid;
    w->missing++;
    if (!slot->leaf)
        dag_walk_skip(w->walk, &slot->cid);
}

void pin_walk_answer(struct pin_walk *walk, unsigned slot, enum err err, struct block_ref *block)
{
    struct slot *s = &walk->slots[slot];
    if (err == ERR_NOT_FOUND && s->ask != PIN_ASK_FETCH && !walk->options.offline) {
        s->ask = PIN_ASK_FETCH;
        s->state = SLOT_TO_ASK;
        return;
    }
    if (err == ERR_OK && !s->leaf && (err = dag_walk_put(walk->walk, &s->cid, block)) != ERR_OK)
        fail(walk, err, dag_walk_why(walk->walk));
    else if (err == ERR_NOT_FOUND && walk->options.offline)
        miss(walk, s);
    else if (err != ERR_OK)
        fail(walk, err, "");
    else if (s->leaf)
        walk->blocks++;
    s->state = SLOT_FREE;
    walk->used--;
}

enum err pin_walk_state(struct pin_walk *walk)
{
    if (walk->failure != ERR_OK)
        return walk->failure;
    fill(walk);
    if (walk->failure != ERR_OK)
        return walk->failure;
    return walk->ended && walk->used == 0 ? ERR_OK : ERR_AGAIN;
}

const char *pin_walk_why(const struct pin_walk *walk)
{
    return walk->why;
}

uint64_t pin_walk_blocks(const struct pin_walk *walk)
{
    return walk->blocks;
}

uint64_t pin_walk_missing(const struct pin_walk *walk, const struct cid **ret_first)
{
    *ret_first = walk->missed;
    return walk->missing;
}

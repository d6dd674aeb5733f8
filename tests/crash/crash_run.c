/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"
#include "tests/support/store_driver.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { STEPS_PER_LIFE = 40, KILL_WITHIN = 160 };

/* Links to blocks before it; with data, so that no two nodes are the same. */
static void make_node(struct crash_blocks *b, size_t i, struct prng *prng)
{
    uint8_t *end = b->bytes[i];
    for (size_t n = 0; n < CRASH_LINKS; n++) {
        size_t child = (size_t)prng_below(prng, i);
        struct multihash hash;
        uint8_t bytes[CID_BYTES_MAX];
        if (multihash_parse(block_key_span(&b->keys[child]), &hash) != ERR_OK)
            abort();
        struct cid cid = cid_v1(child < CRASH_LEAVES ? CODEC_RAW : CODEC_DAG_PB, &hash);
        struct dag_pb_link link = {.cid = span_of(bytes, cid_encode(&cid, bytes))};
        b->links[i][n] = child;
        end = dag_pb_put_link(end, &link);
    }
    uint8_t *data = dag_pb_put_data_frame(end, sizeof(i));
    memcpy(data, &i, sizeof(i));
    b->sizes[i] = (size_t)(data + sizeof(i) - b->bytes[i]);
}

void crash_blocks_init(struct crash_blocks *b, uint64_t seed)
{
    struct prng prng;
    struct multihash hash;
    prng_init(&prng, seed);
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        b->sizes[i] = (size_t)prng_below(&prng, CRASH_BLOCK_MAX);
        prng_fill(&prng, b->bytes[i], b->sizes[i]);
        if (i >= CRASH_LEAVES)
            make_node(b, i, &prng);
        if (multihash_sum(MULTIHASH_SHA2_256, 0, span_of(b->bytes[i], b->sizes[i]), &hash) != ERR_OK ||
            block_key_of(&hash, &b->keys[i]) != ERR_OK)
            abort();
    }
}

void crash_truth_reach(const struct crash_truth *t, const struct crash_blocks *b, bool ret_kept[CRASH_BLOCKS])
{
    memset(ret_kept, 0, CRASH_BLOCKS);
    for (size_t i = CRASH_BLOCKS; i-- > 0;) {
        ret_kept[i] = (ret_kept[i] || t->must_pin[i]) && t->must_have[i];
        for (size_t n = 0; n < CRASH_LINKS && ret_kept[i] && i >= CRASH_LEAVES; n++)
            ret_kept[b->links[i][n]] = true;
    }
}

/* What nothing keeps for certain may be gone from now on. */
static void note_collection(struct crash_truth *t, const struct crash_blocks *b)
{
    bool kept[CRASH_BLOCKS];
    crash_truth_reach(t, b, kept);
    memcpy(t->must_have, kept, sizeof(kept));
}

void crash_truth_note(struct crash_truth *t, const struct crash_blocks *b, uint32_t mark, uint64_t value)
{
    switch ((enum crash_mark)mark) {
    case MARK_PUT_ACK:
        t->must_have[value] = true;
        break;
    case MARK_PUT_START:
        t->must_not_have[value] = false;
        break;
    case MARK_REMOVE_START:
        t->must_have[value] = false;
        break;
    case MARK_REMOVE_ACK:
        t->must_not_have[value] = true;
        break;
    case MARK_PIN_START:
        t->must_not_pin[value] = false;
        break;
    case MARK_PIN_ACK:
        t->must_pin[value] = true;
        break;
    case MARK_UNPIN_START:
        t->must_pin[value] = false;
        break;
    case MARK_UNPIN_ACK:
        t->must_not_pin[value] = true;
        break;
    case MARK_COLLECT_START:
        note_collection(t, b);
        break;
    case MARK_OPEN_START:
        crash_opening = true;
        break;
    case MARK_OPEN_END:
        crash_opening = false;
        break;
    }
}

bool crash_opening;
bool crash_damaged;

static void note_damage(void *arg, bool fatal, const char *text)
{
    (void)arg;
    if (fatal || strstr(text, "damaged") != NULL)
        crash_damaged = true;
}

enum err crash_open(const struct disk_port *port, struct blockstore **ret_store, char why[STORE_WHY_BYTES])
{
    struct blockstore_options options = {.port = port,
                                         .path = "repo",
                                         .storage_max_bytes = 64 * MIB,
                                         .segment_bytes = 16 * KIB,
                                         .allocate_bytes = 4 * KIB,
                                         .direct_bytes = 2 * KIB, /* two blocks or so: about half of all groups */
                                         .cache_kib = 128,
                                         .events = {.notice = note_damage}};
    crash_damaged = false;
    bool before = crash_opening;
    crash_opening = true;
    enum err err = blockstore_open(&options, 0, 0, ret_store, why);
    crash_opening = before;
    return err;
}

/* ---- collections ---- */

struct collection {
    struct store_collect_op op;
    bool done;
    enum err err;
    void (*gone)(void *arg, const struct block_key *key);
    void *arg;
};

static void page_collected(struct store_collect_op *op, enum err err)
{
    struct collection *c = CONTAINER_OF(op, struct collection, op);
    c->done = true;
    c->err = err;
    for (size_t i = 0; i < op->gone_count && c->gone != NULL; i++)
        c->gone(c->arg, &op->gone[i].key);
}

bool crash_collect(struct blockstore *store, void (*gone)(void *arg, const struct block_key *key), void *arg)
{
    struct collection c = {.op = {.done = page_collected}, .gone = gone, .arg = arg};
    do {
        c.done = false;
        blockstore_collect(store, &c.op);
        test_drive(store, 1000);
    } while (c.done && c.err == ERR_OK && c.op.after.len > 0);
    return c.done && c.err == ERR_OK;
}

struct run {
    const struct crash_blocks *blocks;
    struct disk_log *log;
    struct blockstore *store;
    struct store_backup_op backup;
    struct prng prng;
    uint64_t now;
    const char *stuck; /* an operation that did not end, although the disk lives */
};

static bool has_ended(struct run *r, bool done, const char *what)
{
    if (!done && !disk_log_is_dead(r->log))
        r->stuck = what;
    return done;
}

/* Several puts are under way at once, so that groups hold more than one block. */
static void put_some(struct run *r)
{
    struct test_op ops[6];
    size_t picks[6];
    size_t count = 1 + (size_t)prng_below(&r->prng, ARRAY_LEN(ops));
    for (size_t n = 0; n < count; n++) {
        picks[n] = (size_t)prng_below(&r->prng, CRASH_BLOCKS);
        ops[n] = test_op_for(&r->blocks->keys[picks[n]]);
        disk_log_mark(r->log, MARK_PUT_START, picks[n]);
        struct block_ref *ref = block_ref_copy(span_of(r->blocks->bytes[picks[n]], r->blocks->sizes[picks[n]]), NULL);
        blockstore_put(r->store, &ops[n].op, ref);
        block_ref_unref(ref);
    }
    test_drive(r->store, 100);
    for (size_t n = 0; n < count; n++) {
        if (has_ended(r, ops[n].done, "a put") && ops[n].err == ERR_OK)
            disk_log_mark(r->log, MARK_PUT_ACK, picks[n]);
    }
}

static void change_one(struct run *r, enum change_of kind, uint32_t before, uint32_t after)
{
    size_t i = (size_t)prng_below(&r->prng, CRASH_BLOCKS);
    disk_log_mark(r->log, before, i);
    enum err err = test_change(r->store, &r->blocks->keys[i], kind);
    (void)has_ended(r, err != ERR_INTERNAL, "a change");
    if (err == ERR_OK)
        disk_log_mark(r->log, after, i);
    /* A removal that was denied did nothing, and only a pinned, stored block is denied. */
    if (kind == CHANGE_BLOCK_RM && err == ERR_DENIED)
        disk_log_mark(r->log, MARK_PUT_ACK, i);
}

static void note_gone(void *arg, const struct block_key *key)
{
    struct run *r = arg;
    for (size_t i = 0; i < CRASH_BLOCKS; i++) {
        if (block_key_equal(&r->blocks->keys[i], key))
            disk_log_mark(r->log, MARK_REMOVE_ACK, i);
    }
}

static void backup_opened(struct store_backup_op *op, enum err err)
{
    (void)op;
    (void)err; /* BUSY while one is open: it ends with the life */
}

static void one_step(struct run *r)
{
    switch (prng_below(&r->prng, 13)) {
    case 12:
        disk_log_mark(r->log, MARK_COLLECT_START, 0);
        (void)has_ended(r, crash_collect(r->store, note_gone, r), "a collection");
        break;
    case 10:
        r->backup = (struct store_backup_op){.done = backup_opened};
        blockstore_backup_open(r->store, &r->backup);
        test_drive(r->store, 2); /* it may be cut in the middle */
        break;
    case 11:
        blockstore_backup_close(r->store, r->backup.id);
        test_drive(r->store, 100);
        break;
    case 0:
        change_one(r, CHANGE_BLOCK_RM, MARK_REMOVE_START, MARK_REMOVE_ACK);
        break;
    case 1:
    case 2:
        change_one(r, CHANGE_PIN_ADD, MARK_PIN_START, MARK_PIN_ACK);
        break;
    case 3:
        change_one(r, CHANGE_PIN_RM, MARK_UNPIN_START, MARK_UNPIN_ACK);
        break;
    case 4:
        r->now += 3 * SECOND_NS;
        blockstore_tick(r->store, r->now, r->now);
        test_drive(r->store, 100);
        break;
    default:
        put_some(r);
        break;
    }
}

/* One life: it ends cleanly or by kill -9 in the middle of something. */
static bool one_life(struct run *r, bool killed)
{
    char why[STORE_WHY_BYTES];
    disk_log_mark(r->log, MARK_OPEN_START, 0);
    enum err err = crash_open(disk_log_port(r->log), &r->store, why);
    disk_log_mark(r->log, MARK_OPEN_END, 0);
    if (err != ERR_OK || crash_damaged) {
        (void)fprintf(stderr, "the run cannot open its store: %s\n", err == ERR_OK ? "damaged" : why);
        return false;
    }
    r->now = 0;
    if (killed)
        disk_log_kill_after(r->log, 20 + prng_below(&r->prng, KILL_WITHIN));
    for (unsigned i = 0; i < STEPS_PER_LIFE && r->stuck == NULL && !disk_log_is_dead(r->log); i++)
        one_step(r);
    bool dead = disk_log_is_dead(r->log);
    blockstore_close(r->store, dead);
    disk_log_kill_after(r->log, UINT64_MAX);
    if (r->stuck != NULL)
        (void)fprintf(stderr, "the run stands still: %s does not end\n", r->stuck);
    return r->stuck == NULL;
}

bool crash_run(const struct crash_blocks *blocks, uint64_t seed, unsigned lives, struct disk_log *log)
{
    struct run r = {.blocks = blocks, .log = log};
    const struct disk_port *port = disk_log_port(log);
    prng_init(&r.prng, seed);
    if (port->make_dir(port->self, "repo") != ERR_OK || port->sync_dir(port->self, "/") != ERR_OK)
        return false;
    for (unsigned i = 0; i < lives; i++) {
        if (!one_life(&r, i % 2 == 1))
            return false;
    }
    return true;
}

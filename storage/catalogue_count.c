/* SPDX-License-Identifier: MIT */
/*
 * What is held: reference counts, and the removal of what has none.
 *
 *      pin of a root, not counted --> count of the root 0 -> 1 --> read the block --> count of each link + 1, and so on below
 *      pin dropped                --> count of the root 1 -> 0 --> read the block --> count of each link - 1, and so on below
 *
 * A count belongs to a multihash under a codec, since the same bytes link differently as raw and as dag-pb. Blocks without links are
 * counted at once, others wait in ref_queue; links are read from the block both times, so there is no table of edges. The counts do not
 * depend on the order of the steps: they may be negative on the way, and a block's links are counted exactly while its count is
 * positive and it can be read. The queue is a stack, so it stays as small as a path and the siblings along it.
 *
 * Each step is one transaction with everything it did, so a crash loses none and repeats none. A held block that cannot be read is not
 * expanded; it is when it gets its row, or at the beginning of a collection. If one is let go whose links cannot be read any more, what they
 * name stays held: that is remembered (count_leaks), and before the next collection all is counted anew: the round grows, with which no
 * pin is counted, and the counts of the round before are thrown away in steps.
 */
#include <string.h>

#include "base/block_ref.h"
#include "storage/catalogue_private.h"
#include "wire/dag_links.h"

/* A block under a codec; the digests of links may be longer than any that is stored. */
struct node {
    uint8_t hash[MULTIHASH_BYTES_MAX];
    size_t hash_len;
    uint32_t codec;
};

struct step {
    struct catalogue *c;
    struct catalogue_info *info;
    catalogue_load *load;
    void *arg;
    unsigned nodes;
    uint64_t bytes;
};

bool catalogue_any(struct catalogue *c, enum statement which, enum err *err)
{
    *err = sql_row(c->stmt[which]);
    bool any = *err == ERR_OK;
    (void)sqlite3_reset(c->stmt[which]);
    if (*err == ERR_NOT_FOUND)
        *err = ERR_OK;
    return any;
}

enum err catalogue_look(struct catalogue *c, struct catalogue_info *info)
{
    enum err err = ERR_OK;
    sql_bind_u64(c->stmt[STMT_PIN_UNCOUNTED], 1, info->count_round);
    bool waits = info->count_clears || catalogue_any(c, STMT_PIN_UNCOUNTED, &err);
    if (!waits && err == ERR_OK)
        waits = catalogue_any(c, STMT_QUEUE_LAST, &err);
    info->counting = waits;
    if (err == ERR_OK)
        info->unexpanded = catalogue_any(c, STMT_REF_UNEXPANDED, &err);
    return err;
}

/* ---- links ---- */

static bool is_leaf(uint32_t codec)
{
    return codec == CODEC_RAW || !dag_links_known(codec);
}

static void bind_node(sqlite3_stmt *stmt, const struct node *node)
{
    sql_bind_blob(stmt, 1, span_of(node->hash, node->hash_len));
    sql_bind_u64(stmt, 2, node->codec);
}

static enum err delete_ref(struct catalogue *c, const struct node *node)
{
    bind_node(c->stmt[STMT_REF_DELETE], node);
    return sql_done(c->stmt[STMT_REF_DELETE]);
}

static enum err count_leaf(struct catalogue *c, const struct node *node, int delta)
{
    sqlite3_stmt *stmt = c->stmt[STMT_REF_ADD];
    bind_node(stmt, node);
    sql_bind_u64(stmt, 3, (uint64_t)(int64_t)delta);
    enum err err = sql_row(stmt);
    bool none = err == ERR_OK && sql_u64(stmt, 0) == 0;
    (void)sqlite3_reset(stmt);
    return none ? delete_ref(c, node) : err;
}

static enum err push(struct catalogue *c, const struct node *node, int delta)
{
    bind_node(c->stmt[STMT_QUEUE_PUSH], node);
    sql_bind_u64(c->stmt[STMT_QUEUE_PUSH], 3, (uint64_t)(int64_t)delta);
    return sql_done(c->stmt[STMT_QUEUE_PUSH]);
}

/* The links of a block, each held once more or less. */
struct spread {
    struct catalogue *c;
    int delta;
    enum err err;
};

static enum err hold_link(void *arg, const struct cid *cid, struct span name)
{
    struct spread *s = arg;
    (void)name;
    s->err = catalogue_hold(s->c, cid, s->delta);
    return s->err;
}

/* A block that its codec cannot read links to nothing, and will for ever. */
static enum err hold_links(struct catalogue *c, uint32_t codec, struct span block, int delta)
{
    struct spread s = {.c = c, .delta = delta};
    enum err err = dag_links_each(codec, block, hold_link, &s);
    return err == ERR_OK ? ERR_OK : s.err;
}

/* An identity CID carries its block: what that links to takes its place. Each lies within the one before, so there are few. */
enum err catalogue_hold(struct catalogue *c, const struct cid *cid, int delta)
{
    struct node node = {.codec = cid->codec};
    if (cid->hash.code == MULTIHASH_IDENTITY)
        return hold_links(c, cid->codec, span_of(cid->hash.digest, cid->hash.len), delta);
    node.hash_len = multihash_encode(&cid->hash, node.hash);
    return is_leaf(cid->codec) ? count_leaf(c, &node, delta) : push(c, &node, delta);
}

enum err catalogue_stored(struct catalogue *c, const struct block_key *key, struct catalogue_info *info)
{
    sql_bind_blob(c->stmt[STMT_REF_STORED], 1, block_key_span(key));
    enum err err = sql_done(c->stmt[STMT_REF_STORED]);
    info->counting |= err == ERR_OK && sqlite3_changes(c->db) > 0;
    return err;
}

enum err catalogue_is_held(struct catalogue *c, const struct block_key *key, bool *ret_held)
{
    enum err err;
    sql_bind_blob(c->stmt[STMT_PINNED], 1, block_key_span(key));
    sql_bind_blob(c->stmt[STMT_HELD], 1, block_key_span(key));
    bool held = catalogue_any(c, STMT_PINNED, &err);
    if (!held && err == ERR_OK)
        held = catalogue_any(c, STMT_HELD, &err);
    *ret_held = held;
    return err;
}

/* ---- one block ---- */

static enum err find_ref(struct catalogue *c, const struct node *node, int64_t *ret_count, bool *ret_expanded)
{
    sqlite3_stmt *stmt = c->stmt[STMT_REF_FIND];
    bind_node(stmt, node);
    enum err err = sql_row(stmt);
    if (err == ERR_OK) {
        *ret_count = (int64_t)sql_u64(stmt, 0);
        *ret_expanded = sql_u64(stmt, 1) != 0;
        (void)sqlite3_reset(stmt);
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err set_ref(struct catalogue *c, const struct node *node, int64_t count, bool expanded)
{
    if (count == 0)
        return delete_ref(c, node);
    sqlite3_stmt *stmt = c->stmt[STMT_REF_SET];
    bind_node(stmt, node);
    sql_bind_u64(stmt, 3, (uint64_t)count);
    sql_bind_u64(stmt, 4, expanded);
    return sql_done(stmt);
}

/* The block's bytes, or none: *ret_block stays NULL when it is not stored or cannot be read. ERR_BUSY: not now; ERR_AGAIN: it is cold. */
static enum err load_node(struct step *s, const struct node *node, struct block_ref **ret_block)
{
    struct block_key key;
    struct block_place place;
    enum err err = block_key_of_span(span_of(node->hash, node->hash_len), &key);
    if (err != ERR_OK)
        return ERR_OK; /* too long a digest: never stored */
    err = catalogue_find_stored(s->c, &key, s->info, &place);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    err = s->load(s->arg, &place, ret_block);
    s->bytes += place.size;
    if (err == ERR_AGAIN)
        return err;
    return err == ERR_NOMEM || err == ERR_BUSY ? ERR_BUSY : ERR_OK;
}

/* Nothing was changed when it says ERR_BUSY or ERR_AGAIN. */
static enum err count_node(struct step *s, const struct node *node, int64_t delta)
{
    int64_t count = 0;
    bool expanded = false;
    struct block_ref *block = NULL;
    enum err err = find_ref(s->c, node, &count, &expanded);
    count += delta;
    bool grows = count > 0 && !expanded;
    bool shrinks = count <= 0 && expanded;
    if (err == ERR_OK && (grows || shrinks))
        err = load_node(s, node, &block);
    if (err == ERR_OK && block != NULL)
        err = hold_links(s->c, node->codec, block_ref_span(block), grows ? 1 : -1);
    if (grows)
        expanded = block != NULL;
    if (shrinks) {
        s->info->count_leaks |= err == ERR_OK && block == NULL;
        expanded = false;
    }
    block_ref_unref(block);
    return err == ERR_OK ? set_ref(s->c, node, count, expanded) : err;
}

/* ---- steps ---- */

static enum err take_queued(struct step *s)
{
    sqlite3_stmt *stmt = s->c->stmt[STMT_QUEUE_LAST];
    struct node node = {0};
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    struct span hash = sql_blob(stmt, 1);
    uint64_t seq = sql_u64(stmt, 0);
    int64_t delta = (int64_t)sql_u64(stmt, 3);
    node.codec = (uint32_t)sql_u64(stmt, 2);
    node.hash_len = MIN(hash.len, sizeof(node.hash));
    if (node.hash_len > 0)
        memcpy(node.hash, hash.data, node.hash_len);
    (void)sqlite3_reset(stmt);
    err = count_node(s, &node, delta);
    if (err != ERR_OK)
        return err;
    sql_bind_u64(s->c->stmt[STMT_QUEUE_DELETE], 1, seq);
    return sql_done(s->c->stmt[STMT_QUEUE_DELETE]);
}

static enum err take_pin(struct step *s)
{
    sqlite3_stmt *stmt = s->c->stmt[STMT_PIN_UNCOUNTED];
    struct cid cid;
    uint8_t bytes[CID_BYTES_MAX];
    sql_bind_u64(stmt, 1, s->info->count_round);
    enum err err = sql_row(stmt);
    if (err != ERR_OK)
        return err;
    err = cid_parse(sql_blob(stmt, 0), &cid);
    (void)sqlite3_reset(stmt);
    if (err == ERR_OK)
        err = catalogue_hold(s->c, &cid, 1);
    else
        err = ERR_CORRUPT;
    if (err != ERR_OK)
        return err;
    sql_bind_blob(s->c->stmt[STMT_PIN_COUNTED], 1, span_of(bytes, cid_encode(&cid, bytes)));
    sql_bind_u64(s->c->stmt[STMT_PIN_COUNTED], 2, s->info->count_round);
    return sql_done(s->c->stmt[STMT_PIN_COUNTED]);
}

static enum err clear_some(struct step *s)
{
    enum err err = sql_done(s->c->stmt[STMT_QUEUE_CLEAR]);
    sql_bind_u64(s->c->stmt[STMT_REF_CLEAR], 1, COUNT_CLEAR_ROWS);
    if (err == ERR_OK)
        err = sql_done(s->c->stmt[STMT_REF_CLEAR]);
    if (err == ERR_OK)
        s->info->count_clears = catalogue_any(s->c, STMT_REF_ANY, &err);
    return err;
}

/* What was done before memory, or a block that is cold, was missing is kept. */
static enum err count_some(struct step *s)
{
    enum err err = ERR_OK;
    s->info->count_cold = false;
    while (err == ERR_OK && s->nodes < COUNT_NODES && s->bytes < COUNT_BYTES) {
        err = take_queued(s);
        if (err == ERR_NOT_FOUND)
            err = take_pin(s);
        s->nodes += err == ERR_OK;
    }
    s->info->count_cold = err == ERR_AGAIN;
    if (err == ERR_NOT_FOUND || err == ERR_AGAIN || (err == ERR_BUSY && s->nodes > 0))
        err = ERR_OK;
    return err;
}

enum err catalogue_count(struct catalogue *c, catalogue_load *load, void *arg, struct catalogue_info *ret_info)
{
    struct catalogue_info info;
    struct step s = {.c = c, .info = &info, .load = load, .arg = arg};
    enum err err = catalogue_begin(c, &info);
    if (err != ERR_OK)
        return err;
    err = info.count_clears ? clear_some(&s) : count_some(&s);
    if (err == ERR_OK)
        err = catalogue_look(c, &info);
    err = catalogue_end(c, err, &info);
    if (err == ERR_OK)
        *ret_info = info;
    return err;
}

/* ---- collection ---- */

enum err catalogue_collect_begin(struct catalogue *c, struct catalogue_info *ret_info)
{
    struct catalogue_info info;
    enum err err = catalogue_begin(c, &info);
    if (err != ERR_OK)
        return err;
    if (info.count_leaks) {
        info.count_round++;
        info.count_clears = true;
        info.count_leaks = false;
    } else {
        err = sql_done(c->stmt[STMT_REF_AGAIN]);
    }
    if (err == ERR_OK)
        err = catalogue_look(c, &info);
    err = catalogue_end(c, err, &info);
    if (err == ERR_OK)
        *ret_info = info;
    return err;
}

/* Removes the rows if they are still as the place says and nothing needs the block. */
static enum err collect_one(struct catalogue *c, const struct block_place *place, bool *ret_gone,
                            struct catalogue_info *info)
{
    struct block_place now;
    bool held = false;
    enum err err = catalogue_find_stored(c, &place->key, info, &now);
    *ret_gone = false;
    if (err == ERR_NOT_FOUND || (err == ERR_OK && (now.segment != place->segment || now.offset != place->offset)))
        return ERR_OK;
    if (err == ERR_OK)
        err = catalogue_is_held(c, &place->key, &held);
    if (err != ERR_OK || held)
        return err;
    *ret_gone = true;
    return catalogue_forget_stored(c, &now, info);
}

enum err catalogue_collect(struct catalogue *c, struct block_place *places, size_t count, size_t *ret_gone,
                           struct catalogue_info *ret_info)
{
    struct catalogue_info info;
    size_t gone = 0;
    if (c->info.counting)
        return ERR_AGAIN;
    enum err err = catalogue_begin(c, &info);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        bool went;
        err = collect_one(c, &places[i], &went, &info);
        if (err == ERR_OK && went) {
            struct block_place place = places[i];
            places[i] = places[gone];
            places[gone++] = place;
        }
    }
    err = catalogue_end(c, err, &info);
    if (err != ERR_OK)
        return err;
    *ret_gone = gone;
    *ret_info = info;
    return ERR_OK;
}

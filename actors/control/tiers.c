/* SPDX-License-Identifier: MIT */
/* tier ls, tier stat, tier move, tier pin, tier packs, tier check: where blocks are, and having them elsewhere. */
#include <stdlib.h>

#include "actors/control/operations.h"
#include "schemas/pack.h"

enum { RESULT_BYTES_MAX = 256 * 1024, COLD_REPLY = 192 * 1024, SPARE_MS = 200 };

/* Without a cold tier there is nobody to ask. */
static enum err need_cold(const struct control *c, struct conversation *v)
{
    if (c->config->tiers_cold_kind[0] != '\0')
        return ERR_OK;
    return conversation_error(v, ERR_UNSUPPORTED,
                              "no cold tier is configured: see Tiers.Cold.Kind in `hearth config show`");
}

/* ---- two questions whose answers make one ---- */

enum part { PART_STORE, PART_OTHER, PART_COUNT };

/* The answers, packed as they come. */
struct tiers_work {
    struct buf parts[PART_COUNT];
    uint32_t pairs[PART_COUNT];
    char *silent; /* why the second did not answer; NULL: it did, or was not asked */
    unsigned left;
};

void tiers_end(struct control *c, struct conversation *v)
{
    struct tiers_work *work = v->work;
    (void)c;
    if (work == NULL)
        return;
    for (size_t i = 0; i < PART_COUNT; i++)
        buf_release(&work->parts[i]);
    free(work->silent);
    free(work);
    v->work = NULL;
}

static struct tiers_work *begin(struct control *c, struct conversation *v)
{
    struct tiers_work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return NULL;
    for (size_t i = 0; i < PART_COUNT; i++)
        buf_init(&work->parts[i], RESULT_BYTES_MAX / 4, NULL);
    v->work = work;
    v->scope.deadline_ns -= MIN(ctx_left(c->ctx, v->scope.deadline_ns) / 8, SPARE_MS * MS_NS);
    return work;
}

/* ---- tier ls ---- */

static void pack_memory(struct pack *p, const struct budget *budget)
{
    const struct account *account = budget == NULL ? NULL : &budget->accounts[ACCOUNT_MEMORY_TIER];
    pack_map(p, 4);
    pack_pair_text(p, "tier", "memory");
    pack_pair_text(p, "kind", "memory");
    pack_pair_u64(p, "bytes", account == NULL ? 0 : account_used(account));
    pack_pair_u64(p, "max_bytes", account == NULL ? 0 : account->limit_bytes);
}

static void pack_disk(struct pack *p, const struct msg_tier_stat_ok *m, const char *path)
{
    pack_map(p, 10);
    pack_pair_text(p, "tier", "disk");
    pack_pair_text(p, "kind", "segments");
    pack_pair_text(p, "place", path);
    pack_pair_u64(p, "blocks", m->disk_blocks);
    pack_pair_u64(p, "bytes", m->disk_bytes);
    pack_pair_u64(p, "max_bytes", m->disk_max);
    pack_pair_u64(p, "pressure", m->pressure);
    pack_pair_u64(p, "waiting", m->waiting);
    pack_pair_u64(p, "demoted_bytes", m->demoted_bytes);
    pack_pair_u64(p, "promoted_bytes", m->promoted_bytes);
}

static void pack_ahead(struct pack *p, const struct schema_list *kinds)
{
    struct item_read_ahead item;
    size_t position = 0;
    pack_text(p, "read_ahead");
    pack_array(p, kinds->count);
    while (schema_list_next_map(kinds, &schema_item_read_ahead, &position, &item)) {
        pack_map(p, 6);
        pack_pair_span(p, "kind", item.kind);
        pack_pair_u64(p, "blocks", item.blocks);
        pack_pair_u64(p, "bytes", item.bytes);
        pack_pair_u64(p, "used_bytes", item.used_bytes);
        pack_pair_u64(p, "unused_bytes", item.unused_bytes);
        pack_pair_bool(p, "off", item.off);
    }
}

/* What the store knows of the cold tier: pairs of its row. */
static uint32_t pack_cold_rows(struct pack *p, const struct msg_tier_stat_ok *m)
{
    pack_pair_u64(p, "blocks", m->cold_blocks);
    pack_pair_u64(p, "bytes", m->cold_bytes);
    pack_pair_u64(p, "packs", m->cold_packs);
    pack_ahead(p, &m->ahead);
    return 4;
}

static void pack_requests(struct pack *p, const struct schema_list *requests)
{
    struct item_cold_requests item;
    size_t position = 0;
    pack_text(p, "requests");
    pack_array(p, requests->count);
    while (schema_list_next_map(requests, &schema_item_cold_requests, &position, &item)) {
        pack_map(p, 2);
        pack_pair_span(p, "kind", item.kind);
        pack_pair_u64(p, "count", item.count);
    }
}

static uint32_t pack_medium(struct pack *p, const struct msg_cold_state *m, uint64_t real_now)
{
    pack_pair_span(p, "kind", m->kind);
    pack_pair_span(p, "place", m->place);
    pack_pair_bool(p, "up", m->up);
    pack_pair_span(p, "why", m->why);
    pack_pair_u64(p, "retry_at", m->retry_in_ns == 0 ? 0 : real_now + m->retry_in_ns);
    pack_requests(p, &m->requests);
    pack_pair_u64(p, "again", m->again);
    pack_pair_u64(p, "held", m->held);
    pack_pair_u64(p, "failed", m->failed);
    pack_pair_u64(p, "bytes_in", m->bytes_in);
    pack_pair_u64(p, "bytes_out", m->bytes_out);
    return 11;
}

/* One that does not answer: what the configuration says of it. */
static uint32_t pack_silent(struct pack *p, const struct config *config, const char *why)
{
    pack_pair_text(p, "kind", config->tiers_cold_kind);
    pack_pair_text(p, "place", config->tiers_cold_path);
    pack_pair_bool(p, "up", false);
    pack_pair_text(p, "why", why);
    return 4;
}

static enum err finish_ls(struct control *c, struct conversation *v)
{
    struct tiers_work *work = v->work;
    bool cold = c->config->tiers_cold_kind[0] != '\0';
    struct buf result;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "tiers");
    pack_array(&p, cold ? 3 : 2);
    pack_raw(&p, buf_span(&work->parts[PART_STORE]));
    if (cold) {
        size_t where = pack_map_open(&p);
        pack_pair_text(&p, "tier", "cold");
        pack_raw(&p, buf_span(&work->parts[PART_OTHER]));
        pack_count(&p, where, 1 + work->pairs[PART_OTHER]);
    }
    return conversation_finish_packed(c, v, &result, &p);
}

enum err tier_ls_start(struct control *c, struct conversation *v)
{
    static const struct msg_tier_stat stat = {0};
    static const struct msg_cold_stat cold = {0};
    struct tiers_work *work = begin(c, v);
    if (work == NULL)
        return ERR_NOMEM;
    enum err err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_TIER_STAT, &stat, NULL, PART_STORE, 0);
    if (err != ERR_OK)
        return err;
    work->left = 1;
    if (c->config->tiers_cold_kind[0] == '\0')
        return ERR_OK;
    err = conversation_call(c, v, ACTOR_COLD_STORE, MSG_COLD_STAT, &cold, NULL, PART_OTHER, 0);
    work->left += err == ERR_OK;
    if (err != ERR_OK)
        work->silent = strdup("cold_store does not run");
    return ERR_OK;
}

static enum err take_store(struct control *c, struct tiers_work *work, const struct msg_tier_stat_ok *m)
{
    struct pack p = pack_begin(&work->parts[PART_STORE]);
    pack_memory(&p, ctx_budget(c->ctx));
    pack_disk(&p, m, c->config->path);
    enum err err = pack_end(&p);
    if (err != ERR_OK)
        return err;
    p = pack_begin(&work->parts[PART_OTHER]);
    work->pairs[PART_OTHER] += pack_cold_rows(&p, m);
    return pack_end(&p);
}

static enum err take_medium(struct control *c, struct tiers_work *work, const struct msg_cold_state *m)
{
    struct pack p = pack_begin(&work->parts[PART_OTHER]);
    work->pairs[PART_OTHER] +=
        m != NULL ? pack_medium(&p, m, ctx_real_now(c->ctx))
                  : pack_silent(&p, c->config, work->silent == NULL ? "cold_store does not answer" : work->silent);
    return pack_end(&p);
}

enum err tier_ls_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct tiers_work *work = v->work;
    enum err err;
    work->left--;
    if (sub == PART_STORE) {
        err = info->err == ERR_OK ? take_store(c, work, info->msg->fields) : info->err;
        if (err == ERR_OK && work->silent != NULL)
            err = take_medium(c, work, NULL);
    } else {
        err = take_medium(c, work, info->err == ERR_OK ? info->msg->fields : NULL);
    }
    if (err != ERR_OK)
        return err;
    return work->left == 0 ? finish_ls(c, v) : ERR_OK;
}

/* ---- tier stat ---- */

enum err tier_stat_start(struct control *c, struct conversation *v)
{
    const struct op_tier_stat *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    enum err err = conversation_cid(v, args->cid, &v->cid);
    struct tiers_work *work = err == ERR_OK ? begin(c, v) : NULL;
    if (work == NULL)
        return err == ERR_OK ? ERR_NOMEM : err;
    struct span cid = span_of(bytes, cid_encode(&v->cid, bytes));
    struct msg_block_facts facts = {.cid = cid};
    struct msg_heat_find heat = {.cid = cid};
    err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_BLOCK_FACTS, &facts, NULL, PART_STORE, COLD_REPLY);
    if (err != ERR_OK)
        return err;
    work->left = 1;
    if (conversation_call(c, v, ACTOR_HEAT_TRACKER, MSG_HEAT_FIND, &heat, NULL, PART_OTHER, 0) == ERR_OK)
        work->left++;
    return ERR_OK;
}

static uint32_t pack_facts(struct pack *p, const struct msg_block_facts_ok *m)
{
    pack_pair_bool(p, "stored", m->stored);
    pack_pair_span(p, "tier", m->tier);
    pack_pair_u64(p, "size", m->size);
    pack_pair_u64(p, "segment", m->segment);
    pack_pair_u64(p, "offset", m->offset);
    pack_pair_u64(p, "pack", m->pack);
    pack_pair_span(p, "pinned", m->tier_pin);
    return 7;
}

static uint32_t pack_found(struct pack *p, const struct msg_heat_found *m)
{
    pack_pair_u64(p, "accesses", m->accesses);
    pack_pair_u64(p, "wants", m->wants);
    return 2;
}

enum err tier_stat_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct tiers_work *work = v->work;
    char text[CID_TEXT_MAX];
    struct buf result;
    struct pack p;
    work->left--;
    if (info->err != ERR_OK && sub == PART_STORE)
        return info->err;
    if (info->err == ERR_OK) {
        p = pack_begin(&work->parts[sub]);
        work->pairs[sub] = sub == PART_STORE ? pack_facts(&p, info->msg->fields) : pack_found(&p, info->msg->fields);
        enum err err = pack_end(&p);
        if (err != ERR_OK)
            return err;
    }
    if (work->left > 0)
        return ERR_OK;
    cid_text(&v->cid, text);
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    p = pack_begin(&result);
    pack_map(&p, 1 + work->pairs[PART_STORE] + work->pairs[PART_OTHER]);
    pack_pair_text(&p, "cid", text);
    pack_raw(&p, buf_span(&work->parts[PART_STORE]));
    pack_raw(&p, buf_span(&work->parts[PART_OTHER]));
    return conversation_finish_packed(c, v, &result, &p);
}

/* ---- tier move ---- */

enum err tier_move_start(struct control *c, struct conversation *v)
{
    const struct op_tier_move *args = (const void *)v->args;
    size_t position = 0;
    struct span text;
    struct buf cids;
    enum err err = need_cold(c, v);
    bool cold = span_equal_text(args->to, "cold");
    if (err == ERR_OK && !cold && !span_equal_text(args->to, "disk"))
        err = conversation_error(v, ERR_INVALID, "to must be disk or cold");
    buf_init(&cids, RESULT_BYTES_MAX, NULL);
    while (err == ERR_OK && schema_list_next_bytes(&args->cid, &position, &text)) {
        uint8_t bytes[CID_BYTES_MAX];
        struct cid cid;
        err = conversation_cid(v, text, &cid);
        if (err == ERR_OK)
            err = schema_list_add_bytes(&cids, span_of(bytes, cid_encode(&cid, bytes)));
    }
    struct msg_tier_move ask = {.cids = schema_list_of(&cids, args->cid.count), .cold = cold};
    if (err == ERR_OK)
        err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_TIER_MOVE, &ask, NULL, 0, 0);
    buf_release(&cids);
    return err;
}

static void pack_moved(struct pack *p, struct span cid, enum err err, struct span why)
{
    pack_map(p, err == ERR_OK ? 1 : 2);
    pack_pair_span(p, "cid", cid);
    if (err == ERR_OK)
        return;
    pack_text(p, "error");
    pack_map(p, 2);
    pack_pair_text(p, "code", control_code_name(control_code_from_err(err)));
    pack_text(p, "message");
    if (err == ERR_UNAVAILABLE && why.len > 0)
        pack_span(p, why);
    else
        pack_text(
            p,
            err == ERR_DENIED
                ? "it stays where it is: a recursive pin needs its links, it is pinned to its tier, or a lease keeps it"
                : err_text(err));
}

enum err tier_move_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct op_tier_move *args = (const void *)v->args;
    size_t given = 0;
    size_t position = 0;
    struct span cid;
    uint64_t err = 0;
    struct buf result;
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_tier_moved *m = info->msg->fields;
    buf_init(&result, RESULT_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "blocks");
    size_t where = pack_array_open(&p);
    uint32_t count = 0;
    for (; schema_list_next_bytes(&args->cid, &given, &cid) && schema_list_next_u64(&m->results, &position, &err);
         count++)
        pack_moved(&p, cid, (enum err)err, m->why);
    pack_count(&p, where, count);
    return conversation_finish_packed(c, v, &result, &p);
}

/* ---- tier pin ---- */

enum err tier_pin_start(struct control *c, struct conversation *v)
{
    const struct op_tier_pin *args = (const void *)v->args;
    uint8_t bytes[CID_BYTES_MAX];
    struct cid cid;
    bool none = span_equal_text(args->tier, "none");
    if (!none && !span_equal_text(args->tier, "disk") && !span_equal_text(args->tier, "cold"))
        return conversation_error(v, ERR_INVALID, "tier must be disk, cold or none");
    enum err err = conversation_cid(v, args->cid, &cid);
    if (err != ERR_OK)
        return err;
    struct msg_tier_pin ask = {.cid = span_of(bytes, cid_encode(&cid, bytes)),
                               .tier = none ? (struct span){0} : args->tier};
    return conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_TIER_PIN, &ask, NULL, 0, 0);
}

/* ---- tier packs, tier check ---- */

enum err tier_packs_start(struct control *c, struct conversation *v)
{
    struct msg_cold_packs ask = {.after = ((const struct op_tier_packs *)(const void *)v->args)->after};
    enum err err = need_cold(c, v);
    return err != ERR_OK ? err : conversation_call(c, v, ACTOR_COLD_STORE, MSG_COLD_PACKS, &ask, NULL, 0, COLD_REPLY);
}

enum err tier_check_start(struct control *c, struct conversation *v)
{
    struct msg_tier_check ask = {.pack = ((const struct op_tier_check *)(const void *)v->args)->pack};
    enum err err = need_cold(c, v);
    return err != ERR_OK ? err : conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_TIER_CHECK, &ask, NULL, 0, 0);
}

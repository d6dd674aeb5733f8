/* SPDX-License-Identifier: MIT */
/* Pages of what is to be provided: asked of state, checked against tiered_storage, handed to provide_tell.c, marked. */
#include <math.h>

#include "actors/discovery/provide.h"
#include "actors/tree.h"
#include "wire/cid.h"

enum { ROWS_REPLY = 96 * 1024, HAS_REPLY = 16 * 1024, KEYS_BYTES = 32 * 1024, CIDS_BYTES = 64 * 1024 };

static const double ring = 18446744073709551616.0; /* 2^64 */

static bool ask(struct provide *p, actor_id to, uint16_t kind, const void *fields, uint32_t reply_bytes, uint64_t tag)
{
    struct call_opts opts = {.timeout_ns = PROVIDE_CALL_S * SECOND_NS, .reply_bytes_max = reply_bytes};
    return ctx_call(p->ctx, to, &(struct msg){.kind = kind, .fields = fields}, opts, tag) == ERR_OK;
}

/* Nothing could be done: later. */
static void pause_page(struct provide *p, const char *why)
{
    ctx_log(p->ctx, LOG_INFO, "providing goes on in %d s: %s", PROVIDE_PAUSE_S, why);
    p->page.state = PAGE_IDLE;
    p->due_ns = ctx_now(p->ctx) + PROVIDE_PAUSE_S * SECOND_NS;
}

/* ---- which page ---- */

/* What is due by now, and the rest of the region there: by less than a region at a time nothing would be saved. */
static uint64_t due_position(const struct provide *p, uint64_t real_now_ns)
{
    const struct provide_sweep *sweep = &p->sweep;
    unsigned bits = provide_sweep_bits(sweep);
    double width = bits == PROVIDE_REGION_BITS_UNKNOWN ? ring : ldexp(1.0, 64 - (int)bits);
    double late = (double)provide_sweep_lag(sweep, real_now_ns) / (double)sweep->interval_ns * ring;
    double upto = (double)sweep->position + late + width;
    return upto >= ring ? UINT64_MAX : (uint64_t)upto;
}

void provide_page_begin(struct provide *p)
{
    struct provide_page *page = &p->page;
    uint64_t real_now_ns = ctx_real_now(p->ctx);
    page->fresh = provide_sweep_is_fresh(&p->sweep);
    if (!page->fresh && !provide_sweep_is_due(&p->sweep, real_now_ns))
        return;
    struct kad_key from = provide_sweep_first(page->fresh ? p->sweep.fresh_position : p->sweep.position);
    struct msg_state_provides fields = {.from = span_of(from.bytes, sizeof(from.bytes)), .limit = PROVIDE_PAGE_KEYS};
    if (page->fresh)
        fields.class = p->sweep.fresh_class;
    else
        fields.before = MAX(provide_sweep_before(&p->sweep), UINT64_C(1));
    page->upto = due_position(p, real_now_ns);
    page->began_ns = ctx_now(p->ctx);
    page->count = 0;
    if (ask(p, ACTOR_STATE, MSG_STATE_PROVIDES, &fields, ROWS_REPLY, TAG_PROVIDE_ROWS))
        page->state = PAGE_LOADING;
    else
        pause_page(p, "state does not answer");
}

/* ---- its keys ---- */

static void take_rows(struct provide *p, const struct msg_state_provides_ok *rows)
{
    struct provide_page *page = &p->page;
    struct item_provide_row row;
    size_t position = 0;
    page->more = rows->more;
    while (page->count < PROVIDE_PAGE_KEYS &&
           schema_list_next_map(&rows->rows, &schema_item_provide_row, &position, &row)) {
        struct provide_key *key = &page->keys[page->count];
        struct kad_key place = kad_key_of(row.multihash);
        if (!span_equal(row.key, span_of(place.bytes, sizeof(place.bytes))))
            continue; /* somebody changed the file */
        if (!page->fresh && provide_sweep_position(&place) > page->upto) {
            page->more = false;
            break;
        }
        *key = (struct provide_key){.key = place, .len = (uint8_t)row.multihash.len};
        memcpy(key->multihash, row.multihash.data, row.multihash.len);
        page->count++;
    }
}

static bool ask_whether_stored(struct provide *p)
{
    struct buf cids;
    bool asked = false;
    enum err err = ERR_OK;
    buf_init(&cids, CIDS_BYTES, NULL);
    for (size_t i = 0; i < p->page.count && err == ERR_OK; i++) {
        struct multihash hash;
        uint8_t bytes[CID_BYTES_MAX];
        const struct provide_key *key = &p->page.keys[i];
        err = multihash_parse(span_of(key->multihash, key->len), &hash);
        struct cid cid = cid_v1(CODEC_RAW, &hash);
        if (err == ERR_OK)
            err = schema_list_add_bytes(&cids, span_of(bytes, cid_encode(&cid, bytes)));
    }
    struct msg_block_has fields = {.cids = schema_list_of(&cids, (uint32_t)p->page.count)};
    if (err == ERR_OK)
        asked = ask(p, ACTOR_TIERED_STORAGE, MSG_BLOCK_HAS, &fields, HAS_REPLY, TAG_PROVIDE_HAS);
    buf_release(&cids);
    return asked;
}

/* The hand moves on behind the page. */
static void pass(struct provide *p)
{
    struct provide_page *page = &p->page;
    uint64_t last = page->count == 0 ? 0 : provide_sweep_position(&page->keys[page->count - 1].key);
    page->state = PAGE_IDLE;
    if (page->fresh && page->more)
        provide_sweep_fresh_passed(&p->sweep, last);
    else if (page->fresh)
        provide_sweep_fresh_ended(&p->sweep);
    else
        provide_sweep_passed(&p->sweep, page->more ? last : page->upto);
    if (!page->fresh)
        provide_save(p);
}

/* at 0: rows of blocks that are not here, or denied, go. */
static void mark(struct provide *p, uint64_t at)
{
    struct buf keys;
    uint32_t count = 0;
    buf_init(&keys, KEYS_BYTES, NULL);
    for (size_t i = 0; i < p->page.count; i++) {
        const struct provide_key *key = &p->page.keys[i];
        if ((at == 0 ? key->gone : key->provided) &&
            schema_list_add_bytes(&keys, span_of(key->key.bytes, sizeof(key->key.bytes))) == ERR_OK)
            count++;
    }
    struct msg_state_provided fields = {.keys = schema_list_of(&keys, count), .at = at};
    if (count > 0)
        (void)ctx_cast(p->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_STATE_PROVIDED, .fields = &fields});
    buf_release(&keys);
}

static void take_stored(struct provide *p, const struct msg_block_have *have)
{
    size_t position = 0;
    uint64_t size;
    for (size_t i = 0; i < p->page.count && schema_list_next_u64(&have->sizes, &position, &size); i++)
        p->page.keys[i].gone =
            size == 0 || dht_denies_block(p->dht, span_of(p->page.keys[i].multihash, p->page.keys[i].len));
    mark(p, 0);
    p->page.state = PAGE_TELLING;
    provide_tell_begin(p);
}

static void end(struct provide *p);

void provide_page_reply(struct provide *p, const struct info *info)
{
    if (info->err != ERR_OK) {
        pause_page(p, info->text[0] != '\0' ? info->text : err_text(info->err));
        return;
    }
    if (info->tag == TAG_PROVIDE_HAS || info->tag == TAG_PROVIDE_MARKED) {
        if (info->tag == TAG_PROVIDE_HAS)
            take_stored(p, info->msg->fields);
        else
            end(p);
        return;
    }
    take_rows(p, info->msg->fields);
    if (p->page.count == 0)
        pass(p);
    else if (ask_whether_stored(p))
        p->page.state = PAGE_CHECKING;
    else
        pause_page(p, "tiered_storage does not answer");
}

/* ---- its end ---- */

static void learn(struct provide *p)
{
    const struct provide_net *nets = p->tell.nets;
    struct provide_page *page = &p->page;
    uint64_t took_ns = ctx_now(p->ctx) - page->began_ns;
    uint64_t last = page->more ? provide_sweep_position(&page->keys[page->count - 1].key) : page->upto;
    double part = ((double)(last - p->sweep.position) + 1) / ring;
    if (!page->fresh)
        provide_sweep_learn(&p->sweep, 0, 0, (uint64_t)MIN((double)took_ns / part, 1e18));
    p->sweep.network = MAX(nets[DHT_WAN].network, nets[DHT_LAN].network);
}

static void end(struct provide *p)
{
    learn(p);
    pass(p);
}

/* Marks that are lost would leave keys behind the hand that nobody turns back for. */
void provide_page_told(struct provide *p)
{
    size_t provided = 0;
    size_t here = 0;
    for (size_t i = 0; i < p->page.count; i++) {
        provided += p->page.keys[i].provided;
        here += !p->page.keys[i].gone;
    }
    mark(p, ctx_real_now(p->ctx));
    p->sweep.keys += here;
    p->sweep.provided += provided;
    if (provided > 0)
        p->provided_last_ns = ctx_real_now(p->ctx);
    if (here > 0 && provided == 0)
        pause_page(p, "no peer took what was provided");
    else if (provide_probe(p, TAG_PROVIDE_MARKED))
        p->page.state = PAGE_MARKING;
    else
        pause_page(p, "state does not answer");
}

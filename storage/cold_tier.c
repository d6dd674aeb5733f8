/* SPDX-License-Identifier: MIT */
#include "storage/cold_tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "storage/crc32c.h"

enum { MARK_BYTES = 32, MARK_CRC = 4, MARK_MARK = 8, MARK_ZERO = 24, END_BYTES = 64 * 1024, CHECK_BYTES = 1024 * 1024 };

static const uint8_t mark_magic[4] = {'H', 'C', 'T', '1'};

/* ---- the mark ---- */

enum err cold_tier_find(struct cold_store *store, struct cold_call *call, uint8_t ret_mark[PACK_MARK_BYTES])
{
    uint8_t bytes[MARK_BYTES];
    enum err err = store->class->read(store, call, COLD_MARK_NAME, 0, bytes, sizeof(bytes));
    if (err != ERR_OK)
        return err;
    if (memcmp(bytes, mark_magic, sizeof(mark_magic)) != 0 || le_get(bytes + MARK_ZERO, 8) != 0 ||
        crc32c(0, bytes + MARK_MARK, MARK_BYTES - MARK_MARK) != (uint32_t)le_get(bytes + MARK_CRC, 4))
        return cold_fail(call, ERR_CORRUPT, COLD_MARK_NAME ", the mark of the cold tier, is damaged");
    memcpy(ret_mark, bytes + MARK_MARK, PACK_MARK_BYTES);
    return ERR_OK;
}

static enum err write_mark(struct cold_store *store, struct cold_call *call, const uint8_t mark[PACK_MARK_BYTES])
{
    uint8_t bytes[MARK_BYTES] = {0};
    struct cold_upload *upload;
    enum cold_proof proof;
    memcpy(bytes, mark_magic, sizeof(mark_magic));
    memcpy(bytes + MARK_MARK, mark, PACK_MARK_BYTES);
    le_put(bytes + MARK_CRC, crc32c(0, bytes + MARK_MARK, MARK_BYTES - MARK_MARK), 4);
    enum err err = store->class->create(store, call, COLD_MARK_NAME, &upload);
    if (err != ERR_OK)
        return err;
    err = store->class->append(upload, call, span_of(bytes, sizeof(bytes)));
    if (err == ERR_OK)
        return store->class->finish(upload, call, &proof);
    store->class->abandon(upload, call);
    return err;
}

static enum err refuse_pack(void *arg, const char *name, uint64_t bytes)
{
    uint64_t pack;
    (void)arg;
    (void)bytes;
    return pack_parse_name(name, &pack) ? ERR_EXISTS : ERR_OK;
}

enum err cold_tier_claim(struct cold_store *store, struct cold_call *call, const uint8_t mark[PACK_MARK_BYTES])
{
    uint8_t found[PACK_MARK_BYTES];
    bool more = false;
    enum err err = cold_tier_find(store, call, found);
    if (err == ERR_OK && memcmp(found, mark, PACK_MARK_BYTES) == 0)
        return ERR_OK; /* it was there already: the answer was lost */
    if (err == ERR_OK)
        return cold_fail(call, ERR_DENIED,
                         "the cold tier has the mark of another store: give each node a place of its own");
    if (err == ERR_NOT_FOUND)
        err = store->class->list(store, call, "", refuse_pack, NULL, &more);
    if (err == ERR_EXISTS)
        return cold_fail(call, ERR_DENIED,
                         "the cold tier has packs but lacks " COLD_MARK_NAME ", the mark that says whose");
    if (err == ERR_OK)
        err = write_mark(store, call, mark);
    if (err == ERR_OK)
        err = cold_tier_find(store, call, found);
    if (err != ERR_OK)
        return err;
    return memcmp(found, mark, PACK_MARK_BYTES) == 0
               ? ERR_OK
               : cold_fail(call, ERR_DENIED, "another node has marked the cold tier at the same time");
}

enum err cold_tier_ask(struct cold_tier *tier, struct cold_call *call)
{
    uint8_t found[PACK_MARK_BYTES];
    enum err err = cold_tier_find(tier->store, call, found);
    if (err == ERR_NOT_FOUND)
        return cold_fail(call, ERR_UNAVAILABLE, "the cold tier lacks " COLD_MARK_NAME ": is its medium mounted?");
    if (err == ERR_CORRUPT)
        return ERR_UNAVAILABLE; /* call->why says it */
    if (err == ERR_OK && memcmp(found, tier->mark, PACK_MARK_BYTES) != 0)
        return cold_fail(call, ERR_DENIED, "the cold tier has the mark of another store");
    return err;
}

/* What the store says of an object counts only while the mark is in its place. */
static enum err believe(struct cold_tier *tier, struct cold_call *call, enum err err)
{
    if (err != ERR_NOT_FOUND && err != ERR_CORRUPT)
        return err;
    struct cold_call asked = {.deadline_ns = call->deadline_ns, .cancelled = call->cancelled};
    enum err mark = cold_tier_ask(tier, &asked);
    if (mark == ERR_OK)
        return err;
    *call = asked;
    return mark;
}

/* ---- reading ---- */

static enum err read_record(struct cold_tier *tier, struct cold_call *call, const struct cold_place *place,
                            uint8_t *bytes, struct block_ref *ref)
{
    char name[PACK_NAME_MAX];
    size_t len = pack_record_bytes(place);
    pack_name(place->pack, name);
    enum err err = tier->store->class->read(tier->store, call, name, place->offset, bytes, len);
    if (err != ERR_OK)
        return err;
    err = pack_decode_record(span_of(bytes, len), place, ref->data);
    if (err == ERR_OK)
        err = block_key_verify(&place->key, span_of(ref->data, place->size));
    if (err == ERR_NOMEM)
        return err;
    return err == ERR_OK ? ERR_OK
                         : cold_fail(call, ERR_CORRUPT, "%s: the record at %lu is not the block that it should be",
                                     name, (unsigned long)place->offset);
}

enum err cold_tier_read(struct cold_tier *tier, struct cold_call *call, const struct cold_place *place,
                        struct account *account, struct block_ref **ret_ref)
{
    struct buf bytes;
    struct block_ref *ref = block_ref_new(place->size, account);
    if (ref == NULL)
        return ERR_NOMEM;
    buf_init(&bytes, pack_record_bytes(place), account);
    uint8_t *record = buf_reserve(&bytes, pack_record_bytes(place));
    enum err err = record == NULL ? ERR_NOMEM : read_record(tier, call, place, record, ref);
    if (err == ERR_CORRUPT) /* on the medium, or on the way? */
        err = read_record(tier, call, place, record, ref);
    err = believe(tier, call, err);
    buf_release(&bytes);
    if (err == ERR_OK)
        *ret_ref = ref;
    else
        block_ref_unref(ref);
    return err;
}

/* Reads index and tail of a pack; index is initialised, and the caller's to release. */
static enum err load_index(struct cold_tier *tier, struct cold_call *call, uint64_t pack, struct buf *index,
                           struct pack_tail *ret_tail)
{
    const struct cold_store_class *class = tier->store->class;
    char name[PACK_NAME_MAX];
    uint64_t size = 0;
    pack_name(pack, name);
    enum err err = class->size(tier->store, call, name, &size);
    if (err != ERR_OK)
        return err;
    size_t len = (size_t)MIN(size, (uint64_t)END_BYTES);
    for (int i = 0; i < 2; i++) { /* the end, then more of it if the index is longer */
        buf_clear(index);
        uint8_t *to = len < PACK_TAIL_BYTES ? NULL : buf_reserve(index, len);
        if (to == NULL)
            return len < PACK_TAIL_BYTES ? cold_fail(call, ERR_CORRUPT, "%s is cut", name) : ERR_NOMEM;
        err = class->read(tier->store, call, name, size - len, to, len);
        if (err != ERR_OK)
            return err;
        buf_commit(index, len);
        err = pack_decode_tail(buf_span(index), pack, size, ret_tail);
        if (err != ERR_OK)
            return cold_fail(call, ERR_CORRUPT, "%s has no tail that fits it", name);
        size_t want = (size_t)(ret_tail->bytes - ret_tail->index);
        if (want <= len) {
            buf_drop(index, len - want);
            return ERR_OK;
        }
        len = want;
    }
    return cold_fail(call, ERR_CORRUPT, "%s has two tails", name); /* it changed between two reads */
}

static enum err read_index(struct cold_tier *tier, struct cold_call *call, uint64_t pack, pack_each *each, void *arg,
                           struct pack_tail *ret_tail)
{
    struct buf index;
    char name[PACK_NAME_MAX];
    pack_name(pack, name);
    buf_init(&index, MAX((size_t)PACK_INDEX_MAX + PACK_TAIL_BYTES, (size_t)END_BYTES), tier->account);
    enum err err = load_index(tier, call, pack, &index, ret_tail);
    if (err == ERR_OK) {
        err = pack_read_index(buf_span(&index), ret_tail, NULL, NULL);
        if (err != ERR_OK)
            err = cold_fail(call, ERR_CORRUPT, "the index of %s is damaged", name);
    }
    err = believe(tier, call, err);
    if (err == ERR_OK && each != NULL)
        err = pack_read_index(buf_span(&index), ret_tail, each, arg);
    buf_release(&index);
    return err;
}

enum err cold_tier_index(struct cold_tier *tier, struct cold_call *call, uint64_t pack, pack_each *each, void *arg)
{
    struct pack_tail tail;
    return read_index(tier, call, pack, each, arg, &tail);
}

/* Header and checksum of everything before the index. */
static enum err check_body(struct cold_tier *tier, struct cold_call *call, const struct pack_tail *tail,
                           uint8_t *buffer)
{
    char name[PACK_NAME_MAX];
    uint32_t crc = 0;
    pack_name(tail->pack, name);
    for (uint64_t at = 0; at < tail->index;) {
        size_t len = (size_t)MIN(tail->index - at, (uint64_t)CHECK_BYTES);
        enum err err = tier->store->class->read(tier->store, call, name, at, buffer, len);
        if (err != ERR_OK)
            return err;
        if (at == 0 && pack_check_header(span_of(buffer, len), tail->pack, tier->mark) != ERR_OK)
            return cold_fail(call, ERR_CORRUPT, "%s does not begin as a pack of this tier", name);
        crc = crc32c(crc, buffer, len);
        at += len;
    }
    return crc == tail->body_crc ? ERR_OK : cold_fail(call, ERR_CORRUPT, "%s does not match its checksum", name);
}

enum err cold_tier_check(struct cold_tier *tier, struct cold_call *call, uint64_t pack, struct pack_tail *ret_tail)
{
    struct pack_tail tail;
    struct buf buffer;
    enum err err = read_index(tier, call, pack, NULL, NULL, &tail);
    if (err != ERR_OK)
        return err;
    buf_init(&buffer, CHECK_BYTES, tier->account);
    uint8_t *to = buf_reserve(&buffer, CHECK_BYTES);
    err = to == NULL ? ERR_NOMEM : believe(tier, call, check_body(tier, call, &tail, to));
    buf_release(&buffer);
    if (err == ERR_OK && ret_tail != NULL)
        *ret_tail = tail;
    return err;
}

/* ---- writing ---- */

struct cold_pack {
    struct cold_tier *tier;
    struct pack_writer *writer;
    struct cold_upload *upload; /* NULL once it is finished */
    struct cold_call *call;     /* of the operation under way */
    uint64_t pack;
};

static enum err sink(void *arg, struct span bytes)
{
    struct cold_pack *p = arg;
    return p->tier->store->class->append(p->upload, p->call, bytes);
}

enum err cold_pack_begin(struct cold_tier *tier, struct cold_call *call, uint64_t pack, struct cold_pack **ret_pack)
{
    char name[PACK_NAME_MAX];
    struct cold_pack *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NOMEM;
    *p = (struct cold_pack){.tier = tier, .call = call, .pack = pack};
    struct pack_writer_options options = {.pack = pack,
                                          .bytes_max = tier->pack_bytes == 0 ? COLD_PACK_BYTES : tier->pack_bytes,
                                          .account = tier->account,
                                          .sink = sink,
                                          .arg = p};
    memcpy(options.mark, tier->mark, PACK_MARK_BYTES);
    pack_name(pack, name);
    enum err err = tier->store->class->create(tier->store, call, name, &p->upload);
    if (err == ERR_OK)
        err = pack_writer_new(&options, &p->writer);
    if (err == ERR_OK)
        *ret_pack = p;
    else
        cold_pack_abandon(p, call);
    return err;
}

void cold_pack_abandon(struct cold_pack *pack, struct cold_call *call)
{
    if (pack == NULL)
        return;
    pack->tier->store->class->abandon(pack->upload, call);
    pack_writer_free(pack->writer);
    free(pack);
}

enum err cold_pack_add(struct cold_pack *pack, struct cold_call *call, const struct block_key *key, uint32_t codec,
                       struct span bytes, struct cold_place *ret_place)
{
    pack->call = call;
    return pack_writer_add(pack->writer, key, codec, bytes, ret_place);
}

/* The pack is there: is it what was written? */
static enum err prove(struct cold_pack *p, struct cold_call *call, const struct pack_tail *wrote, enum cold_proof proof)
{
    struct pack_tail found;
    char name[PACK_NAME_MAX];
    if (proof == COLD_PROVED)
        return ERR_OK;
    pack_name(p->pack, name);
    enum err err = cold_tier_check(p->tier, call, p->pack, &found);
    if (err == ERR_NOT_FOUND)
        return cold_fail(call, ERR_UNAVAILABLE, "%s was written and is not there", name);
    if (err == ERR_OK &&
        (found.bytes != wrote->bytes || found.body_crc != wrote->body_crc || found.records != wrote->records))
        return cold_fail(call, ERR_CORRUPT, "%s was written and reads as another pack", name);
    return err;
}

/* It may be there all the same. What cannot be removed now has its row. */
static void remove_unproved(struct cold_pack *p, const struct cold_call *call)
{
    struct cold_call removal = {.deadline_ns = call->deadline_ns};
    enum err err = cold_tier_remove(p->tier, &removal, p->pack);
    (void)err;
}

enum err cold_pack_end(struct cold_pack *pack, struct cold_call *call, struct pack_tail *ret_tail)
{
    struct cold_store *store = pack->tier->store;
    struct pack_tail tail;
    enum cold_proof proof = COLD_UNPROVED;
    pack->call = call;
    enum err err = pack_writer_finish(pack->writer, &tail);
    if (err == ERR_OK) {
        struct cold_upload *upload = pack->upload;
        pack->upload = NULL;
        err = store->class->finish(upload, call, &proof);
        if (err == ERR_OK)
            err = prove(pack, call, &tail, proof);
        if (err != ERR_OK)
            remove_unproved(pack, call);
    }
    cold_pack_abandon(pack, call);
    if (err == ERR_OK)
        *ret_tail = tail;
    return err;
}

uint32_t cold_pack_records(const struct cold_pack *pack)
{
    return pack_writer_records(pack->writer);
}

/* ---- all of them ---- */

struct page {
    cold_pack_each *each;
    void *arg;
    uint64_t last; /* 0: none so far */
    char last_name[COLD_NAME_MAX];
};

static enum err one_of_page(void *arg, const char *name, uint64_t bytes)
{
    struct page *page = arg;
    uint64_t pack;
    (void)snprintf(page->last_name, sizeof(page->last_name), "%s", name);
    if (!pack_parse_name(name, &pack) || pack == 0)
        return ERR_OK;
    page->last = pack;
    return page->each(page->arg, pack, bytes);
}

enum err cold_tier_packs(struct cold_tier *tier, struct cold_call *call, uint64_t after, cold_pack_each *each,
                         void *arg, uint64_t *ret_last)
{
    struct page page = {.each = each, .arg = arg};
    bool more = true;
    enum err err = ERR_OK;
    if (after != 0)
        pack_name(after, page.last_name);
    while (err == ERR_OK && more && page.last == 0) { /* pages of other objects are passed over */
        char from[COLD_NAME_MAX];
        memcpy(from, page.last_name, sizeof(from));
        err = tier->store->class->list(tier->store, call, from, one_of_page, &page, &more);
    }
    if (err == ERR_OK)
        *ret_last = more ? page.last : 0;
    return err;
}

enum err cold_tier_remove(struct cold_tier *tier, struct cold_call *call, uint64_t pack)
{
    char name[PACK_NAME_MAX];
    pack_name(pack, name);
    return tier->store->class->remove(tier->store, call, name);
}

static bool is_ours(const char *name)
{
    uint64_t pack;
    return pack_parse_name(name, &pack) || strcmp(name, COLD_MARK_NAME) == 0;
}

enum err cold_tier_sweep(struct cold_tier *tier, struct cold_call *call, uint64_t *ret_count)
{
    return tier->store->class->sweep(tier->store, call, is_ours, ret_count);
}

/* SPDX-License-Identifier: MIT */
/* A store's cold tier on one thread: its operations are carried out on the spot, in a folder of the same kind of disk. */
#ifndef HEARTH_TESTS_SUPPORT_COLD_DRIVER_H
#define HEARTH_TESTS_SUPPORT_COLD_DRIVER_H

#include <stdio.h>

#include "storage/cold_directory.h"
#include "storage/cold_tier.h"
#include "tests/support/store_driver.h"

struct test_cold {
    struct cold_store *store;
    struct cold_tier tier;
    struct cold_pack *pack; /* the one under way */
    struct account *reads;
    const char *kind;                   /* as which it presents itself */
    bool away;                          /* the medium does not answer */
    uint64_t ran[STORE_COLD_CLAIM + 1]; /* operations by kind, that were carried out or failed */
    enum store_cold_kind fails;         /* the operations of this kind fail … */
    enum err fails_with;                /* … with this; ERR_OK: none do */
    uint32_t page;                      /* entries of an index or a list at once; 0: as many as there is room for */
};

static inline bool test_cold_open(struct test_cold *c, const struct disk_port *port, const char *folder,
                                  struct account *reads)
{
    struct cold_directory_options options = {.port = port, .folder = folder};
    *c = (struct test_cold){.reads = reads, .kind = "directory"};
    if (cold_directory_new(&options, &c->store) != ERR_OK)
        return false;
    c->tier.store = c->store;
    c->tier.pack_bytes = 64 * 1024;
    return true;
}

/* A pack under way ends when its caller's life does. */
static inline void test_cold_end_life(struct test_cold *c)
{
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    cold_pack_abandon(c->pack, &call);
    c->pack = NULL;
}

static inline void test_cold_close(struct test_cold *c)
{
    test_cold_end_life(c);
    if (c->store != NULL)
        c->store->class->free(c->store);
    c->store = NULL;
}

static inline enum err test_cold_claim(struct test_cold *c, struct cold_call *call, struct store_cold *op)
{
    uint8_t found[PACK_MARK_BYTES];
    enum err err = op->adopt ? cold_tier_find(c->store, call, found) : cold_tier_claim(c->store, call, op->mark);
    if (err == ERR_OK && op->adopt && memcmp(found, op->mark, sizeof(found)) != 0)
        err = ERR_DENIED;
    if (err == ERR_OK) {
        memcpy(c->tier.mark, op->mark, sizeof(op->mark));
        (void)snprintf(op->kind_name, sizeof(op->kind_name), "%s", c->kind);
        (void)snprintf(op->place_name, sizeof(op->place_name), "/cold");
    }
    return err;
}

struct test_page {
    const struct test_cold *cold;
    struct store_cold *op;
    uint32_t at;
};

static inline size_t test_page_room(const struct test_page *page)
{
    return page->cold->page != 0 ? page->cold->page : STORE_COLD_PAGE;
}

static inline enum err test_cold_entry(void *arg, const struct cold_place *place)
{
    struct test_page *page = arg;
    uint32_t at = page->at++;
    if (at < page->op->from)
        return ERR_OK;
    if (page->op->count == test_page_room(page)) {
        page->op->next = at;
        return ERR_EXISTS;
    }
    page->op->places[page->op->count++] = *place;
    return ERR_OK;
}

static inline enum err test_cold_pack(void *arg, uint64_t pack, uint64_t bytes)
{
    struct test_page *page = arg;
    if (page->op->count == test_page_room(page)) {
        page->op->next = page->op->packs[page->op->count - 1].pack;
        return ERR_EXISTS;
    }
    page->op->packs[page->op->count++] = (struct store_pack){.pack = pack, .bytes = bytes};
    return ERR_OK;
}

static inline enum err test_cold_end(struct test_cold *c, struct cold_call *call, struct store_cold *op)
{
    struct pack_tail tail;
    enum err err = cold_pack_end(c->pack, call, &tail);
    c->pack = NULL;
    if (err != ERR_OK)
        return err;
    op->bytes = tail.bytes;
    op->records = tail.records;
    return ERR_OK;
}

static inline enum err test_cold_check(struct test_cold *c, struct cold_call *call, struct store_cold *op)
{
    struct pack_tail tail;
    enum err err = cold_tier_check(&c->tier, call, op->pack, &tail);
    if (err != ERR_OK)
        return err;
    op->bytes = tail.bytes;
    op->records = tail.records;
    return ERR_OK;
}

static inline enum err test_cold_carry_out(struct test_cold *c, struct cold_call *call, struct store_cold *op)
{
    struct test_page page = {.cold = c, .op = op};
    uint64_t swept = 0;
    enum err err = ERR_OK;
    switch (op->kind) {
    case STORE_COLD_READ:
        return cold_tier_read(&c->tier, call, &op->place, c->reads, &op->ref);
    case STORE_COLD_BEGIN:
        return cold_pack_begin(&c->tier, call, op->pack, &c->pack);
    case STORE_COLD_ADD:
        return cold_pack_add(c->pack, call, &op->place.key, op->place.codec, block_ref_span(op->ref), &op->place);
    case STORE_COLD_END:
        return test_cold_end(c, call, op);
    case STORE_COLD_ABANDON:
        test_cold_end_life(c);
        return ERR_OK;
    case STORE_COLD_REMOVE:
        return cold_tier_remove(&c->tier, call, op->pack);
    case STORE_COLD_SWEEP:
        return cold_tier_sweep(&c->tier, call, &swept);
    case STORE_COLD_INDEX:
        err = cold_tier_index(&c->tier, call, op->pack, test_cold_entry, &page);
        break;
    case STORE_COLD_PACKS:
        err = cold_tier_packs(&c->tier, call, op->pack, test_cold_pack, &page, &op->next);
        break;
    case STORE_COLD_CHECK:
        return test_cold_check(c, call, op);
    case STORE_COLD_CLAIM:
        return test_cold_claim(c, call, op);
    }
    return err == ERR_EXISTS ? ERR_OK : err; /* the page is full */
}

static inline enum err test_cold_run(struct test_cold *c, struct store_cold *op)
{
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    c->ran[op->kind]++;
    if (c->away && op->kind != STORE_COLD_ABANDON)
        return ERR_UNAVAILABLE;
    if (c->fails_with != ERR_OK && c->fails == op->kind)
        return c->fails_with;
    enum err err = test_cold_carry_out(c, &call, op);
    (void)snprintf(op->why, sizeof(op->why), "%.*s", (int)sizeof(call.why), call.why);
    return err;
}

/* Jobs and operations until there are none, at most max; false when max was not enough. */
static inline bool test_cold_drive(struct blockstore *store, struct test_cold *c, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        struct store_cold *op = blockstore_next_cold(store);
        struct store_job *job = op == NULL ? blockstore_next_job(store) : NULL;
        if (job == NULL && op == NULL)
            op = blockstore_next_cold(store);
        if (job != NULL)
            blockstore_job_done(store, job, store_job_run(job));
        else if (op != NULL)
            blockstore_cold_done(store, op, test_cold_run(c, op));
        else
            return true;
    }
    return false;
}

#endif

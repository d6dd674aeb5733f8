/* SPDX-License-Identifier: MIT */
#include "storage/cid_set.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/limits.h"
#include "base/random.h"

enum { CID_SET_FIRST_CAP = 64 };

_Static_assert(CID_SET_PRINT_BYTES == crypto_shorthash_siphashx24_BYTES, "a fingerprint is one SipHash-128");

static const uint8_t empty[CID_SET_PRINT_BYTES];

void cid_set_init(struct cid_set *set, size_t max, struct account *account)
{
    *set = (struct cid_set){.max = max, .account = account};
    random_fill(set->key, sizeof(set->key));
}

void cid_set_release(struct cid_set *set)
{
    free(set->slots);
    if (set->account != NULL)
        account_give(set->account, set->cap * CID_SET_PRINT_BYTES);
    set->slots = NULL;
    set->cap = 0;
    set->count = 0;
}

static void print_of(const struct cid_set *set, const struct cid *cid, uint8_t to[CID_SET_PRINT_BYTES])
{
    uint8_t bytes[4 + MULTIHASH_BYTES_MAX];
    le_put(bytes, cid->codec, 4);
    size_t len = 4 + multihash_encode(&cid->hash, bytes + 4);
    (void)crypto_shorthash_siphashx24(to, bytes, len, set->key);
    if (memcmp(to, empty, sizeof(empty)) == 0)
        to[0] = 1;
}

/* The slot of the fingerprint, or the empty one where it would go. */
static size_t find(const struct cid_set *set, const uint8_t print[CID_SET_PRINT_BYTES])
{
    uint64_t hash;
    memcpy(&hash, print, sizeof(hash));
    size_t at = (size_t)hash & (set->cap - 1);
    while (memcmp(set->slots[at], empty, sizeof(empty)) != 0 && memcmp(set->slots[at], print, sizeof(empty)) != 0)
        at = (at + 1) & (set->cap - 1);
    return at;
}

static enum err grow(struct cid_set *set)
{
    struct cid_set larger = *set;
    larger.cap = set->cap == 0 ? CID_SET_FIRST_CAP : set->cap * 2;
    if (set->account != NULL && !account_take(set->account, larger.cap * CID_SET_PRINT_BYTES))
        return ERR_NOMEM;
    larger.slots = calloc(larger.cap, CID_SET_PRINT_BYTES);
    if (larger.slots == NULL) {
        if (set->account != NULL)
            account_give(set->account, larger.cap * CID_SET_PRINT_BYTES);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < set->cap; i++) {
        if (memcmp(set->slots[i], empty, sizeof(empty)) != 0)
            memcpy(larger.slots[find(&larger, set->slots[i])], set->slots[i], sizeof(empty));
    }
    larger.count = set->count;
    size_t count = set->count;
    cid_set_release(set);
    *set = larger;
    set->count = count;
    return ERR_OK;
}

enum err cid_set_add(struct cid_set *set, const struct cid *cid, bool *ret_new)
{
    if (set->count >= set->cap / 4 * 3) {
        enum err err = grow(set);
        if (err != ERR_OK)
            return err;
    }
    uint8_t print[CID_SET_PRINT_BYTES];
    print_of(set, cid, print);
    size_t at = find(set, print);
    bool is_new = memcmp(set->slots[at], empty, sizeof(empty)) == 0;
    if (is_new && set->count == set->max)
        return ERR_BUSY;
    if (is_new) {
        memcpy(set->slots[at], print, sizeof(print));
        set->count++;
    }
    *ret_new = is_new;
    return ERR_OK;
}

bool cid_set_has(const struct cid_set *set, const struct cid *cid)
{
    if (set->cap == 0)
        return false;
    uint8_t print[CID_SET_PRINT_BYTES];
    print_of(set, cid, print);
    return memcmp(set->slots[find(set, print)], empty, sizeof(empty)) != 0;
}

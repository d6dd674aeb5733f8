/* SPDX-License-Identifier: MIT */
#include "base/block_ref.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/pool.h"

struct block_ref *block_ref_new(size_t len, struct account *account)
{
    size_t cap = pool_bytes(MAX(len, 1));
    if (account != NULL && !account_take(account, cap))
        return NULL;
    struct block_ref *ref = malloc(sizeof(*ref));
    uint8_t *data = pool_take(cap);
    if (ref == NULL || data == NULL) {
        free(ref);
        pool_give(data, cap);
        if (account != NULL)
            account_give(account, cap);
        return NULL;
    }
    *ref = (struct block_ref){.len = len, .cap = cap, .account = account, .data = data};
    atomic_init(&ref->refs, 1);
    return ref;
}

struct block_ref *block_ref_copy(struct span bytes, struct account *account)
{
    struct block_ref *ref = block_ref_new(bytes.len, account);
    if (ref != NULL && bytes.len > 0)
        memcpy(ref->data, bytes.data, bytes.len);
    return ref;
}

struct block_ref *block_ref_ref(struct block_ref *ref)
{
    uint32_t before = atomic_fetch_add_explicit(&ref->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return ref;
}

void block_ref_unref(struct block_ref *ref)
{
    if (ref == NULL || atomic_fetch_sub_explicit(&ref->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (ref->account != NULL)
        account_give(ref->account, ref->cap);
    pool_give(ref->data, ref->cap);
    free(ref);
}

bool block_ref_recharge(struct block_ref *ref, struct account *to)
{
    assert(atomic_load_explicit(&ref->refs, memory_order_relaxed) == 1);
    if (to == ref->account)
        return true;
    if (to != NULL && !account_take(to, ref->cap))
        return false;
    if (ref->account != NULL)
        account_give(ref->account, ref->cap);
    ref->account = to;
    return true;
}

void block_ref_charge(struct block_ref *ref, struct account *to)
{
    assert(ref->account == NULL);
    account_force(to, ref->cap);
    ref->account = to;
}

void block_ref_uncharge(struct block_ref *ref)
{
    if (ref->account != NULL)
        account_give(ref->account, ref->cap);
    ref->account = NULL; /* seen by the last holder, whose unref follows ours */
}

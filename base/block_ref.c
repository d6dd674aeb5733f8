/* SPDX-License-Identifier: MIT */
#include "base/block_ref.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/limits.h"

/*
 * The pool keeps a few buffers of each power of two from 64 KiB to 4 MiB. It is process-wide and locked: it is touched once per
 * 64 KiB or more, which the lock's 20 ns do not show. Pooled bytes are charged to nobody; POOL_BYTES_MAX bounds them (slack).
 */
enum { POOL_CLASS_FIRST_LOG2 = 16, POOL_CLASSES = 7, POOL_SLOTS = 8, POOL_BYTES_MAX = 4 * 1024 * 1024 };

static struct {
    pthread_mutex_t lock;
    size_t bytes;
    size_t count[POOL_CLASSES];
    uint8_t *slot[POOL_CLASSES][POOL_SLOTS];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The class whose buffers hold cap bytes, or -1 when the size is not pooled. */
static int pool_class(size_t len, size_t *ret_cap)
{
    if (len < (size_t)1 << POOL_CLASS_FIRST_LOG2) {
        *ret_cap = len;
        return -1;
    }
    for (int i = 0; i < POOL_CLASSES; i++) {
        size_t base = (size_t)1 << (POOL_CLASS_FIRST_LOG2 + i);
        /* A block of exactly 2^n bytes plus its frame must not pay for 2^(n+1): classes carry 1/16 of headroom. */
        size_t cap = base + base / 16;
        if (len <= cap) {
            *ret_cap = cap;
            return i;
        }
    }
    *ret_cap = len;
    return -1;
}

static uint8_t *pool_get(int class)
{
    uint8_t *data = NULL;
    (void)pthread_mutex_lock(&pool.lock);
    if (pool.count[class] > 0) {
        data = pool.slot[class][--pool.count[class]];
        size_t base = (size_t)1 << (POOL_CLASS_FIRST_LOG2 + class);
        pool.bytes -= base + base / 16;
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return data;
}

static void pool_put(int class, uint8_t *data, size_t cap)
{
    (void)pthread_mutex_lock(&pool.lock);
    if (pool.count[class] < POOL_SLOTS && pool.bytes + cap <= POOL_BYTES_MAX) {
        pool.slot[class][pool.count[class]++] = data;
        pool.bytes += cap;
        data = NULL;
    }
    (void)pthread_mutex_unlock(&pool.lock);
    free(data);
}

struct block_ref *block_ref_new(size_t len, struct account *account)
{
    size_t cap;
    int class = pool_class(MAX(len, 1), &cap);
    if (account != NULL && !account_take(account, cap))
        return NULL;
    struct block_ref *ref = malloc(sizeof(*ref));
    uint8_t *data = class >= 0 ? pool_get(class) : NULL;
    if (data == NULL)
        data = malloc(cap);
    if (ref == NULL || data == NULL) {
        free(ref);
        free(data);
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
    size_t cap;
    int class = pool_class(ref->cap, &cap);
    if (class >= 0 && cap == ref->cap)
        pool_put(class, ref->data, cap);
    else
        free(ref->data);
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

void block_ref_uncharge(struct block_ref *ref)
{
    if (ref->account != NULL)
        account_give(ref->account, ref->cap);
    ref->account = NULL; /* seen by the last holder, whose unref follows ours */
}

/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <pthread.h>
#include <stdlib.h>

enum { RANKS = 7, SLOTS = 8, NOT_KEPT = -1 };

static struct {
    pthread_mutex_t lock;
    size_t bytes;
    size_t count[RANKS];
    uint8_t *slot[RANKS][SLOTS];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t rank_bytes(int rank)
{
    size_t base = (size_t)POOL_BUFFER_MIN << rank;
    return base + base / 16;
}

static int rank_of(size_t len)
{
    if (len < POOL_BUFFER_MIN)
        return NOT_KEPT;
    for (int rank = 0; rank < RANKS; rank++)
        if (len <= rank_bytes(rank))
            return rank;
    return NOT_KEPT;
}

size_t pool_bytes(size_t len)
{
    int rank = rank_of(len);
    return rank == NOT_KEPT ? len : rank_bytes(rank);
}

uint8_t *pool_take(size_t len)
{
    int rank = rank_of(len);
    uint8_t *data = NULL;
    if (rank == NOT_KEPT)
        return malloc(len);
    (void)pthread_mutex_lock(&pool.lock);
    if (pool.count[rank] > 0) {
        data = pool.slot[rank][--pool.count[rank]];
        pool.bytes -= rank_bytes(rank);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return data != NULL ? data : malloc(rank_bytes(rank));
}

void pool_give(uint8_t *data, size_t len)
{
    int rank = rank_of(len);
    if (data != NULL && rank != NOT_KEPT) {
        (void)pthread_mutex_lock(&pool.lock);
        if (pool.count[rank] < SLOTS && pool.bytes + rank_bytes(rank) <= POOL_BYTES_MAX) {
            pool.slot[rank][pool.count[rank]++] = data;
            pool.bytes += rank_bytes(rank);
            data = NULL;
        }
        (void)pthread_mutex_unlock(&pool.lock);
    }
    free(data);
}

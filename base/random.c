/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/attr.h"

void random_fill(void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        at += got;
        len -= (size_t)got;
    }
}

/* splitmix64 spreads the seed, as the authors of xoshiro advise. */
void prng_init(struct prng *prng, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(prng->s); i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        prng->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *prng, uint64_t below)
{
    assert(below > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % below;
    uint64_t value;
    do {
        value = prng_next(prng);
    } while (value >= limit);
    return value % below;
}

void prng_fill(struct prng *prng, void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        uint64_t word = prng_next(prng);
        size_t n = MIN(len, sizeof(word));
        memcpy(at, &word, n);
        at += n;
        len -= n;
    }
}

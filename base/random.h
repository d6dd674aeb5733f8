/* SPDX-License-Identifier: MIT */
/*
 * Randomness. random_fill is the kernel's generator, for backends, keys and the command line. struct prng is a seeded,
 * reproducible generator (xoshiro256**, never for secrets) for the simulator and the tests. Actors ask ctx_random().
 */
#ifndef HEARTH_BASE_RANDOM_H
#define HEARTH_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

/* Fills from getrandom(2); aborts if the kernel cannot deliver, since nothing secure can go on. */
void random_fill(void *to, size_t len);

/* Any seed is good, 0 too. */
void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);

/* Uniform in [0, below); below must not be 0. */
uint64_t prng_below(struct prng *prng, uint64_t below);
void prng_fill(struct prng *prng, void *to, size_t len);

#endif

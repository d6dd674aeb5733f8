/* SPDX-License-Identifier: MIT */
#include "sim/globe.h"

#include "base/attr.h"

enum { CLOUDS = 64, CLOUD_ONE_IN = 4, FRACTION_BITS = 16 };

/* Quantiles of the latency in us at 0, 1/16, ..., 1; between them a straight line. */
static const uint32_t latency_us[] = {4000,  15950, 20060, 23480, 26690, 29850, 33050,  36390, 40000,
                                      43970, 48410, 53600, 59950, 68150, 79770, 100320, 250000};

/* splitmix64's finaliser: what differs in a bit differs everywhere. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of what is not public, more than there is: 0/8, 10/8, 100/8, 127/8, 169/8, 172/8, 192/8, 198/8, 203/8, 224/3. */
static bool is_public(uint8_t first)
{
    static const uint8_t others[] = {0, 10, 100, 127, 169, 172, 192, 198, 203};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (first == others[i])
            return false;
    return first < 224;
}

struct net_addr globe_address(uint64_t seed, unsigned n, unsigned attempt)
{
    uint64_t draw = mix(mix(seed ^ UINT64_C(0x61646472)) + ((uint64_t)attempt << 32 | n));
    bool in_cloud = (draw >> 32) % CLOUD_ONE_IN == 0;
    uint64_t net = in_cloud ? mix(seed + 1 + (draw >> 40) % CLOUDS) : draw;
    while (!is_public((uint8_t)net))
        net = mix(net);
    uint64_t host = mix(draw);
    return (struct net_addr){
        .family = NET_IP4, .ip = {(uint8_t)net, (uint8_t)(net >> 8), (uint8_t)host, (uint8_t)(1 + (host >> 8) % 254)}};
}

uint64_t globe_latency_ns(uint64_t seed, unsigned a, unsigned b)
{
    uint64_t draw = mix(mix(seed ^ UINT64_C(0x6c6174)) + ((uint64_t)MIN(a, b) << 32 | MAX(a, b)));
    uint32_t scaled = (uint32_t)(draw >> 32) >> (32 - 4 - FRACTION_BITS);
    uint32_t step = scaled >> FRACTION_BITS;
    uint64_t rest = scaled & ((1U << FRACTION_BITS) - 1);
    uint64_t us = latency_us[step] + ((latency_us[step + 1] - latency_us[step]) * rest >> FRACTION_BITS);
    return us * 1000;
}

uint64_t globe_exponential_ns(struct prng *prng, uint64_t median_ns)
{
    /* median * log2(1 / u): the leading zeros of u are the whole part, squaring the rest gives a bit of the fraction each. */
    uint64_t u = prng_next(prng) | 1;
    unsigned zeros = (unsigned)__builtin_clzll(u);
    uint64_t x = u << zeros >> 33; /* [2^30, 2^31): u between a half and one */
    uint64_t fraction = 0;
    for (unsigned i = 0; i < FRACTION_BITS; i++) {
        x = x * x >> 31;
        fraction <<= 1;
        if (x < UINT64_C(1) << 30) {
            x <<= 1;
            fraction |= 1;
        }
    }
    /* u = 2^-zeros * m with m in [1/2, 1), and -log2(m) has just been found in [0, 1]. */
    uint64_t scaled = ((uint64_t)zeros << FRACTION_BITS) + fraction;
    return (median_ns >> FRACTION_BITS) * scaled +
           ((median_ns & ((1U << FRACTION_BITS) - 1)) * scaled >> FRACTION_BITS);
}

/* SPDX-License-Identifier: MIT */
/* Numbers in little-endian order, as our own files and streams hold them: the low bytes of a value, 8 at most. */
#ifndef HEARTH_BASE_LE_H
#define HEARTH_BASE_LE_H

#include <stddef.h>
#include <stdint.h>

static inline void le_put(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t le_get(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

#endif

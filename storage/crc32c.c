/* SPDX-License-Identifier: MIT */
/*
 * The instruction has a latency of three cycles and a throughput of one, so three independent streams run at once and are joined
 * by shifting a checksum over the zeros of a fixed length, which is a linear map kept as four tables of 256.
 */
#include "storage/crc32c.h"

#include <string.h>

enum { STREAM_BYTES = 2048 };

static const uint32_t polynomial = 0x82f63b78u;
static uint32_t byte_table[8][256];
static uint32_t shift_table[4][256]; /* the effect of STREAM_BYTES zero bytes, per byte of the checksum */

static uint32_t raw_table(uint32_t crc, const uint8_t *p, size_t len)
{
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        word ^= crc;
        crc = byte_table[7][word & 0xff] ^ byte_table[6][(word >> 8) & 0xff] ^ byte_table[5][(word >> 16) & 0xff] ^
              byte_table[4][(word >> 24) & 0xff] ^ byte_table[3][(word >> 32) & 0xff] ^
              byte_table[2][(word >> 40) & 0xff] ^ byte_table[1][(word >> 48) & 0xff] ^ byte_table[0][word >> 56];
        p += 8;
        len -= 8;
    }
    while (len-- > 0)
        crc = (crc >> 8) ^ byte_table[0][(crc ^ *p++) & 0xff];
    return crc;
}

__attribute__((constructor)) static void make_tables(void)
{
    static const uint8_t zeros[STREAM_BYTES];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        byte_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++)
            byte_table[k][i] = (byte_table[k - 1][i] >> 8) ^ byte_table[0][byte_table[k - 1][i] & 0xff];
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 0; k < 4; k++)
            shift_table[k][i] = raw_table(i << (8 * k), zeros, sizeof(zeros));
    }
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t len)
{
    return ~raw_table(~crc, data, len);
}

#if defined(__x86_64__)

static uint32_t shift(uint32_t crc)
{
    return shift_table[0][crc & 0xff] ^ shift_table[1][(crc >> 8) & 0xff] ^ shift_table[2][(crc >> 16) & 0xff] ^
           shift_table[3][crc >> 24];
}

static uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t raw_hardware(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t a = crc;
    while (len >= 3 * (size_t)STREAM_BYTES) {
        uint64_t b = 0;
        uint64_t c = 0;
        for (size_t i = 0; i < STREAM_BYTES; i += 8) {
            a = __builtin_ia32_crc32di(a, word_at(p + i));
            b = __builtin_ia32_crc32di(b, word_at(p + STREAM_BYTES + i));
            c = __builtin_ia32_crc32di(c, word_at(p + 2 * (size_t)STREAM_BYTES + i));
        }
        a = shift((uint32_t)a) ^ b;
        a = shift((uint32_t)a) ^ c;
        p += 3 * (size_t)STREAM_BYTES;
        len -= 3 * (size_t)STREAM_BYTES;
    }
    for (; len >= 8; p += 8, len -= 8)
        a = __builtin_ia32_crc32di(a, word_at(p));
    for (; len > 0; p++, len--)
        a = __builtin_ia32_crc32qi((uint32_t)a, *p);
    return (uint32_t)a;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    if (__builtin_cpu_supports("sse4.2"))
        return ~raw_hardware(~crc, data, len);
    return crc32c_table(crc, data, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    return crc32c_table(crc, data, len);
}

#endif

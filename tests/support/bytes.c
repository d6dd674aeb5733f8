/* SPDX-License-Identifier: MIT */
#include "tests/support/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING = 8, HEX_BYTES_MAX = 8192, VECTOR_BYTES_MAX = 64 * 1024 * 1024 };

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    (void)fprintf(stderr, "not hex: '%c'\n", c);
    abort();
}

struct span bytes_of_hex(const char *hex)
{
    static uint8_t ring[RING][HEX_BYTES_MAX];
    static unsigned turn;
    uint8_t *to = ring[turn++ % RING];
    size_t len = strlen(hex) / 2;
    if (len > HEX_BYTES_MAX || strlen(hex) % 2 != 0)
        abort();
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return span_of(to, len);
}

const char *bytes_to_hex(struct span bytes)
{
    static char ring[RING][HEX_BYTES_MAX + 1];
    static unsigned turn;
    char *to = ring[turn++ % RING];
    size_t len = bytes.len < HEX_BYTES_MAX / 2 ? bytes.len : HEX_BYTES_MAX / 2;
    for (size_t i = 0; i < len; i++) {
        to[2 * i] = "0123456789abcdef"[bytes.data[i] >> 4];
        to[2 * i + 1] = "0123456789abcdef"[bytes.data[i] & 15];
    }
    to[2 * len] = '\0';
    return to;
}

const char *vectors_path(const char *path)
{
#ifdef HEARTH_VECTORS
    static char full[4096];
    (void)snprintf(full, sizeof(full), "%s/%s", HEARTH_VECTORS, path);
    return full;
#else
    (void)path;
    return NULL;
#endif
}

static char *read_all(FILE *file, size_t *ret_len)
{
    if (fseek(file, 0, SEEK_END) != 0)
        return NULL;
    long size = ftell(file);
    if (size < 0 || size > VECTOR_BYTES_MAX || fseek(file, 0, SEEK_SET) != 0)
        return NULL;
    char *bytes = malloc((size_t)size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        return NULL;
    }
    bytes[size] = '\0';
    *ret_len = (size_t)size;
    return bytes;
}

char *vectors_read(const char *path, size_t *ret_len)
{
    const char *full = vectors_path(path);
    FILE *file = full == NULL ? NULL : fopen(full, "rb");
    if (file == NULL)
        return NULL;
    char *bytes = read_all(file, ret_len);
    (void)fclose(file);
    return bytes;
}

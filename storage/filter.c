/* SPDX-License-Identifier: MIT */
#include "storage/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/limits.h"
#include "storage/crc32c.h"

enum { AHEAD = 32 }; /* lines on their way from memory */
enum { LINES_MAX = 1 << 26, PATH_MAX_BYTES = 4096 };
enum { AT_CRC = 8, AT_BITS = 12, AT_ID = 16, AT_GENERATION = 32, AT_KEYS = 40, AT_LINES = 48, AT_SEED = 56 };

static const uint8_t magic[8] = {'H', 'R', 'F', 'I', 'L', 'T', '0', '1'};

struct filter {
    uint64_t lines;
    uint64_t seed;
    uint64_t keys;
    unsigned bits_per_key; /* that it was made for */
    unsigned bits_set;     /* of each key: about bits_per_key * ln 2 */
    bool complete;
    struct account *account;
    uint8_t *bits;
};

static struct filter *make(uint64_t lines, unsigned bits_per_key, uint64_t seed, struct account *account)
{
    if (lines == 0 || lines > LINES_MAX)
        return NULL;
    if (account != NULL && !account_take(account, lines * FILTER_LINE_BYTES))
        return NULL;
    struct filter *f = calloc(1, sizeof(*f));
    uint8_t *bits = calloc((size_t)lines, FILTER_LINE_BYTES);
    if (f == NULL || bits == NULL) {
        free(f);
        free(bits);
        if (account != NULL)
            account_give(account, lines * FILTER_LINE_BYTES);
        return NULL;
    }
    *f = (struct filter){.lines = lines,
                         .seed = seed,
                         .bits_per_key = bits_per_key,
                         .bits_set = (bits_per_key * 7 + 5) / 10,
                         .account = account,
                         .bits = bits};
    return f;
}

static uint64_t lines_for(uint64_t keys, unsigned bits_per_key)
{
    uint64_t bits = MAX(keys, (uint64_t)FILTER_KEYS_MIN) * bits_per_key;
    return (bits + FILTER_LINE_BYTES * 8 - 1) / (FILTER_LINE_BYTES * 8);
}

struct filter *filter_new(uint64_t keys, uint64_t seed, struct account *account)
{
    return make(lines_for(keys, FILTER_BITS_PER_KEY), FILTER_BITS_PER_KEY, seed, account);
}

/* A quarter of the account is for everybody else. */
static bool fits(const struct account *account, uint64_t lines)
{
    return account == NULL || account_free(account) >= lines * FILTER_LINE_BYTES + account->limit_bytes / 4;
}

struct filter *filter_new_within(uint64_t keys, uint64_t keys_least, uint64_t seed, struct account *account)
{
    if (fits(account, lines_for(keys, FILTER_BITS_PER_KEY)))
        return filter_new(keys, seed, account);
    for (unsigned bits = FILTER_BITS_PER_KEY; bits >= FILTER_BITS_LEAST; bits--) {
        if (fits(account, lines_for(keys_least, bits)))
            return make(lines_for(keys_least, bits), bits, seed, account);
    }
    return NULL;
}

unsigned filter_bits_per_key(const struct filter *f)
{
    return f->bits_per_key;
}

void filter_free(struct filter *f)
{
    if (f == NULL)
        return;
    if (f->account != NULL)
        account_give(f->account, f->lines * FILTER_LINE_BYTES);
    free(f->bits);
    free(f);
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t hash_of(const struct filter *f, const struct block_key *key)
{
    uint64_t h = f->seed;
    for (size_t i = 0; i < key->len; i += sizeof(h)) {
        uint64_t word = 0;
        memcpy(&word, key->bytes + i, MIN(sizeof(word), key->len - i));
        h = mix(h ^ word) + key->len;
    }
    return mix(h);
}

static uint8_t *line_of(const struct filter *f, uint64_t hash)
{
    return f->bits + (size_t)(hash % f->lines) * FILTER_LINE_BYTES;
}

void filter_add(struct filter *f, const struct block_key *key)
{
    if (f == NULL)
        return;
    uint64_t h = hash_of(f, key);
    uint8_t *line = line_of(f, h);
    uint64_t pick = mix(h + 1);
    for (unsigned i = 0; i < f->bits_set; i++, pick >>= 9)
        line[pick >> 3 & 63] |= (uint8_t)(1u << (pick & 7));
    f->keys++;
}

void filter_complete(struct filter *f)
{
    f->complete = true;
}

static bool is_absent(const struct filter *f, uint64_t hash)
{
    const uint8_t *line = line_of(f, hash);
    uint64_t pick = mix(hash + 1);
    for (unsigned i = 0; i < f->bits_set; i++, pick >>= 9) {
        if ((line[pick >> 3 & 63] >> (pick & 7) & 1) == 0)
            return true;
    }
    return false;
}

bool filter_absent(const struct filter *f, const struct block_key *key)
{
    return f != NULL && f->complete && is_absent(f, hash_of(f, key));
}

void filter_absent_many(const struct filter *f, const struct block_key *keys, size_t count, bool *ret_absent)
{
    uint64_t hashes[AHEAD];
    if (f == NULL || !f->complete) {
        memset(ret_absent, 0, count * sizeof(*ret_absent));
        return;
    }
    for (size_t at = 0; at < count; at += AHEAD) {
        size_t n = MIN(count - at, (size_t)AHEAD);
        for (size_t i = 0; i < n; i++) {
            hashes[i] = hash_of(f, &keys[at + i]);
            __builtin_prefetch(line_of(f, hashes[i]));
        }
        for (size_t i = 0; i < n; i++)
            ret_absent[at + i] = is_absent(f, hashes[i]);
    }
}

bool filter_crowded(const struct filter *f)
{
    return f->keys * f->bits_per_key > f->lines * FILTER_LINE_BYTES * 8;
}

/* ---- the file ---- */

static uint32_t checksum(const uint8_t header[FILTER_HEADER_BYTES], const struct filter *f)
{
    uint32_t crc = crc32c(0, header + AT_CRC + 4, FILTER_HEADER_BYTES - AT_CRC - 4);
    return crc32c(crc, f->bits, (size_t)f->lines * FILTER_LINE_BYTES);
}

static void encode_header(const struct filter *f, const struct catalogue_info *info, uint8_t to[FILTER_HEADER_BYTES])
{
    memset(to, 0, FILTER_HEADER_BYTES);
    memcpy(to, magic, sizeof(magic));
    memcpy(to + AT_ID, info->id, CATALOGUE_ID_BYTES);
    le_put(to + AT_BITS, f->bits_per_key, 4);
    le_put(to + AT_GENERATION, info->generation, 8);
    le_put(to + AT_KEYS, f->keys, 8);
    le_put(to + AT_LINES, f->lines, 8);
    le_put(to + AT_SEED, f->seed, 8);
    le_put(to + AT_CRC, checksum(to, f), 4);
}

enum err filter_save(const struct filter *f, const struct disk_port *port, const char *path,
                     const struct catalogue_info *info)
{
    char beside[PATH_MAX_BYTES];
    uint8_t header[FILTER_HEADER_BYTES];
    struct disk_file *file;
    if (f == NULL || !f->complete)
        return ERR_INVALID;
    int len = snprintf(beside, sizeof(beside), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(beside))
        return ERR_TOO_LARGE;
    enum err err = port->open(port->self, beside, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return err;
    encode_header(f, info, header);
    size_t bytes = (size_t)f->lines * FILTER_LINE_BYTES;
    struct iovec iov[2] = {{.iov_base = header, .iov_len = sizeof(header)}, {.iov_base = f->bits, .iov_len = bytes}};
    err = port->truncate(file, 0);
    if (err == ERR_OK)
        err = port->pwritev(file, iov, 2, 0);
    port->close(file);
    if (err == ERR_OK)
        err = port->rename(port->self, beside, path);
    return err;
}

static enum err check_header(const uint8_t header[FILTER_HEADER_BYTES], const struct catalogue_info *info,
                             uint64_t file_bytes)
{
    uint64_t lines = le_get(header + AT_LINES, 8);
    if (memcmp(header, magic, sizeof(magic)) != 0 || lines == 0 || lines > LINES_MAX ||
        le_get(header + AT_BITS, 4) > FILTER_BITS_PER_KEY ||
        file_bytes != FILTER_HEADER_BYTES + lines * FILTER_LINE_BYTES)
        return ERR_CORRUPT;
    if (memcmp(header + AT_ID, info->id, CATALOGUE_ID_BYTES) != 0 ||
        le_get(header + AT_GENERATION, 8) != info->generation)
        return ERR_MISMATCH;
    return ERR_OK;
}

static enum err load_file(const struct disk_port *port, struct disk_file *file, const struct catalogue_info *info,
                          struct account *account, struct filter **ret_filter)
{
    uint8_t header[FILTER_HEADER_BYTES];
    uint64_t bytes;
    size_t got = 0;
    enum err err = port->size(file, &bytes);
    if (err == ERR_OK)
        err = port->pread(file, header, sizeof(header), 0, &got);
    if (err == ERR_OK)
        err = got < sizeof(header) ? ERR_CORRUPT : check_header(header, info, bytes);
    if (err != ERR_OK)
        return err;
    unsigned bits_per_key = (unsigned)le_get(header + AT_BITS, 4);
    if (bits_per_key == 0) /* files of the first version do not say */
        bits_per_key = FILTER_BITS_PER_KEY;
    struct filter *f = make(le_get(header + AT_LINES, 8), bits_per_key, le_get(header + AT_SEED, 8), account);
    if (f == NULL)
        return ERR_NOMEM;
    size_t want = (size_t)f->lines * FILTER_LINE_BYTES;
    err = port->pread(file, f->bits, want, FILTER_HEADER_BYTES, &got);
    if (err == ERR_OK && (got != want || checksum(header, f) != (uint32_t)le_get(header + AT_CRC, 4)))
        err = ERR_CORRUPT;
    if (err != ERR_OK) {
        filter_free(f);
        return err;
    }
    f->keys = le_get(header + AT_KEYS, 8);
    f->complete = true;
    *ret_filter = f;
    return ERR_OK;
}

enum err filter_load(const struct disk_port *port, const char *path, const struct catalogue_info *info,
                     struct account *account, struct filter **ret_filter)
{
    struct disk_file *file;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    err = load_file(port, file, info, account, ret_filter);
    port->close(file);
    return err;
}

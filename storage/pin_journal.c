/* SPDX-License-Identifier: MIT */
#include "storage/pin_journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "storage/crc32c.h"
#include "wire/cid.h"

static const uint8_t magic[4] = {'H', 'R', 'P', '1'};
static const uint8_t tier_magic[4] = {'H', 'R', 'T', '1'};

enum { ALIGN = 8, BATCH = 128, READ_BYTES = 64 * 1024, PAGE = 128, PATH_BYTES = 4096, BYTES_PER_PIN = 4 * 128 };

static size_t encode(const struct catalogue_change *c, uint64_t at_ns, uint8_t to[PIN_RECORD_MAX])
{
    size_t name_len = strlen(c->name);
    size_t len = PIN_RECORD_FIXED + (size_t)c->cid_len + name_len;
    bool tier = c->kind == CHANGE_TIER_PIN;
    memset(to, 0, PIN_RECORD_MAX);
    memcpy(to, tier ? tier_magic : magic, sizeof(magic));
    to[8] = tier ? name_len > 0 : c->kind == CHANGE_PIN_ADD;
    to[9] = c->recursive;
    to[10] = c->cid_len;
    to[11] = (uint8_t)name_len;
    le_put(to + 16, at_ns, 8);
    memcpy(to + PIN_RECORD_FIXED, c->cid, c->cid_len);
    memcpy(to + PIN_RECORD_FIXED + c->cid_len, c->name, name_len);
    le_put(to + 4, crc32c(0, to + 8, len - 8), 4);
    return (len + ALIGN - 1) / ALIGN * ALIGN;
}

/* One record at the front of bytes; ret_len is its padded length. */
static enum err decode(struct span bytes, struct catalogue_change *ret_change, size_t *ret_len)
{
    const uint8_t *p = bytes.data;
    struct cid cid;
    if (bytes.len < PIN_RECORD_FIXED)
        return ERR_CORRUPT;
    bool tier = memcmp(p, tier_magic, sizeof(tier_magic)) == 0;
    if (!tier && memcmp(p, magic, sizeof(magic)) != 0)
        return ERR_CORRUPT;
    size_t len = PIN_RECORD_FIXED + (size_t)p[10] + p[11];
    if (bytes.len < len || p[10] > PIN_CID_MAX || crc32c(0, p + 8, len - 8) != le_get(p + 4, 4))
        return ERR_CORRUPT;
    struct catalogue_change c = {.kind = tier        ? CHANGE_TIER_PIN
                                         : p[8] != 0 ? CHANGE_PIN_ADD
                                                     : CHANGE_PIN_RM,
                                 .recursive = p[9] != 0,
                                 .was_pinned = true};
    c.at_ns = le_get(p + 16, 8);
    c.cid_len = p[10];
    memcpy(c.cid, p + PIN_RECORD_FIXED, c.cid_len);
    memcpy(c.name, p + PIN_RECORD_FIXED + c.cid_len, p[11]);
    enum err err = cid_parse(span_of(c.cid, c.cid_len), &cid);
    if (err == ERR_OK && tier)
        err = block_key_of(&cid.hash, &c.key);
    if (err != ERR_OK)
        return err;
    *ret_change = c;
    *ret_len = MIN((len + ALIGN - 1) / ALIGN * ALIGN, bytes.len);
    return ERR_OK;
}

static enum err append_one(const struct disk_port *port, struct disk_file *file, const struct catalogue_change *c,
                           uint64_t at_ns, uint64_t *offset)
{
    uint8_t record[PIN_RECORD_MAX];
    struct iovec iov = {.iov_base = record, .iov_len = encode(c, at_ns, record)};
    enum err err = port->pwritev(file, &iov, 1, *offset);
    if (err == ERR_OK)
        *offset += iov.iov_len;
    return err;
}

static bool is_pin(const struct catalogue_change *c)
{
    return c->err == ERR_OK && (c->kind == CHANGE_PIN_ADD || c->kind == CHANGE_PIN_RM || c->kind == CHANGE_TIER_PIN);
}

enum err pin_journal_append(const struct disk_port *port, const char *path, const struct catalogue_change *changes,
                            uint64_t real_now_ns)
{
    struct disk_file *file = NULL;
    uint64_t offset = 0;
    enum err err = ERR_OK;
    for (const struct catalogue_change *c = changes; c != NULL && err == ERR_OK; c = c->next) {
        if (!is_pin(c))
            continue;
        if (file == NULL) {
            err = port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file);
            if (err != ERR_OK)
                return err;
            err = port->size(file, &offset);
            offset = (offset + ALIGN - 1) / ALIGN * ALIGN; /* a torn end is left behind */
        }
        if (err == ERR_OK)
            err = append_one(port, file, c, real_now_ns, &offset);
    }
    if (file != NULL)
        port->close(file);
    return err;
}

/* ---- restoring ---- */

struct restore {
    struct catalogue *catalogue;
    struct catalogue_change *changes; /* BATCH of them */
    size_t count;
    uint64_t applied;
};

static enum err flush(struct restore *r)
{
    struct catalogue_batch batch = {.changes = r->count == 0 ? NULL : r->changes};
    for (size_t i = 0; i < r->count; i++)
        r->changes[i].next = i + 1 < r->count ? &r->changes[i + 1] : NULL;
    enum err err = catalogue_commit(r->catalogue, &batch, NULL);
    for (size_t i = 0; i < r->count && err == ERR_OK; i++)
        r->applied += r->changes[i].err == ERR_OK;
    r->count = 0;
    return err;
}

/* Takes the records from bytes; *ret_used is how far the next read may go on. last: nothing follows. */
static enum err take_records(struct restore *r, struct span bytes, bool last, size_t *ret_used)
{
    size_t at = 0;
    while (at < bytes.len && (last || bytes.len - at >= PIN_RECORD_MAX)) {
        size_t len = ALIGN;
        if (decode(span_skip(bytes, at), &r->changes[r->count], &len) == ERR_OK && ++r->count == BATCH) {
            enum err err = flush(r);
            if (err != ERR_OK)
                return err;
        }
        at += len;
    }
    *ret_used = at;
    return ERR_OK;
}

static enum err restore_file(const struct disk_port *port, struct disk_file *file, struct restore *r, uint8_t *bytes)
{
    uint64_t offset = 0;
    enum err err = ERR_OK;
    for (bool last = false; err == ERR_OK && !last;) {
        size_t got = 0;
        size_t used = 0;
        err = port->pread(file, bytes, READ_BYTES, offset, &got);
        last = got < READ_BYTES;
        if (err == ERR_OK)
            err = take_records(r, span_of(bytes, got), last, &used);
        offset += used;
    }
    return err == ERR_OK ? flush(r) : err;
}

enum err pin_journal_restore(const struct disk_port *port, const char *path, struct catalogue *catalogue,
                             uint64_t *ret_count)
{
    struct disk_file *file;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    struct restore r = {.catalogue = catalogue, .changes = calloc(BATCH, sizeof(*r.changes))};
    uint8_t *bytes = malloc(READ_BYTES);
    err = r.changes == NULL || bytes == NULL ? ERR_NOMEM : restore_file(port, file, &r, bytes);
    free(bytes);
    free(r.changes);
    port->close(file);
    *ret_count = r.applied;
    return err;
}

/* ---- anew ---- */

static enum err write_pins(const struct disk_port *port, struct disk_file *file, struct catalogue_reader *reader,
                           struct pin_row *rows, uint64_t *offset)
{
    struct catalogue_change c = {.kind = CHANGE_PIN_ADD};
    size_t count = PAGE;
    enum err err = ERR_OK;
    while (err == ERR_OK && count >= PAGE) {
        err = catalogue_pins(reader, span_of(c.cid, c.cid_len), rows, PAGE, &count);
        for (size_t i = 0; i < count && err == ERR_OK; i++) {
            memcpy(c.cid, rows[i].cid, rows[i].cid_len);
            c.cid_len = rows[i].cid_len;
            c.recursive = rows[i].recursive;
            memcpy(c.name, rows[i].name, sizeof(c.name));
            err = append_one(port, file, &c, rows[i].created_at_ns, offset);
        }
    }
    return err;
}

/* They are kept by multihash: the codec says nothing. */
static enum err write_tier_pins(const struct disk_port *port, struct disk_file *file, struct catalogue_reader *reader,
                                struct tier_pin_row *rows, uint64_t *offset)
{
    struct catalogue_change c = {.kind = CHANGE_TIER_PIN};
    struct block_key after = {0};
    size_t count = PAGE;
    enum err err = ERR_OK;
    while (err == ERR_OK && count == PAGE) {
        err = catalogue_tier_pins(reader, &after, rows, PAGE, &count);
        for (size_t i = 0; i < count && err == ERR_OK; i++) {
            struct multihash hash;
            after = rows[i].key;
            err = multihash_parse(block_key_span(&rows[i].key), &hash);
            struct cid cid = cid_v1(CODEC_RAW, &hash);
            memcpy(c.name, rows[i].tier, sizeof(rows[i].tier));
            if (err == ERR_OK) {
                c.cid_len = (uint8_t)cid_encode(&cid, c.cid);
                err = append_one(port, file, &c, 0, offset);
            }
        }
    }
    return err;
}

static enum err write_all(const struct disk_port *port, struct disk_file *file, struct catalogue_reader *reader)
{
    uint64_t offset = 0;
    struct pin_row *pins = calloc(PAGE + 2, sizeof(*pins));
    struct tier_pin_row *tier_pins = calloc(PAGE, sizeof(*tier_pins));
    enum err err = pins == NULL || tier_pins == NULL ? ERR_NOMEM : port->truncate(file, 0);
    if (err == ERR_OK)
        err = write_pins(port, file, reader, pins, &offset);
    if (err == ERR_OK)
        err = write_tier_pins(port, file, reader, tier_pins, &offset);
    free(pins);
    free(tier_pins);
    return err;
}

enum err pin_journal_renew(const struct disk_port *port, const char *path, struct catalogue_reader *reader,
                           uint64_t pins)
{
    struct disk_file *file;
    char beside[PATH_BYTES];
    uint64_t size = 0;
    int len = snprintf(beside, sizeof(beside), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(beside))
        return ERR_TOO_LARGE;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    bool missing = err == ERR_NOT_FOUND;
    if (err == ERR_OK) {
        err = port->size(file, &size);
        port->close(file);
    }
    if (!missing && (err != ERR_OK || size <= PIN_JOURNAL_SMALL_BYTES || size <= pins * BYTES_PER_PIN))
        return err;
    err = port->open(port->self, beside, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return err;
    err = write_all(port, file, reader);
    port->close(file);
    return err == ERR_OK ? port->rename(port->self, beside, path) : err;
}

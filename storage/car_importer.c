/* SPDX-License-Identifier: MIT */
#include "storage/car_importer.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/block_key.h"
#include "wire/dag_cbor.h"

struct car_importer {
    struct car_reader *reader;
    struct import_sink sink;
    struct buf roots; /* of struct cid */
    struct car_totals totals;
    char why[CAR_WHY_BYTES];
};

enum err car_importer_new(const struct import_sink *sink, struct account *account, struct car_importer **ret_importer)
{
    struct car_importer *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    c->sink = *sink;
    buf_init(&c->roots, (size_t)CAR_HEADER_MAX * 4, account);
    enum err err = car_reader_new(BLOCK_BYTES_MAX, account, &c->reader);
    if (err != ERR_OK) {
        car_importer_free(c);
        return err;
    }
    *ret_importer = c;
    return ERR_OK;
}

void car_importer_free(struct car_importer *importer)
{
    if (importer == NULL)
        return;
    car_reader_free(importer->reader);
    buf_release(&importer->roots);
    free(importer);
}

static enum err fail(struct car_importer *c, enum err err, const char *why)
{
    (void)snprintf(c->why, sizeof(c->why), "byte %llu of the CAR: %s", (unsigned long long)car_reader_offset(c->reader),
                   why);
    return err;
}

static enum err take_roots(struct car_importer *c, struct span header)
{
    struct cid cid;
    enum err err = ERR_OK;
    while (err == ERR_OK && dag_cbor_next_link(&header, &cid))
        err = buf_append(&c->roots, &cid, sizeof(cid));
    return err == ERR_OK ? ERR_OK : fail(c, err, "no memory for its roots");
}

static enum err take_block(struct car_importer *c, const struct cid *cid, struct block_ref *block)
{
    c->totals.blocks++;
    c->totals.bytes += block->len;
    block_ref_uncharge(block); /* the sink accounts for what it keeps */
    enum err err = import_emit_named(&c->sink, cid, block);
    block_ref_unref(block);
    return err == ERR_OK ? ERR_OK : fail(c, err, "no memory for a block on its way to the store");
}

enum err car_importer_write(struct car_importer *importer, struct span *in)
{
    struct car_event event;
    enum err err = car_reader_next(importer->reader, in, &event);
    if (err == ERR_AGAIN)
        return ERR_OK;
    if (err != ERR_OK)
        return fail(importer, err, car_reader_why(importer->reader));
    return event.kind == CAR_HEADER ? take_roots(importer, event.header)
                                    : take_block(importer, &event.cid, event.block);
}

enum err car_importer_finish(struct car_importer *importer)
{
    enum err err = car_reader_finish(importer->reader);
    return err == ERR_OK ? ERR_OK : fail(importer, err, car_reader_why(importer->reader));
}

bool car_importer_root(const struct car_importer *importer, size_t n, struct cid *ret_cid)
{
    if (n >= importer->roots.len / sizeof(*ret_cid))
        return false;
    memcpy(ret_cid, importer->roots.data + n * sizeof(*ret_cid), sizeof(*ret_cid));
    return true;
}

struct car_totals car_importer_totals(const struct car_importer *importer)
{
    return importer->totals;
}

const char *car_importer_why(const struct car_importer *importer)
{
    return importer->why;
}

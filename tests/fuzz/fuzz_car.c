/* SPDX-License-Identifier: MIT */
/* A stream gives the same blocks however it is cut; blocks are what their CIDs say. */
#include <stdlib.h>

#include "wire/car.h"
#include "wire/dag_cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct totals {
    size_t roots;
    size_t blocks;
    size_t bytes;
    uint64_t offset;
};

static void count(struct totals *totals, struct car_event *event)
{
    struct cid cid;
    if (event->kind == CAR_HEADER) {
        while (dag_cbor_next_link(&event->header, &cid))
            totals->roots++;
        return;
    }
    if (multihash_verify(&event->cid.hash, block_ref_span(event->block)) != ERR_OK)
        abort();
    totals->blocks++;
    totals->bytes += event->block->len;
    block_ref_unref(event->block);
}

static enum err read_all(struct span in, size_t step, struct totals *ret_totals)
{
    struct car_reader *reader;
    struct car_event event;
    struct totals totals = {0};
    enum err err = ERR_AGAIN;
    if (car_reader_new(64 * 1024, NULL, &reader) != ERR_OK)
        return ERR_NOMEM;
    while (err == ERR_AGAIN && in.len > 0) {
        struct span piece = span_first(in, step);
        in = span_skip(in, piece.len);
        while ((err = car_reader_next(reader, &piece, &event)) == ERR_OK)
            count(&totals, &event);
    }
    if (err == ERR_AGAIN)
        err = car_reader_finish(reader);
    totals.offset = car_reader_offset(reader);
    car_reader_free(reader);
    *ret_totals = totals;
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct totals whole = {0};
    struct totals cut = {0};
    if (size == 0)
        return 0;
    enum err first = read_all(span_of(data, size), size, &whole);
    enum err second = read_all(span_of(data, size), 1 + data[size - 1] % 16, &cut);
    if (first != second || whole.roots != cut.roots || whole.blocks != cut.blocks || whole.bytes != cut.bytes ||
        whole.offset != cut.offset)
        abort();
    return 0;
}

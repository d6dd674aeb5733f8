/* SPDX-License-Identifier: MIT */
#include "storage/car_exporter.h"

#include <stdlib.h>

#include "storage/dag_walk.h"
#include "wire/car.h"

struct car_exporter {
    struct dag_walk *walk;
    struct buf head; /* the header, or what stands before a block */
    size_t head_at;
    struct block_ref *block;
    struct span data; /* of block: not read yet */
    uint64_t skip;
    uint64_t produced; /* bytes of the stream so far, those passed over as well */
};

enum err car_exporter_new(const struct cid *root, const struct car_exporter_options *options,
                          struct car_exporter **ret_exporter)
{
    struct car_exporter *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return ERR_NOMEM;
    struct dag_walk_options walk = {
        .window_blocks = options->window_blocks,
        .window_bytes = options->window_bytes,
        .depth_max = DAG_WALK_DEPTH_ALL,
        .in_order = true,
        .forget_when_full = true,
        .fetch_leaves = true,
        .account = options->account,
        .shared = options->shared,
    };
    e->skip = options->skip;
    buf_init(&e->head, 2 * CAR_SECTION_HEAD_MAX, options->account);
    enum err err = car_append_header(&e->head, root, 1);
    if (err == ERR_OK)
        err = dag_walk_new(root, &walk, &e->walk);
    if (err != ERR_OK) {
        car_exporter_free(e);
        return err;
    }
    *ret_exporter = e;
    return ERR_OK;
}

void car_exporter_free(struct car_exporter *exporter)
{
    if (exporter == NULL)
        return;
    dag_walk_free(exporter->walk);
    block_ref_unref(exporter->block);
    buf_release(&exporter->head);
    free(exporter);
}

enum err car_exporter_next_want(struct car_exporter *exporter, struct cid *ret_cid)
{
    return dag_walk_next_want(exporter->walk, ret_cid);
}

enum err car_exporter_put(struct car_exporter *exporter, const struct cid *cid, struct block_ref *block)
{
    return dag_walk_put(exporter->walk, cid, block);
}

void car_exporter_retry(struct car_exporter *exporter, const struct cid *cid)
{
    dag_walk_retry(exporter->walk, cid);
}

bool car_exporter_waits_for(const struct car_exporter *exporter, const struct cid *cid)
{
    return dag_walk_waits_for(exporter->walk, cid);
}

/* Goes on to the next section. ERR_CLOSED: that was the last one. */
static enum err next_section(struct car_exporter *e)
{
    struct dag_visit visit;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    enum err err = dag_walk_next(e->walk, &visit);
    if (err != ERR_OK)
        return err;
    block_ref_unref(e->block);
    e->block = visit.block;
    e->data = block_ref_span(visit.block);
    e->head_at = 0;
    buf_clear(&e->head);
    return buf_append(&e->head, head, car_section_head(&visit.cid, e->data.len, head));
}

/* Takes one step: some bytes of what is at hand, or the next section. */
static enum err step(struct car_exporter *e, struct buf *out, size_t most)
{
    bool skipping = e->produced < e->skip;
    if (skipping)
        most = (size_t)MIN(e->skip - e->produced, (uint64_t)SIZE_MAX);
    struct span head = span_first(span_skip(buf_span(&e->head), e->head_at), most);
    struct span part = head.len > 0 ? head : span_first(e->data, most);
    if (part.len == 0)
        return next_section(e);
    enum err err = skipping ? ERR_OK : buf_append_span(out, part);
    if (err != ERR_OK)
        return err;
    if (head.len > 0)
        e->head_at += part.len;
    else
        e->data = span_skip(e->data, part.len);
    e->produced += part.len;
    return ERR_OK;
}

enum err car_exporter_read(struct car_exporter *exporter, struct buf *out, size_t length_bytes)
{
    size_t end = out->len + length_bytes;
    enum err err = ERR_OK;
    while (err == ERR_OK && out->len < end)
        err = step(exporter, out, end - out->len);
    return err == ERR_CLOSED ? ERR_OK : err;
}

uint64_t car_exporter_position(const struct car_exporter *exporter)
{
    return MAX(exporter->produced, exporter->skip);
}

const char *car_exporter_why(const struct car_exporter *exporter)
{
    return dag_walk_why(exporter->walk);
}

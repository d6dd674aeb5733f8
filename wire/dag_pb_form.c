/* SPDX-License-Identifier: MIT */
#include "wire/dag_pb_form.h"

#include <stdlib.h>

#include "wire/dag_pb.h"

/* ---- from a node ---- */

struct emitter {
    ipld_sink *sink;
    void *arg;
    enum err err;
};

static void emit(struct emitter *e, const struct ipld_event *event)
{
    if (e->err == ERR_OK)
        e->err = e->sink(e->arg, event);
}

static void emit_kind(struct emitter *e, enum ipld_kind kind)
{
    emit(e, &(struct ipld_event){.kind = kind});
}

static void emit_key(struct emitter *e, const char *key)
{
    emit(e, &(struct ipld_event){.kind = IPLD_KEY, .bytes = span_text(key)});
}

static void emit_bytes(struct emitter *e, enum ipld_kind kind, struct span bytes)
{
    emit(e, &(struct ipld_event){.kind = kind, .bytes = bytes});
}

static void emit_link(struct emitter *e, const struct dag_pb_link *link)
{
    struct ipld_event hash = {.kind = IPLD_LINK};
    if (cid_parse(link->cid, &hash.link) != ERR_OK)
        e->err = ERR_INTERNAL; /* the decoder looked */
    emit_kind(e, IPLD_MAP);
    emit_key(e, "Hash");
    emit(e, &hash);
    if (link->has_name) {
        emit_key(e, "Name");
        emit_bytes(e, IPLD_STRING, link->name);
    }
    if (link->has_tsize) {
        emit_key(e, "Tsize");
        emit(e, &(struct ipld_event){.kind = IPLD_INT, .number = link->tsize});
    }
    emit_kind(e, IPLD_END);
}

enum err dag_pb_form_decode(struct span block, ipld_sink *sink, void *arg)
{
    struct dag_pb_node node;
    struct dag_pb_link link;
    struct emitter e = {.sink = sink, .arg = arg};
    enum err err = dag_pb_decode(block, &node);
    if (err != ERR_OK)
        return err;
    emit_kind(&e, IPLD_MAP);
    if (node.has_data) {
        emit_key(&e, "Data");
        emit_bytes(&e, IPLD_BYTES, node.data);
    }
    emit_key(&e, "Links");
    emit_kind(&e, IPLD_LIST);
    while (e.err == ERR_OK && dag_pb_next_link(&node.links, &link))
        emit_link(&e, &link);
    emit_kind(&e, IPLD_END);
    emit_kind(&e, IPLD_END);
    return e.err;
}

/* ---- to a node ---- */

enum place {
    PLACE_NODE,     /* before the node's map */
    PLACE_NODE_KEY, /* Data, Links or its end */
    PLACE_DATA,     /* the bytes */
    PLACE_LINKS,    /* the list */
    PLACE_LINK,     /* a link's map or the list's end */
    PLACE_LINK_KEY, /* Hash, Name, Tsize or its end */
    PLACE_HASH,
    PLACE_NAME,
    PLACE_TSIZE,
    PLACE_DONE
};

struct mark {
    const uint8_t *base; /* of links, once all have come */
    uint32_t at;
    uint32_t len;
    uint32_t name_at; /* in links */
    uint32_t name_len;
};

void dag_pb_form_init(struct dag_pb_form *form, struct buf *out)
{
    *form = (struct dag_pb_form){.out = out, .place = PLACE_NODE};
    buf_init(&form->links, out->max, out->account);
    buf_init(&form->marks, UINT32_MAX, out->account);
    buf_init(&form->data, out->max, out->account);
    buf_init(&form->name, out->max, out->account);
}

void dag_pb_form_release(struct dag_pb_form *form)
{
    buf_release(&form->links);
    buf_release(&form->marks);
    buf_release(&form->data);
    buf_release(&form->name);
}

static enum err go_to(struct dag_pb_form *f, enum place place)
{
    f->place = (uint8_t)place;
    return ERR_OK;
}

/* A field that may stand once. */
static enum err begin_field(struct dag_pb_form *f, bool *seen, enum place place)
{
    if (*seen)
        return ERR_INVALID;
    *seen = true;
    return go_to(f, place);
}

static enum err take_node_key(struct dag_pb_form *f, struct span key)
{
    if (span_equal_text(key, "Data"))
        return begin_field(f, &f->has_data, PLACE_DATA);
    return span_equal_text(key, "Links") ? begin_field(f, &f->has_links, PLACE_LINKS) : ERR_INVALID;
}

static enum err take_link_key(struct dag_pb_form *f, struct span key)
{
    if (span_equal_text(key, "Hash"))
        return begin_field(f, &f->has_hash, PLACE_HASH);
    if (span_equal_text(key, "Name"))
        return begin_field(f, &f->has_name, PLACE_NAME);
    return span_equal_text(key, "Tsize") ? begin_field(f, &f->has_tsize, PLACE_TSIZE) : ERR_INVALID;
}

static enum err begin_link(struct dag_pb_form *f)
{
    f->has_hash = f->has_name = f->has_tsize = false;
    buf_clear(&f->name);
    return go_to(f, PLACE_LINK_KEY);
}

static enum err end_link(struct dag_pb_form *f)
{
    uint8_t cid[CID_BYTES_MAX];
    struct dag_pb_link link = {.has_name = f->has_name, .has_tsize = f->has_tsize, .tsize = f->tsize};
    if (!f->has_hash)
        return ERR_INVALID;
    link.cid = span_of(cid, cid_encode(&f->hash, cid));
    link.name = buf_span(&f->name);
    size_t len = dag_pb_link_size(&link);
    if (len > f->links.max - f->links.len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(&f->links, len);
    if (to == NULL)
        return ERR_NOMEM;
    (void)dag_pb_put_link(to, &link);
    struct mark mark = {.at = (uint32_t)f->links.len, .len = (uint32_t)len};
    struct span written = span_of(to, len);
    if (f->has_name && link.name.len > 0 && dag_pb_next_link(&written, &link)) {
        mark.name_at = (uint32_t)(link.name.data - f->links.data);
        mark.name_len = (uint32_t)link.name.len;
    }
    buf_commit(&f->links, len);
    enum err err = buf_append(&f->marks, &mark, sizeof(mark));
    return err == ERR_OK ? go_to(f, PLACE_LINK) : err;
}

/* By name; where they are equal, as they came. */
static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a;
    const struct mark *y = b;
    int order = span_compare(span_of(x->base + x->name_at, x->name_len), span_of(y->base + y->name_at, y->name_len));
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static enum err end_node(struct dag_pb_form *f)
{
    struct mark *marks = (struct mark *)(void *)f->marks.data;
    size_t count = f->marks.len / sizeof(*marks);
    enum err err = f->has_links ? ERR_OK : ERR_INVALID;
    for (size_t i = 0; i < count; i++)
        marks[i].base = f->links.data;
    if (count > 1)
        qsort(marks, count, sizeof(*marks), compare_marks);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = buf_append(f->out, f->links.data + marks[i].at, marks[i].len);
    struct span data = buf_span(&f->data);
    if (err == ERR_OK && f->has_data)
        err = dag_pb_append(f->out, NULL, 0, &data);
    return err == ERR_OK ? go_to(f, PLACE_DONE) : err;
}

static enum err take_tsize(struct dag_pb_form *f, const struct ipld_event *event)
{
    if (event->kind != IPLD_INT || event->negative || event->number > INT64_MAX)
        return ERR_INVALID;
    f->tsize = event->number;
    return go_to(f, PLACE_LINK_KEY);
}

static enum err take_bytes(struct dag_pb_form *f, struct buf *to, struct span bytes, enum place next)
{
    enum err err = buf_append_span(to, bytes);
    return err == ERR_OK ? go_to(f, next) : err;
}

enum err dag_pb_form_event(void *arg, const struct ipld_event *event)
{
    struct dag_pb_form *f = arg;
    enum ipld_kind kind = event->kind;
    switch ((enum place)f->place) {
    case PLACE_NODE:
        return kind == IPLD_MAP ? go_to(f, PLACE_NODE_KEY) : ERR_INVALID;
    case PLACE_NODE_KEY:
        return kind == IPLD_END ? end_node(f) : take_node_key(f, event->bytes);
    case PLACE_DATA:
        return kind == IPLD_BYTES ? take_bytes(f, &f->data, event->bytes, PLACE_NODE_KEY) : ERR_INVALID;
    case PLACE_LINKS:
        return kind == IPLD_LIST ? go_to(f, PLACE_LINK) : ERR_INVALID;
    case PLACE_LINK:
        if (kind == IPLD_END)
            return go_to(f, PLACE_NODE_KEY);
        return kind == IPLD_MAP ? begin_link(f) : ERR_INVALID;
    case PLACE_LINK_KEY:
        return kind == IPLD_END ? end_link(f) : take_link_key(f, event->bytes);
    case PLACE_HASH:
        f->hash = event->link;
        return kind == IPLD_LINK ? go_to(f, PLACE_LINK_KEY) : ERR_INVALID;
    case PLACE_NAME:
        return kind == IPLD_STRING ? take_bytes(f, &f->name, event->bytes, PLACE_LINK_KEY) : ERR_INVALID;
    case PLACE_TSIZE:
        return take_tsize(f, event);
    case PLACE_DONE:
        break;
    }
    return ERR_INVALID;
}

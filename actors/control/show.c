/* SPDX-License-Identifier: MIT */
/*
 * Messages as people see them. The declaration says what bytes are: those bounded by MSG_CID_MAX are CIDs, those bounded by
 * MSG_PEER_MAX are peer ids, and both are shown as their usual text.
 */
#include "actors/control/router.h"
#include "schemas/pack.h"
#include "wire/peer_id.h"

static void show_bytes(struct pack *p, struct span bytes, uint64_t max)
{
    struct cid cid;
    struct peer_id peer;
    char text[CID_TEXT_MAX]; /* longer than any peer id */
    if (max == MSG_CID_MAX && cid_parse(bytes, &cid) == ERR_OK) {
        cid_text(&cid, text);
        pack_text(p, text);
    } else if (max == MSG_PEER_MAX && peer_id_parse(bytes, &peer) == ERR_OK) {
        peer_id_text(&peer, text);
        pack_text(p, text);
    } else {
        pack_bytes(p, bytes);
    }
}

static void show_fields(struct pack *p, const struct schema *schema, const void *fields);

static void show_map_list(struct pack *p, const struct field *f, const struct schema_list *list)
{
    uint64_t item[64];
    size_t position = 0;
    size_t where = pack_array_open(p);
    uint32_t count = 0;
    while (f->nested->struct_bytes <= sizeof(item) && schema_list_next_map(list, f->nested, &position, item)) {
        show_fields(p, f->nested, item);
        count++;
    }
    pack_count(p, where, count);
}

static void show_list(struct pack *p, const struct field *f, const struct schema_list *list)
{
    if (f->item == FIELD_MAP) {
        show_map_list(p, f, list);
        return;
    }
    pack_array(p, list->count);
    if (f->item != FIELD_BYTES) {
        pack_raw(p, list->raw);
        return;
    }
    size_t position = 0;
    struct span item;
    while (schema_list_next_bytes(list, &position, &item))
        show_bytes(p, item, f->item_max);
}

static void show_value(struct pack *p, const struct field *f, const void *at)
{
    if (f->type == FIELD_BYTES)
        show_bytes(p, *(const struct span *)at, f->max);
    else if (f->type == FIELD_LIST)
        show_list(p, f, at);
    else
        schema_pack_value(p, f, at);
}

/* All fields, absent ones as their zero: scripts need not ask whether a key is there. An absent CID or peer is left out. */
static void show_fields(struct pack *p, const struct schema *schema, const void *fields)
{
    size_t where = pack_map_open(p);
    uint32_t count = 0;
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        const void *at = (const uint8_t *)fields + f->offset;
        if (f->type == FIELD_BYTES && ((const struct span *)at)->len == 0)
            continue;
        if (f->type == FIELD_MAP && ((const struct span *)at)->len == 0)
            continue;
        pack_text(p, f->name);
        show_value(p, f, at);
        count++;
    }
    pack_count(p, where, count);
}

enum err show_message(const struct schema *schema, const void *fields, struct buf *to)
{
    struct pack p = pack_begin(to);
    show_fields(&p, schema, fields);
    return pack_end(&p);
}

/* The other way: a name that a person gave. */
enum err conversation_cid(struct conversation *v, struct span text, struct cid *ret_cid)
{
    struct span cid = text;
    if (cid.len > 6 && memcmp(cid.data, "/ipfs/", 6) == 0)
        cid = span_skip(cid, 6);
    else if (cid.len > 7 && memcmp(cid.data, "ipfs://", 7) == 0)
        cid = span_skip(cid, 7);
    enum err err = cid_parse_text(cid, ret_cid);
    if (err == ERR_OK)
        return ERR_OK;
    return conversation_error(v, err == ERR_UNSUPPORTED ? err : ERR_INVALID, "invalid CID \"%.*s\": %s",
                              (int)MIN(text.len, (size_t)100), (const char *)text.data, err_text(err));
}

/* SPDX-License-Identifier: MIT */
/* key gen, import, list, rm, rename: questions to state, which has the keys. Ids are shown as names are, in base36. */
#include "actors/control/operations.h"
#include "schemas/pack.h"
#include "wire/peer_id.h"

enum { KEYS_REPLY_MAX = 256 * 1024, KEYS_RESULT_MAX = 512 * 1024 };

static enum err ask(struct control *c, struct conversation *v, uint16_t kind, const void *fields)
{
    return conversation_call(c, v, ACTOR_STATE, kind, fields, NULL, 0, KEYS_REPLY_MAX);
}

static enum err ask_import(struct control *c, struct conversation *v)
{
    const struct op_key_import *args = (const void *)v->args;
    bool pem = span_equal_text(args->format, "pem-pkcs8-cleartext");
    if (!pem && !span_equal_text(args->format, "libp2p-protobuf-cleartext"))
        return conversation_error(v, ERR_INVALID,
                                  "formats of keys are libp2p-protobuf-cleartext and pem-pkcs8-cleartext");
    struct msg_key_import import = {
        .name = args->name, .data = args->data, .pem = pem, .any_type = args->allow_any_key_type};
    return ask(c, v, MSG_KEY_IMPORT, &import);
}

enum err key_start(struct control *c, struct conversation *v)
{
    const struct op_key_gen *made = (const void *)v->args;
    const struct op_key_rename *named = (const void *)v->args;
    struct msg_key_gen gen = {.name = made->name};
    struct msg_key_list list = {0};
    struct msg_key_rm rm = {0};
    struct msg_key_rename rename = {0};
    switch (v->op->id) {
    case OP_KEY_GEN:
        gen.type = made->type;
        gen.bits = made->size;
        return ask(c, v, MSG_KEY_GEN, &gen);
    case OP_KEY_IMPORT:
        return ask_import(c, v);
    case OP_KEY_LIST:
        return ask(c, v, MSG_KEY_LIST, &list);
    case OP_KEY_RM:
        rm.names = ((const struct op_key_rm *)(const void *)v->args)->name;
        return ask(c, v, MSG_KEY_RM, &rm);
    case OP_KEY_RENAME:
        rename = (struct msg_key_rename){.from = named->name, .to = named->new_name, .force = named->force};
        return ask(c, v, MSG_KEY_RENAME, &rename);
    }
    return ERR_UNSUPPORTED;
}

static void pack_id(struct pack *p, struct span peer)
{
    struct peer_id id;
    char text[PEER_ID_TEXT_MAX] = "";
    if (peer_id_parse(peer, &id) == ERR_OK)
        peer_id_text_cid(&id, text);
    pack_pair_text(p, "id", text);
}

static void pack_rows(struct pack *p, const struct msg_keys *m)
{
    size_t position = 0;
    struct item_key_row row;
    pack_map(p, 1);
    pack_text(p, "keys");
    pack_array(p, m->keys.count);
    while (schema_list_next_map(&m->keys, &schema_item_key_row, &position, &row)) {
        pack_map(p, 3);
        pack_pair_span(p, "name", row.name);
        pack_id(p, row.peer);
        pack_pair_span(p, "type", row.type);
    }
}

/* Of the operations that are about one key. */
static void pack_one(struct pack *p, const struct conversation *v, const struct msg_keys *m)
{
    const struct op_key_rename *args = (const void *)v->args;
    bool renamed = v->op->id == OP_KEY_RENAME;
    size_t position = 0;
    struct item_key_row row = {.name = {0}};
    (void)schema_list_next_map(&m->keys, &schema_item_key_row, &position, &row);
    pack_map(p, renamed ? 4 : 2);
    pack_pair_span(p, renamed ? "now" : "name", row.name);
    pack_id(p, row.peer);
    if (!renamed)
        return;
    pack_pair_span(p, "was", args->name);
    pack_pair_bool(p, "overwritten", m->overwritten);
}

enum err key_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    const struct msg_keys *m = info->msg->fields;
    struct buf result;
    buf_init(&result, KEYS_RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    if (v->op->id == OP_KEY_LIST || v->op->id == OP_KEY_RM)
        pack_rows(&p, m);
    else
        pack_one(&p, v, m);
    return conversation_finish_packed(c, v, &result, &p);
}

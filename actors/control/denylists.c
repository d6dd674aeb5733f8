/* SPDX-License-Identifier: MIT */
/* What is denied, as control sees it: paths are asked about before anything is resolved, blocks before the store gives them out. */
#include "actors/control/operations.h"
#include "storage/denylist.h"

enum { LIST_BYTES = 64 * 1024 };

void control_take_denylist(struct control *c, struct block_ref *image)
{
    struct block_ref *old = c->denylist;
    c->denylist = image == NULL ? NULL : block_ref_ref(image);
    block_ref_unref(old);
}

bool control_denies(const struct control *c, const struct cid *cid)
{
    return denylist_ask_cid(denylist_of(c->denylist), cid) == DENYLIST_DENIED;
}

bool control_denies_path(const struct control *c, struct span path)
{
    return denylist_ask_text(denylist_of(c->denylist), path) == DENYLIST_DENIED;
}

enum err conversation_denial(struct conversation *v, struct span path)
{
    return conversation_error(v, ERR_DENIED, "%.*s is blocked and cannot be provided", (int)MIN(path.len, (size_t)150),
                              (const char *)path.data);
}

/* Operations that give content out or keep it; each has the path, or the CID, as its first argument. */
static bool gives_content(enum operation_id op)
{
    static const enum operation_id which[] = {OP_READ,    OP_GET,      OP_DAG_EXPORT, OP_GET_FILE, OP_LS,
                                              OP_RESOLVE, OP_DAG_WALK, OP_REFS,       OP_PIN_ADD,  OP_BLOCK_GET};
    for (size_t i = 0; i < ARRAY_LEN(which); i++)
        if (which[i] == op)
            return true;
    return false;
}

enum err conversation_denied(struct control *c, struct conversation *v)
{
    if (c->denylist == NULL || !gives_content((enum operation_id)v->op->id))
        return ERR_OK;
    struct span path = *(const struct span *)(const void *)v->args;
    return control_denies_path(c, path) ? conversation_denial(v, path) : ERR_OK;
}

enum err denylist_ls_start(struct control *c, struct conversation *v)
{
    static const uint64_t no_fields[1] = {0};
    return conversation_call(c, v, ACTOR_BITSWAP, MSG_DENYLIST_LIST, no_fields, NULL, 0, LIST_BYTES);
}

enum err denylist_check_start(struct control *c, struct conversation *v)
{
    const struct op_denylist_check *args = (const void *)v->args;
    struct msg_denylist_check ask = {.path = args->path};
    return conversation_call(c, v, ACTOR_BITSWAP, MSG_DENYLIST_CHECK, &ask, NULL, 0, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * The messages that actors send each other. messages/<receiver>.def declares what an actor accepts and how it answers:
 *
 *      MESSAGE(FETCH, fetch, 0x0701, PUSH_BACK, DATA, "Asks for a block; answered by block.",
 *              (BYTES, cid, REQUIRED, 1, MSG_CID_MAX, "what is wanted, binary"),
 *              (U64, session, OPTIONAL, 0, UINT64_MAX, "wants of one session share their peers"))
 *
 * gives MSG_FETCH, struct msg_fetch {struct span cid; uint64_t session;} and a row of schema_messages. The tuples are those of
 * schemas/fields.h. A row of a LIST_MAP is declared before its message, and gives struct item_peer and schema_item_peer:
 *
 *      ITEM(peer, "One connected peer.", (BYTES, id, REQUIRED, 1, MSG_PEER_MAX, "peer id, binary"))
 *
 * The arguments: name in capitals, name, kind (unique, ascending over messages/all.def), what a full mailbox does (PUSH_BACK,
 * DROP_OLDEST, REFUSE, RESERVED), lane (DATA or CONTROL), one sentence, fields. Replies are messages too (RESERVED: the caller
 * keeps room for them). A new .def file is one line in messages/all.def. Kinds under 0x0100 belong to the runtime: those of root.def to its root.
 */
#ifndef HEARTH_SCHEMAS_MESSAGES_H
#define HEARTH_SCHEMAS_MESSAGES_H

#include "schemas/fields.h"
#include "schemas/schema.h"

/* Sizes that several messages share, in bytes unless named otherwise; MSG_ where wire/ has exact ones of its own. */
enum {
    MSG_CID_MAX = 168,
    MSG_PEER_MAX = 128,
    MSG_ADDR_BYTES_MAX = 1024,
    MSG_ADDR_MAX = 2048,
    PROTOCOL_TEXT_MAX = 255,
    REASON_TEXT_MAX = 1024,
    NAME_TEXT_MAX = 255,
    LINK_PATH_MAX = 4096, /* of a path that DNSLink leads from or to */
    BATCH_COUNT_MAX = 1024,
    WANTED_BY_MAX = 32,
    SERVED_PROTOCOLS_MAX = 16, /* by one actor, by protocol_serve */
    PEER_UP_ADDRS_MAX = 32,
    ROUTE_KEY_MAX = 128, /* of a value in the routing system */
    ROUTE_VALUE_MAX = 10 * 1024,
};

enum msg_kind {
#define ITEM(...)
#define MESSAGE(upper, lower, number, overflow, lane, ...) MSG_##upper = (number),
#include "schemas/messages/all.def"
#undef MESSAGE
#undef ITEM
};

#define ITEM(lower, text, ...)                                                                                         \
    FIELD_STRUCT(item_##lower, __VA_ARGS__)                                                                            \
    extern const struct schema schema_item_##lower;
#define MESSAGE(upper, lower, number, overflow, lane, text, ...) FIELD_STRUCT(msg_##lower, __VA_ARGS__)
#include "schemas/messages/all.def"
#undef MESSAGE
#undef ITEM

/* All of them, by kind. */
extern const struct schema_set schema_messages;

#endif

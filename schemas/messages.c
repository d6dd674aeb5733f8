/* SPDX-License-Identifier: MIT */
#include "schemas/messages.h"

enum { LANE_DATA = false, LANE_CONTROL = true };

#define ITEM(lower, text, ...)                                                                                         \
    FIELD_TABLE(item_##lower, __VA_ARGS__)                                                                             \
    const struct schema schema_item_##lower = {.name = #lower,                                                         \
                                               .struct_bytes = sizeof(struct item_##lower),                            \
                                               .fields = fields_item_##lower,                                          \
                                               .field_count = ARRAY_LEN(fields_item_##lower),                          \
                                               .doc = text};
#define MESSAGE(upper, lower, number, over, lane, text, ...) FIELD_TABLE(msg_##lower, __VA_ARGS__)
#include "schemas/messages/all.def"
#undef MESSAGE
#undef ITEM

static const struct schema schemas[] = {
#define ITEM(...)
#define MESSAGE(upper, lower, number, over, lane, text, ...)                                                           \
    {.name = #lower,                                                                                                   \
     .kind = (number),                                                                                                 \
     .overflow = OVERFLOW_##over,                                                                                      \
     .control_lane = LANE_##lane,                                                                                      \
     .struct_bytes = sizeof(struct msg_##lower),                                                                       \
     .fields = fields_msg_##lower,                                                                                     \
     .field_count = ARRAY_LEN(fields_msg_##lower),                                                                     \
     .doc = (text)},
#include "schemas/messages/all.def"
#undef MESSAGE
#undef ITEM
};

const struct schema_set schema_messages = {.schemas = schemas, .count = ARRAY_LEN(schemas)};

/* SPDX-License-Identifier: MIT */
/*
 * The arguments of an operation or a command, declared once:
 *
 *      (TEXT, path, REQUIRED, POSITIONAL, 0, NULL, 1, PATH_TEXT_MAX, "what to read")
 *      (U64, offset, OPTIONAL, FLAG, 'o', "0", 0, UINT64_MAX, "first byte")
 *
 * that is: type (BOOL, U64, TEXT, BYTES, LIST_TEXT, LIST_BYTES, MAP), name, presence, place, short flag (0 = none), value when absent (NULL =
 * zero), least and most (value, bytes, or count of a LIST), what it is for. HIDDEN arguments exist on the control socket only. On
 * the command line the name's underscores are dashes; a BOOL flag takes =true and =false.
 *
 * From that come the C struct, validation, defaults, `help`, docs/control.md and the parsing of the command line.
 */
#ifndef HEARTH_SCHEMAS_ARGUMENTS_H
#define HEARTH_SCHEMAS_ARGUMENTS_H

#include "schemas/fields.h"
#include "schemas/schema.h"

enum {
    PATH_TEXT_MAX = 4096,
    DATA_BYTES_MAX = 1024 * 1024,
    BLOCK_DATA_MAX = 2 * 1024 * 1024, /* what peers exchange */
    ROUTING_VALUE_MAX = 10 * 1024,
    BATCH_BLOCKS_MAX = 1024 /* of one request about many */
};

/* A switch is a flag of type TEXT: true or false as one of type BOOL, and empty where it is not given. */
enum argument_place { ARGUMENT_POSITIONAL, ARGUMENT_FLAG, ARGUMENT_SWITCH, ARGUMENT_HIDDEN };

struct argument {
    enum argument_place place;
    char flag;            /* 0 = none */
    const char *fallback; /* NULL = zero */
};

static inline bool argument_is_flag(const struct argument *a)
{
    return a->place == ARGUMENT_FLAG || a->place == ARGUMENT_SWITCH;
}

/* An operation of the control socket or a command of the client. */
struct operation {
    int id;
    const char *words; /* "swarm peers" */
    bool mutates;      /* executed once per request id */
    bool urgent;       /* passes admission */
    struct schema args;
    const struct argument *arguments; /* one per field of args */
    const char *result;               /* what `result` holds */
};

/* The fields of args, in order, as struct field and struct argument rows and as a C struct. */
#define ARGUMENT_MEMBER(s, tuple)        ARGUMENT_MEMBER_APPLY(FIELD_UNWRAP tuple, unused)
#define ARGUMENT_MEMBER_APPLY(...)       ARGUMENT_MEMBER_TYPED(__VA_ARGS__)
#define ARGUMENT_MEMBER_TYPED(type, ...) FIELD_MEMBER_##type(__VA_ARGS__)
#define ARGUMENT_ROW(s, tuple)           ARGUMENT_ROW_APPLY(s, FIELD_UNWRAP tuple, unused)
#define ARGUMENT_ROW_APPLY(...)          ARGUMENT_ROW_TYPED(__VA_ARGS__)
#define ARGUMENT_ROW_TYPED(s, type, ...) ARGUMENT_ROW_##type(s, __VA_ARGS__)
#define ARGUMENT_ROW_NONE(...)
#define ARGUMENT_ROW_U64(s, n, r, p, f, v, lo, hi, d, ...)   FIELD_ROW_SIMPLE(s, U64, n, r, lo, hi, d)
#define ARGUMENT_ROW_TEXT(s, n, r, p, f, v, lo, hi, d, ...)  FIELD_ROW_SIMPLE(s, TEXT, n, r, lo, hi, d)
#define ARGUMENT_ROW_BYTES(s, n, r, p, f, v, lo, hi, d, ...) FIELD_ROW_SIMPLE(s, BYTES, n, r, lo, hi, d)
#define ARGUMENT_ROW_LIST(s, t, n, r, lo, hi, most, d)                                                                 \
    {.name = #n,                                                                                                       \
     .type = FIELD_LIST,                                                                                               \
     .item = FIELD_##t,                                                                                                \
     .required = FIELD_##r,                                                                                            \
     .offset = offsetof(struct s, n),                                                                                  \
     .min = (lo),                                                                                                      \
     .max = (hi),                                                                                                      \
     .item_max = (most),                                                                                               \
     .doc = d},
#define ARGUMENT_ROW_LIST_TEXT(s, n, r, p, f, v, lo, hi, d, ...)                                                       \
    ARGUMENT_ROW_LIST(s, TEXT, n, r, lo, hi, PATH_TEXT_MAX, d)
#define ARGUMENT_ROW_LIST_BYTES(s, n, r, p, f, v, lo, hi, d, ...)                                                      \
    ARGUMENT_ROW_LIST(s, BYTES, n, r, lo, hi, BLOCK_DATA_MAX, d)
#define ARGUMENT_ROW_MAP(s, n, r, p, f, v, lo, hi, d, ...)  FIELD_ROW_SIMPLE(s, MAP, n, r, lo, hi, d)
#define ARGUMENT_ROW_BOOL(s, n, r, p, f, v, lo, hi, d, ...) FIELD_ROW_SIMPLE(s, BOOL, n, r, lo, hi, d)
#define ARGUMENT_MORE(s, tuple)                             ARGUMENT_MORE_APPLY(FIELD_UNWRAP tuple, unused)
#define ARGUMENT_MORE_APPLY(...)                            ARGUMENT_MORE_TYPED(__VA_ARGS__)
#define ARGUMENT_MORE_TYPED(type, ...)                      ARGUMENT_MORE_##type(__VA_ARGS__)
#define ARGUMENT_MORE_NONE(...)
#define ARGUMENT_MORE_BOOL(n, r, p, f, v, ...)       {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_U64(n, r, p, f, v, ...)        {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_TEXT(n, r, p, f, v, ...)       {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_BYTES(n, r, p, f, v, ...)      {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_LIST_TEXT(n, r, p, f, v, ...)  {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_MAP(n, r, p, f, v, ...)        {.place = ARGUMENT_##p, .flag = (f), .fallback = v},
#define ARGUMENT_MORE_LIST_BYTES(n, r, p, f, v, ...) {.place = ARGUMENT_##p, .flag = (f), .fallback = v},

#define ARGUMENT_STRUCT(s, ...)                                                                                        \
    struct s {                                                                                                         \
        FIELD_EACH(ARGUMENT_MEMBER, s, __VA_ARGS__)                                                                    \
    };
#define ARGUMENT_TABLES(s, ...)                                                                                        \
    static const struct field fields_##s[] = {FIELD_EACH(ARGUMENT_ROW, s, __VA_ARGS__)};                               \
    static const struct argument arguments_##s[] = {FIELD_EACH(ARGUMENT_MORE, s, __VA_ARGS__)};
#define ARGUMENT_OPERATION(s, number, w, m, u, text, res)                                                              \
    {.id = (number),                                                                                                   \
     .words = (w),                                                                                                     \
     .mutates = (m),                                                                                                   \
     .urgent = (u),                                                                                                    \
     .args = {.name = (w),                                                                                             \
              .struct_bytes = sizeof(struct s),                                                                        \
              .fields = fields_##s,                                                                                    \
              .field_count = ARRAY_LEN(fields_##s),                                                                    \
              .doc = (text)},                                                                                          \
     .arguments = arguments_##s,                                                                                       \
     .result = (res)},

/*
 * Unpacks a msgpack map of arguments into the operation's struct, absent ones taking their fallback. An empty span is the empty map.
 * Text where bytes are declared is read as multibase base64url into *scratch (which the spans then borrow from). Errors and
 * ret_why as schema_unpack.
 */
enum err arguments_unpack(const struct operation *op, struct span from, struct buf *scratch, void *ret_args,
                          char *ret_why, size_t why_bytes) MUST_CHECK;

#endif

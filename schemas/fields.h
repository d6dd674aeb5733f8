/* SPDX-License-Identifier: MIT */
/*
 * The macros behind a declaration: from one list of field tuples come the members of a C struct and its table of struct field.
 *
 *      (BOOL,       name, "doc")                                                          -> bool
 *      (U64,        name, REQUIRED|OPTIONAL, least, most, "doc")                          -> uint64_t
 *      (I64,        name, REQUIRED|OPTIONAL, least, most, "doc")                          -> int64_t
 *      (F64,        name, REQUIRED|OPTIONAL, "doc")                                       -> double, finite
 *      (TEXT,       name, REQUIRED|OPTIONAL, bytes_min, bytes_max, "doc")                 -> struct span, UTF-8
 *      (BYTES,      name, REQUIRED|OPTIONAL, bytes_min, bytes_max, "doc")                 -> struct span
 *      (LIST_U64,   name, REQUIRED|OPTIONAL, count_max, "doc")                            -> struct schema_list
 *      (LIST_TEXT,  name, REQUIRED|OPTIONAL, count_max, item_bytes_max, "doc")            -> struct schema_list
 *      (LIST_BYTES, name, REQUIRED|OPTIONAL, count_max, item_bytes_max, "doc")            -> struct schema_list
 *      (LIST_MAP,   name, REQUIRED|OPTIONAL, item, count_max, "doc")                      -> struct schema_list of ITEM item
 *      (NONE)                                                                             no fields at all
 *
 * An optional field that is absent reads as zero, and a zero in an optional field is packed as absent.
 */
#ifndef HEARTH_SCHEMAS_FIELDS_H
#define HEARTH_SCHEMAS_FIELDS_H

#include <stddef.h>

#include "schemas/schema.h"

/* Sizes of what both messages and operations carry. */
enum {
    KEY_FILE_MAX = 10 * 1024,   /* a private key, in any format */
    IPNS_BYTES_MAX = 10 * 1024, /* a record of a name */
};

enum { FIELD_REQUIRED = true, FIELD_OPTIONAL = false };

/* FIELD_EACH(F, S, tuple, tuple…) is F(S, tuple) F(S, tuple)…, for 1 to 24 tuples. */
#define FIELD_EACH_1(f, s, t)       f(s, t)
#define FIELD_EACH_2(f, s, t, ...)  f(s, t) FIELD_EACH_1(f, s, __VA_ARGS__)
#define FIELD_EACH_3(f, s, t, ...)  f(s, t) FIELD_EACH_2(f, s, __VA_ARGS__)
#define FIELD_EACH_4(f, s, t, ...)  f(s, t) FIELD_EACH_3(f, s, __VA_ARGS__)
#define FIELD_EACH_5(f, s, t, ...)  f(s, t) FIELD_EACH_4(f, s, __VA_ARGS__)
#define FIELD_EACH_6(f, s, t, ...)  f(s, t) FIELD_EACH_5(f, s, __VA_ARGS__)
#define FIELD_EACH_7(f, s, t, ...)  f(s, t) FIELD_EACH_6(f, s, __VA_ARGS__)
#define FIELD_EACH_8(f, s, t, ...)  f(s, t) FIELD_EACH_7(f, s, __VA_ARGS__)
#define FIELD_EACH_9(f, s, t, ...)  f(s, t) FIELD_EACH_8(f, s, __VA_ARGS__)
#define FIELD_EACH_10(f, s, t, ...) f(s, t) FIELD_EACH_9(f, s, __VA_ARGS__)
#define FIELD_EACH_11(f, s, t, ...) f(s, t) FIELD_EACH_10(f, s, __VA_ARGS__)
#define FIELD_EACH_12(f, s, t, ...) f(s, t) FIELD_EACH_11(f, s, __VA_ARGS__)
#define FIELD_EACH_13(f, s, t, ...) f(s, t) FIELD_EACH_12(f, s, __VA_ARGS__)
#define FIELD_EACH_14(f, s, t, ...) f(s, t) FIELD_EACH_13(f, s, __VA_ARGS__)
#define FIELD_EACH_15(f, s, t, ...) f(s, t) FIELD_EACH_14(f, s, __VA_ARGS__)
#define FIELD_EACH_16(f, s, t, ...) f(s, t) FIELD_EACH_15(f, s, __VA_ARGS__)
#define FIELD_EACH_17(f, s, t, ...) f(s, t) FIELD_EACH_16(f, s, __VA_ARGS__)
#define FIELD_EACH_18(f, s, t, ...) f(s, t) FIELD_EACH_17(f, s, __VA_ARGS__)
#define FIELD_EACH_19(f, s, t, ...) f(s, t) FIELD_EACH_18(f, s, __VA_ARGS__)
#define FIELD_EACH_20(f, s, t, ...) f(s, t) FIELD_EACH_19(f, s, __VA_ARGS__)
#define FIELD_EACH_21(f, s, t, ...) f(s, t) FIELD_EACH_20(f, s, __VA_ARGS__)
#define FIELD_EACH_22(f, s, t, ...) f(s, t) FIELD_EACH_21(f, s, __VA_ARGS__)
#define FIELD_EACH_23(f, s, t, ...) f(s, t) FIELD_EACH_22(f, s, __VA_ARGS__)
#define FIELD_EACH_24(f, s, t, ...) f(s, t) FIELD_EACH_23(f, s, __VA_ARGS__)
#define FIELD_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, _20, _21,     \
                   _22, _23, _24, picked, ...)                                                                         \
    picked
#define FIELD_EACH(f, s, ...)                                                                                          \
    FIELD_PICK(__VA_ARGS__, FIELD_EACH_24, FIELD_EACH_23, FIELD_EACH_22, FIELD_EACH_21, FIELD_EACH_20, FIELD_EACH_19,  \
               FIELD_EACH_18, FIELD_EACH_17, FIELD_EACH_16, FIELD_EACH_15, FIELD_EACH_14, FIELD_EACH_13,               \
               FIELD_EACH_12, FIELD_EACH_11, FIELD_EACH_10, FIELD_EACH_9, FIELD_EACH_8, FIELD_EACH_7, FIELD_EACH_6,    \
               FIELD_EACH_5, FIELD_EACH_4, FIELD_EACH_3, FIELD_EACH_2, FIELD_EACH_1, unused)                           \
    (f, s, __VA_ARGS__)

#define FIELD_UNWRAP(...) __VA_ARGS__

/* Members of the struct. */
#define FIELD_MEMBER(s, tuple)             FIELD_MEMBER_APPLY(s, FIELD_UNWRAP tuple, unused)
#define FIELD_MEMBER_APPLY(...)            FIELD_MEMBER_TYPED(__VA_ARGS__)
#define FIELD_MEMBER_TYPED(s, type, ...)   FIELD_MEMBER_##type(__VA_ARGS__)
#define FIELD_MEMBER_NONE(...)             uint8_t no_fields;
#define FIELD_MEMBER_BOOL(name, ...)       bool name;
#define FIELD_MEMBER_U64(name, ...)        uint64_t name;
#define FIELD_MEMBER_I64(name, ...)        int64_t name;
#define FIELD_MEMBER_F64(name, ...)        double name;
#define FIELD_MEMBER_TEXT(name, ...)       struct span name;
#define FIELD_MEMBER_BYTES(name, ...)      struct span name;
#define FIELD_MEMBER_LIST_U64(name, ...)   struct schema_list name;
#define FIELD_MEMBER_LIST_TEXT(name, ...)  struct schema_list name;
#define FIELD_MEMBER_LIST_BYTES(name, ...) struct schema_list name;
#define FIELD_MEMBER_LIST_MAP(name, ...)   struct schema_list name;
#define FIELD_MEMBER_MAP(name, ...)        struct span name;
#define FIELD_STRUCT(s, ...)                                                                                           \
    struct s {                                                                                                         \
        FIELD_EACH(FIELD_MEMBER, s, __VA_ARGS__)                                                                       \
    };

/* Rows of the table of struct field. */
#define FIELD_ROW(s, tuple)           FIELD_ROW_APPLY(s, FIELD_UNWRAP tuple, unused)
#define FIELD_ROW_APPLY(...)          FIELD_ROW_TYPED(__VA_ARGS__)
#define FIELD_ROW_TYPED(s, type, ...) FIELD_ROW_##type(s, __VA_ARGS__)
#define FIELD_ROW_NONE(...)
#define FIELD_ROW_BOOL(s, n, d, ...) {.name = #n, .type = FIELD_BOOL, .offset = offsetof(struct s, n), .doc = d},
#define FIELD_ROW_SIMPLE(s, t, n, r, lo, hi, d)                                                                        \
    {.name = #n,                                                                                                       \
     .type = FIELD_##t,                                                                                                \
     .required = FIELD_##r,                                                                                            \
     .offset = offsetof(struct s, n),                                                                                  \
     .min = (uint64_t)(lo),                                                                                            \
     .max = (uint64_t)(hi),                                                                                            \
     .doc = d},
#define FIELD_ROW_U64(s, n, r, lo, hi, d, ...)   FIELD_ROW_SIMPLE(s, U64, n, r, lo, hi, d)
#define FIELD_ROW_I64(s, n, r, lo, hi, d, ...)   FIELD_ROW_SIMPLE(s, I64, n, r, lo, hi, d)
#define FIELD_ROW_F64(s, n, r, d, ...)           FIELD_ROW_SIMPLE(s, F64, n, r, 0, 0, d)
#define FIELD_ROW_TEXT(s, n, r, lo, hi, d, ...)  FIELD_ROW_SIMPLE(s, TEXT, n, r, lo, hi, d)
#define FIELD_ROW_BYTES(s, n, r, lo, hi, d, ...) FIELD_ROW_SIMPLE(s, BYTES, n, r, lo, hi, d)
#define FIELD_ROW_LIST(s, t, n, r, ne, count, most, d)                                                                 \
    {.name = #n,                                                                                                       \
     .type = FIELD_LIST,                                                                                               \
     .item = FIELD_##t,                                                                                                \
     .nested = ne,                                                                                                     \
     .required = FIELD_##r,                                                                                            \
     .offset = offsetof(struct s, n),                                                                                  \
     .max = (count),                                                                                                   \
     .item_max = (most),                                                                                               \
     .doc = d},
#define FIELD_ROW_LIST_U64(s, n, r, count, d, ...)         FIELD_ROW_LIST(s, U64, n, r, NULL, count, UINT64_MAX, d)
#define FIELD_ROW_LIST_TEXT(s, n, r, count, most, d, ...)  FIELD_ROW_LIST(s, TEXT, n, r, NULL, count, most, d)
#define FIELD_ROW_LIST_BYTES(s, n, r, count, most, d, ...) FIELD_ROW_LIST(s, BYTES, n, r, NULL, count, most, d)
#define FIELD_ROW_LIST_MAP(s, n, r, i, count, d, ...)      FIELD_ROW_LIST(s, MAP, n, r, &schema_item_##i, count, 0, d)
#define FIELD_TABLE(s, ...)                                static const struct field fields_##s[] = {FIELD_EACH(FIELD_ROW, s, __VA_ARGS__)};

#endif

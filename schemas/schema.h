/* SPDX-License-Identifier: MIT */
/*
 * Schemas: each message that crosses a mailbox or the control socket is declared once, as a list of fields, and from that one
 * declaration come its C struct, packing, unpacking with validation, the reference page and the command line's parsing.
 *
 * On the wire a message body is a msgpack map from field name (control) or an array in field order (mailbox). In C:
 *
 *      BOOL -> bool    U64 -> uint64_t    I64 -> int64_t    F64 -> double
 *      TEXT -> struct span (UTF-8)        BYTES -> struct span
 *      LIST of U64/TEXT/BYTES/MAP -> struct schema_list, read with schema_list_next_*
 *      MAP -> struct span, the encoded map, for schema_unpack with the nested schema
 *
 * Spans and lists of an unpacked message borrow from the packed bytes. Unpacking checks type, range, length, count, unknown and
 * missing fields, and allocates nothing in proportion to what the input claims.
 */
#ifndef HEARTH_SCHEMAS_SCHEMA_H
#define HEARTH_SCHEMAS_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum field_type { FIELD_BOOL, FIELD_U64, FIELD_I64, FIELD_F64, FIELD_TEXT, FIELD_BYTES, FIELD_LIST, FIELD_MAP };

struct pack;
struct schema;

struct field {
    const char *name;
    enum field_type type;
    enum field_type item;        /* of a LIST */
    const struct schema *nested; /* of a MAP, or of a LIST of MAP */
    bool required;               /* absent optional fields are zero */
    size_t offset;
    uint64_t min; /* value, or length in bytes, or count of a LIST */
    uint64_t max;
    uint64_t item_max; /* bytes of one item of a LIST */
    const char *doc;
};

/* What a full mailbox does with the message. */
enum overflow { OVERFLOW_PUSH_BACK, OVERFLOW_DROP_OLDEST, OVERFLOW_REFUSE, OVERFLOW_RESERVED };

struct schema {
    const char *name;
    uint16_t kind;
    enum overflow overflow;
    bool control_lane;
    size_t struct_bytes;
    const struct field *fields;
    size_t field_count;
    const char *doc;
};

/* The encoded items of a LIST field, as received; or built with schema_list_begin/add for sending. */
struct schema_list {
    struct span raw;
    uint32_t count;
};

/* A set of schemas, sorted by kind; the production set is schema_messages of schemas/messages.h. */
struct schema_set {
    const struct schema *schemas;
    size_t count;
};

const struct schema *schema_find(const struct schema_set *set, uint16_t kind);

enum schema_form { SCHEMA_ARRAY, SCHEMA_MAP };

/* Packs the struct; ERR_INVALID when a value breaks its own declaration (a programmer or configuration error), ERR_TOO_LARGE. */
enum err schema_pack(const struct schema *s, enum schema_form form, const void *fields, struct buf *to) MUST_CHECK;

/* Packs one member, which lies at `at`, by its type. It must be within its limits. */
void schema_pack_value(struct pack *p, const struct field *f, const void *at);

/*
 * Unpacks into a struct of s->struct_bytes, zeroed first. On an error ret_why (may be NULL, size why_bytes) gets one sentence that names the field.
 * ERR_INVALID, ERR_TRUNCATED, ERR_TOO_LARGE. Trailing bytes are an error.
 */
enum err schema_unpack(const struct schema *s, enum schema_form form, struct span from, void *ret_fields, char *ret_why,
                       size_t why_bytes) MUST_CHECK;

/* The same over fields that the caller has filled with defaults: what is absent in the input keeps its value. */
enum err schema_unpack_over(const struct schema *s, enum schema_form form, struct span from, void *fields,
                            char *ret_why, size_t why_bytes) MUST_CHECK;

/* Lists: iterate with *position = 0; false at the end. The list was validated by schema_unpack. */
bool schema_list_next_bytes(const struct schema_list *list, size_t *position, struct span *ret_item);
bool schema_list_next_u64(const struct schema_list *list, size_t *position, uint64_t *ret_item);
/* For a LIST of MAP: unpacks the next item into ret_fields. */
bool schema_list_next_map(const struct schema_list *list, const struct schema *item, size_t *position,
                          void *ret_fields);

/* Building: append items to a buf, then point the field at it with schema_list_of. */
enum err schema_list_add_bytes(struct buf *to, struct span item) MUST_CHECK;
enum err schema_list_add_text(struct buf *to, struct span item) MUST_CHECK;
enum err schema_list_add_u64(struct buf *to, uint64_t item) MUST_CHECK;
enum err schema_list_add_map(struct buf *to, const struct schema *item, const void *fields) MUST_CHECK;
static inline struct schema_list schema_list_of(const struct buf *items, uint32_t count)
{
    return (struct schema_list){.raw = {.data = items->data, .len = items->len}, .count = count};
}

#endif

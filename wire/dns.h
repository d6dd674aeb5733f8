/* SPDX-License-Identifier: MIT */
/*
 * DNS messages, as far as multicast DNS needs them: a reader that walks records in place and a writer that appends.
 *
 *      | id 2 | flags 2 | questions 2 | answers 2 | authority 2 | additional 2 |      all big-endian
 *      question:  name | type 2 | class 2
 *      record:    name | type 2 | class 2 | ttl 4 | length 2 | data
 *      name:      03 'f' 'o' 'o' 05 'l' 'o' 'c' 'a' 'l' 00, or a tail of it as c0 | offset (a pointer backwards)
 *
 * Reading allocates nothing. A name is copied out of its compressed form: pointers must lead backwards, at most DNS_POINTERS_MAX of
 * them, and the result is at most 255 bytes, so the work per name is bounded whatever the message says. The counts of the header
 * are claims: reading ends with the bytes. The writer does not compress, since the few names of one answer fit a packet anyhow.
 * Spec: RFC 1035 section 4, RFC 6762 section 18.
 */
#ifndef HEARTH_WIRE_DNS_H
#define HEARTH_WIRE_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    DNS_HEADER_BYTES = 12,
    DNS_NAME_BYTES_MAX = 255,
    DNS_LABEL_BYTES_MAX = 63,
    DNS_STRING_BYTES_MAX = 255,
    DNS_POINTERS_MAX = 32,
};

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_ANY = 255 };

/* The top bit of a class is not part of it in multicast DNS: unicast wished (question), flush the cache (record). */
enum { DNS_CLASS_IN = 1, DNS_CLASS_MASK = 0x7fff, DNS_CLASS_TOP = 0x8000 };

enum { DNS_FLAG_RESPONSE = 0x8000, DNS_FLAG_AUTHORITATIVE = 0x0400, DNS_OPCODE_MASK = 0x7800, DNS_RCODE_MASK = 0x000f };

enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/* Uncompressed labels with their lengths, the root's 0 included. The name of nothing has len 0. */
struct dns_name {
    uint8_t len;
    uint8_t bytes[DNS_NAME_BYTES_MAX];
};

/* Reads "_p2p._udp.local". ERR_INVALID: an empty label or one over 63 bytes, a name over 255. */
enum err dns_name_parse_text(const char *text, struct dns_name *ret_name) MUST_CHECK;

/* Makes label.parent. Errors as above; a dot in the label is part of it. */
enum err dns_name_below(struct span label, const struct dns_name *parent, struct dns_name *ret_name) MUST_CHECK;

/* Equality, and whether name lies below parent; letters compare without case. */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
bool dns_name_is_below(const struct dns_name *name, const struct dns_name *parent);

static inline struct span dns_name_span(const struct dns_name *name)
{
    return span_of(name->bytes, name->len);
}

struct dns_reader {
    struct span message;
    size_t at;
    uint16_t flags;
    uint16_t left[DNS_SECTIONS]; /* items that the header announced and that were not read yet */
};

/* A question (no ttl, no data) or a record. */
struct dns_item {
    enum dns_section section;
    struct dns_name name;
    uint16_t type;
    uint16_t class;
    uint32_t ttl;
    struct span data; /* borrowed from the message */
};

/* Reads the header. message is borrowed. ERR_TRUNCATED. */
enum err dns_read(struct span message, struct dns_reader *ret_reader) MUST_CHECK;

/* The next item. ERR_NOT_FOUND after the last; ERR_TRUNCATED, ERR_INVALID: the rest cannot be read. */
enum err dns_next(struct dns_reader *reader, struct dns_item *ret_item) MUST_CHECK;

/* The name that the data of an item holds from offset on: 0 of a PTR, 6 of an SRV. ERR_TRUNCATED, ERR_INVALID. */
enum err dns_data_name(const struct dns_reader *reader, const struct dns_item *item, size_t offset,
                       struct dns_name *ret_name) MUST_CHECK;

/* Takes the next string from the front of the data of a TXT. ERR_NOT_FOUND at its end, ERR_TRUNCATED. */
enum err dns_next_string(struct span *data, struct span *ret_string) MUST_CHECK;

/* Appends one message to a buffer that was empty. An error stays: it is enough to look at the end. */
struct dns_writer {
    struct buf *to;
    uint16_t counts[DNS_SECTIONS];
    enum err err;
};

void dns_write_begin(struct dns_writer *writer, struct buf *to, uint16_t flags);

/* Sections must come in order. */
void dns_write_question(struct dns_writer *writer, const struct dns_name *name, uint16_t type, uint16_t class);
void dns_write_record(struct dns_writer *writer, enum dns_section section, const struct dns_name *name, uint16_t type,
                      uint16_t class, uint32_t ttl, struct span data);

/* Writes the counts. ERR_TOO_LARGE, ERR_NOMEM: of any call since begin. */
enum err dns_write_end(struct dns_writer *writer) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The protocols of multiaddr and the text of their values: private to multiaddr.c and multiaddr_value.c.
 */
#ifndef HEARTH_WIRE_MULTIADDR_VALUE_H
#define HEARTH_WIRE_MULTIADDR_VALUE_H

#include "wire/multiaddr.h"

enum multiaddr_kind {
    KIND_NONE,
    KIND_IP4,
    KIND_IP6,
    KIND_PORT,
    KIND_BYTE,
    KIND_U64,
    KIND_NAME,
    KIND_P2P,
    KIND_CERTHASH,
    KIND_ONION,
    KIND_ONION3,
    KIND_GARLIC64,
    KIND_GARLIC32,
    KIND_UNIX,
    KIND_HTTP_PATH
};

enum { MULTIADDR_SIZE_VARIES = -1 };

struct multiaddr_protocol {
    enum multiaddr_code code;
    const char *name;
    enum multiaddr_kind kind;
    int size; /* of the value, or MULTIADDR_SIZE_VARIES */
};

/* NULL when there is none. */
const struct multiaddr_protocol *multiaddr_protocol_of(uint64_t code);
const struct multiaddr_protocol *multiaddr_protocol_named(struct span name);

/* Whether these bytes may be a value of this kind. */
bool multiaddr_value_ok(enum multiaddr_kind kind, struct span value);

/* Text to bytes and back, one value. ERR_INVALID, ERR_TOO_LARGE. Text has no NUL. */
enum err multiaddr_value_parse(enum multiaddr_kind kind, struct span text, uint8_t *to, size_t cap,
                               size_t *ret_len) MUST_CHECK;
enum err multiaddr_value_text(enum multiaddr_kind kind, struct span value, char *to, size_t cap,
                              size_t *ret_len) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A pin as Kubo keeps it and as it lists it.
 *
 *      CBOR map     cid: bytes, mode: 0 recursive or 1 direct, name: text (optional), metadata: anything (optional)
 *      line         <cid> <recursive, direct or indirect> <name>        the name may be missing, and so may the kind
 *
 * Of CBOR only definite lengths occur. Nothing is allocated, nesting takes no stack.
 */
#ifndef HEARTH_WIRE_KUBO_PIN_H
#define HEARTH_WIRE_KUBO_PIN_H

#include "wire/cid.h"

enum { KUBO_PIN_NAME_MAX = 255 };

struct kubo_pin {
    struct cid cid;
    bool recursive;
    char name[KUBO_PIN_NAME_MAX + 1]; /* cut when it is longer */
};

/* Reads a CBOR map and nothing else. ERR_INVALID, ERR_TRUNCATED, ERR_TOO_LARGE; ERR_UNSUPPORTED: neither recursive nor direct. */
enum err kubo_pin_decode(struct span value, struct kubo_pin *ret_pin) MUST_CHECK;

/* Reads one line. ERR_NOT_FOUND: an indirect pin, or an empty line; ERR_INVALID. */
enum err kubo_pin_parse(struct span line, struct kubo_pin *ret_pin) MUST_CHECK;

#endif

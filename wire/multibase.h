/* SPDX-License-Identifier: MIT */
/*
 * Multibase: bytes as text, where the first character names the alphabet.
 *
 * Two algorithms cover all bases: groups of bits (2, 8, 16, 32 and 64 with their variants) and one large number (10, 36, 58).
 * The second one takes quadratic time, so its input is bounded by MULTIBASE_NUMBER_MAX. Decoding is strict, since one value
 * should have one text: bits left over must be zero, padding must be exact, and nothing but the alphabet is accepted; the case
 * is ignored where the alphabet has one case only. Spec: multiformats/multibase.
 */
#ifndef HEARTH_WIRE_MULTIBASE_H
#define HEARTH_WIRE_MULTIBASE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum { MULTIBASE_NUMBER_MAX = 512 }; /* bytes of data in base10, 36 and 58 */

/* The value is the character that leads the text. */
enum multibase {
    MULTIBASE_2 = '0',
    MULTIBASE_8 = '7',
    MULTIBASE_10 = '9',
    MULTIBASE_16 = 'f',
    MULTIBASE_16_UPPER = 'F',
    MULTIBASE_32_HEX = 'v',
    MULTIBASE_32_HEX_UPPER = 'V',
    MULTIBASE_32_HEX_PAD = 't',
    MULTIBASE_32_HEX_PAD_UPPER = 'T',
    MULTIBASE_32 = 'b',
    MULTIBASE_32_UPPER = 'B',
    MULTIBASE_32_PAD = 'c',
    MULTIBASE_32_PAD_UPPER = 'C',
    MULTIBASE_32_Z = 'h',
    MULTIBASE_36 = 'k',
    MULTIBASE_36_UPPER = 'K',
    MULTIBASE_58_BTC = 'z',
    MULTIBASE_58_FLICKR = 'Z',
    MULTIBASE_64 = 'm',
    MULTIBASE_64_PAD = 'M',
    MULTIBASE_64_URL = 'u',
    MULTIBASE_64_URL_PAD = 'U'
};

/* The base that a leading character names. ERR_UNSUPPORTED. */
enum err multibase_of(char prefix, enum multibase *ret_base) MUST_CHECK;

/* The base of a registered name ("base32"), as people pass to --cid-base. ERR_UNSUPPORTED. */
enum err multibase_of_name(const char *name, enum multibase *ret_base) MUST_CHECK;
const char *multibase_name(enum multibase base);

/* An upper bound of the characters for len bytes (without a leading character), and of the bytes for chars characters. */
size_t multibase_text_max(enum multibase base, size_t len);
size_t multibase_bytes_max(enum multibase base, size_t chars);

/*
 * Writes data as text without the leading character and without a final NUL. ERR_TOO_LARGE when cap (>= multibase_text_max()
 * always suffices) or MULTIBASE_NUMBER_MAX is too small.
 */
enum err multibase_encode_bare(enum multibase base, struct span data, char *to, size_t cap, size_t *ret_len) MUST_CHECK;

/* Reads text that has no leading character. ERR_INVALID for foreign characters, ERR_TOO_LARGE when cap is too small. */
enum err multibase_decode_bare(enum multibase base, struct span text, uint8_t *to, size_t cap,
                               size_t *ret_len) MUST_CHECK;

/* Appends the leading character and the text to a buffer. Errors as above, ERR_NOMEM. */
enum err multibase_encode(enum multibase base, struct span data, struct buf *out) MUST_CHECK;

/* Appends the bytes of a text with its leading character; ret_base may be NULL. ERR_INVALID when empty. */
enum err multibase_decode(struct span text, struct buf *out, enum multibase *ret_base) MUST_CHECK;

#endif

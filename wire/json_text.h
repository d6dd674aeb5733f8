/* SPDX-License-Identifier: MIT */
/*
 * The words of JSON (RFC 8259), taken from the front of a text one by one: for formats that need more than a tree of values, see dag_json.h.
 * Nothing is allocated but what json_text_unescape appends. *in moves on success only.
 */
#ifndef HEARTH_WIRE_JSON_TEXT_H
#define HEARTH_WIRE_JSON_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

void json_text_skip_space(struct span *in);

/* Takes the character, spaces before it too; false when another one stands there. */
bool json_text_take_char(struct span *in, char c);

/* Takes a literal such as "null"; false when it does not stand there. */
bool json_text_take_word(struct span *in, const char *word);

/*
 * Takes a string and gives what stands between its quotes, escapes as they are. ERR_TRUNCATED; ERR_INVALID: no string, a control
 * character, an escape that is none. Escapes of surrogates are looked at by json_text_unescape only.
 */
enum err json_text_take_string(struct span *in, struct span *ret_raw) MUST_CHECK;

/* Appends the text of a raw string. ERR_INVALID: a lone surrogate, or not UTF-8; else as buf_append. */
enum err json_text_unescape(struct span raw, struct buf *out) MUST_CHECK;

/* Whether a raw string is that text, which is ASCII, however its characters are written. */
bool json_text_string_is(struct span raw, const char *text);

/* Takes the characters of a number; ERR_INVALID when they are none by the grammar. */
enum err json_text_take_number(struct span *in, struct span *ret_text, bool *ret_is_integer) MUST_CHECK;

/* Appends text as a string in quotes. ERR_UNSUPPORTED when it is not UTF-8; else as buf_append. */
enum err json_text_append_string(struct buf *out, struct span text) MUST_CHECK;

/*
 * Appends the shortest decimal that reads back as the same double, as ECMAScript writes it but always with a point or an exponent. real is
 * finite.
 */
enum err json_text_append_real(struct buf *out, double real) MUST_CHECK;

#endif

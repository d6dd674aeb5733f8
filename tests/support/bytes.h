/* SPDX-License-Identifier: MIT */
/*
 * What tests of byte formats share: bytes from hex, comparison with hex, and the published vectors.
 */
#ifndef HEARTH_TESTS_SUPPORT_BYTES_H
#define HEARTH_TESTS_SUPPORT_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Include after cmocka.h. */
#define assert_ok(expr)        assert_string_equal(err_name(expr), "ok")
#define assert_err(expr, code) assert_string_equal(err_name(expr), err_name(code))
#define assert_span(s, hex)    assert_string_equal(bytes_to_hex(s), hex)

/* The bytes of lower-case hex in a static ring of 8 buffers of 8 KiB; the test aborts on anything else. */
struct span bytes_of_hex(const char *hex);

/* The hex of at most 4 KiB, in a static ring of 8 buffers. */
const char *bytes_to_hex(struct span bytes);

/*
 * Reads the file below HEARTH_VECTORS into a heap buffer that ends in a NUL not counted in ret_len; the caller frees. NULL when
 * the test was built without vectors or the file is not there: then the test skips itself.
 */
char *vectors_read(const char *path, size_t *ret_len);

/* The folder below HEARTH_VECTORS in a static buffer, or NULL. */
const char *vectors_path(const char *path);

#endif

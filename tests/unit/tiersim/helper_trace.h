/* SPDX-License-Identifier: MIT */
/* What the tests of tier-sim share: traces made in memory. Brings cmocka. */
#ifndef HEARTH_TESTS_TIERSIM_HELPER_TRACE_H
#define HEARTH_TESTS_TIERSIM_HELPER_TRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/bytes.h"
#include "tiersim/trace.h"

/* The bytes as a file to read; the caller closes it. */
FILE *memory_file(const void *bytes, size_t len);

/* Loads; the caller releases. Aborts the test on an error. */
struct trace trace_of(enum trace_format format, const void *bytes, size_t len);

/* A trace of keys, one a character. */
struct trace trace_of_letters(const char *letters);

#endif

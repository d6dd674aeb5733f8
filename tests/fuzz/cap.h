/* SPDX-License-Identifier: MIT */
/* What every fuzz target may allocate beside 64 times its input: 1 MiB, unless the target defines it and says why. */
#ifndef HEARTH_TESTS_FUZZ_CAP_H
#define HEARTH_TESTS_FUZZ_CAP_H

#include <stddef.h>

extern const size_t fuzz_free_bytes;

#endif

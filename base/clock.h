/* SPDX-License-Identifier: MIT */
/*
 * The machine's clocks, in nanoseconds. Only backends, the real ports and the command line read them: actors ask ctx_now().
 */
#ifndef HEARTH_BASE_CLOCK_H
#define HEARTH_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t clock_mono_ns(void);

/* CLOCK_REALTIME since the epoch. */
uint64_t clock_real_ns(void);

#endif

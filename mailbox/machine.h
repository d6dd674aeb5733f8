/* SPDX-License-Identifier: MIT */
/*
 * What the backends on the real machine have in common: its clocks, its randomness, how a thread of the program waits for the runtime.
 */
#ifndef HEARTH_MAILBOX_MACHINE_H
#define HEARTH_MAILBOX_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct ctx;
struct runtime;

uint64_t machine_now(const struct runtime *rt);
uint64_t machine_real_now(const struct runtime *rt);
void machine_random(struct ctx *actor, void *to, size_t len);
bool machine_await(struct runtime *rt, bool (*done)(void *arg), void *arg, uint64_t timeout_ns);
void machine_stall(struct ctx *actor, uint64_t ns);
/* How long until then, for ppoll: 0 when it has passed, an hour at most. */
struct timespec machine_left(uint64_t wake_at_ns);
/* What a thread or a process has used, in ns; 0 when it is not there any more. */
uint64_t machine_cpu(clockid_t clock);

#endif

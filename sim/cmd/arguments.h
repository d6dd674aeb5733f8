/* SPDX-License-Identifier: MIT */
/* What both faces of hearth-sim take from their command line. For the program alone. */
#ifndef HEARTH_SIM_CMD_ARGUMENTS_H
#define HEARTH_SIM_CMD_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "mailbox/actor.h"

bool take_number(const char *text, uint64_t max, uint64_t *ret_number);

/* A log_fn: one line on stderr. */
void print_log(void *arg, enum log_level level, const char *actor, const char *text);

#endif

/* SPDX-License-Identifier: MIT */
/* hearth-sim --scenario NAME, and hearth-sim view FILE. For the program alone. */
#ifndef HEARTH_SIM_CMD_TRIAL_CMD_H
#define HEARTH_SIM_CMD_TRIAL_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "mailbox/runtime.h"

extern const char trial_usage[];

/* The arguments of the program without the program's name; returns its exit code. */
int trial_command(int argc, char **argv);
int view_command(int argc, char **argv);

#endif

/* SPDX-License-Identifier: MIT */
/* The command tier-sim, without its process. */
#ifndef HEARTH_TIERSIM_COMMAND_H
#define HEARTH_TIERSIM_COMMAND_H

#include <stdio.h>

/* Does what the arguments say; the exit status: 0, 1 for an error, 2 for wrong usage. Results go to out, errors to err. */
int tier_sim_command(int argc, char **argv, FILE *out, FILE *err);

#endif

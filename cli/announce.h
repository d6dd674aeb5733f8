/* SPDX-License-Identifier: MIT */
/* What a person who started the daemon wants to know, asked of the daemon itself through its control socket. */
#ifndef HEARTH_CLI_ANNOUNCE_H
#define HEARTH_CLI_ANNOUNCE_H

struct config;

/*
 * Prints peer id, addresses, where the control socket and the databases are, `Daemon is ready`, and the line to paste into a second
 * terminal. When the daemon does not answer within 5 s, says so instead of `Daemon is ready`. life > 0 is a restart by the nanny.
 */
void announce(const struct config *config, unsigned life);

#endif

/* SPDX-License-Identifier: MIT */
/* The way to the control socket: where it is, and how long it is dialled again. */
#ifndef HEARTH_CLI_DIAL_H
#define HEARTH_CLI_DIAL_H

#include <nng/nng.h>

#include "cli/commands.h"

enum { DIAL_URL_MAX = 2048, DIAL_MS = 10000, DIAL_WHY_BYTES = 512 };

/* The control socket's URL: --api, else of the repository. ERR_TOO_LARGE and others of repository_find: why has the sentence for the user. */
enum err dial_url(const struct globals *globals, char url[DIAL_URL_MAX], char why[DIAL_WHY_BYTES]) MUST_CHECK;

/*
 * Connects the socket, which comes back by itself later when the connection is lost. Tried again for timeout_ms at most: while too many wait there, and
 * while a daemon that takes no connections may do so yet (cli/absence.h). An error of nng.
 */
int dial_socket(nng_socket socket, const char *url, uint64_t timeout_ms, nng_dialer *ret_dialer) MUST_CHECK;

/*
 * Another dialer in the place of one that brought no connection for some time: nng 1.5.2 never tries again after NNG_ECLOSED, which is how it may end
 * when whoever answers does in the middle of the greeting. Does not wait. On an error there is none, and this may be called again.
 */
void dial_anew(nng_socket socket, const char *url, nng_dialer *dialer);

/* The sentence for the user about such an error. */
void dial_why(const char *url, int code, char why[DIAL_WHY_BYTES]);

/* Waits some milliseconds, more from time to time and never the same as others do, at most most_ms or so. */
void dial_pause(unsigned attempt, unsigned most_ms);

#endif

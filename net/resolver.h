/* SPDX-License-Identifier: MIT */
/*
 * Names: the production dns_port, on the C library's resolver, so that /etc/hosts, search rules and caches are the machine's own.
 *
 * Blocking, from jobs only; any number of threads at once. c-ares would give non-blocking look-ups, but names are rare (bootstrap,
 * /dnsaddr) and a job lane bounds them already.
 */
#ifndef HEARTH_NET_RESOLVER_H
#define HEARTH_NET_RESOLVER_H

#include "mailbox/ports.h"

/* A static port; nothing to free. */
const struct dns_port *resolver_port(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Names: the production dns_port, on c-ares.
 *
 *      job ── question ──> a channel of its own ── UDP, or TCP when cut ──> name servers
 *        <── addresses or texts ── poll: until answer, deadline or cancel
 *
 * Blocking, from jobs only; any number of threads at once. The C library's resolver was used before: it neither can be cancelled nor
 * takes a deadline, so one silent server held a worker for half a minute. A channel lives as long as its question, since names are
 * rare; so it knows /etc/resolv.conf and /etc/hosts as they are now. What other sources nsswitch.conf may name is not asked.
 *
 * An answer is believed if it comes from the server asked, with the id and question sent (c-ares); its TXT records are read by
 * wire/dns, which is bounded.
 */
#ifndef HEARTH_NET_NAME_RESOLVER_H
#define HEARTH_NET_NAME_RESOLVER_H

#include "base/attr.h"
#include "mailbox/ports.h"

struct name_resolver;

/*
 * servers: comma-separated, IP or IP:PORT or [IP6]:PORT, asked in this order; empty: those of the machine. ERR_INVALID (what is given
 * names no servers), ERR_NOMEM, ERR_UNSUPPORTED (the library does not start).
 */
enum err name_resolver_new(const char *servers, struct name_resolver **ret_resolver) MUST_CHECK;

/* Not while a question is asked. NULL-safe. */
void name_resolver_free(struct name_resolver *r);

/* Lives as long as the resolver. */
const struct dns_port *name_resolver_port(struct name_resolver *r);

#endif

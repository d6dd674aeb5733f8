/* SPDX-License-Identifier: MIT */
/*
 * DNSLink for discovery: each call is a job that asks DNS for one name after another until wire/dnslink is done.
 *
 * Bounds: DNS_LINKS_MAX at a time, then ERR_BUSY; each DNS_LINK_SECONDS at most, or what its caller has left. A caller that gives up
 * ends its job within a tenth of a second. Private to actors/discovery: called on its thread, from its handlers.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_DNS_LINKS_H
#define HEARTH_ACTORS_DISCOVERY_DNS_LINKS_H

#include "mailbox/actor.h"

enum { DNS_LINKS_MAX = 16, DNS_LINK_SECONDS = 30, TAG_DNS_LINKS = 3000 };

struct msg_dns_link;

struct dns_links {
    struct reply_to calls[DNS_LINKS_MAX];
    bool used[DNS_LINKS_MAX];
    bool given_up[DNS_LINKS_MAX];
};

/* Answers dns_link, in time. ERR_BUSY, ERR_NOMEM, ERR_UNAVAILABLE (a runtime without names), or the call is answered already. */
enum err dns_links_call(struct dns_links *d, struct ctx *ctx, const struct msg_dns_link *fields,
                        struct reply_to call) MUST_CHECK;

/* The end of a job or of a caller's patience; others are passed over. */
void dns_links_info(struct dns_links *d, struct ctx *ctx, const struct info *info);

#endif

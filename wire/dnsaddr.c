/* SPDX-License-Identifier: MIT */
#include "wire/dnsaddr.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define KEY "dnsaddr="

/* Takes /dnsaddr/NAME[/p2p/ID] apart. */
static enum err split(struct span bytes, struct dnsaddr_question *to)
{
    struct multiaddr_part name;
    struct multiaddr_part rest;
    enum err err = multiaddr_next(&bytes, &name);
    if (err != ERR_OK)
        return err;
    if (name.code != MULTIADDR_DNSADDR)
        return ERR_UNSUPPORTED;
    if (name.value.len == 0 || name.value.len > MULTIADDR_NAME_MAX ||
        memchr(name.value.data, '\0', name.value.len) != NULL)
        return ERR_INVALID;
    to->peer = (struct peer_id){0};
    if (bytes.len > 0) {
        err = multiaddr_next(&bytes, &rest);
        if (err != ERR_OK || rest.code != MULTIADDR_P2P || bytes.len > 0)
            return err == ERR_OK ? ERR_UNSUPPORTED : err;
        err = peer_id_parse(rest.value, &to->peer);
        if (err != ERR_OK)
            return err;
    }
    size_t prefix = sizeof(DNSADDR_PREFIX) - 1;
    memcpy(to->host, DNSADDR_PREFIX, prefix);
    memcpy(to->host + prefix, name.value.data, name.value.len);
    to->host[prefix + name.value.len] = '\0';
    return ERR_OK;
}

static bool is_known(const struct dnsaddr *d, const struct dnsaddr_question *question)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcasecmp(d->questions[i].host, question->host) == 0 &&
            peer_id_equal(&d->questions[i].peer, &question->peer))
            return true;
    return false;
}

enum err dnsaddr_init(struct dnsaddr *d, const struct multiaddr *addr)
{
    d->count = 0;
    d->asked = 0;
    d->addrs = 0;
    enum err err = split(multiaddr_span(addr), &d->questions[0]);
    if (err != ERR_OK)
        return err;
    d->questions[0].depth = 1;
    d->count = 1;
    return ERR_OK;
}

const char *dnsaddr_next(struct dnsaddr *d)
{
    if (d->asked == d->count || d->addrs == DNSADDR_ADDRS_MAX)
        return NULL;
    return d->questions[d->asked++].host;
}

static enum err lead_on(struct dnsaddr *d, const struct multiaddr *addr, const struct dnsaddr_question *from)
{
    if (d->count == DNSADDR_QUESTIONS_MAX || from->depth == DNSADDR_DEPTH_MAX)
        return ERR_TOO_LARGE;
    struct dnsaddr_question *question = &d->questions[d->count];
    enum err err = split(multiaddr_span(addr), question);
    if (err == ERR_OK && is_known(d, question))
        err = ERR_EXISTS;
    if (err != ERR_OK)
        return err;
    question->depth = from->depth + 1;
    d->count++;
    return ERR_AGAIN;
}

enum err dnsaddr_take(struct dnsaddr *d, struct span record, struct multiaddr *ret_addr)
{
    assert(d->asked > 0);
    const struct dnsaddr_question *from = &d->questions[d->asked - 1];
    size_t key = sizeof(KEY) - 1;
    struct multiaddr addr;
    struct peer_id peer;
    if (!span_equal_text(span_first(record, key), KEY))
        return ERR_NOT_FOUND;
    enum err err = multiaddr_parse_text(span_skip(record, key), &addr);
    if (err != ERR_OK)
        return err;
    if (!peer_id_is_empty(&from->peer) &&
        (multiaddr_peer(multiaddr_span(&addr), &peer) != ERR_OK || !peer_id_equal(&peer, &from->peer)))
        return ERR_NOT_FOUND;
    struct span bytes = multiaddr_span(&addr);
    struct multiaddr_part first;
    err = multiaddr_next(&bytes, &first);
    if (err != ERR_OK)
        return err;
    if (first.code == MULTIADDR_DNSADDR)
        return lead_on(d, &addr, from);
    if (d->addrs == DNSADDR_ADDRS_MAX)
        return ERR_TOO_LARGE;
    d->addrs++;
    *ret_addr = addr;
    return ERR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "net/resolver.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>
#include <sys/socket.h>

#include "net/addr.h"

enum { ANSWER_MAX = 16 * 1024, TXT_MAX = 255 };

static enum err err_of_eai(int error)
{
    if (error == EAI_NONAME || error == EAI_NODATA)
        return ERR_NOT_FOUND;
    return error == EAI_AGAIN ? ERR_TIMEOUT : error == EAI_MEMORY ? ERR_NOMEM : ERR_IO;
}

static enum err resolver_resolve(void *self, const char *host, uint16_t port, bool ip4, bool ip6,
                                 struct net_addr *ret_addrs, size_t *ret_count)
{
    (void)self;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_family = ip4 && ip6 ? AF_UNSPEC
                                          : ip4      ? AF_INET
                                                     : AF_INET6};
    struct addrinfo *all;
    int error = getaddrinfo(host, NULL, &hints, &all);
    if (error != 0)
        return err_of_eai(error);
    size_t n = 0;
    for (const struct addrinfo *i = all; i != NULL && n < DNS_RESULTS_MAX; i = i->ai_next) {
        if (addr_from_sockaddr(i->ai_addr, &ret_addrs[n]) != ERR_OK)
            continue;
        ret_addrs[n++].port = port;
    }
    freeaddrinfo(all);
    *ret_count = n;
    return n == 0 ? ERR_NOT_FOUND : ERR_OK;
}

/* RDATA of TXT: character-strings, each a length byte and bytes; joined they are one text. */
static bool join_txt(const uint8_t *data, size_t len, char to[TXT_MAX + 1])
{
    size_t at = 0;
    size_t out = 0;
    while (at < len) {
        size_t part = data[at++];
        if (part > len - at || part > TXT_MAX - out)
            return false;
        memcpy(to + out, data + at, part);
        at += part;
        out += part;
    }
    to[out] = '\0';
    return memchr(to, '\0', out) == NULL;
}

static enum err resolver_txt(void *self, const char *name, char (*ret_texts)[256], size_t max, size_t *ret_count)
{
    (void)self;
    struct __res_state rs;
    memset(&rs, 0, sizeof(rs));
    if (res_ninit(&rs) != 0)
        return ERR_IO;
    uint8_t answer[ANSWER_MAX];
    int len = res_nquery(&rs, name, ns_c_in, ns_t_txt, answer, sizeof(answer));
    int why = rs.res_h_errno;
    res_nclose(&rs);
    if (len < 0)
        return why == HOST_NOT_FOUND || why == NO_DATA ? ERR_NOT_FOUND : ERR_TIMEOUT;
    ns_msg msg;
    if (ns_initparse(answer, len < (int)sizeof(answer) ? len : (int)sizeof(answer), &msg) != 0)
        return ERR_INVALID;
    size_t n = 0;
    for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < max; i++) {
        ns_rr rr;
        if (ns_parserr(&msg, ns_s_an, i, &rr) != 0)
            return ERR_INVALID;
        if (ns_rr_type(rr) == ns_t_txt && join_txt(ns_rr_rdata(rr), ns_rr_rdlen(rr), ret_texts[n]))
            n++;
    }
    *ret_count = n;
    return n == 0 ? ERR_NOT_FOUND : ERR_OK;
}

const struct dns_port *resolver_port(void)
{
    static const struct dns_port port = {.resolve = resolver_resolve, .txt = resolver_txt};
    return &port;
}

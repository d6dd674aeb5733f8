/* SPDX-License-Identifier: MIT */
#include "base/ip_network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { IP6_BITS = 128 };

static const uint8_t mapped[IP4_OFFSET] = {[10] = 0xff, [11] = 0xff};

void ip_map(const uint8_t *ip, bool ip4, uint8_t ret_ip[IP_BYTES])
{
    if (!ip4) {
        memcpy(ret_ip, ip, IP_BYTES);
        return;
    }
    memcpy(ret_ip, mapped, sizeof(mapped));
    memcpy(ret_ip + IP4_OFFSET, ip, IP_BYTES - IP4_OFFSET);
}

bool ip_is_ip4(const uint8_t ip[IP_BYTES])
{
    return memcmp(ip, mapped, sizeof(mapped)) == 0;
}

void ip_mask(uint8_t ip[IP_BYTES], unsigned bits)
{
    for (unsigned i = 0; i < IP_BYTES; i++) {
        unsigned keep = bits > i * 8 ? MIN(bits - i * 8, 8u) : 0;
        ip[i] &= (uint8_t)(0xff00u >> keep);
    }
}

static bool is_ip4_network(const struct ip_network *network)
{
    return network->bits >= IP4_BITS_BEFORE && ip_is_ip4(network->ip);
}

/* Takes what lies before the separator off text; without one, all of it. */
static struct span cut(struct span *text, const char *separator)
{
    size_t len = strlen(separator);
    const uint8_t *at = text->len < len ? NULL : memmem(text->data, text->len, separator, len);
    struct span head = at == NULL ? *text : span_of(text->data, (size_t)(at - text->data));
    *text = at == NULL ? span_of(text->data + text->len, 0) : span_skip(*text, head.len + len);
    return head;
}

static enum err parse_ip(struct span text, struct ip_network *n, unsigned *ret_max)
{
    char ip[INET6_ADDRSTRLEN];
    uint8_t four[4];
    if (text_copy(text, ip, sizeof(ip)) != ERR_OK)
        return ERR_INVALID;
    if (inet_pton(AF_INET, ip, four) == 1) {
        ip_map(four, true, n->ip);
        *ret_max = 32;
        return ERR_OK;
    }
    *ret_max = IP6_BITS;
    return inet_pton(AF_INET6, ip, n->ip) == 1 ? ERR_OK : ERR_INVALID;
}

enum err ip_network_parse(struct span text, struct ip_network *ret_network)
{
    struct ip_network n = {0};
    struct span rest = text;
    const char *separator = "/";
    bool multiaddr = text.len > 5 && text.data[0] == '/';
    if (multiaddr) {
        rest = span_skip(text, 5);
        separator = "/ipcidr/";
    }
    struct span ip = cut(&rest, separator);
    bool has_bits = ip.len < text.len - (multiaddr ? 5 : 0);
    unsigned max = 0;
    if (parse_ip(ip, &n, &max) != ERR_OK)
        return ERR_INVALID;
    if (multiaddr && !span_equal_text(span_first(text, 5), max == 32 ? "/ip4/" : "/ip6/"))
        return ERR_INVALID;
    uint64_t bits = max;
    if (has_bits && (rest.len > 3 || text_parse_u64(rest, &bits) != ERR_OK || bits > max))
        return ERR_INVALID;
    n.bits = (uint8_t)(bits + (max == 32 ? IP4_BITS_BEFORE : 0));
    ip_mask(n.ip, n.bits);
    *ret_network = n;
    return ERR_OK;
}

void ip_network_text(const struct ip_network *network, char to[IP_NETWORK_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "";
    bool ip4 = is_ip4_network(network);
    (void)inet_ntop(ip4 ? AF_INET : AF_INET6, network->ip + (ip4 ? IP4_OFFSET : 0), ip, sizeof(ip));
    (void)snprintf(to, IP_NETWORK_TEXT_MAX, "/ip%c/%s/ipcidr/%d", ip4 ? '4' : '6', ip,
                   network->bits - (ip4 ? IP4_BITS_BEFORE : 0));
}

bool ip_network_contains(const struct ip_network *network, const uint8_t ip[IP_BYTES])
{
    uint8_t masked[IP_BYTES];
    if (is_ip4_network(network) != ip_is_ip4(ip))
        return false;
    memcpy(masked, ip, sizeof(masked));
    ip_mask(masked, network->bits);
    return memcmp(masked, network->ip, sizeof(masked)) == 0;
}

bool ip_network_equal(const struct ip_network *a, const struct ip_network *b)
{
    return a->bits == b->bits && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

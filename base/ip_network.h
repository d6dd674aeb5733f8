/* SPDX-License-Identifier: MIT */
/*
 * IP networks: which addresses share a prefix. Every address is 16 bytes, IPv4 in its mapped form, so that a host counts once
 * whichever way its address is written; a network is of one family all the same, ::/0 holds no IPv4 address.
 *
 *      10.0.0.0/8    ->  0000:0000:0000:0000:0000:ffff:0a00:0000 / 104
 *      fc00::/7      ->  fc00::                                  / 7
 *
 * Values; pure functions, any thread.
 */
#ifndef HEARTH_BASE_IP_NETWORK_H
#define HEARTH_BASE_IP_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    IP_BYTES = 16,
    IP4_OFFSET = 12,          /* of the four bytes in the mapped form */
    IP4_BITS_BEFORE = 96,     /* of the mapped form's prefix */
    IP_NETWORK_TEXT_MAX = 64, /* /ip6/ + 39 + /ipcidr/128 and a NUL */
};

struct ip_network {
    uint8_t ip[IP_BYTES]; /* bits past the prefix are zero */
    uint8_t bits;         /* of the 128 */
};

/* The mapped form of an address of 4 or 16 bytes. */
void ip_map(const uint8_t *ip, bool ip4, uint8_t ret_ip[IP_BYTES]);
bool ip_is_ip4(const uint8_t ip[IP_BYTES]);

/* Sets the bits past the first ones to zero. */
void ip_mask(uint8_t ip[IP_BYTES], unsigned bits);

/*
 * Reads "10.0.0.0/8", "fc00::/7", a bare address (a network of one), or libp2p's "/ip4/10.0.0.0/ipcidr/8". Bits past the prefix are
 * dropped. ERR_INVALID.
 */
enum err ip_network_parse(struct span text, struct ip_network *ret_network) MUST_CHECK;

/* Writes the form with /ipcidr/. */
void ip_network_text(const struct ip_network *network, char to[IP_NETWORK_TEXT_MAX]);

bool ip_network_contains(const struct ip_network *network, const uint8_t ip[IP_BYTES]);
bool ip_network_equal(const struct ip_network *a, const struct ip_network *b);

#endif

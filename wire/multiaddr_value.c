/* SPDX-License-Identifier: MIT */
/*
 * One table of protocols, and for each kind of value three small functions: is it valid, text to bytes, bytes to text.
 */
#include "wire/multiaddr_value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "wire/multibase.h"
#include "wire/multihash.h"

#define VARIES MULTIADDR_SIZE_VARIES

static const struct multiaddr_protocol protocols[] = {
    {MULTIADDR_IP4, "ip4", KIND_IP4, 4},
    {MULTIADDR_TCP, "tcp", KIND_PORT, 2},
    {MULTIADDR_IP6, "ip6", KIND_IP6, 16},
    {MULTIADDR_P2P, "p2p", KIND_P2P, VARIES},
    {MULTIADDR_UDP, "udp", KIND_PORT, 2},
    {MULTIADDR_QUIC_V1, "quic-v1", KIND_NONE, 0},
    {MULTIADDR_WEBTRANSPORT, "webtransport", KIND_NONE, 0},
    {MULTIADDR_CERTHASH, "certhash", KIND_CERTHASH, VARIES},
    {MULTIADDR_WEBRTC_DIRECT, "webrtc-direct", KIND_NONE, 0},
    {MULTIADDR_P2P_CIRCUIT, "p2p-circuit", KIND_NONE, 0},
    {MULTIADDR_WS, "ws", KIND_NONE, 0},
    {MULTIADDR_WSS, "wss", KIND_NONE, 0},
    {MULTIADDR_TLS, "tls", KIND_NONE, 0},
    {MULTIADDR_SNI, "sni", KIND_NAME, VARIES},
    {MULTIADDR_DNS, "dns", KIND_NAME, VARIES},
    {MULTIADDR_DNS4, "dns4", KIND_NAME, VARIES},
    {MULTIADDR_DNS6, "dns6", KIND_NAME, VARIES},
    {MULTIADDR_DNSADDR, "dnsaddr", KIND_NAME, VARIES},
    {MULTIADDR_IP6ZONE, "ip6zone", KIND_NAME, VARIES},
    {MULTIADDR_IPCIDR, "ipcidr", KIND_BYTE, 1},
    {MULTIADDR_QUIC, "quic", KIND_NONE, 0},
    {MULTIADDR_WEBRTC, "webrtc", KIND_NONE, 0},
    {MULTIADDR_NOISE, "noise", KIND_NONE, 0},
    {MULTIADDR_HTTP, "http", KIND_NONE, 0},
    {MULTIADDR_HTTPS, "https", KIND_NONE, 0},
    {MULTIADDR_HTTP_PATH, "http-path", KIND_HTTP_PATH, VARIES},
    {MULTIADDR_UNIX, "unix", KIND_UNIX, VARIES},
    {MULTIADDR_ONION, "onion", KIND_ONION, 12},
    {MULTIADDR_ONION3, "onion3", KIND_ONION3, 37},
    {MULTIADDR_GARLIC64, "garlic64", KIND_GARLIC64, VARIES},
    {MULTIADDR_GARLIC32, "garlic32", KIND_GARLIC32, VARIES},
    {MULTIADDR_MEMORY, "memory", KIND_U64, 8},
    {MULTIADDR_DCCP, "dccp", KIND_PORT, 2},
    {MULTIADDR_SCTP, "sctp", KIND_PORT, 2},
    {MULTIADDR_UDT, "udt", KIND_NONE, 0},
    {MULTIADDR_UTP, "utp", KIND_NONE, 0},
    {MULTIADDR_P2P_WEBRTC_STAR, "p2p-webrtc-star", KIND_NONE, 0},
    {MULTIADDR_P2P_WEBRTC_DIRECT, "p2p-webrtc-direct", KIND_NONE, 0},
    {MULTIADDR_P2P_STARDUST, "p2p-stardust", KIND_NONE, 0},
    {MULTIADDR_P2P_WEBSOCKET_STAR, "p2p-websocket-star", KIND_NONE, 0},
    {MULTIADDR_PLAINTEXTV2, "plaintextv2", KIND_NONE, 0},
};

enum {
    ONION_HOST = 10,
    ONION3_HOST = 35,
    GARLIC64_MIN = 386, /* an I2P destination */
    GARLIC32_HASH = 32,
    GARLIC32_MIN = 35 /* an encrypted lease set's address */
};

const struct multiaddr_protocol *multiaddr_protocol_of(uint64_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if ((uint64_t)protocols[i].code == code)
            return &protocols[i];
    return NULL;
}

const struct multiaddr_protocol *multiaddr_protocol_named(struct span name)
{
    if (span_equal_text(name, "ipfs"))
        return multiaddr_protocol_of(MULTIADDR_P2P);
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (span_equal_text(name, protocols[i].name))
            return &protocols[i];
    return NULL;
}

static bool contains(struct span s, uint8_t byte)
{
    return s.len > 0 && memchr(s.data, byte, s.len) != NULL;
}

static bool certhash_ok(struct span value)
{
    struct multihash hash;
    return multihash_parse(value, &hash) == ERR_OK;
}

static bool p2p_ok(struct span value)
{
    struct peer_id peer;
    return peer_id_parse(value, &peer) == ERR_OK;
}

/* A path that its own text gives back: absolute, without a slash at the end. */
static bool unix_ok(struct span value)
{
    return value.len > 1 && value.data[0] == '/' && value.data[value.len - 1] != '/' && !contains(value, '\0');
}

bool multiaddr_value_ok(enum multiaddr_kind kind, struct span value)
{
    switch (kind) {
    case KIND_NONE:
    case KIND_IP4:
    case KIND_IP6:
    case KIND_PORT:
    case KIND_U64:
        return true; /* any bytes of the right size */
    case KIND_BYTE:
        return value.data[0] <= 128;
    case KIND_NAME:
        return value.len > 0 && value.len <= MULTIADDR_NAME_MAX && !contains(value, '/') && !contains(value, '\0');
    case KIND_P2P:
        return p2p_ok(value);
    case KIND_CERTHASH:
        return certhash_ok(value);
    case KIND_ONION:
        return value.data[ONION_HOST] != 0 || value.data[ONION_HOST + 1] != 0;
    case KIND_ONION3:
        return value.data[ONION3_HOST] != 0 || value.data[ONION3_HOST + 1] != 0;
    case KIND_GARLIC64:
        return value.len >= GARLIC64_MIN;
    case KIND_GARLIC32:
        return value.len == GARLIC32_HASH || value.len >= GARLIC32_MIN;
    case KIND_UNIX:
        return unix_ok(value);
    case KIND_HTTP_PATH:
        return value.len > 0;
    }
    return false;
}

static enum err parse_decimal(struct span text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 20)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || value > (max - digit) / 10)
            return ERR_INVALID;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return ERR_OK;
}

static enum err parse_big_endian(struct span text, uint64_t max, size_t bytes, uint8_t *to, size_t *ret_len)
{
    uint64_t value = 0;
    enum err err = parse_decimal(text, max, &value);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    *ret_len = bytes;
    return ERR_OK;
}

static enum err parse_ip(struct span text, int family, size_t bytes, uint8_t *to, size_t *ret_len)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len >= sizeof(copy) || contains(text, '\0'))
        return ERR_INVALID;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(family, copy, to) != 1)
        return ERR_INVALID;
    *ret_len = bytes;
    return ERR_OK;
}

static enum err parse_onion(struct span text, size_t host_bytes, uint8_t *to, size_t *ret_len)
{
    size_t host_chars = host_bytes * 8 / 5;
    size_t len = 0;
    size_t port_len = 0;
    if (text.len < host_chars + 2 || text.data[host_chars] != ':')
        return ERR_INVALID;
    enum err err = multibase_decode_bare(MULTIBASE_32, span_first(text, host_chars), to, host_bytes, &len);
    if (err != ERR_OK || len != host_bytes)
        return ERR_INVALID;
    err = parse_big_endian(span_skip(text, host_chars + 1), UINT16_MAX, 2, to + host_bytes, &port_len);
    *ret_len = host_bytes + 2;
    return err;
}

/* I2P's base64 has - and ~ where the usual one has + and /. */
static enum err parse_garlic64(struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    char copy[MULTIADDR_BYTES_MAX * 2];
    if (text.len > sizeof(copy))
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        if (c == '+' || c == '/')
            return ERR_INVALID;
        copy[i] = c == '-' ? '+' : c == '~' ? '/' : c;
    }
    return multibase_decode_bare(MULTIBASE_64_PAD, span_of(copy, text.len), to, cap, ret_len);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum err parse_percent(struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++, n++) {
        if (n == cap)
            return ERR_TOO_LARGE;
        to[n] = text.data[i];
        if (text.data[i] != '%')
            continue;
        int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
        if (low < 0)
            return ERR_INVALID;
        to[n] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *ret_len = n;
    return ERR_OK;
}

static enum err parse_plain(struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    if (text.len > cap)
        return ERR_TOO_LARGE;
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    *ret_len = text.len;
    return ERR_OK;
}

static enum err parse_p2p(struct span text, uint8_t *to, size_t *ret_len)
{
    struct peer_id peer;
    enum err err = peer_id_parse_text(text, &peer);
    if (err != ERR_OK)
        return err;
    memcpy(to, peer.bytes, peer.len);
    *ret_len = peer.len;
    return ERR_OK;
}

static enum err parse_certhash(struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    enum multibase base;
    if (text.len == 0 || multibase_of((char)text.data[0], &base) != ERR_OK)
        return ERR_INVALID;
    return multibase_decode_bare(base, span_skip(text, 1), to, cap, ret_len);
}

enum err multiaddr_value_parse(enum multiaddr_kind kind, struct span text, uint8_t *to, size_t cap, size_t *ret_len)
{
    if (cap < PEER_ID_BYTES_MAX) /* no value of a small kind is longer */
        return ERR_TOO_LARGE;
    switch (kind) {
    case KIND_NONE:
        *ret_len = 0;
        return ERR_OK;
    case KIND_IP4:
        return parse_ip(text, AF_INET, 4, to, ret_len);
    case KIND_IP6:
        return parse_ip(text, AF_INET6, 16, to, ret_len);
    case KIND_PORT:
        return parse_big_endian(text, UINT16_MAX, 2, to, ret_len);
    case KIND_BYTE:
        return parse_big_endian(text, UINT8_MAX, 1, to, ret_len);
    case KIND_U64:
        return parse_big_endian(text, UINT64_MAX, 8, to, ret_len);
    case KIND_NAME:
    case KIND_UNIX:
        return parse_plain(text, to, cap, ret_len);
    case KIND_P2P:
        return parse_p2p(text, to, ret_len);
    case KIND_CERTHASH:
        return parse_certhash(text, to, cap, ret_len);
    case KIND_ONION:
        return parse_onion(text, ONION_HOST, to, ret_len);
    case KIND_ONION3:
        return parse_onion(text, ONION3_HOST, to, ret_len);
    case KIND_GARLIC64:
        return parse_garlic64(text, to, cap, ret_len);
    case KIND_GARLIC32:
        return multibase_decode_bare(MULTIBASE_32, text, to, cap, ret_len);
    case KIND_HTTP_PATH:
        return parse_percent(text, to, cap, ret_len);
    }
    return ERR_UNSUPPORTED;
}

static enum err text_number(uint64_t value, char *to, size_t cap, size_t *ret_len)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    return parse_plain(span_of(digits, (size_t)len), (uint8_t *)to, cap, ret_len);
}

static uint64_t big_endian(struct span value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len; i++)
        number = number << 8 | value.data[i];
    return number;
}

static enum err text_ip(int family, struct span value, char *to, size_t cap, size_t *ret_len)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, value.data, text, sizeof(text)) == NULL)
        return ERR_INVALID;
    return parse_plain(span_text(text), (uint8_t *)to, cap, ret_len);
}

static enum err text_onion(struct span value, size_t host_bytes, char *to, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    size_t port_len = 0;
    enum err err = multibase_encode_bare(MULTIBASE_32, span_first(value, host_bytes), to, cap, &len);
    if (err != ERR_OK || len == cap)
        return ERR_TOO_LARGE;
    to[len++] = ':';
    err = text_number(big_endian(span_skip(value, host_bytes)), to + len, cap - len, &port_len);
    *ret_len = len + port_len;
    return err;
}

static enum err text_garlic64(struct span value, char *to, size_t cap, size_t *ret_len)
{
    enum err err = multibase_encode_bare(MULTIBASE_64_PAD, value, to, cap, ret_len);
    for (size_t i = 0; err == ERR_OK && i < *ret_len; i++)
        to[i] = to[i] == '+' ? '-' : to[i] == '/' ? '~' : to[i];
    return err;
}

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~", c) != NULL;
}

static enum err text_percent(struct span value, char *to, size_t cap, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (cap - n < 3)
            return ERR_TOO_LARGE;
        if (c != '\0' && unreserved(c)) {
            to[n++] = (char)c;
            continue;
        }
        to[n++] = '%';
        to[n++] = "0123456789ABCDEF"[c >> 4];
        to[n++] = "0123456789ABCDEF"[c & 15];
    }
    *ret_len = n;
    return ERR_OK;
}

static enum err text_certhash(struct span value, char *to, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    if (cap == 0)
        return ERR_TOO_LARGE;
    to[0] = MULTIBASE_64_URL;
    enum err err = multibase_encode_bare(MULTIBASE_64_URL, value, to + 1, cap - 1, &len);
    *ret_len = len + 1;
    return err;
}

enum err multiaddr_value_text(enum multiaddr_kind kind, struct span value, char *to, size_t cap, size_t *ret_len)
{
    switch (kind) {
    case KIND_NONE:
        *ret_len = 0;
        return ERR_OK;
    case KIND_IP4:
        return text_ip(AF_INET, value, to, cap, ret_len);
    case KIND_IP6:
        return text_ip(AF_INET6, value, to, cap, ret_len);
    case KIND_PORT:
    case KIND_BYTE:
    case KIND_U64:
        return text_number(big_endian(value), to, cap, ret_len);
    case KIND_NAME:
    case KIND_UNIX:
        return parse_plain(value, (uint8_t *)to, cap, ret_len);
    case KIND_P2P:
        return multibase_encode_bare(MULTIBASE_58_BTC, value, to, cap, ret_len);
    case KIND_CERTHASH:
        return text_certhash(value, to, cap, ret_len);
    case KIND_ONION:
        return text_onion(value, ONION_HOST, to, cap, ret_len);
    case KIND_ONION3:
        return text_onion(value, ONION3_HOST, to, cap, ret_len);
    case KIND_GARLIC64:
        return text_garlic64(value, to, cap, ret_len);
    case KIND_GARLIC32:
        return multibase_encode_bare(MULTIBASE_32, value, to, cap, ret_len);
    case KIND_HTTP_PATH:
        return text_percent(value, to, cap, ret_len);
    }
    return ERR_UNSUPPORTED;
}

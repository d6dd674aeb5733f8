/* SPDX-License-Identifier: MIT */
/*
 * Multiaddr: an address as a path of protocols.
 *
 *      /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...
 *      04 7f000001  06 0fa1  a503 26 0024...        code, then the value: fixed size, or varint length and bytes
 *
 * An address lives as validated bytes: in a struct multiaddr (a value that fits in 512 bytes) or as a span somewhere else.
 * Functions that take a span accept any bytes, so nothing outside needs a separate check; they report ERR_INVALID and the like.
 * Unknown protocols make an address unusable (ERR_UNSUPPORTED), since the length of their value is not known. Text is canonical
 * on output; on input /ipfs/ID is read as /p2p/ID and ids may be in CID form. Values are checked: a name without a slash, a peer
 * id that is one. Spec: multiformats/multiaddr and its protocols table; libp2p/specs addressing.
 */
#ifndef HEARTH_WIRE_MULTIADDR_H
#define HEARTH_WIRE_MULTIADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/peer_id.h"

enum {
    MULTIADDR_BYTES_MAX = 510,
    MULTIADDR_TEXT_MAX = 3600, /* the worst: 255 times /webrtc-direct */
    MULTIADDR_NAME_MAX = 255   /* of dns, sni and zone values */
};

enum multiaddr_code {
    MULTIADDR_IP4 = 0x04,
    MULTIADDR_TCP = 0x06,
    MULTIADDR_DCCP = 0x21,
    MULTIADDR_IP6 = 0x29,
    MULTIADDR_IP6ZONE = 0x2a,
    MULTIADDR_IPCIDR = 0x2b,
    MULTIADDR_DNS = 0x35,
    MULTIADDR_DNS4 = 0x36,
    MULTIADDR_DNS6 = 0x37,
    MULTIADDR_DNSADDR = 0x38,
    MULTIADDR_SCTP = 0x84,
    MULTIADDR_UDP = 0x0111,
    MULTIADDR_P2P_WEBRTC_STAR = 0x0113,
    MULTIADDR_P2P_WEBRTC_DIRECT = 0x0114,
    MULTIADDR_P2P_STARDUST = 0x0115,
    MULTIADDR_WEBRTC_DIRECT = 0x0118,
    MULTIADDR_WEBRTC = 0x0119,
    MULTIADDR_P2P_CIRCUIT = 0x0122,
    MULTIADDR_UDT = 0x012d,
    MULTIADDR_UTP = 0x012e,
    MULTIADDR_UNIX = 0x0190,
    MULTIADDR_P2P = 0x01a5,
    MULTIADDR_HTTPS = 0x01bb,
    MULTIADDR_ONION = 0x01bc,
    MULTIADDR_ONION3 = 0x01bd,
    MULTIADDR_GARLIC64 = 0x01be,
    MULTIADDR_GARLIC32 = 0x01bf,
    MULTIADDR_TLS = 0x01c0,
    MULTIADDR_SNI = 0x01c1,
    MULTIADDR_NOISE = 0x01c6,
    MULTIADDR_QUIC = 0x01cc,
    MULTIADDR_QUIC_V1 = 0x01cd,
    MULTIADDR_WEBTRANSPORT = 0x01d1,
    MULTIADDR_CERTHASH = 0x01d2,
    MULTIADDR_WS = 0x01dd,
    MULTIADDR_WSS = 0x01de,
    MULTIADDR_P2P_WEBSOCKET_STAR = 0x01df,
    MULTIADDR_HTTP = 0x01e0,
    MULTIADDR_HTTP_PATH = 0x01e1,
    MULTIADDR_MEMORY = 0x0309,
    MULTIADDR_PLAINTEXTV2 = 0x706c61
};

/* Bytes past len are zero, so equal addresses are equal memory. The empty address has len 0. */
struct multiaddr {
    uint16_t len;
    uint8_t bytes[MULTIADDR_BYTES_MAX];
};

struct multiaddr_part {
    uint32_t code;     /* enum multiaddr_code */
    struct span value; /* without its length; borrowed */
    struct span whole; /* code, length and value */
};

static inline struct span multiaddr_span(const struct multiaddr *addr)
{
    return span_of(addr->bytes, addr->len);
}

/*
 * Takes the next component from the front of a non-empty *in; *in moves on success only. ERR_TRUNCATED, ERR_INVALID,
 * ERR_UNSUPPORTED (a protocol that is not listed above).
 */
enum err multiaddr_next(struct span *in, struct multiaddr_part *ret_part) MUST_CHECK;

/* Checks bytes and copies them. Errors as above, ERR_TOO_LARGE; ERR_INVALID for the empty address. */
enum err multiaddr_parse(struct span bytes, struct multiaddr *ret_addr) MUST_CHECK;

/* Reads text. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE. */
enum err multiaddr_parse_text(struct span text, struct multiaddr *ret_addr) MUST_CHECK;

/* Writes canonical text with a final NUL. Errors as multiaddr_next; ERR_TOO_LARGE when cap is too small. */
enum err multiaddr_text(struct span bytes, char *to, size_t cap) MUST_CHECK;

/* Appends one component; value is checked. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE; on failure addr is unchanged. */
enum err multiaddr_append(struct multiaddr *addr, enum multiaddr_code code, struct span value) MUST_CHECK;

/* Appends /p2p/ID unless the address ends with it already. ERR_MISMATCH when it ends with another id, ERR_TOO_LARGE. */
enum err multiaddr_add_peer(struct multiaddr *addr, const struct peer_id *peer) MUST_CHECK;

/* The address without a last /p2p component; the same span if it has none or is invalid. */
struct span multiaddr_without_peer(struct span bytes);

/* The peer that a dialler ends up with: the last /p2p, if it is the last component. ERR_NOT_FOUND. */
enum err multiaddr_peer(struct span bytes, struct peer_id *ret_peer) MUST_CHECK;

/* Whether a component with this code occurs. */
bool multiaddr_has(struct span bytes, enum multiaddr_code code);

/* What one dials. */
enum multiaddr_host {
    MULTIADDR_HOST_IP4,
    MULTIADDR_HOST_IP6,
    MULTIADDR_HOST_DNS,
    MULTIADDR_HOST_DNS4,
    MULTIADDR_HOST_DNS6,
    MULTIADDR_HOST_DNSADDR
};
enum multiaddr_transport {
    MULTIADDR_VIA_TCP,
    MULTIADDR_VIA_WS,
    MULTIADDR_VIA_WSS,     /* /wss, /tls/ws and /tls/sni/NAME/ws */
    MULTIADDR_VIA_CIRCUIT, /* over the relay that the part before /p2p-circuit names */
    MULTIADDR_VIA_DNSADDR, /* no transport of its own: resolve first */
    MULTIADDR_VIA_OTHER    /* valid, but nothing that is dialled here: QUIC, WebRTC, WebTransport, unix, ... */
};

struct multiaddr_target {
    enum multiaddr_host host;
    enum multiaddr_transport via;
    uint8_t ip[16];      /* network order; IPv4 in the first 4; zero for names */
    uint16_t port;       /* 0 for dnsaddr */
    struct span name;    /* of dns hosts, borrowed */
    struct span zone;    /* of /ip6zone, borrowed; empty without */
    struct span sni;     /* of /tls/sni, borrowed; empty without */
    struct peer_id peer; /* the last /p2p; empty without */
};

/* Takes an address apart. ERR_UNSUPPORTED when it does not start with a host; errors as multiaddr_next. */
enum err multiaddr_target(struct span bytes, struct multiaddr_target *ret_target) MUST_CHECK;

/* Makes /ip4 or /ip6 with /tcp: ip has 4 or 16 bytes in network order. */
struct multiaddr multiaddr_of_tcp(struct span ip, uint16_t port);

/* How far an address reaches. */
enum multiaddr_scope {
    MULTIADDR_SCOPE_UNSPECIFIED, /* 0.0.0.0, :: */
    MULTIADDR_SCOPE_LOOPBACK,
    MULTIADDR_SCOPE_LINK,    /* 169.254/16, fe80::/10 */
    MULTIADDR_SCOPE_PRIVATE, /* RFC 1918, 100.64/10, fc00::/7, *.local and *.localhost names */
    MULTIADDR_SCOPE_PUBLIC,  /* other names count as public */
    MULTIADDR_SCOPE_RESERVED /* documentation, benchmarking, multicast, class E */
};

enum multiaddr_scope multiaddr_ip_scope(struct span ip);

/* Of the host that the address starts with; RESERVED when there is none or the address is invalid. */
enum multiaddr_scope multiaddr_scope(struct span bytes);

static inline bool multiaddr_is_loopback(struct span bytes)
{
    return multiaddr_scope(bytes) == MULTIADDR_SCOPE_LOOPBACK;
}

static inline bool multiaddr_is_private(struct span bytes)
{
    enum multiaddr_scope scope = multiaddr_scope(bytes);
    return scope == MULTIADDR_SCOPE_PRIVATE || scope == MULTIADDR_SCOPE_LINK;
}

static inline bool multiaddr_is_public(struct span bytes)
{
    return multiaddr_scope(bytes) == MULTIADDR_SCOPE_PUBLIC;
}

#endif

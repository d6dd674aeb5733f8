/* SPDX-License-Identifier: MIT */
/*
 * The two HTTP messages that open a WebSocket (RFC 6455 section 4): a GET that asks for the upgrade, a 101 that grants it.
 *
 *      GET / HTTP/1.1                                HTTP/1.1 101 Switching Protocols
 *      Host: 127.0.0.1:8081                          Upgrade: websocket
 *      Upgrade: websocket                            Connection: Upgrade
 *      Connection: Upgrade                           Sec-WebSocket-Accept: base64(SHA-1(key + GUID))
 *      Sec-WebSocket-Key: base64(16 random bytes)
 *      Sec-WebSocket-Version: 13
 *
 * Pure functions on whole heads: a head ends with the first empty line and is at most HTTP_UPGRADE_HEAD_MAX bytes. This is no HTTP
 * library: bodies, folding of lines and bare LF are refused. The path, Origin and all other fields of a request are passed over,
 * since who the peer is comes from the handshake inside. Subprotocols and extensions are neither asked for nor granted.
 */
#ifndef HEARTH_WIRE_HTTP_UPGRADE_H
#define HEARTH_WIRE_HTTP_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    HTTP_UPGRADE_HEAD_MAX = 4096,
    HTTP_UPGRADE_FIELDS_MAX = 64,
    HTTP_UPGRADE_NONCE_BYTES = 16,
    HTTP_UPGRADE_KEY_CHARS = 24,
    HTTP_UPGRADE_ACCEPT_CHARS = 28
};

/* The key of a nonce: what a request carries. Without a NUL. */
void http_upgrade_key(const uint8_t nonce[HTTP_UPGRADE_NONCE_BYTES], char to[HTTP_UPGRADE_KEY_CHARS]);

/* The answer that proves that a server has read this key. Without a NUL. ERR_NOMEM. */
enum err http_upgrade_accept(const char key[HTTP_UPGRADE_KEY_CHARS], char to[HTTP_UPGRADE_ACCEPT_CHARS]) MUST_CHECK;

/*
 * Whether these first bytes of a message, however few, can still become a request or a response of HTTP/1. A peer that speaks
 * something else is known by its first byte.
 */
bool http_upgrade_may_be_request(struct span begin);
bool http_upgrade_may_be_response(struct span begin);

/* Length of the head with its empty line; 0: not whole yet. looked: so many bytes were searched in vain before. */
size_t http_upgrade_head(struct span in, size_t looked);

/* Appends a request; host is "address:port". Errors as buf_append. */
enum err http_upgrade_ask(const char *host, const char key[HTTP_UPGRADE_KEY_CHARS], struct buf *out) MUST_CHECK;

/*
 * Reads the head of a request and gives the accept text that grants it. ERR_PROTOCOL: no HTTP/1.1 GET, or malformed; ERR_UNSUPPORTED:
 * good HTTP that asks for no WebSocket of version 13; ERR_NOMEM.
 */
enum err http_upgrade_read_ask(struct span head, char ret_accept[HTTP_UPGRADE_ACCEPT_CHARS]) MUST_CHECK;

/* Appends the response that grants the upgrade, or the one that refuses it because of err. Errors as buf_append. */
enum err http_upgrade_grant(const char accept[HTTP_UPGRADE_ACCEPT_CHARS], struct buf *out) MUST_CHECK;
enum err http_upgrade_refuse(enum err why, struct buf *out) MUST_CHECK;

/*
 * Reads the head of a response. ERR_UNSUPPORTED: the server does not upgrade; ERR_PROTOCOL: malformed, the accept text is not this
 * one, or something was granted that was not asked for.
 */
enum err http_upgrade_read_grant(struct span head, const char accept[HTTP_UPGRADE_ACCEPT_CHARS]) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * WebSocket as a pipe of bytes: one side of a connection, fed with what the socket brings.
 *
 *       0               1               2                               then, as far as there are any
 *      +-+---+-------+-+-------------+-------------------------------+--------------+---------
 *      |F|RSV|opcode |M|  length 7   | length 16 (126) or 64 (127)   | mask, 4 bytes| payload
 *      +-+---+-------+-+-------------+-------------------------------+--------------+---------
 *
 * First the two HTTP messages of http_upgrade.h, then frames. Payload is handed on where it lies, unmasked in place, as it arrives:
 * boundaries of frames and messages mean nothing to libp2p, so nothing is ever assembled and a frame of any length costs nothing.
 * Only a frame's header, a control frame's payload (at most 125 bytes) and the HTTP head (at most 4 KiB) are kept. Of pings that
 * could not be answered yet only the last is (RFC 6455, 5.5.3), so a flood of them queues nothing.
 *
 * Rejected: libwslay, which reads through a buffer of 4 KiB of its own, so that each byte is copied once more and no Noise frame is
 * ever seen whole; it brings no HTTP either, and what is left is this file.
 *
 * An engine: no socket, no clock. One thread. Spec: RFC 6455; libp2p/specs websockets.
 */
#ifndef HEARTH_WIRE_WEBSOCKET_H
#define HEARTH_WIRE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    WEBSOCKET_HEADER_MAX = 14,
    WEBSOCKET_CONTROL_MAX = 125,                                               /* payload of ping, pong, close */
    WEBSOCKET_ANSWERS_MAX = 2 * (WEBSOCKET_HEADER_MAX + WEBSOCKET_CONTROL_MAX) /* that websocket_answer appends */
};

enum websocket_status {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_UNSUPPORTED = 1003 /* text */
};

struct websocket;

struct websocket_config {
    bool client;      /* asks for the upgrade, and masks */
    const char *host; /* of a client: "address:port" for its request; borrowed for websocket_start */
    /* Fills len random bytes: the client's key and masks. */
    void (*random)(void *arg, void *to, size_t len);
    void *random_arg;
    /* The upgrade is through: frames may be written. May append to the out of the running call and wrap it. */
    enum err (*opened)(void *arg);
    /* The next bytes of the pipe; scratch afterwards. An error ends the feed and is returned from it. */
    enum err (*payload)(void *arg, uint8_t *data, size_t len);
    void *arg;
};

/* config is copied. ERR_NOMEM. */
enum err websocket_new(const struct websocket_config *config, struct websocket **ret_websocket) MUST_CHECK;

/* NULL is ignored. */
void websocket_free(struct websocket *ws);

/* Appends what is said at once: a client's request. ERR_NOMEM, else as buf_append. */
enum err websocket_start(struct websocket *ws, struct buf *out) MUST_CHECK;

/*
 * Takes all of data, which is scratch afterwards. HTTP answers go to out; answers to control frames wait for websocket_answer.
 * ERR_CLOSED: the peer has closed; ERR_UNSUPPORTED: the other side speaks HTTP but no WebSocket, or sends text; ERR_PROTOCOL: it
 * breaks the protocol; ERR_NOMEM; errors of payload and opened. After an error only websocket_answer, _close and _free are allowed.
 */
enum err websocket_feed(struct websocket *ws, uint8_t *data, size_t len, struct buf *out) MUST_CHECK;

bool websocket_is_open(const struct websocket *ws);

/*
 * Makes one binary frame of the bytes of out from position from on: its header is put before them, a client masks them. Nothing
 * there: nothing happens. Behind the close frame nothing may be said: the bytes are dropped. On failure (errors as buf_append) the bytes are dropped and the session is lost.
 */
enum err websocket_wrap(struct websocket *ws, struct buf *out, size_t from) MUST_CHECK;

/* Appends the pong that is due, and the close frame that answers the peer's or tells it what it did wrong. */
enum err websocket_answer(struct websocket *ws, struct buf *out) MUST_CHECK;

/* The own side ends: websocket_answer will say so, once. */
void websocket_close(struct websocket *ws);

#endif

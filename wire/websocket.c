/* SPDX-License-Identifier: MIT */
#include "wire/websocket.h"

#include <stdlib.h>

#include "wire/http_upgrade.h"

enum opcode { OP_CONTINUATION = 0x0, OP_TEXT = 0x1, OP_BINARY = 0x2, OP_CLOSE = 0x8, OP_PING = 0x9, OP_PONG = 0xa };

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, CONTROL = 0x08, MASKED = 0x80, LENGTH = 0x7f, MASK_BYTES = 4 };
enum { LENGTH_16 = 126, LENGTH_64 = 127, STATUS_BYTES = 2 };

enum stage { STAGE_HTTP, STAGE_HEADER, STAGE_PAYLOAD, STAGE_OVER };

struct websocket {
    struct websocket_config config;
    enum stage stage;
    struct buf head; /* of HTTP, as far as it has arrived */
    char accept[HTTP_UPGRADE_ACCEPT_CHARS];

    uint8_t header[WEBSOCKET_HEADER_MAX]; /* of the frame that arrives */
    size_t header_len;
    uint64_t left; /* of its payload */
    uint8_t mask[MASK_BYTES];
    size_t mask_at;
    bool in_message; /* fragments of a message follow */
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    size_t control_len;

    uint8_t pong[WEBSOCKET_CONTROL_MAX];
    size_t pong_len;
    bool pong_due;
    uint16_t close_status; /* to be sent; 0: none */
    bool close_sent;
};

enum err websocket_new(const struct websocket_config *config, struct websocket **ret_websocket)
{
    struct websocket *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        return ERR_NOMEM;
    ws->config = *config;
    buf_init(&ws->head, HTTP_UPGRADE_HEAD_MAX, NULL);
    *ret_websocket = ws;
    return ERR_OK;
}

void websocket_free(struct websocket *ws)
{
    if (ws == NULL)
        return;
    buf_release(&ws->head);
    free(ws);
}

bool websocket_is_open(const struct websocket *ws)
{
    return ws->stage == STAGE_HEADER || ws->stage == STAGE_PAYLOAD;
}

/* ---- the upgrade ---- */

enum err websocket_start(struct websocket *ws, struct buf *out)
{
    if (!ws->config.client)
        return ERR_OK;
    uint8_t nonce[HTTP_UPGRADE_NONCE_BYTES];
    char key[HTTP_UPGRADE_KEY_CHARS];
    ws->config.random(ws->config.random_arg, nonce, sizeof(nonce));
    http_upgrade_key(nonce, key);
    enum err err = http_upgrade_accept(key, ws->accept);
    return err == ERR_OK ? http_upgrade_ask(ws->config.host, key, out) : err;
}

static enum err read_head(struct websocket *ws, struct span head, struct buf *out)
{
    if (ws->config.client)
        return http_upgrade_read_grant(head, ws->accept);
    enum err err = http_upgrade_read_ask(head, ws->accept);
    return err == ERR_OK ? http_upgrade_grant(ws->accept, out) : err;
}

/* Takes bytes up to the end of the head. */
static enum err feed_http(struct websocket *ws, uint8_t **data, size_t *len, struct buf *out)
{
    size_t before = ws->head.len;
    size_t take = MIN(*len, HTTP_UPGRADE_HEAD_MAX - before);
    enum err err = buf_append(&ws->head, *data, take);
    if (err != ERR_OK)
        return err;
    struct span begin = buf_span(&ws->head);
    if (!(ws->config.client ? http_upgrade_may_be_response(begin) : http_upgrade_may_be_request(begin)))
        return ERR_PROTOCOL;
    size_t head = http_upgrade_head(begin, before);
    if (head == 0 && ws->head.len == HTTP_UPGRADE_HEAD_MAX)
        return ERR_PROTOCOL;
    size_t used = head == 0 ? take : head - before;
    *data += used;
    *len -= used;
    if (head == 0)
        return ERR_OK;
    err = read_head(ws, span_first(begin, head), out);
    buf_release(&ws->head);
    if (err != ERR_OK)
        return err;
    ws->stage = STAGE_HEADER;
    return ws->config.opened(ws->config.arg);
}

/* ---- frames in ---- */

/* Eight bytes at a time, since all payload of a client passes here. at is the position in the mask of the first byte. */
static void apply_mask(uint8_t *data, size_t len, const uint8_t mask[MASK_BYTES], size_t at)
{
    uint8_t wide[2 * MASK_BYTES];
    uint64_t key;
    for (size_t i = 0; i < sizeof(wide); i++)
        wide[i] = mask[(at + i) % MASK_BYTES];
    memcpy(&key, wide, sizeof(key));
    for (; len >= sizeof(key); data += sizeof(key), len -= sizeof(key)) {
        uint64_t word;
        memcpy(&word, data, sizeof(word));
        word ^= key;
        memcpy(data, &word, sizeof(word));
    }
    for (size_t i = 0; i < len; i++)
        data[i] ^= wide[i];
}

static size_t length_bytes(uint8_t length)
{
    return length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
}

/* Bytes of the whole header, as far as the first two tell. */
static size_t header_need(const struct websocket *ws)
{
    if (ws->header_len < 2)
        return 2;
    return 2 + length_bytes(ws->header[1] & LENGTH) + (ws->config.client ? 0 : MASK_BYTES);
}

/* Whether a frame of this kind may come now. */
static bool may_follow(const struct websocket *ws, uint8_t first, uint64_t length)
{
    uint8_t opcode = first & OPCODE;
    if ((first & RESERVED) != 0)
        return false;
    if ((opcode & CONTROL) != 0)
        return opcode <= OP_PONG && (first & FIN) != 0 && length <= WEBSOCKET_CONTROL_MAX;
    return opcode == OP_CONTINUATION ? ws->in_message : opcode <= OP_BINARY && !ws->in_message;
}

/* The shortest form is the only one, and the highest bit of 64 is zero (5.2). */
static bool is_minimal(size_t bytes, uint64_t length)
{
    return bytes == 2 ? length >= LENGTH_16 : bytes != 8 || (length > UINT16_MAX && length >> 63 == 0);
}

/* The header is whole. */
static enum err begin_frame(struct websocket *ws)
{
    uint8_t first = ws->header[0];
    size_t bytes = length_bytes(ws->header[1] & LENGTH);
    uint64_t length = bytes == 0 ? ws->header[1] & LENGTH : 0;
    for (size_t i = 0; i < bytes; i++)
        length = length << 8 | ws->header[2 + i];
    if (!is_minimal(bytes, length) || !may_follow(ws, first, length))
        return ERR_PROTOCOL;
    if ((first & OPCODE) == OP_TEXT)
        return ERR_UNSUPPORTED;
    if ((first & CONTROL) == 0)
        ws->in_message = (first & FIN) == 0;
    memset(ws->mask, 0, sizeof(ws->mask));
    if (!ws->config.client)
        memcpy(ws->mask, ws->header + 2 + bytes, MASK_BYTES);
    ws->mask_at = 0;
    ws->left = length;
    ws->control_len = 0;
    ws->stage = STAGE_PAYLOAD;
    return ERR_OK;
}

/* Whether a peer may close with this status: those of the protocol that may be sent, and the ranges for others (7.4). */
static bool is_status(unsigned status)
{
    bool unsent = status == 1004 || status == 1005 || status == 1006;
    return (status >= 1000 && status <= 1014 && !unsent) || (status >= 3000 && status <= 4999);
}

static enum err take_close(struct websocket *ws)
{
    if (ws->control_len == 0) {
        ws->close_status = WEBSOCKET_NORMAL;
        return ERR_CLOSED;
    }
    unsigned status = ws->control_len < STATUS_BYTES ? 0 : (unsigned)(ws->control[0] << 8 | ws->control[1]);
    if (!is_status(status))
        return ERR_PROTOCOL;
    ws->close_status = (uint16_t)status;
    return ERR_CLOSED;
}

/* A frame is through. */
static enum err end_frame(struct websocket *ws)
{
    uint8_t opcode = ws->header[0] & OPCODE;
    ws->stage = STAGE_HEADER;
    ws->header_len = 0;
    if (opcode == OP_CLOSE)
        return take_close(ws);
    if (opcode == OP_PING) {
        memcpy(ws->pong, ws->control, ws->control_len);
        ws->pong_len = ws->control_len;
        ws->pong_due = true;
    }
    return ERR_OK; /* a pong nobody asked for is fine (5.5.3) */
}

static enum err feed_header(struct websocket *ws, uint8_t **data, size_t *len)
{
    while (*len > 0 && ws->header_len < header_need(ws)) {
        ws->header[ws->header_len++] = **data;
        ++*data;
        --*len;
        /* A server's frames are bare, a client's are masked (5.1). */
        if (ws->header_len == 2 && ((ws->header[1] & MASKED) != 0) == ws->config.client)
            return ERR_PROTOCOL;
    }
    if (ws->header_len < 2 || ws->header_len < header_need(ws))
        return ERR_OK;
    enum err err = begin_frame(ws);
    return err == ERR_OK && ws->left == 0 ? end_frame(ws) : err;
}

static enum err feed_payload(struct websocket *ws, uint8_t **data, size_t *len)
{
    uint8_t *part = *data;
    size_t n = (size_t)MIN(ws->left, (uint64_t)*len);
    *data += n;
    *len -= n;
    ws->left -= n;
    if (!ws->config.client)
        apply_mask(part, n, ws->mask, ws->mask_at);
    ws->mask_at = (ws->mask_at + n) % MASK_BYTES;
    enum err err = ERR_OK;
    if ((ws->header[0] & CONTROL) != 0) {
        memcpy(ws->control + ws->control_len, part, n);
        ws->control_len += n;
    } else {
        err = ws->config.payload(ws->config.arg, part, n);
    }
    if (err == ERR_OK && ws->stage != STAGE_PAYLOAD)
        err = ERR_CLOSED; /* by the owner, from within payload */
    return err == ERR_OK && ws->left == 0 ? end_frame(ws) : err;
}

/* What the other side is told of an error before the end. */
static enum err fail(struct websocket *ws, enum err err, struct buf *out)
{
    if (ws->stage == STAGE_HTTP && !ws->config.client && (err == ERR_PROTOCOL || err == ERR_UNSUPPORTED))
        (void)!http_upgrade_refuse(err, out); /* no room for last words: then none */
    else if (websocket_is_open(ws) && ws->close_status == 0)
        ws->close_status = err == ERR_PROTOCOL      ? WEBSOCKET_PROTOCOL_ERROR
                           : err == ERR_UNSUPPORTED ? WEBSOCKET_UNSUPPORTED
                                                    : WEBSOCKET_NORMAL;
    ws->stage = STAGE_OVER;
    return err;
}

enum err websocket_feed(struct websocket *ws, uint8_t *data, size_t len, struct buf *out)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && len > 0) {
        if (ws->stage == STAGE_HTTP)
            err = feed_http(ws, &data, &len, out);
        else if (ws->stage == STAGE_HEADER)
            err = feed_header(ws, &data, &len);
        else if (ws->stage == STAGE_PAYLOAD)
            err = feed_payload(ws, &data, &len);
        else
            err = ERR_CLOSED;
    }
    return err == ERR_OK ? ERR_OK : fail(ws, err, out);
}

/* ---- frames out ---- */

static size_t put_length(uint8_t *to, size_t len)
{
    size_t bytes = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    *to++ = (uint8_t)(bytes == 0 ? len : bytes == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)((uint64_t)len >> (8 * (bytes - 1 - i)));
    return 1 + bytes;
}

static enum err wrap(struct websocket *ws, enum opcode opcode, struct buf *out, size_t from)
{
    uint8_t header[WEBSOCKET_HEADER_MAX] = {(uint8_t)(FIN | opcode)};
    size_t len = out->len - from;
    size_t head = 1 + put_length(header + 1, len);
    if (ws->config.client) {
        header[1] |= MASKED;
        ws->config.random(ws->config.random_arg, header + head, MASK_BYTES);
        head += MASK_BYTES;
    }
    if (buf_reserve(out, head) == NULL) {
        out->len = from;
        return ERR_NOMEM;
    }
    uint8_t *at = out->data + from;
    memmove(at + head, at, len);
    memcpy(at, header, head);
    buf_commit(out, head);
    if (ws->config.client)
        apply_mask(at + head, len, header + head - MASK_BYTES, 0);
    return ERR_OK;
}

enum err websocket_wrap(struct websocket *ws, struct buf *out, size_t from)
{
    if (ws->close_sent)
        out->len = from;
    return out->len == from ? ERR_OK : wrap(ws, OP_BINARY, out, from);
}

static enum err send_control(struct websocket *ws, enum opcode opcode, struct span payload, struct buf *out)
{
    size_t from = out->len;
    enum err err = buf_append_span(out, payload);
    return err == ERR_OK ? wrap(ws, opcode, out, from) : err;
}

enum err websocket_answer(struct websocket *ws, struct buf *out)
{
    enum err err = ERR_OK;
    if (ws->pong_due && !ws->close_sent)
        err = send_control(ws, OP_PONG, span_of(ws->pong, ws->pong_len), out);
    ws->pong_due = false;
    if (err != ERR_OK || ws->close_status == 0 || ws->close_sent)
        return err;
    uint8_t status[STATUS_BYTES] = {(uint8_t)(ws->close_status >> 8), (uint8_t)ws->close_status};
    ws->close_sent = true;
    return send_control(ws, OP_CLOSE, span_of(status, sizeof(status)), out);
}

void websocket_close(struct websocket *ws)
{
    if (websocket_is_open(ws))
        ws->close_status = WEBSOCKET_NORMAL;
    ws->stage = STAGE_OVER;
}

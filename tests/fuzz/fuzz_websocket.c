/* SPDX-License-Identifier: MIT */
/*
 * Both roles fed with arbitrary bytes in chunks that the input itself chooses, raw and behind a correct upgrade: no over-read, no
 * payload that did not arrive, bounded answers.
 */
#include <stdlib.h>

#include "wire/http_upgrade.h"
#include "wire/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pipe {
    size_t fed;
    size_t got;
};

/* Constant, so that the accept text of a seed may match. */
static void fill(void *arg, void *to, size_t len)
{
    (void)arg;
    memset(to, 7, len);
}

static enum err on_opened(void *arg)
{
    (void)arg;
    return ERR_OK;
}

static enum err on_payload(void *arg, uint8_t *data, size_t len)
{
    struct pipe *p = arg;
    p->got += len;
    if (len == 0 || p->got > p->fed)
        abort();
    memset(data, 0, len);
    return ERR_OK;
}

static void feed(struct websocket *ws, struct pipe *p, struct buf *out, struct span in, size_t chunk)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && in.len > 0) {
        size_t n = MIN(chunk, in.len);
        uint8_t *copy = malloc(n);
        if (copy == NULL)
            abort();
        memcpy(copy, in.data, n);
        p->fed += n;
        err = websocket_feed(ws, copy, n, out);
        free(copy);
        in = span_skip(in, n);
    }
    size_t from = out->len;
    if (websocket_answer(ws, out) != ERR_OK || out->len - from > WEBSOCKET_ANSWERS_MAX)
        abort();
}

static void run(bool client, bool behind, struct span in, size_t chunk)
{
    struct pipe p = {0};
    struct websocket *ws;
    struct websocket_config config = {
        .client = client, .host = "a:1", .random = fill, .opened = on_opened, .payload = on_payload, .arg = &p};
    struct buf head;
    struct buf out;
    buf_init(&head, HTTP_UPGRADE_HEAD_MAX, NULL);
    buf_init(&out, HTTP_UPGRADE_HEAD_MAX, NULL);
    uint8_t nonce[HTTP_UPGRADE_NONCE_BYTES];
    char key[HTTP_UPGRADE_KEY_CHARS];
    char accept[HTTP_UPGRADE_ACCEPT_CHARS];
    fill(NULL, nonce, sizeof(nonce));
    http_upgrade_key(nonce, key);
    if (websocket_new(&config, &ws) != ERR_OK || websocket_start(ws, &out) != ERR_OK)
        abort();
    enum err err = http_upgrade_accept(key, accept);
    if (err == ERR_OK)
        err = client ? http_upgrade_grant(accept, &head) : http_upgrade_ask("a:1", key, &head);
    if (err != ERR_OK)
        abort();
    if (behind) {
        feed(ws, &p, &out, buf_span(&head), SIZE_MAX);
        if (!websocket_is_open(ws))
            abort();
    }
    feed(ws, &p, &out, in, chunk);
    websocket_free(ws);
    buf_release(&head);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    run((data[0] & 1) != 0, (data[0] & 2) != 0, span_of(data + 1, size - 1), 1 + (data[0] >> 2) * 7u);
    return 0;
}

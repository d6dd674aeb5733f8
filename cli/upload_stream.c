/* SPDX-License-Identifier: MIT */
#include "cli/upload_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/run.h"
#include "schemas/pack.h"

static struct call *start_write(struct upload_stream *s, uint64_t offset, struct span data)
{
    struct buf args;
    buf_init(&args, UPLOAD_PIECE + 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_u64(&p, "upload", s->upload);
    pack_pair_u64(&p, "offset", offset);
    pack_text(&p, "data");
    pack_bytes(&p, data);
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = call_start(s->client, "add write", buf_span(&args), client_timeout(s->client, CLIENT_LONG_MS), true);
    buf_release(&args);
    return call;
}

/* Waits for the oldest piece. One that was taken in part is sent again from where the daemon is: writes are idempotent. */
static int settle_oldest(struct upload_stream *s)
{
    struct upload_piece *piece = &s->pieces[s->head];
    int status = EXIT_OK;
    for (;;) {
        struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
        if (piece->call != NULL)
            call_wait(piece->call, &outcome);
        uint64_t at = 0;
        if (outcome.code == CODE_OK) {
            s->added(s->arg, outcome.result);
            at = value_u64(outcome.result, "offset");
        } else {
            status = say_outcome_error(&outcome);
        }
        call_free(piece->call);
        piece->call = NULL;
        if (status != EXIT_OK || at >= piece->offset + piece->len)
            break;
        uint64_t skip = at > piece->offset ? at - piece->offset : 0;
        piece->call = start_write(s, piece->offset + skip, span_skip(span_of(piece->data, piece->len), (size_t)skip));
    }
    free(piece->data);
    piece->data = NULL;
    s->head = (s->head + 1) % UPLOAD_IN_FLIGHT;
    s->count--;
    return status;
}

/* Sends what has gathered, all of it or as long as whole pieces are there. */
int upload_stream_open(struct upload_stream *s, struct span args)
{
    struct outcome outcome;
    struct call *call = ask(s->client, "add open", args, client_timeout(s->client, 30000), true, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK)
        s->upload = value_u64(outcome.result, "upload");
    s->sent = 0;
    s->head = 0;
    s->count = 0;
    buf_clear(&s->bytes);
    call_free(call);
    return status;
}

int upload_stream_send(struct upload_stream *s, bool all)
{
    int status = EXIT_OK;
    while (status == EXIT_OK && s->bytes.len > 0 && (all || s->bytes.len >= UPLOAD_PIECE)) {
        if (s->count == UPLOAD_IN_FLIGHT)
            status = settle_oldest(s);
        if (status != EXIT_OK)
            break;
        struct upload_piece *piece = &s->pieces[(s->head + s->count) % UPLOAD_IN_FLIGHT];
        size_t len = MIN(s->bytes.len, (size_t)UPLOAD_PIECE);
        *piece = (struct upload_piece){.offset = s->sent, .data = malloc(len), .len = len};
        if (piece->data == NULL)
            return say_error("out of memory");
        memcpy(piece->data, s->bytes.data, len);
        piece->call = start_write(s, piece->offset, span_of(piece->data, len));
        s->count++;
        s->sent += len;
        buf_drop(&s->bytes, len);
    }
    return status;
}

static int close_upload(struct upload_stream *s, bool abort, char *root, size_t root_bytes)
{
    struct buf args;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_u64(&p, "upload", s->upload);
    pack_pair_u64(&p, "size", s->sent);
    pack_pair_bool(&p, "abort", abort);
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = ask(s->client, "add close", buf_span(&args), client_timeout(s->client, CLIENT_LONG_MS), true, &outcome);
    buf_release(&args);
    int status = EXIT_OK;
    if (outcome.code == CODE_OK && !abort) {
        struct span cid = value_text(outcome.result, "cid");
        s->added(s->arg, outcome.result);
        (void)snprintf(root, root_bytes, "%.*s", (int)cid.len, (const char *)cid.data);
    } else if (!abort) {
        status = say_outcome_error(&outcome);
    }
    call_free(call);
    return status;
}

int upload_stream_finish(struct upload_stream *s, int status, char *root, size_t root_bytes)
{
    if (status == EXIT_OK)
        status = upload_stream_send(s, true);
    while (s->count > 0) {
        if (status == EXIT_OK) {
            status = settle_oldest(s);
            continue;
        }
        struct upload_piece *piece = &s->pieces[s->head];
        call_free(piece->call);
        free(piece->data);
        s->head = (s->head + 1) % UPLOAD_IN_FLIGHT;
        s->count--;
    }
    if (status != EXIT_OK) {
        (void)close_upload(s, true, root, root_bytes);
        return status;
    }
    return close_upload(s, false, root, root_bytes);
}

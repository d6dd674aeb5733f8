/* SPDX-License-Identifier: MIT */
/* cat, and what get shares with it: `read` requests of 256 KiB, a few in flight, answered in order. */
#include <stdio.h>

#include "cli/run.h"
#include "schemas/pack.h"
#include "wire/tree_stream.h"

enum { PIECE = 256 * 1024, IN_FLIGHT = 4 };

struct call *ask(struct client *client, const char *op, struct span args, uint64_t timeout_ms, bool mutates,
                 struct outcome *ret_outcome)
{
    struct call *call = call_start(client, op, args, timeout_ms, mutates);
    if (call == NULL) {
        *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
        return NULL;
    }
    call_wait(call, ret_outcome);
    return call;
}

static struct call *start_piece(const struct download *d, uint64_t offset, uint64_t length)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_span(&p, "path", d->path);
    pack_pair_u64(&p, "offset", offset);
    pack_pair_u64(&p, "length", length);
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = call_start(d->client, d->op, buf_span(&args), client_timeout(d->client, CLIENT_LONG_MS), false);
    buf_release(&args);
    return call;
}

struct window {
    struct call *calls[IN_FLIGHT];
    uint64_t asked; /* next offset to ask for */
    uint64_t end;   /* of what is wanted, as far as known */
    size_t head;
    size_t count;
};

/* Until the first answer has told the size only one piece is asked for: most files are small. */
static void fill(const struct download *d, struct window *w, bool size_known)
{
    size_t most = size_known ? IN_FLIGHT : 1;
    while (w->count < most && w->asked < w->end) {
        uint64_t length = MIN((uint64_t)PIECE, w->end - w->asked);
        w->calls[(w->head + w->count) % IN_FLIGHT] = start_piece(d, w->asked, length);
        w->asked += length;
        w->count++;
    }
}

static int take(const struct download *d, struct window *w, bool *ret_done)
{
    struct call *call = w->calls[w->head];
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    w->head = (w->head + 1) % IN_FLIGHT;
    w->count--;
    if (call != NULL)
        call_wait(call, &outcome);
    int status = EXIT_OK;
    if (outcome.code != CODE_OK) {
        status = say_outcome_error(&outcome);
    } else {
        struct span data = value_text(outcome.result, "data");
        uint64_t size = value_u64(outcome.result, "size");
        if (value_has(outcome.result, "size"))
            w->end = MIN(w->end, MAX(size, d->offset));
        else
            size = value_u64(outcome.result, "file_size"); /* of a stream, which is longer */
        enum download_next next = d->each(d->arg, data, size);
        *ret_done = data.len == 0 || value_bool(outcome.result, "end") || next == DOWNLOAD_ENOUGH;
        status = next == DOWNLOAD_FAILED ? EXIT_ERROR : EXIT_OK;
    }
    call_free(call);
    return status;
}

/*
 * What was asked for past the end is answered at once, and waited for: nng 1.5.2 in the daemon cannot free the connection of a client that
 * goes in the middle of its own request, nor any connection after it.
 */
static void drain(struct window *w, bool well)
{
    for (; w->count > 0; w->count--, w->head = (w->head + 1) % IN_FLIGHT) {
        struct outcome outcome;
        if (well && w->calls[w->head] != NULL)
            call_wait(w->calls[w->head], &outcome);
        call_free(w->calls[w->head]);
    }
}

int download_run(const struct download *d)
{
    struct window w = {.asked = d->offset};
    w.end = d->length > UINT64_MAX - d->offset ? UINT64_MAX : d->offset + d->length;
    int status = EXIT_OK;
    bool done = false;
    fill(d, &w, false);
    while (status == EXIT_OK && !done && w.count > 0) {
        status = take(d, &w, &done);
        if (status == EXIT_OK && !done)
            fill(d, &w, true);
    }
    drain(&w, status == EXIT_OK);
    return status;
}

struct events {
    struct tree_decoder decoder;
    const struct tree_taker *taker;
    bool enough;
};

static enum download_next take_events(void *arg, struct span bytes, uint64_t file_size)
{
    struct events *s = arg;
    const struct tree_taker *taker = s->taker;
    struct tree_event event;
    enum err err;
    while ((err = tree_decoder_next(&s->decoder, &bytes, &event)) == ERR_OK) {
        if (taker->take(taker->arg, &event) != EXIT_OK)
            return DOWNLOAD_FAILED;
    }
    if (err != ERR_AGAIN) {
        (void)say_error("the daemon's stream is malformed, or names what is no plain file name: refused");
        return DOWNLOAD_FAILED;
    }
    s->enough = taker->enough != NULL && taker->enough(taker->arg, file_size);
    return s->enough ? DOWNLOAD_ENOUGH : DOWNLOAD_MORE;
}

int get_events(struct client *client, struct span path, const struct tree_taker *taker)
{
    struct events s = {.taker = taker};
    struct download d = {
        .client = client, .op = "get", .path = path, .length = UINT64_MAX, .each = take_events, .arg = &s};
    tree_decoder_init(&s.decoder, NULL);
    int status = download_run(&d);
    if (status == EXIT_OK && !s.enough && !tree_decoder_at_end(&s.decoder))
        status = say_error("the daemon's stream ends too early");
    tree_decoder_release(&s.decoder);
    return status;
}

struct cat_state {
    struct progress progress;
    bool begun;
    bool wanted;
    const char *name;
    uint64_t offset;
    uint64_t left;
};

static enum download_next write_out(void *arg, struct span bytes, uint64_t file_size)
{
    struct cat_state *s = arg;
    if (!s->begun) {
        uint64_t there = file_size > s->offset ? file_size - s->offset : 0;
        progress_begin(&s->progress, s->name, MIN(there, s->left), s->wanted);
    }
    s->begun = true;
    s->left -= MIN(s->left, bytes.len);
    bool written = fwrite(bytes.data, 1, bytes.len, stdout) == bytes.len;
    progress_add(&s->progress, bytes.len);
    if (!written)
        (void)say_error("standard output cannot be written");
    return written ? DOWNLOAD_MORE : DOWNLOAD_FAILED;
}

int run_cat(struct client *client, const struct invocation *in, const struct cmd_cat *args)
{
    (void)in;
    size_t position = 0;
    struct span path;
    int status = EXIT_OK;
    uint64_t left = args->length;
    while (status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &path)) {
        struct cat_state s = {.wanted = args->progress, .name = "", .offset = args->offset, .left = left};
        char resolved[PATH_TEXT_MAX];
        status = resolve_name(client, resolved, &path);
        if (status != EXIT_OK)
            break;
        struct download d = {.client = client,
                             .op = "read",
                             .path = path,
                             .offset = args->offset,
                             .length = left,
                             .each = write_out,
                             .arg = &s};
        status = download_run(&d);
        progress_end(&s.progress);
        left = s.left;
    }
    if (fflush(stdout) != 0 && status == EXIT_OK)
        status = say_error("standard output cannot be written");
    return status;
}

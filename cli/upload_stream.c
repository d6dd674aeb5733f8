/* SPDX-License-Identifier: MIT */
#include "cli/upload_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/hand_over.h"
#include "cli/run.h"
#include "schemas/pack.h"

static void pack_file(struct pack *p, const struct upload_piece *piece, uint64_t skip)
{
    pack_pair_u64(p, "file", piece->file->token);
    pack_pair_u64(p, "from", piece->from + skip);
    pack_pair_u64(p, "length", piece->len - skip);
}

/* Asks for the piece without its first skip bytes. */
static void start_piece(struct upload_stream *s, struct upload_piece *piece, uint64_t skip)
{
    struct buf args;
    buf_init(&args, UPLOAD_PIECE + 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, piece->file == NULL ? 3 : 5);
    pack_pair_u64(&p, "upload", s->upload);
    pack_pair_u64(&p, "offset", piece->offset + skip);
    if (piece->file != NULL) {
        pack_file(&p, piece, skip);
    } else {
        pack_text(&p, "data");
        pack_bytes(&p, span_skip(span_of(piece->data, (size_t)piece->len), (size_t)skip));
    }
    const char *op = piece->file == NULL ? "add write" : "add file";
    piece->call = NULL;
    if (pack_end(&p) == ERR_OK)
        piece->call = call_start(s->client, op, buf_span(&args), client_timeout(s->client, CLIENT_LONG_MS), true);
    buf_release(&args);
}

/* A place for one more piece, which begins where the last one ends; one must be free. */
static struct upload_piece *next_piece(struct upload_stream *s, uint64_t len)
{
    struct upload_piece *piece = &s->pieces[(s->head + s->count) % UPLOAD_IN_FLIGHT];
    *piece = (struct upload_piece){.offset = s->sent, .len = len};
    s->count++;
    s->sent += len;
    return piece;
}

static void drop_oldest(struct upload_stream *s)
{
    struct upload_piece *piece = &s->pieces[s->head];
    call_free(piece->call);
    free(piece->data);
    *piece = (struct upload_piece){0};
    s->head = (s->head + 1) % UPLOAD_IN_FLIGHT;
    s->count--;
}

/* Whether the daemon says that it cannot read this file, or that it never reads any. */
static bool is_refusal(enum control_code code)
{
    return code == CODE_DENIED || code == CODE_NOT_FOUND || code == CODE_UNSUPPORTED || code == CODE_INVALID ||
           code == CODE_USAGE;
}

/* An upload is gone with whoever had it; from its beginning on it may go well, as it may when a part that it needs is back. */
static bool may_begin_anew(struct upload_stream *s, const struct outcome *outcome)
{
    uint64_t now_ns = clock_mono_ns();
    s->ended = outcome_is_loss(outcome) || (outcome->code == CODE_NOT_FOUND && s->upload != 0);
    if (now_ns >= s->until_ns)
        return false;
    if (s->ended)
        return losses_allow(&s->losses, (now_ns - s->began_ns) / MS_NS);
    return outcome->code == CODE_UNAVAILABLE && s->tries_left > 0;
}

static int fail(struct upload_stream *s, const char *name, const struct outcome *outcome)
{
    s->lost = may_begin_anew(s, outcome);
    if (s->lost)
        return control_code_exit(outcome->code);
    if (name == NULL)
        return say_outcome_error(outcome);
    (void)say_error("%s: %.*s", name, (int)outcome->message.len, (const char *)outcome->message.data);
    return control_code_exit(outcome->code);
}

/* The daemon looked at the size later than we did, and reads to the end of a chunk. */
static bool has_grown(const struct upload_piece *piece, uint64_t at)
{
    return piece->file != NULL && at > piece->offset - piece->from + piece->file->size;
}

/*
 * Waits for the oldest piece. One that was taken in part is sent again from where the daemon is: writes are idempotent. With ret_refused a
 * refusal is told there and is no error.
 */
static int settle_oldest(struct upload_stream *s, bool *ret_refused)
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
        } else if (ret_refused != NULL && is_refusal(outcome.code)) {
            *ret_refused = true;
            break;
        } else {
            status = fail(s, piece->file != NULL ? piece->file->name : s->name, &outcome);
        }
        call_free(piece->call);
        piece->call = NULL;
        if (has_grown(piece, at))
            status = say_error("%s: it changed while it was read", piece->file->name);
        if (status != EXIT_OK || at >= piece->offset + piece->len)
            break;
        start_piece(s, piece, at > piece->offset ? at - piece->offset : 0);
    }
    if (status == EXIT_OK && piece->file != NULL && (ret_refused == NULL || !*ret_refused))
        s->taken(s->arg, piece->len);
    drop_oldest(s);
    return status;
}

int upload_stream_open(struct upload_stream *s, struct span args)
{
    struct outcome outcome;
    s->lost = false;
    s->ended = false;
    s->upload = 0;
    s->began_ns = clock_mono_ns();
    struct call *call = ask(s->client, "add open", args, client_timeout(s->client, 30000), true, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : fail(s, NULL, &outcome);
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
            status = settle_oldest(s, NULL);
        if (status != EXIT_OK)
            break;
        size_t len = MIN(s->bytes.len, (size_t)UPLOAD_PIECE);
        uint8_t *data = malloc(len);
        if (data == NULL)
            return say_error("out of memory");
        memcpy(data, s->bytes.data, len);
        struct upload_piece *piece = next_piece(s, len);
        piece->data = data;
        start_piece(s, piece, 0);
        buf_drop(&s->bytes, len);
    }
    return status;
}

static int settle_all(struct upload_stream *s)
{
    int status = EXIT_OK;
    while (status == EXIT_OK && s->count > 0)
        status = settle_oldest(s, NULL);
    return status;
}

/* ---- files that the daemon reads ---- */

bool upload_file_of(int fd, const char *name, struct upload_file *ret_file)
{
    struct stat st;
    if (!hand_over_fits(fd) || fstat(fd, &st) != 0 || st.st_size < HAND_OVER_MIN || lseek(fd, 0, SEEK_CUR) != 0)
        return false;
    *ret_file = (struct upload_file){.name = name, .fd = fd, .size = (uint64_t)st.st_size};
    return true;
}

static void start_range(struct upload_stream *s, const struct upload_file *file, uint64_t from, uint64_t len)
{
    struct upload_piece *piece = next_piece(s, len);
    piece->file = file;
    piece->from = from;
    start_piece(s, piece, 0);
}

/* The first range alone shows whether the daemon can. */
int upload_stream_file(struct upload_stream *s, struct upload_file *file, bool *ret_taken)
{
    bool refused = false;
    *ret_taken = false;
    int status = upload_stream_send(s, true);
    if (status == EXIT_OK)
        status = settle_all(s);
    if (status != EXIT_OK || !hand_over(s->client, file->fd, &file->token))
        return status;
    uint64_t at = MIN(file->size, (uint64_t)HAND_OVER_MIN);
    start_range(s, file, 0, at);
    status = settle_oldest(s, &refused);
    if (refused)
        s->sent -= at;
    *ret_taken = !refused;
    while (status == EXIT_OK && !refused && at < file->size) {
        uint64_t len = MIN(file->size - at, (uint64_t)UPLOAD_RANGE);
        if (s->count == UPLOAD_IN_FLIGHT)
            status = settle_oldest(s, NULL);
        if (status == EXIT_OK)
            start_range(s, file, at, len);
        at += len;
    }
    return status == EXIT_OK ? settle_all(s) : status;
}

/* ---- the end ---- */

static int close_upload(struct upload_stream *s, bool abort, char *root, size_t root_bytes)
{
    struct buf args;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 4);
    pack_pair_u64(&p, "upload", s->upload);
    pack_pair_u64(&p, "size", s->sent);
    pack_pair_bool(&p, "keep", s->keep);
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
        status = fail(s, s->name, &outcome);
    }
    call_free(call);
    return status;
}

int upload_stream_finish(struct upload_stream *s, int status, char *root, size_t root_bytes)
{
    if (status == EXIT_OK)
        status = upload_stream_send(s, true);
    if (status == EXIT_OK)
        status = settle_all(s);
    while (s->count > 0)
        drop_oldest(s);
    if (status != EXIT_OK && s->ended)
        return status;
    if (status != EXIT_OK) {
        (void)close_upload(s, true, root, root_bytes);
        return status;
    }
    return close_upload(s, false, root, root_bytes);
}

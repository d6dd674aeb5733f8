/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "cli/absence.h"
#include "cli/dial.h"
#include "schemas/pack.h"
#include "schemas/walk.h"

enum {
    WATCH_POLL_MS = 200,
    GRACE_MS = 3000,
    CALLS_MAX = 64,
    SEND_MS = 10000,
    JOB_POLL_MS = 1000,
    BUSY_MOST_MS = 80,
    BUSY_UNTIL_MS = 120000,
    LOST_MS = 10,
    WHY_BYTES = 256,
    REDIAL_LOOKS = 5,
    LOOK_MS = 100, /* between looks whether a daemon that is waited for may still come */
};

struct call {
    struct client *client;
    nng_ctx ctx;
    nng_aio *aio;
    nng_msg *request; /* to be sent again when the daemon is busy */
    nng_msg *answer;
    uint64_t timeout_ms;
    bool open;
    bool json;
    bool repeatable; /* may be executed twice */
    bool answered;
    int failed;          /* nng's code when it could not be sent */
    char why[WHY_BYTES]; /* what the try before said that was unavailable; "" = nothing */
    nng_time sent_at;    /* when it was last */
};

struct client {
    nng_socket socket;
    nng_dialer dialer;
    char url[DIAL_URL_MAX];
    uint64_t timeout_ms;
    void (*progress)(void *arg, uint64_t done); /* NULL = nobody looks */
    void *progress_arg;
    bool abandoned; /* a call was freed before its answer came */
    uint64_t trace; /* of all requests; 0 = the daemon's choice */
    bool offline;   /* operations that can do without peers are asked to */
    _Atomic bool gone;
    nng_mtx *lock; /* of running: nng's threads look at it when the connection ends */
    struct call *running[CALLS_MAX];
};

/* The connection is there, or is gone: whoever waits is woken. nng_aio_abort does not block. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)pipe;
    struct client *client = arg;
    atomic_store_explicit(&client->gone, event != NNG_PIPE_EV_ADD_PRE, memory_order_release);
    if (event == NNG_PIPE_EV_ADD_PRE)
        return;
    nng_mtx_lock(client->lock);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (client->running[i] != NULL)
            nng_aio_abort(client->running[i]->aio, NNG_ECONNSHUT);
    }
    nng_mtx_unlock(client->lock);
}

static int open_socket(struct client *client)
{
    int code = nng_req0_open(&client->socket);
    if (code != 0)
        return code;
    code = nng_pipe_notify(client->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, client);
    if (code == 0)
        code = nng_pipe_notify(client->socket, NNG_PIPE_EV_REM_POST, on_pipe, client);
    nng_time began = nng_clock();
    if (code == 0)
        code = dial_socket(client->socket, client->url, client_timeout(client, DIAL_MS), &client->dialer);
    if (client->timeout_ms != 0)
        client->timeout_ms -= MIN(nng_clock() - began, client->timeout_ms - 1);
    if (code != 0)
        (void)nng_close(client->socket);
    return code;
}

enum err client_open(const struct globals *globals, struct client **ret_client, char why[512])
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL || nng_mtx_alloc(&client->lock) != 0) {
        free(client);
        return ERR_NOMEM;
    }
    client->timeout_ms = globals->timeout_ms;
    client->offline = globals->offline;
    if (globals->trace) {
        random_fill(&client->trace, sizeof(client->trace));
        client->trace = (client->trace & INT32_MAX) | UINT64_C(1) << REQUEST_TRACE_BIT;
    }
    enum err err = dial_url(globals, client->url, why);
    int code = err == ERR_OK ? open_socket(client) : 0;
    if (err == ERR_OK && code == 0) {
        *ret_client = client;
        return ERR_OK;
    }
    if (err == ERR_OK) {
        dial_why(client->url, code, why);
        err = ERR_UNAVAILABLE;
    }
    nng_mtx_free(client->lock);
    free(client);
    return err;
}

/*
 * nng_close of 1.5.2 may wait for ever for a context that was closed while its request was out. Then the socket stays open until the process
 * ends, which it is about to do, and the client with it, because nng may still tell it that the connection is gone.
 */
void client_close(struct client *client)
{
    if (client == NULL || client->abandoned)
        return;
    (void)nng_close(client->socket);
    nng_mtx_free(client->lock);
    free(client);
}

uint32_t client_trace(const struct client *client)
{
    return (uint32_t)client->trace;
}

bool client_sibling(const struct client *client, const char *name, char *to, size_t to_bytes)
{
    const char *path = client->url + strlen("ipc://");
    const char *slash = strrchr(client->url, '/');
    if (strncmp(client->url, "ipc://", strlen("ipc://")) != 0)
        return false;
    int folder = slash < path ? 0 : (int)(slash - path) + 1;
    int len = snprintf(to, to_bytes, "%.*s%s", folder, path, name);
    return len > 0 && (size_t)len < to_bytes;
}

uint64_t client_timeout(const struct client *client, uint64_t otherwise_ms)
{
    return client->timeout_ms != 0 ? client->timeout_ms : otherwise_ms;
}

/* Puts one call in the place of another; a free place holds NULL. */
static void track(struct client *client, struct call *call, struct call *now)
{
    nng_mtx_lock(client->lock);
    size_t i = 0;
    while (i < CALLS_MAX && client->running[i] != call)
        i++;
    if (i < CALLS_MAX)
        client->running[i] = now;
    nng_mtx_unlock(client->lock);
}

/* The connection may be lost: nng makes it anew by itself as soon as the daemon lets it, or has to be made to. */
static int hand_over_request(struct call *call, nng_time until)
{
    struct absence absence;
    absence_begin(&absence, call->client->url, nng_clock());
    for (unsigned looks = 1;; looks++) {
        nng_time now = nng_clock();
        nng_aio_set_timeout(call->aio, (nng_duration)(until > now ? MIN(until - now, (nng_time)LOOK_MS) : 1));
        nng_ctx_send(call->ctx, call->aio);
        nng_aio_wait(call->aio);
        int code = nng_aio_result(call->aio);
        now = nng_clock();
        if (code != NNG_ETIMEDOUT)
            return code;
        if (!atomic_load_explicit(&call->client->gone, memory_order_acquire))
            absence_begin(&absence, call->client->url, now);
        else if (!absence_may_end(&absence, now))
            return NNG_ECONNSHUT;
        else if (looks % REDIAL_LOOKS == 0)
            dial_anew(call->client->socket, call->client->url, &call->client->dialer);
        if (now >= until)
            return code;
    }
}

/* The request is handed to the connection, then the context waits for the answer. */
static int transmit(struct call *call, uint64_t timeout_ms)
{
    nng_msg *msg = NULL;
    int code = nng_msg_dup(&msg, call->request);
    if (code != 0)
        return code;
    nng_time until = nng_clock() + timeout_ms;
    nng_aio_set_msg(call->aio, msg);
    code = hand_over_request(call, until);
    if (code != 0) {
        nng_msg_free(nng_aio_get_msg(call->aio));
        return code;
    }
    call->sent_at = nng_clock();
    track(call->client, NULL, call);
    uint64_t left_ms = until > call->sent_at ? until - call->sent_at : 0;
    nng_aio_set_timeout(call->aio, (nng_duration)MIN(left_ms + GRACE_MS, (uint64_t)INT32_MAX));
    nng_ctx_recv(call->ctx, call->aio);
    if (atomic_load_explicit(&call->client->gone, memory_order_acquire))
        nng_aio_abort(call->aio, NNG_ECONNSHUT);
    return 0;
}

static int send_request(struct call *call, struct span request, uint64_t timeout_ms)
{
    int code = nng_ctx_open(&call->ctx, call->client->socket);
    if (code != 0)
        return code;
    call->open = true;
    (void)nng_ctx_set_ms(call->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    code = nng_aio_alloc(&call->aio, NULL, NULL);
    if (code == 0)
        code = nng_msg_alloc(&call->request, 0);
    if (code == 0)
        code = nng_msg_append(call->request, request.data, request.len);
    return code == 0 ? transmit(call, timeout_ms) : code;
}

struct call *call_start_raw(struct client *client, struct span request, uint64_t timeout_ms)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return NULL;
    call->client = client;
    call->timeout_ms = timeout_ms;
    call->json = request.len > 0 && request.data[0] < 0x80;
    call->failed = send_request(call, request, timeout_ms);
    return call;
}

/* The arguments of an operation that can do without peers, with the word that tells it to. */
static enum err add_offline(const char *op, struct span args, struct buf *to)
{
    const struct operation *operation = operation_find(span_text(op));
    struct walk walk = {.left = args};
    struct walk_token map = {0};
    struct span already;
    bool known = false;
    for (size_t i = 0; operation != NULL && i < operation->args.field_count; i++)
        known = known || strcmp(operation->args.fields[i].name, "offline") == 0;
    if (!known || walk_find(args, "offline", &already) == ERR_OK)
        return buf_append_span(to, args);
    if (args.len > 0 && walk_next(&walk, &map) != ERR_OK)
        return ERR_INVALID;
    struct pack p = pack_begin(to);
    pack_map(&p, map.count + 1);
    pack_raw(&p, walk.left);
    pack_pair_bool(&p, "offline", true);
    return pack_end(&p);
}

struct call *call_start(struct client *client, const char *op, struct span args, uint64_t timeout_ms, bool mutates)
{
    struct request request = {.op = span_text(op), .args = args, .timeout_ms = timeout_ms, .trace = client->trace};
    char id[40];
    uint64_t random[2];
    if (mutates) {
        random_fill(random, sizeof(random));
        (void)snprintf(id, sizeof(id), "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
        request.id = span_text(id);
    }
    struct buf packed;
    struct buf more;
    buf_init(&packed, REQUEST_BYTES_MAX, NULL);
    buf_init(&more, REQUEST_BYTES_MAX, NULL);
    struct call *call = NULL;
    enum err err = client->offline ? add_offline(op, args, &more) : ERR_OK;
    if (client->offline)
        request.args = buf_span(&more);
    if (err == ERR_OK && request_pack(&request, &packed) == ERR_OK)
        call = call_start_raw(client, buf_span(&packed), timeout_ms);
    const struct operation *operation = operation_find(span_text(op));
    if (call != NULL)
        call->repeatable = operation != NULL && operation_repeatable(operation);
    buf_release(&packed);
    buf_release(&more);
    return call;
}

static struct outcome outcome_of_nng(int code)
{
    bool timed_out = code == NNG_ETIMEDOUT;
    return (struct outcome){
        .code = timed_out ? CODE_TIMEOUT : CODE_NOT_RUNNING,
        .message = span_text(timed_out ? "the daemon did not answer in time" : "the daemon went away"),
    };
}

static void wait_once(struct call *call, struct outcome *ret_outcome)
{
    int code = call->failed;
    if (code == 0) {
        nng_aio_wait(call->aio);
        code = nng_aio_result(call->aio);
        call->answered = code == 0;
    }
    if (code != 0) {
        *ret_outcome = outcome_of_nng(code);
        ret_outcome->absent = call->failed == NNG_ECONNSHUT;
        return;
    }
    call->answer = nng_aio_get_msg(call->aio);
    struct span raw = span_of(nng_msg_body(call->answer), nng_msg_len(call->answer));
    struct answer answer = {0};
    *ret_outcome = (struct outcome){.raw = raw};
    if (call->json)
        return;
    if (answer_unpack(raw, &answer) != ERR_OK) {
        ret_outcome->code = CODE_INTERNAL;
        ret_outcome->message = span_text("the daemon's answer cannot be read");
        return;
    }
    ret_outcome->code = answer.ok ? CODE_OK : answer.code == CODE_OK ? CODE_INTERNAL : answer.code;
    ret_outcome->result = answer.result;
    ret_outcome->message = answer.message;
    ret_outcome->hint = answer.hint;
}

/* wait_once is to follow. */
static void send_again(struct call *call, nng_time until)
{
    nng_time now = nng_clock();
    uint64_t left_ms = until > now ? until - now : 1;
    track(call->client, call, NULL);
    nng_msg_free(call->answer);
    call->answer = NULL;
    call->failed = transmit(call, left_ms);
}

/* `busy` is not the end of a request that may still wait: it is sent again under the same id. */
static void wait_unless_busy(struct call *call, nng_time until, struct outcome *ret_outcome)
{
    nng_time busy_until = MIN(until, nng_clock() + BUSY_UNTIL_MS);
    for (unsigned attempt = 0; ret_outcome->code == CODE_BUSY && nng_clock() < busy_until; attempt++) {
        dial_pause(attempt, BUSY_MOST_MS);
        send_again(call, until);
        wait_once(call, ret_outcome);
    }
}

bool outcome_is_loss(const struct outcome *outcome)
{
    return (outcome->code == CODE_NOT_RUNNING && !outcome->absent) ||
           (outcome->code == CODE_UNAVAILABLE && span_equal_text(outcome->message, CONTROL_STOPS_TEXT));
}

/*
 * A part has failed, or whoever answers: what may be executed twice is sent again. The connection is waited for by whoever sends, an answer that
 * is the last of its life is not.
 */
static void wait_to_the_end(struct call *call, struct outcome *ret_outcome)
{
    struct losses losses = {0};
    nng_time began = nng_clock();
    nng_time until = began + call->timeout_ms;
    wait_once(call, ret_outcome);
    wait_unless_busy(call, until, ret_outcome);
    for (unsigned try = 1; call->repeatable && call->failed == 0;) {
        nng_time now = nng_clock();
        nng_time pause = 0;
        bool lost = outcome_is_loss(ret_outcome);
        if (lost && losses_allow(&losses, now - call->sent_at))
            pause = (nng_time)LOST_MS << MIN(losses.quick, 4U);
        else if (!lost && ret_outcome->code == CODE_UNAVAILABLE && try < CLIENT_TRIES)
            pause = client_pause_ms(try++, now - began, until > now ? until - now : 0);
        if (pause == 0 || now + pause >= until)
            return;
        (void)snprintf(call->why, sizeof(call->why), "%.*s", lost ? 0 : (int)ret_outcome->message.len,
                       (const char *)ret_outcome->message.data);
        nng_msleep((nng_duration)pause);
        send_again(call, until);
        wait_once(call, ret_outcome);
        wait_unless_busy(call, until, ret_outcome);
        if (ret_outcome->code == CODE_TIMEOUT && call->why[0] != '\0') /* which says more */
            *ret_outcome = (struct outcome){.code = CODE_UNAVAILABLE, .message = span_text(call->why)};
    }
}

/* Asks how the job is; the answer replaces that of the call. */
static void ask_job(struct call *call, uint64_t job, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 64, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_u64(&p, "job", job);
    struct call *asked = NULL;
    if (pack_end(&p) == ERR_OK)
        asked = call_start(call->client, "job status", buf_span(&args), SEND_MS, false);
    buf_release(&args);
    if (asked == NULL) {
        *ret_outcome = outcome_of_nng(NNG_ENOMEM);
        return;
    }
    wait_to_the_end(asked, ret_outcome);
    nng_msg *old = call->answer;
    call->answer = asked->answer;
    asked->answer = old;
    call_free(asked);
}

/* What a finished job was, as if it had been answered at once. */
static bool unwrap_job(struct outcome *outcome)
{
    struct span state = {0};
    struct span error = {0};
    struct span code = {0};
    if (outcome->code != CODE_OK || walk_find_text(outcome->result, "state", &state) != ERR_OK)
        return true;
    if (span_equal_text(state, "running"))
        return false;
    struct span whole = outcome->result;
    if (walk_find(whole, "result", &outcome->result) == ERR_OK)
        return true;
    outcome->code = CODE_INTERNAL;
    if (walk_find(whole, "error", &error) == ERR_OK && walk_find_text(error, "code", &code) == ERR_OK &&
        walk_find_text(error, "message", &outcome->message) == ERR_OK)
        outcome->code = control_code_of(code);
    return true;
}

void client_watch(struct client *client, void (*progress)(void *arg, uint64_t done), void *arg)
{
    client->progress = progress;
    client->progress_arg = arg;
}

static void show_job(const struct client *client, const struct outcome *outcome)
{
    uint64_t done = 0;
    if (client->progress != NULL && outcome->code == CODE_OK && walk_find_u64(outcome->result, "done", &done) == ERR_OK)
        client->progress(client->progress_arg, done);
}

/* False: nobody knows the job any more, it ended with whoever had it. */
static bool follow_job(struct call *call, uint64_t job, struct outcome *ret_outcome)
{
    do {
        nng_msleep(call->client->progress == NULL ? JOB_POLL_MS : WATCH_POLL_MS);
        ask_job(call, job, ret_outcome);
        if (ret_outcome->code == CODE_NOT_FOUND)
            return false;
        show_job(call->client, ret_outcome);
    } while (!unwrap_job(ret_outcome));
    return true;
}

/* A request that became a job is followed to its end; one that may be executed twice is sent again when its job was lost. */
void call_wait(struct call *call, struct outcome *ret_outcome)
{
    struct losses losses = {0};
    uint64_t job = 0;
    nng_time until = nng_clock() + call->timeout_ms;
    wait_to_the_end(call, ret_outcome);
    while (!call->json && ret_outcome->code == CODE_OK && walk_find_u64(ret_outcome->result, "job", &job) == ERR_OK) {
        if (follow_job(call, job, ret_outcome) || !call->repeatable || nng_clock() >= until ||
            !losses_allow(&losses, nng_clock() - call->sent_at))
            return;
        send_again(call, until);
        wait_to_the_end(call, ret_outcome);
    }
}

void call_free(struct call *call)
{
    if (call == NULL)
        return;
    track(call->client, call, NULL);
    call->client->abandoned |= call->failed == 0 && !call->answered;
    if (call->aio != NULL) {
        nng_aio_stop(call->aio);
        if (call->answer == NULL && call->failed == 0 && nng_aio_result(call->aio) == 0)
            call->answer = nng_aio_get_msg(call->aio);
    }
    nng_msg_free(call->answer);
    nng_msg_free(call->request);
    if (call->open)
        (void)nng_ctx_close(call->ctx);
    if (call->aio != NULL)
        nng_aio_free(call->aio);
    free(call);
}

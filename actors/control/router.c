/* SPDX-License-Identifier: MIT */
#include "actors/control/conversation.h"
#include "actors/control/names.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/json.h"
#include "schemas/pack.h"

enum { AGAIN_MS = 20 };

/* ---- what is down ---- */

static enum err unpack_arguments(struct conversation *v, const struct request *request, char why[WHY_BYTES]);

/* Not one that ends or waits for others, which is "stopped" for a moment, too. */
static bool some_part_stays_down(const struct control *c)
{
    struct actor_stats stats;
    for (size_t i = 0; ctx_actor_stats(c->ctx, i, &stats); i++) {
        if (stats.stays_down)
            return true;
    }
    return false;
}

bool control_waits(const struct control *c, struct patience *patience)
{
    if (some_part_stays_down(c))
        return false;
    uint64_t now = ctx_now(c->ctx);
    if (patience->since == 0 || now >= patience->seen + UP_AGAIN_MS * MS_NS)
        patience->since = now;
    patience->seen = now;
    return now < patience->since + PATIENCE_S * SECOND_NS;
}

/* All calls that one end has ended count as one. */
bool control_waits_after(const struct control *c, struct patience *patience, const struct info *info)
{
    uint64_t now = ctx_now(c->ctx);
    bool ended = info->text != NULL && strcmp(info->text, WENT_DOWN_TEXT) == 0;
    if (info->err != ERR_UNAVAILABLE || (!ended && info->text != NULL && info->text[0] != '\0'))
        return false;
    if (ended && patience->ended_at != now)
        patience->ended++;
    if (ended)
        patience->ended_at = now;
    return patience->ended <= DEATHS_MAX && control_waits(c, patience);
}

/* A part is down that is about to come back: what may be executed twice begins anew in a moment. */
static bool start_over(struct control *c, struct conversation *v)
{
    const struct operation_handler *handler = &operation_handlers[v->op->id];
    if (v->follows >= 0 || !operation_repeatable(v->op))
        return false;
    conversation_cancel_calls(c, v);
    if (handler->end != NULL)
        handler->end(c, v);
    conversation_cancel_timer(c, &v->again);
    names_end(v);
    v->names = NULL;
    v->rested = v->number = v->done = 0;
    v->step = 0;
    v->why[0] = '\0';
    v->starts_over = true;
    v->again = ctx_timer(c->ctx, ctx_now(c->ctx) + AGAIN_MS * MS_NS,
                         tag_make(TAG_AGAIN, v->generation, conversation_index(c, v), 0));
    return true;
}

/* The arguments as they came: names in them were replaced by what they stood for. */
static enum err begin_anew(struct control *c, struct conversation *v)
{
    struct request request;
    v->starts_over = false;
    buf_release(&v->scratch);
    enum err err = request_unpack(v->packed, &request, v->why, sizeof(v->why));
    if (err == ERR_OK)
        err = unpack_arguments(v, &request, v->why);
    if (err == ERR_OK)
        err = conversation_denied(c, v);
    return err == ERR_OK ? names_start(c, v) : err;
}

/* How the start of an operation went; it may have answered already. */
static void started(struct control *c, struct conversation *v, uint32_t generation, enum err err)
{
    if (err == ERR_OK || v->generation != generation)
        return;
    if (err == ERR_UNAVAILABLE && v->why[0] == '\0' && control_waits(c, &v->patience) && start_over(c, v))
        return;
    conversation_fail_with(c, v, err);
}

/* ---- calls ---- */

enum err conversation_call(struct control *c, struct conversation *v, actor_id to, uint16_t kind, const void *fields,
                           struct block_ref *tail, unsigned sub, uint32_t reply_bytes_max)
{
    const struct call_opts opts = {.scope = &v->scope, .reply_bytes_max = reply_bytes_max};
    struct msg msg = {.kind = kind, .fields = fields, .tail = tail};
    enum err err = ctx_call(c->ctx, to, &msg, opts, tag_make(TAG_CALL, v->generation, conversation_index(c, v), sub));
    if (err == ERR_OK)
        v->calls |= UINT64_C(1) << sub;
    return err;
}

/* Whoever has no room now may have it soon: the conversation's own deadline bounds how often it is asked. */
void conversation_rest(struct control *c, struct conversation *v, unsigned sub)
{
    if (v->rested == 0)
        v->again = ctx_timer(c->ctx, ctx_now(c->ctx) + AGAIN_MS * MS_NS,
                             tag_make(TAG_AGAIN, v->generation, conversation_index(c, v), 0));
    v->rested |= UINT64_C(1) << sub;
}

static void again(struct control *c, struct conversation *v)
{
    uint64_t rested = v->rested;
    v->again = 0;
    v->rested = 0;
    if (v->starts_over) {
        uint32_t generation = v->generation;
        started(c, v, generation, begin_anew(c, v));
        return;
    }
    for (unsigned sub = 0; sub < CONVERSATION_CALLS; sub++) {
        if ((rested >> sub & 1) == 0)
            continue;
        enum err err = operation_handlers[v->op->id].again(c, v, sub);
        if (err == ERR_BUSY) {
            conversation_rest(c, v, sub);
        } else if (err != ERR_OK) {
            started(c, v, v->generation, err);
            return;
        }
    }
}

void router_again(struct control *c, uint64_t tag)
{
    struct conversation *v = conversation_of_tag(c, tag);
    if (v != NULL)
        again(c, v);
}

void router_up(struct control *c)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        struct conversation *v = &c->conversations[i];
        if (!v->open || v->again == 0)
            continue;
        conversation_cancel_timer(c, &v->again);
        again(c, v);
    }
}

void router_reply(struct control *c, const struct info *info)
{
    struct conversation *v = conversation_of_tag(c, info->tag);
    unsigned sub = (unsigned)(info->tag & 0xffff);
    if (v == NULL || sub >= CONVERSATION_CALLS)
        return;
    v->calls &= ~(UINT64_C(1) << sub);
    const struct operation_handler *handler = &operation_handlers[v->op->id];
    if (info->err == ERR_BUSY && handler->again != NULL && !names_wait(v)) {
        conversation_rest(c, v, sub);
        return;
    }
    uint32_t generation = v->generation;
    v->why[0] = '\0';
    enum err err = names_reply(c, v, sub, info);
    if (err == ERR_OK || v->generation != generation)
        return;
    if (err == ERR_UNAVAILABLE && control_waits_after(c, &v->patience, info) && start_over(c, v))
        return;
    bool said = info->text != NULL && strcmp(info->text, err_text(info->err)) != 0; /* more than the error's name */
    if (v->why[0] == '\0' && info->err == err && said)
        (void)snprintf(v->why, sizeof(v->why), "%s", info->text);
    conversation_fail_with(c, v, err);
}

/* ---- requests ---- */

static struct conversation *free_conversation(struct control *c)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        if (!c->conversations[i].open)
            return &c->conversations[i];
    }
    return NULL;
}

static unsigned count_of_client(const struct control *c, uint32_t client)
{
    unsigned count = 0;
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++)
        count += c->conversations[i].open && c->conversations[i].admitted && c->conversations[i].client == client;
    return count;
}

static int running_with_id(const struct control *c, const struct operation *op, const char *id)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        const struct conversation *v = &c->conversations[i];
        if (v->open && v->op == op && v->follows < 0 && strcmp(v->id, id) == 0)
            return (int)i;
    }
    return -1;
}

/* The request as msgpack: as it lies in the slot until that is answered, else in v->request. */
static enum err decode(struct control *c, struct conversation *v, struct span bytes, struct request *ret_request,
                       char why[WHY_BYTES])
{
    v->packed = bytes;
    if (!v->json && v->slot != SLOT_NONE)
        return request_unpack(bytes, ret_request, why, WHY_BYTES);
    buf_init(&v->request, (size_t)REQUEST_BYTES_MAX * 2, NULL);
    size_t at = 0;
    enum err err = v->json ? json_to_msgpack(bytes, &v->request, &at) : buf_append_span(&v->request, bytes);
    v->packed = buf_span(&v->request);
    if (err == ERR_OK && v->slot != SLOT_NONE)
        listener_drop_bytes(c->listener, v->slot);
    if (err == ERR_OK)
        return request_unpack(v->packed, ret_request, why, WHY_BYTES);
    (void)snprintf(why, WHY_BYTES, "the request is no JSON, from byte %zu on", at);
    return err;
}

static enum err unpack_arguments(struct conversation *v, const struct request *request, char why[WHY_BYTES])
{
    buf_init(&v->scratch, REQUEST_BYTES_MAX, NULL);
    if (v->op->args.struct_bytes > sizeof(v->args))
        return ERR_INTERNAL;
    return arguments_unpack(v->op, request->args, &v->scratch, v->args, why, WHY_BYTES);
}

/* True when the answer to the id is known already, or will be by itself. */
static bool executed_before(struct control *c, struct conversation *v)
{
    if (!v->op->mutates || v->id[0] == '\0')
        return false;
    const struct kept_answer *kept = conversation_kept(c, v->op, v->id);
    if (kept != NULL) {
        conversation_answer_one(c, v, CODE_OK, buf_span(&kept->answer));
        return true;
    }
    v->follows = running_with_id(c, v->op, v->id);
    return v->follows >= 0;
}

static void begin(struct control *c, struct conversation *v, const struct request *request, uint64_t deadline_ns)
{
    uint64_t asked = ctx_now(c->ctx) + request->timeout_ms * MS_NS;
    ctx_request_begin(c->ctx, (uint32_t)request->trace, (uint16_t)v->op->id, MIN(asked, deadline_ns), &v->scope);
    v->timer =
        ctx_timer(c->ctx, v->scope.deadline_ns, tag_make(TAG_DEADLINE, v->generation, conversation_index(c, v), 0));
    v->admitted = !v->op->urgent;
    uint64_t patience_ends = ctx_now(c->ctx) + JOB_AFTER_S * SECOND_NS;
    if (v->admitted && v->scope.deadline_ns > patience_ends)
        v->job_timer = ctx_timer(c->ctx, patience_ends, tag_make(TAG_JOB, v->generation, conversation_index(c, v), 0));
    c->admitted += v->admitted;
    memcpy(v->id, request->id.data == NULL ? (const uint8_t *)"" : request->id.data, request->id.len);
    v->follows = -1;
    uint32_t generation = v->generation;
    bool before = executed_before(c, v); /* not open yet: it does not find itself */
    if (v->generation != generation)
        return; /* answered and gone */
    v->open = true;
    if (before)
        return;
    enum err err = conversation_denied(c, v);
    if (err == ERR_OK)
        err = names_start(c, v);
    if (v->generation == generation && err == ERR_OK && v->admitted && conversation_shows_progress(v)) {
        conversation_cancel_timer(c, &v->job_timer);
        router_patience(c, tag_make(TAG_JOB, v->generation, conversation_index(c, v), 0));
    }
    started(c, v, generation, err);
}

static enum control_code admit(const struct control *c, const struct operation *op, uint32_t client)
{
    if (op->urgent)
        return CODE_OK;
    bool full = c->admitted >= CONVERSATIONS_ADMITTED || count_of_client(c, client) >= CONVERSATIONS_PER_CLIENT;
    return full ? CODE_BUSY : CODE_OK;
}

void router_request(struct control *c, unsigned slot, struct reply_to caller, uint32_t client, uint64_t deadline_ns,
                    struct span bytes)
{
    char why[WHY_BYTES] = "";
    struct request request = {0};
    bool json = router_is_json(bytes);
    struct conversation *v = free_conversation(c);
    if (v == NULL) {
        router_refuse(c, slot, caller, json, (struct span){0}, CODE_BUSY, "too many requests at the moment");
        return;
    }
    v->json = json;
    v->slot = slot;
    v->caller = caller;
    v->client = client;
    enum control_code code = CODE_USAGE;
    if (decode(c, v, bytes, &request, why) != ERR_OK)
        goto refused;
    v->op = operation_find(request.op);
    if (v->op == NULL) {
        (void)snprintf(why, sizeof(why), "no operation is named \"%.*s\"", (int)request.op.len,
                       (const char *)request.op.data);
        goto refused;
    }
    if (unpack_arguments(v, &request, why) != ERR_OK)
        goto refused;
    code = admit(c, v->op, client);
    if (code == CODE_OK) {
        begin(c, v, &request, deadline_ns);
        return;
    }
    (void)snprintf(why, sizeof(why), "%d requests are running, %d of one client: try again", CONVERSATIONS_ADMITTED,
                   CONVERSATIONS_PER_CLIENT);
refused:
    router_refuse(c, slot, caller, json, request.id, code, why);
    conversation_release(v);
}

static struct conversation *follower_of(struct control *c, const struct conversation *v)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        if (c->conversations[i].open && c->conversations[i].follows == (int)conversation_index(c, v))
            return &c->conversations[i];
    }
    return NULL;
}

/* ---- jobs ---- */

/* The slot's message goes with the answer: what the arguments borrow from it is copied first. */
static bool keep_arguments(struct conversation *v)
{
    struct request request;
    char why[WHY_BYTES];
    if (v->request.len > 0)
        return true;
    buf_init(&v->request, v->packed.len, NULL);
    bool kept = buf_append_span(&v->request, v->packed) == ERR_OK &&
                request_unpack(buf_span(&v->request), &request, why, sizeof(why)) == ERR_OK &&
                arguments_unpack(v->op, request.args, &v->scratch, v->args, why, sizeof(why)) == ERR_OK;
    names_apply(v);
    if (kept)
        v->packed = buf_span(&v->request);
    return kept;
}

void router_patience(struct control *c, uint64_t tag)
{
    struct conversation *v = conversation_of_tag(c, tag);
    if (v == NULL)
        return;
    v->job_timer = 0;
    if (v->slot == SLOT_JOB)
        job_lease(c, v, tag);
    if (v->follows >= 0 || v->slot == SLOT_JOB)
        return;
    struct job_entry *job = job_new(c, (int)conversation_index(c, v));
    if (job == NULL)
        return; /* too many: the client waits on */
    if (!keep_arguments(v)) {
        job_free(job);
        conversation_fail(c, v, CODE_BUSY, "no memory to go on");
        return;
    }
    struct buf answer;
    struct buf result;
    buf_init(&answer, 512, NULL);
    buf_init(&result, 64, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_u64(&p, "job", job->number);
    if (pack_end(&p) == ERR_OK && answer_pack(buf_span(&result), span_text(v->id), v->scope.trace, &answer) == ERR_OK) {
        conversation_keep_answer(c, v, buf_span(&answer));
        router_send(c, v->slot, v->caller, v->json, buf_span(&answer));
        v->slot = SLOT_JOB;
        v->client = 0;
        job_lease(c, v, tag);
        for (struct conversation *f = follower_of(c, v); f != NULL; f = follower_of(c, v))
            conversation_answer_one(c, f, CODE_OK, buf_span(&answer));
    }
    buf_release(&answer);
    buf_release(&result);
}

/* ---- what ends conversations from outside ---- */

void router_timer(struct control *c, uint64_t tag)
{
    struct conversation *v = conversation_of_tag(c, tag);
    if (v == NULL)
        return;
    v->timer = 0;
    conversation_fail(c, v, CODE_TIMEOUT, "the deadline of the request passed");
}

/* Exchanges to whom two conversations answer. */
static void swap_origins(struct conversation *a, struct conversation *b)
{
    struct conversation old = *a;
    a->slot = b->slot;
    a->caller = b->caller;
    a->client = b->client;
    a->json = b->json;
    b->slot = old.slot;
    b->caller = old.caller;
    b->client = old.client;
    b->json = old.json;
}

/* A client that reconnected has asked again under the same id: the work goes on for the new request, the old one ends. */
static void drop(struct control *c, struct conversation *v)
{
    struct conversation *follower = follower_of(c, v);
    if (follower != NULL)
        swap_origins(v, follower);
    conversation_fail(c, follower != NULL ? follower : v, CODE_CANCELLED, "given up by the client");
}

void router_gone_slot(struct control *c, unsigned slot)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        if (c->conversations[i].open && c->conversations[i].slot == slot)
            drop(c, &c->conversations[i]);
    }
}

void router_gone_caller(struct control *c, struct reply_to caller)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        struct conversation *v = &c->conversations[i];
        if (v->open && v->slot == SLOT_NONE && reply_same(&v->caller, &caller))
            drop(c, v);
    }
}

bool router_cancel(struct control *c, uint32_t client, struct span id)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        struct conversation *v = &c->conversations[i];
        if (v->open && v->client == client && v->op->id != OP_CANCEL && span_equal_text(id, v->id)) {
            drop(c, v);
            return true;
        }
    }
    return false;
}

/* A request that may be executed twice waits for the next life, as if it had just come. */
static bool leave_to_next(struct control *c, struct conversation *v)
{
    if (v->slot >= SLOT_NONE || !operation_repeatable(v->op) ||
        !listener_return(c->listener, v->slot, v->scope.deadline_ns))
        return false;
    conversation_end_work(c, v);
    conversation_release(v);
    return true;
}

void router_close(struct control *c, bool comes_back)
{
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        struct conversation *v = &c->conversations[i];
        if (v->open && !(comes_back && leave_to_next(c, v)))
            conversation_fail(c, v, CODE_UNAVAILABLE, CONTROL_STOPS_TEXT);
    }
    for (size_t i = 0; i < ANSWERS_KEPT; i++)
        buf_release(&c->kept[i].answer);
    for (size_t i = 0; i < JOBS_MAX; i++)
        job_free(&c->jobs[i]);
}

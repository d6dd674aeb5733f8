/* SPDX-License-Identifier: MIT */
#include "actors/control/conversation.h"

#include <stdio.h>

#include "actors/control/names.h"

enum { SUBJECT_BYTES_MAX = 120 };

/* ---- what was answered before ---- */

const struct kept_answer *conversation_kept(const struct control *c, const struct operation *op, const char *id)
{
    for (size_t i = 0; i < ANSWERS_KEPT; i++) {
        if (c->kept[i].op == op && strcmp(c->kept[i].id, id) == 0)
            return &c->kept[i];
    }
    return NULL;
}

void conversation_keep_answer(struct control *c, const struct conversation *v, struct span answer)
{
    if (!v->op->mutates || v->id[0] == '\0' || answer.len > ANSWER_KEPT_BYTES)
        return;
    struct kept_answer *kept = &c->kept[c->kept_next];
    c->kept_next = (c->kept_next + 1) % ANSWERS_KEPT;
    buf_release(&kept->answer);
    buf_init(&kept->answer, ANSWER_KEPT_BYTES, NULL);
    kept->op = buf_append_span(&kept->answer, answer) == ERR_OK ? v->op : NULL;
    memcpy(kept->id, v->id, sizeof(kept->id));
}

/* ---- the end of a conversation ---- */

unsigned conversation_index(const struct control *c, const struct conversation *v)
{
    return (unsigned)(v - c->conversations);
}

/* The conversation that a timer's or call's tag names; NULL when it has ended. */
struct conversation *conversation_of_tag(struct control *c, uint64_t tag)
{
    struct conversation *v = &c->conversations[(tag >> 16 & 0xffff) % CONVERSATIONS_MAX];
    return v->open && (v->generation & 0xfffffff) == (tag >> 32 & 0xfffffff) ? v : NULL;
}

void conversation_cancel_calls(struct control *c, struct conversation *v)
{
    for (unsigned sub = 0; sub < CONVERSATION_CALLS; sub++) {
        if ((v->calls >> sub & 1) != 0)
            ctx_cancel_call(c->ctx, tag_make(TAG_CALL, v->generation, conversation_index(c, v), sub));
    }
    v->calls = 0;
}

/* Timers end with their conversation: a client may ask far more often than one waits. */
void conversation_cancel_timer(struct control *c, uint64_t *timer)
{
    if (*timer != 0)
        ctx_timer_cancel(c->ctx, *timer);
    *timer = 0;
}

/* Lets go of all but the way to answer. */
void conversation_end_work(struct control *c, struct conversation *v)
{
    conversation_cancel_calls(c, v);
    if (v->op != NULL && v->follows < 0 && operation_handlers[v->op->id].end != NULL)
        operation_handlers[v->op->id].end(c, v);
    conversation_cancel_timer(c, &v->timer);
    conversation_cancel_timer(c, &v->job_timer);
    conversation_cancel_timer(c, &v->again);
    c->admitted -= v->admitted;
    v->admitted = false;
}

void conversation_release(struct conversation *v)
{
    buf_release(&v->request);
    buf_release(&v->scratch);
    names_end(v);
    uint32_t generation = v->generation + 1;
    memset(v, 0, sizeof(*v));
    v->generation = generation;
}

void conversation_answer_one(struct control *c, struct conversation *v, enum control_code code, struct span answer)
{
    conversation_end_work(c, v);
    ctx_request_end(c->ctx, &v->scope, (uint8_t)code);
    if (v->slot == SLOT_JOB)
        job_keep(c, (int)conversation_index(c, v), answer);
    else
        router_send(c, v->slot, v->caller, v->json, answer);
    conversation_release(v);
}

static void answer_all(struct control *c, struct conversation *v, enum control_code code, struct span answer)
{
    int self = (int)conversation_index(c, v);
    conversation_answer_one(c, v, code, answer);
    for (size_t i = 0; i < CONVERSATIONS_MAX; i++) {
        if (c->conversations[i].open && c->conversations[i].follows == self)
            conversation_answer_one(c, &c->conversations[i], code, answer);
    }
}

void conversation_finish(struct control *c, struct conversation *v, struct span result)
{
    struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX, NULL);
    if (answer_pack(result, span_text(v->id), v->scope.trace, &answer) == ERR_OK) {
        conversation_keep_answer(c, v, buf_span(&answer));
        answer_all(c, v, CODE_OK, buf_span(&answer));
    } else {
        conversation_fail(c, v, CODE_BUSY, "no memory for the answer");
    }
    buf_release(&answer);
}

void conversation_fail(struct control *c, struct conversation *v, enum control_code code, const char *message)
{
    struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX, NULL);
    const char *hint = code == CODE_USAGE ? "the operation `help` lists what there is" : "";
    enum err err = answer_pack_error(code, message, hint, span_text(v->id), v->scope.trace, &answer);
    if (code != CODE_BUSY && code != CODE_UNAVAILABLE) /* the same id may try again */
        conversation_keep_answer(c, v, buf_span(&answer));
    answer_all(c, v, code, err == ERR_OK ? buf_span(&answer) : (struct span){0});
    buf_release(&answer);
}

/* An error without a sentence of its own names at least what was asked for: the operation's first text. */
void conversation_fail_with(struct control *c, struct conversation *v, enum err err)
{
    char message[WHY_BYTES];
    struct span subject = {0};
    if (v->op->args.field_count > 0 && v->op->args.fields[0].type == FIELD_TEXT)
        memcpy(&subject, (const uint8_t *)v->args + v->op->args.fields[0].offset, sizeof(subject));
    (void)snprintf(message, sizeof(message), "%.*s%s%s", (int)MIN(subject.len, (size_t)SUBJECT_BYTES_MAX),
                   (const char *)subject.data, subject.len > 0 ? ": " : "", err_text(err));
    conversation_fail(c, v, control_code_from_err(err), v->why[0] != '\0' ? v->why : message);
}

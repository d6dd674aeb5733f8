/* SPDX-License-Identifier: MIT */
/* The way back: answers in the encoding of the request, to the slot or the caller that asked. */
#include "actors/control/router.h"
#include "schemas/json.h"
#include "schemas/pack.h"

/* JSON begins with '{' or white space; a msgpack map never does. */
bool router_is_json(struct span bytes)
{
    return bytes.len > 0 && (bytes.data[0] == '{' || bytes.data[0] == ' ' || bytes.data[0] == '\n' ||
                             bytes.data[0] == '\t' || bytes.data[0] == '\r');
}

static void reply_with_tail(struct control *c, struct reply_to to, struct span bytes)
{
    struct msg_control_answer fields = {0};
    struct block_ref *tail = block_ref_copy(bytes, NULL);
    if (tail == NULL)
        ctx_reply_err(c->ctx, to, ERR_NOMEM, "no memory for the answer");
    else
        ctx_reply(c->ctx, to, &(struct msg){.kind = MSG_CONTROL_ANSWER, .fields = &fields, .tail = tail});
    block_ref_unref(tail);
}

enum err router_pack_busy(bool json, struct buf *to)
{
    struct buf packed;
    buf_init(&packed, LISTENER_BUSY_BYTES, NULL);
    enum err err = answer_pack_error(CODE_BUSY, "too many bytes of requests at the moment: try again", "",
                                     (struct span){0}, 0, json ? &packed : to);
    if (err == ERR_OK && json)
        err = json_from_msgpack(buf_span(&packed), to);
    buf_release(&packed);
    return err;
}

enum err conversation_finish_packed(struct control *c, struct conversation *v, struct buf *result, struct pack *p)
{
    enum err err = pack_end(p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(result));
    buf_release(result);
    return err;
}

static void deliver(struct control *c, unsigned slot, struct reply_to caller, struct span bytes)
{
    if (slot != SLOT_NONE)
        listener_answer(c->listener, slot, bytes);
    else
        reply_with_tail(c, caller, bytes);
}

/* Sends a msgpack answer in the encoding of the request. */
void router_send(struct control *c, unsigned slot, struct reply_to caller, bool json, struct span answer)
{
    struct buf text;
    buf_init(&text, ANSWER_BYTES_MAX, NULL);
    if (json && json_from_msgpack(answer, &text) == ERR_OK)
        deliver(c, slot, caller, buf_span(&text));
    else if (json)
        deliver(c, slot, caller,
                span_text("{\"ok\":false,\"error\":{\"code\":\"too_large\",\"message\":\"the answer is too large\"}}"));
    else
        deliver(c, slot, caller, answer);
    buf_release(&text);
}

void router_refuse(struct control *c, unsigned slot, struct reply_to caller, bool json, struct span id,
                   enum control_code code, const char *message)
{
    struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX, NULL);
    const char *hint = code == CODE_USAGE ? "the operation `help` lists what there is" : "";
    if (answer_pack_error(code, message, hint, id, 0, &answer) == ERR_OK)
        router_send(c, slot, caller, json, buf_span(&answer));
    else
        deliver(c, slot, caller, (struct span){0});
    buf_release(&answer);
}

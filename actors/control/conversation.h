/* SPDX-License-Identifier: MIT */
/*
 * A conversation from its last word on: how it is answered, what is kept of it, how it lets go of what it holds. The router (router.h) begins
 * conversations and drives them; this ends them. Private to both. One thread: the actor's.
 */
#ifndef HEARTH_ACTORS_CONTROL_CONVERSATION_H
#define HEARTH_ACTORS_CONTROL_CONVERSATION_H

#include "actors/control/router.h"

/* What a mutation with this id was answered; NULL: it is not known. */
const struct kept_answer *conversation_kept(const struct control *c, const struct operation *op, const char *id);
void conversation_keep_answer(struct control *c, const struct conversation *v, struct span answer);

unsigned conversation_index(const struct control *c, const struct conversation *v);
/* The conversation that a timer's or call's tag names; NULL when it has ended. */
struct conversation *conversation_of_tag(struct control *c, uint64_t tag);

void conversation_cancel_calls(struct control *c, struct conversation *v);
void conversation_cancel_timer(struct control *c, uint64_t *timer);
/* Lets go of all but the way to answer. */
void conversation_end_work(struct control *c, struct conversation *v);
/* Its place is free. */
void conversation_release(struct conversation *v);

/* Answers this one alone, not those that follow it, and ends it. code: as its trace tells. */
void conversation_answer_one(struct control *c, struct conversation *v, enum control_code code, struct span answer);
/* Fails with an error, and the sentence that the operation has for it. */
void conversation_fail_with(struct control *c, struct conversation *v, enum err err);

#endif

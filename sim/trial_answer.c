/* SPDX-License-Identifier: MIT */
/* What the answers to errands mean: for the history, and whether they break a promise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/messages.h"
#include "sim/trial_internal.h"
#include "wire/ipns.h"

enum { COLLECTION_SECONDS = 60 };

static void judge_bytes(struct trial_node *n, const struct errand *e, const struct msg *msg)
{
    struct cid cid;
    struct block_ref *expected = trial_block(e->block, &cid);
    struct span got = msg->tail == NULL ? span_of(NULL, 0) : block_ref_span(msg->tail);
    if (!span_equal(got, block_ref_span(expected)))
        trial_fail(n->trial, (int)n->number, "errand %llu (%s): wrong bytes for block %u",
                   (unsigned long long)e->number, errand_name(e->kind), e->block);
    block_ref_unref(expected);
}

static void keep_until_the_end(struct trial_node *n, unsigned block)
{
    struct trial *t = n->trial;
    if (prng_below(&t->prng, 2) == 0)
        return;
    if (t->kept_count == t->kept_cap) {
        t->kept_cap = t->kept_cap == 0 ? 64 : t->kept_cap * 2;
        t->kept = realloc(t->kept, t->kept_cap * sizeof(*t->kept));
        if (t->kept == NULL)
            abort();
    }
    history_of(&n->history, block)->wanted = true;
    t->kept[t->kept_count++] = (struct kept_block){.block = block, .node = n->number};
}

/* ---- names ---- */

/* One of the values that its owner asked a signature for. */
static bool is_value_of(const struct trial_node *owner, struct span value)
{
    char text[TRIAL_VALUE_MAX];
    for (uint64_t i = owner->history.signs; i > 0; i--)
        if (span_equal(trial_name_value(owner->number, i, text), value))
            return true;
    return false;
}

/* The first sequence is 0, so one more stands for it: 0 is none. */
static bool judge_record(struct trial_node *n, const struct errand *e, const struct trial_node *owner,
                         struct span bytes, uint64_t *ret_sequence)
{
    struct ipns_record record;
    if (ipns_record_decode(bytes, &record) != ERR_OK || !is_value_of(owner, record.value)) {
        trial_fail(n->trial, (int)n->number, "errand %llu (%s): the record of node %u has a value that it never had",
                   (unsigned long long)e->number, errand_name(e->kind), owner->number);
        return false;
    }
    *ret_sequence = record.sequence + 1;
    return true;
}

static enum err take_signed(struct trial_node *n, struct errand *e, const struct msg_ipns_record *m)
{
    uint64_t sequence;
    if (m->record.len > sizeof(n->record) || !judge_record(n, e, n, m->record, &sequence))
        return ERR_MISMATCH;
    if (sequence <= n->history.signed_to)
        trial_fail(n->trial, (int)n->number, "errand %llu: sequence %llu of its name after %llu",
                   (unsigned long long)e->number, (unsigned long long)sequence - 1,
                   (unsigned long long)n->history.signed_to - 1);
    n->history.signed_to = sequence;
    e->wanted = sequence;
    memcpy(n->record, m->record.data, m->record.len);
    n->record_len = m->record.len;
    return ERR_OK;
}

static enum err take_told(struct trial_node *n, const struct errand *e, const struct msg_route_put_ok *m)
{
    if (m->count == 0)
        return ERR_UNREACHABLE;
    n->history.told_to = MAX(n->history.told_to, e->wanted);
    return ERR_OK;
}

static enum err take_name(struct trial_node *n, const struct errand *e, const struct msg_route_value *m)
{
    uint64_t sequence;
    if (!judge_record(n, e, &n->trial->nodes[e->other], m->value, &sequence))
        return ERR_MISMATCH;
    return sequence < e->wanted ? ERR_NOT_FOUND : ERR_OK;
}

/* ---- good answers ---- */

static enum err take_page(struct trial_node *n, const struct msg_repo_gc_page *m)
{
    n->collected_len = m->next.len;
    if (m->next.len > 0)
        memcpy(n->collected, m->next.data, m->next.len);
    return m->next.len > 0 ? ERR_AGAIN : ERR_OK;
}

static enum err take_found(struct trial_node *n, const struct errand *e, const struct msg_pin_found *m)
{
    struct holding *held = history_of(&n->history, e->block);
    if (!m->recursive && !m->direct && held->pinned == SURE_YES)
        trial_fail(n->trial, (int)n->number, "errand %llu: the pin of block %u is lost", (unsigned long long)e->number,
                   e->block);
    held->found = true;
    return ERR_OK;
}

/* ERR_AGAIN: the same step once more. */
static enum err take(struct trial_node *n, struct errand *e, const struct msg *msg)
{
    struct history *h = &n->history;
    uint64_t now = sim_now(n->trial->sim);
    switch (msg->kind) {
    case MSG_BLOCK_PUT_OK:
        history_put_done(h, e->block, now);
        return ERR_OK;
    case MSG_BLOCK:
        judge_bytes(n, e, msg);
        if (e->kind == ERRAND_FETCH || e->kind == ERRAND_PIN)
            history_put_done(h, e->block, now);
        history_of(h, e->block)->verified |= n->trial->phase == PHASE_LIVENESS;
        return ERR_OK;
    case MSG_REPO_GC_PAGE:
        return take_page(n, msg->fields);
    case MSG_PIN_FOUND:
        return take_found(n, e, msg->fields);
    case MSG_IPNS_RECORD:
        return take_signed(n, e, msg->fields);
    case MSG_ROUTE_PUT_OK:
        return take_told(n, e, msg->fields);
    case MSG_ROUTE_VALUE:
        return take_name(n, e, msg->fields);
    case MSG_SWARM_PEERS_OK:
        return ((const struct msg_swarm_peers_ok *)msg->fields)->connections.count > 0 ? ERR_OK : ERR_UNREACHABLE;
    default:
        return ERR_OK;
    }
}

/* The last step was done. */
static void finish(struct trial_node *n, struct errand *e)
{
    struct history *h = &n->history;
    if (e->kind == ERRAND_KEEP || e->kind == ERRAND_PIN)
        history_pin_done(h, e->block, e->leased);
    if (e->kind == ERRAND_KEEP)
        keep_until_the_end(n, e->block);
    if (e->kind == ERRAND_UNPIN)
        history_unpin_done(h, e->block);
    if (e->kind == ERRAND_REMOVE)
        history_remove_done(h, e->block);
    if (e->kind == ERRAND_REFUSE)
        trial_fail(n->trial, (int)n->number, "errand %llu: block %u was removed, though it is pinned",
                   (unsigned long long)e->number, e->block);
}

/* ---- bad answers ---- */

/* What no fault may cause: the request was good. */
static bool is_nonsense(enum err err)
{
    return err == ERR_INVALID || err == ERR_UNSUPPORTED || err == ERR_TRUNCATED || err == ERR_EXISTS ||
           err == ERR_PROTOCOL || err == ERR_INTERNAL || err == ERR_CORRUPT;
}

static void judge_error(struct trial_node *n, const struct errand *e, enum err err, const char *text)
{
    const struct holding *held = e->block == 0 ? NULL : history_of(&n->history, e->block);
    bool promised = held != NULL && held->stored == SURE_YES && held->version == e->version;
    if (e->kind == ERRAND_GET && promised && (err == ERR_NOT_FOUND || err == ERR_CORRUPT))
        trial_fail(n->trial, (int)n->number, "errand %llu: block %u, which was acknowledged, is lost: %s %s",
                   (unsigned long long)e->number, e->block, err_name(err), text);
    else if (e->kind == ERRAND_UNPIN && err == ERR_NOT_FOUND)
        trial_fail(n->trial, (int)n->number, "errand %llu: the pin of block %u, which was acknowledged, is lost",
                   (unsigned long long)e->number, e->block);
    else if (is_nonsense(err))
        trial_fail(n->trial, (int)n->number, "errand %llu (%s): %s %s", (unsigned long long)e->number,
                   errand_name(e->kind), err_name(err), text);
}

void errand_over(struct trial_node *n, struct errand *e, enum err err, const char *text)
{
    struct trial *t = n->trial;
    bool refused = e->kind == ERRAND_REFUSE && err == ERR_DENIED;
    const struct journal_row row = {.type = JOURNAL_DONE,
                                    .node = (uint16_t)n->number,
                                    .actor = ACTOR_CONTROL,
                                    .kind = (uint16_t)e->kind,
                                    .err = (uint8_t)err,
                                    .a = e->number};
    trial_note(t, &row, text);
    if (e->block != 0)
        history_of(&n->history, e->block)->busy = false;
    if (e->kind == ERRAND_COLLECT)
        history_collect_done(&n->history, err == ERR_OK, sim_now(t->sim) + COLLECTION_SECONDS * SECOND_NS);
    if (err == ERR_OK)
        finish(n, e);
    else if (!refused)
        judge_error(n, e, err, text == NULL ? "" : text);
    n->healthy |= e->kind == ERRAND_HEALTH && err == ERR_OK;
    n->published |= e->kind == ERRAND_PUBLISH && err == ERR_OK && t->phase == PHASE_LIVENESS;
    n->resolved |= e->kind == ERRAND_RESOLVE && err == ERR_OK && t->phase == PHASE_LIVENESS && e->wanted > 0;
    if (err != ERR_OK && t->phase == PHASE_LIVENESS)
        (void)snprintf(n->lacks, sizeof(n->lacks), "%s, block %u: %s %s", errand_name(e->kind), e->block, err_name(err),
                       text == NULL ? "" : text);
    t->result.done[e->kind] += err == ERR_OK || refused;
    t->result.failed[e->kind] += err != ERR_OK && !refused;
    e->used = false;
}

enum err errand_take(struct trial_node *n, struct errand *e, const struct info *info)
{
    enum err err = info->err == ERR_OK ? take(n, e, info->msg) : info->err;
    if (err == ERR_OK) {
        e->step++;
        return errand_is_at_end(e) ? ERR_OK : ERR_AGAIN;
    }
    return err;
}

/* SPDX-License-Identifier: MIT */
/* What happens when in a trial, and what is looked at each second. */
#include "sim/trial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/globe.h"
#include "sim/trial_internal.h"

enum {
    JOIN_EVERY_MS = 20,
    JOIN_SECONDS = 30,
    LATE_SECONDS = 2, /* an errand that is still open so long after its deadline hangs */
    NANNY_MS = 1000,
    PROGRESS_SECONDS = 60
};

struct trial *trial_playing;

void trial_fail(struct trial *t, int node, const char *fmt, ...)
{
    if (t->failed)
        return;
    va_list args;
    int len = node < 0 ? 0 : snprintf(t->why, TRIAL_WHY_BYTES, "node %d: ", node);
    va_start(args, fmt);
    (void)vsnprintf(t->why + len, (size_t)(TRIAL_WHY_BYTES - len), fmt, args);
    va_end(args);
    t->failed = true;
    t->result.failed_ns = sim_now(t->sim);
    t->result.failed_node = node;
    trial_note(t, &(struct journal_row){.type = JOURNAL_PHASE, .node = (uint16_t)MAX(node, 0)}, t->why);
}

void trial_note(struct trial *t, const struct journal_row *row, const char *text)
{
    if (t->options->journal == NULL)
        return;
    struct journal_row timed = *row;
    timed.at_ns = sim_now(t->sim);
    journal_note(t->options->journal, &timed, text);
}

void trial_note_fault(struct trial *t, const struct trial_node *n, const char *fmt, ...)
{
    char text[JOURNAL_TEXT_MAX + 1];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    trial_note(t, &(struct journal_row){.type = JOURNAL_FAULT, .node = (uint16_t)n->number}, text);
}

uint64_t trial_draw(struct trial *t, uint64_t mean_ns)
{
    return globe_exponential_ns(&t->prng, mean_ns * 7 / 10); /* the median of a mean: ln 2 */
}

static void enter(struct trial *t, enum trial_phase phase, const char *text)
{
    t->phase = phase;
    trial_note(t, &(struct journal_row){.type = JOURNAL_PHASE}, text);
}

static int64_t clock_off(void *arg, const char *name)
{
    const struct trial *t = arg;
    unsigned long number = strtoul(name + sizeof("node-") - 1, NULL, 10);
    return t->nodes[number].clock_off_ns;
}

/* ---- each second ---- */

static void judge_accounts(struct trial_node *n)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        const struct account *account = &n->budget.accounts[i];
        if (account_used(account) > account->limit_bytes)
            trial_fail(n->trial, (int)n->number, "account %s holds %" PRIu64 " of %" PRIu64 " bytes", account->name,
                       account_used(account), account->limit_bytes);
    }
}

static void judge_deadlines(struct trial_node *n)
{
    uint64_t now = sim_now(n->trial->sim);
    for (size_t i = 0; i < TRIAL_ERRANDS; i++) {
        const struct errand *e = &n->errands[i];
        if (e->used && now > e->deadline_ns + LATE_SECONDS * SECOND_NS)
            trial_fail(n->trial, (int)n->number, "errand %" PRIu64 " (%s) hangs: %.1f s after its deadline", e->number,
                       errand_name(e->kind), (double)(now - e->deadline_ns) / 1e9);
    }
}

/* The part of a nanny: a process that ended by itself is started again. */
static bool is_over(struct trial_node *n)
{
    enum runtime_exit exit;
    if (!runtime_wait(n->runtime, 0, &exit))
        return false;
    trial_note_fault(n->trial, n, "its process has ended with %d", (int)exit);
    trial_node_end(n, TRIAL_END_STOP, NANNY_MS * MS_NS);
    return true;
}

static void look(struct trial *t)
{
    uint64_t now = sim_now(t->sim);
    for (unsigned i = 0; i < t->plan->nodes && !t->failed; i++) {
        struct trial_node *n = &t->nodes[i];
        if (n->full_until_ns != 0 && now >= n->full_until_ns) {
            n->full_until_ns = 0;
            sim_disk_resize(n->disk, TRIAL_DISK_MIB * MIB);
        }
        if (n->runtime == NULL || is_over(n))
            continue;
        judge_accounts(n);
        judge_deadlines(n);
    }
}

static void tell(struct trial *t)
{
    unsigned up = 0;
    size_t sockets = 0;
    if (t->options->progress == NULL)
        return;
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        up += t->nodes[i].runtime != NULL;
        sockets += sim_host_sockets(t->nodes[i].host);
    }
    (void)fprintf(t->options->progress, "%.0f s: %u nodes, %zu connections, %" PRIu64 " errands, %" PRIu64 " steps\n",
                  (double)(sim_now(t->sim) - t->began_ns) / 1e9, up, sockets / 2, t->errand_count, sim_steps(t->sim));
}

/* ---- time ---- */

static struct trial_node *first_back(struct trial *t)
{
    struct trial_node *first = &t->nodes[0];
    for (unsigned i = 1; i < t->plan->nodes; i++)
        if (t->nodes[i].back_at_ns < first->back_at_ns)
            first = &t->nodes[i];
    return first;
}

static bool all_done(const struct trial *t)
{
    for (unsigned i = 0; i < t->plan->nodes; i++)
        if (t->nodes[i].runtime == NULL || !t->nodes[i].done)
            return false;
    return true;
}

/* Lets it all live until then, or until all is done in the liveness phase, or a promise is broken. */
static void live_until(struct trial *t, uint64_t end_ns)
{
    uint64_t look_at = sim_now(t->sim) + SECOND_NS;
    uint64_t tell_at = sim_now(t->sim) + PROGRESS_SECONDS * SECOND_NS;
    while (!t->failed && sim_now(t->sim) < end_ns && !(t->phase == PHASE_LIVENESS && all_done(t))) {
        struct trial_node *back = first_back(t);
        uint64_t fault_at = t->phase == PHASE_SAFETY ? trial_faults_next(t) : UINT64_MAX;
        sim_run_until(t->sim, MIN(MIN(end_ns, look_at), MIN(back->back_at_ns, fault_at)));
        uint64_t now = sim_now(t->sim);
        if (t->failed || now >= end_ns)
            break;
        if (now >= look_at) {
            look(t);
            look_at = sim_now(t->sim) + SECOND_NS;
        }
        if (now >= tell_at) {
            tell(t);
            tell_at += PROGRESS_SECONDS * SECOND_NS;
        }
        if (now >= back->back_at_ns)
            trial_node_start(back);
        else if (now >= fault_at)
            trial_faults_strike(t);
    }
}

static enum err join(struct trial *t)
{
    enum err err = ERR_OK;
    for (unsigned i = 0; i < t->plan->nodes && err == ERR_OK; i++)
        err = trial_node_prepare(t, i);
    for (unsigned i = 0; i < t->plan->nodes && err == ERR_OK; i++)
        err = trial_node_configure(t, i);
    for (unsigned i = 0; i < t->plan->nodes && err == ERR_OK; i++) {
        trial_node_start(&t->nodes[i]);
        sim_run_until(t->sim, sim_now(t->sim) + JOIN_EVERY_MS * MS_NS);
    }
    return err;
}

static void judge_liveness(struct trial *t)
{
    for (unsigned i = 0; i < t->plan->nodes; i++) {
        const struct trial_node *n = &t->nodes[i];
        if (n->runtime == NULL || !n->done)
            trial_fail(t, (int)i, "after %d min without faults it is not done: %s", TRIAL_LIVENESS_MINUTES,
                       n->lacks[0] == '\0' ? "something hangs" : n->lacks);
    }
}

static enum err play(struct trial *t)
{
    enter(t, PHASE_JOINING, "joining");
    t->safety_ns = t->began_ns + JOIN_SECONDS * SECOND_NS + t->plan->nodes * JOIN_EVERY_MS * MS_NS;
    t->liveness_ns = t->safety_ns + t->plan->safety_ns;
    trial_faults_prepare(t);
    enum err err = join(t);
    if (err != ERR_OK)
        return err;
    live_until(t, t->safety_ns);
    enter(t, PHASE_SAFETY, "safety phase");
    trial_faults_begin(t);
    live_until(t, t->liveness_ns);
    trial_faults_end(t);
    enter(t, PHASE_LIVENESS, "liveness phase");
    uint64_t began = sim_now(t->sim);
    for (unsigned i = 0; i < t->plan->nodes; i++)
        if (t->nodes[i].runtime == NULL)
            t->nodes[i].back_at_ns = began;
    live_until(t, began + (uint64_t)TRIAL_LIVENESS_MINUTES * 60 * SECOND_NS);
    if (!t->failed)
        judge_liveness(t);
    t->result.liveness_ns = sim_now(t->sim) - began;
    tell(t);
    enter(t, PHASE_OVER, "the end");
    for (unsigned i = 0; i < t->plan->nodes && !t->failed; i++)
        trial_node_end(&t->nodes[i], TRIAL_END_STOP, UINT64_MAX);
    return t->failed ? ERR_MISMATCH : ERR_OK;
}

static void release(struct trial *t)
{
    for (unsigned i = 0; t->nodes != NULL && i < t->plan->nodes; i++)
        if (t->nodes[i].trial != NULL)
            trial_node_end(&t->nodes[i], TRIAL_END_POWER, UINT64_MAX);
    if (t->net != NULL)
        sim_net_free(t->net);
    for (unsigned i = 0; t->nodes != NULL && i < t->plan->nodes; i++)
        trial_node_release(&t->nodes[i]);
    if (t->sim != NULL)
        sim_free(t->sim);
    free(t->nodes);
    free(t->kept);
}

enum err trial_play(const struct trial_options *options, struct trial_result *ret_result, char why[TRIAL_WHY_BYTES])
{
    struct trial t = {.options = options, .plan = &options->plan, .why = why, .result = {.failed_node = -1}};
    why[0] = '\0';
    if (t.plan->nodes < 2 || t.plan->nodes > TRIAL_NODES_MAX) {
        (void)snprintf(why, TRIAL_WHY_BYTES, "2 to %d nodes", TRIAL_NODES_MAX);
        return ERR_INVALID;
    }
    trial_playing = &t;
    prng_init(&t.prng, t.plan->seed ^ UINT64_C(0x6c6f6164));
    t.sim = sim_new(t.plan->seed);
    t.net = t.sim == NULL ? NULL : sim_net_new(t.sim);
    t.nodes = calloc(t.plan->nodes, sizeof(*t.nodes));
    enum err err = ERR_NOMEM;
    if (t.net != NULL && t.nodes != NULL) {
        t.began_ns = sim_now(t.sim);
        sim_set_clocks(t.sim, clock_off, &t);
        err = play(&t);
        t.result.trace = sim_trace(t.sim);
        t.result.steps = sim_steps(t.sim);
        t.result.began_ns = t.began_ns;
        t.result.virtual_ns = sim_now(t.sim) - t.began_ns;
    }
    release(&t);
    *ret_result = t.result;
    trial_playing = NULL;
    return err;
}

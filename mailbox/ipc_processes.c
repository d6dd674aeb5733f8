/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_processes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { ARGUMENTS_MAX = 64, OWN_DESCRIPTORS = 5 /* the region, two of crash_memory.h, the shelf */ };

/* Takes the end of its process: what it held is given back, and no turn of it goes on. False while it has not ended. */
static bool bury(struct ctx *c, struct child_end *ret_end)
{
    struct ipc_child *child = &ipc_of(c)->children[c->id];
    *ret_end = (struct child_end){0};
    if (!child_reap(child, ret_end))
        return false;
    ipc_of(c)->desk.ended &= ~(UINT64_C(1) << c->id); /* the word of its end is not the next one's */
    if (c->rt->config.budget != NULL)
        budget_forget(c->rt->config.budget, c->id);
    atomic_store_explicit(&c->shared->turn_since_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&c->shared->turn_bound_ns, 0, memory_order_relaxed);
    atomic_store(&c->shared->cpu_clock, 0);
    atomic_fetch_add(&c->shared->cpu_past_ns, ret_end->cpu_ns);
    return true;
}

void process_note_clock(struct ctx *c, pid_t pid)
{
    clockid_t clock = 0;
    if (clock_getcpuclockid(pid, &clock) == 0)
        atomic_store(&c->shared->cpu_clock, clock);
}

enum err process_spawn(struct ctx *c)
{
    struct ipc *ipc = ipc_of(c);
    const struct ipc_options *options = ipc->options;
    const struct crash_memory *crash = c->rt->config.crash;
    struct ipc_child *child = &ipc->children[c->id];
    const char *argv[ARGUMENTS_MAX + 2];
    char text[PLACE_TEXT_MAX + 16];
    int fds[PLACE_SOCKETS_MAX + ARGUMENTS_MAX];
    size_t argc = 0;
    struct child_end end;
    if (!bury(c, &end))
        return ERR_NOMEM; /* it was killed, and the kernel has not let it go yet */
    while (options->command[argc] != NULL && argc < ARGUMENTS_MAX) {
        argv[argc] = options->command[argc];
        argc++;
    }
    const struct ipc_place place = {.actor = c->id,
                                    .region_fd = ipc->region.fd,
                                    .page_fd = crash == NULL ? -1 : crash->page_fd,
                                    .notes_fd = crash == NULL ? -1 : crash->notes_fd};
    int before = snprintf(text, sizeof(text), "--actor=");
    ipc_place_print(text + before, &place, &ipc->sockets);
    argv[argc++] = text;
    argv[argc] = NULL;
    size_t count = c->rt->actor_count * LANE_COUNT;
    memcpy(fds, ipc_sockets_of(&ipc->sockets, c->id), count * sizeof(*fds));
    for (size_t i = 0; i < MIN(options->descriptor_count, (size_t)ARGUMENTS_MAX - OWN_DESCRIPTORS); i++)
        fds[count++] = options->descriptors[i];
    fds[count++] = place.region_fd;
    fds[count++] = place.page_fd;
    fds[count++] = place.notes_fd;
    for (size_t i = 0; i < ARRAY_LEN(ipc->sockets.shelves[c->id]); i++)
        fds[count++] = ipc->sockets.shelves[c->id][i];
    if (crash != NULL)
        crash_page_forget(crash->page, c->id);
    enum err err = child_spawn(child, argv, fds, count);
    if (err != ERR_OK)
        return err;
    child->epoch = life_epoch(life_of(c));
    process_note_clock(c, child->pid);
    err = desk_watch_child(&ipc->desk, c->id, child->pidfd);
    if (err != ERR_OK)
        child_kill(child);
    return err;
}

void process_reap(struct ctx *c)
{
    struct ipc_child *child = &ipc_of(c)->children[c->id];
    struct child_end end;
    child->reported = true;
    child_kill(child); /* it has nothing left to do: its report is the last */
    (void)bury(c, &end);
}

void process_kill(struct ctx *c, enum exit_reason reason)
{
    struct ipc_child *child = &ipc_of(c)->children[c->id];
    child->overdue = reason == EXIT_STUCK;
    child->ordered = !child->overdue;
    child_kill(child);
}

/* The record that an ended process could not send; NULL when it did. */
static struct batch *last_words(struct ctx *root, actor_id who)
{
    struct ipc_child *child = &ipc_of(root)->children[who];
    struct ctx *c = actor_of(root->rt, who);
    const struct ipc_child was = *child;
    struct child_end end;
    /* A process that is just being started holds all descriptors: so long is word given of one that was reaped, and it is not the next one's. */
    if (!child_has_ended(child) || !bury(c, &end))
        return NULL;
    uint64_t life = life_of(c);
    if (was.reported || life_epoch(life) != was.epoch)
        return NULL;
    if (was.overdue || (WIFSIGNALED(end.status) && !was.ordered))
        poison_note(c, was.epoch, end.status, was.overdue);
    atomic_store_explicit(&c->shared->life, life_word(was.epoch, LIFE_ENDED), memory_order_release);
    bool began = life_state(life) != LIFE_STARTING;
    size_t len = strlen(end.how);
    struct record record = {.type = began ? RECORD_EXITED : RECORD_STARTED,
                            .kind = was.overdue ? EXIT_STUCK : EXIT_KILLED,
                            .from = who,
                            .to = ROOT_ID,
                            .from_epoch = was.epoch,
                            .to_epoch = root->epoch,
                            .body_len = (uint32_t)len,
                            .err = began ? ERR_OK : ERR_UNAVAILABLE};
    struct account *account = root->rt->account;
    struct batch *batch = batch_new(who, ROOT_ID, account, true);
    uint8_t *at =
        batch == NULL ? NULL : batch_reserve(batch, ENVELOPE_BATCH_BYTES, envelope_record_bytes(len), account, true);
    if (at == NULL)
        abort(); /* not a kilobyte of memory left: the nanny takes over */
    memcpy(at + ENVELOPE_RECORD_BYTES, end.how, len);
    envelope_encode(at, &record);
    batch_seal(batch, 1);
    return batch;
}

struct batch *process_last_words(struct ctx *root)
{
    struct ipc_desk *desk = &ipc_of(root)->desk;
    struct batch *batch = NULL;
    while (desk->ended != 0 && batch == NULL) {
        actor_id who = (actor_id)__builtin_ctzll(desk->ended);
        desk->ended &= desk->ended - 1;
        batch = last_words(root, who);
    }
    return batch;
}

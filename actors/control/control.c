/* SPDX-License-Identifier: MIT */
/*
 * control: the socket that users query.
 *
 * Owns: the nng REP socket, the socket that open files come in by, the conversations, uploads and readers. Accepts: requests and files on
 * its sockets, calls control_request and probe. Emits: calls to all other actors, casts state_transfer. Restart: permanent; clients ask
 * again by themselves.
 *
 * On a backend that watches no descriptors (the simulator) there are no sockets: requests come as control_request only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "actors/control/file_door.h"
#include "actors/control/sessions.h"

struct control_state {
    struct control c;
};

/*
 * What a life leaves to the next: clients stay connected while this actor is restarted, hear that what they asked for has failed, and what
 * came in meanwhile is answered by the next life. To close the socket instead would lock clients out of nng 1.5.2 that were just coming in.
 */
struct entrance {
    struct account requests;
    struct listener *listener; /* NULL where no descriptors are watched */
};

static void entrance_free(void *thing)
{
    struct entrance *entrance = thing;
    listener_close(entrance->listener);
    free(entrance);
}

static enum err listener_options_of(struct ctx *ctx, const struct config *config, char *folder, size_t folder_bytes,
                                    struct listener_options *options)
{
    int len = snprintf(folder, folder_bytes, "%s/run", config->path);
    if (len < 0 || (size_t)len >= folder_bytes)
        return ctx_fail(ctx, ERR_TOO_LARGE, "HEARTH_PATH is too long for the control socket");
    *options = (struct listener_options){.repository = config->path,
                                         .folder = folder,
                                         .group = config->control_group,
                                         .request_bytes_max = REQUESTS_BYTES_MIN};
    options->uids[options->uid_count++] = (uint32_t)getuid();
    for (size_t i = 0; i < config->control_allowed_uids.count; i++) {
        char *end = NULL;
        const char *text = config->control_allowed_uids.items[i];
        unsigned long uid = strtoul(text, &end, 10);
        if (*text == '\0' || *end != '\0' || uid >= UINT32_MAX || options->uid_count == LISTENER_UIDS_MAX)
            return ctx_fail(ctx, ERR_INVALID, "Control.AllowedUIDs: \"%s\" is no user id", text);
        options->uids[options->uid_count++] = (uint32_t)uid;
    }
    return ERR_OK;
}

/* Whether this backend watches descriptors at all, tried on one that is always there. */
static bool watch_possible(struct ctx *ctx)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    bool possible = fd >= 0 && ctx_watch(ctx, fd, 0) == ERR_OK;
    if (possible)
        ctx_unwatch(ctx, fd);
    if (fd >= 0)
        (void)close(fd);
    return possible;
}

static enum err open_with_busy(struct control *c, struct listener_options *options, char why[LISTENER_WHY_BYTES])
{
    struct buf packed;
    struct buf json;
    buf_init(&packed, LISTENER_BUSY_BYTES, NULL);
    buf_init(&json, LISTENER_BUSY_BYTES, NULL);
    enum err err = router_pack_busy(false, &packed);
    if (err == ERR_OK)
        err = router_pack_busy(true, &json);
    options->requests = c->requests;
    options->busy = buf_span(&packed);
    options->busy_json = buf_span(&json);
    if (err == ERR_OK)
        err = listener_open(options, &c->entrance->listener, why);
    buf_release(&packed);
    buf_release(&json);
    return err;
}

static void check_later(struct control *c)
{
    uint64_t ms = listener_check_soon(c->listener) ? LISTENER_QUICK_MS : LISTENER_CHECK_MS;
    (void)ctx_timer(c->ctx, ctx_now(c->ctx) + ms * MS_NS, tag_make(TAG_DOOR, 0, 0, 0));
}

static void check_doors(struct control *c)
{
    char why[LISTENER_WHY_BYTES] = "";
    if (listener_check(c->listener, why))
        ctx_log(c->ctx, LOG_WARN, "%s", why);
    uint64_t refused = file_door_expire(c->files, ctx_now(c->ctx));
    if (refused > 0)
        ctx_log(c->ctx, LOG_WARN, "files.sock: %llu datagrams refused: no open regular file of an allowed user",
                (unsigned long long)refused);
    check_later(c);
}

/* Nothing else depends on it: without it, files come as bytes. */
static void open_file_door(struct control *c, const struct listener_options *options)
{
    char why[LISTENER_WHY_BYTES] = "no memory, or it cannot be watched";
    enum err err = file_door_open(options, c->listener, &c->files, why);
    if (err == ERR_OK)
        err = ctx_watch(c->ctx, file_door_fd(c->files), tag_make(TAG_FILE_DOOR, 0, 0, 0));
    if (err == ERR_OK)
        return;
    ctx_log(c->ctx, LOG_WARN, "files are not read and written in place, their bytes go over the control socket: %s",
            why);
    file_door_close(c->files);
    c->files = NULL;
}

static enum err open_listener(struct ctx *ctx, struct control *c, const struct config *config)
{
    char folder[1100];
    char why[LISTENER_WHY_BYTES] = "";
    struct listener_options options;
    enum err err = listener_options_of(ctx, config, folder, sizeof(folder), &options);
    if (err == ERR_OK && !watch_possible(ctx))
        return ERR_OK;
    if (err == ERR_OK && c->entrance->listener == NULL)
        err = open_with_busy(c, &options, why);
    if (err != ERR_OK)
        return why[0] == '\0' ? err : ctx_fail(ctx, err, "%s", why);
    c->listener = c->entrance->listener;
    err = ctx_watch(ctx, listener_fd(c->listener), tag_make(TAG_LISTENER, 0, 0, 0));
    listener_resume(c->listener);
    open_file_door(c, &options);
    check_later(c);
    return err == ERR_OK ? ERR_OK : ctx_fail(ctx, err, "the control socket cannot be watched");
}

/* So that it hears at once that one which was down runs again; where there is no room for that, those who wait look by time. */
static void watch_all(struct ctx *ctx)
{
    for (unsigned id = 1; id < ACTOR_COUNT; id++) {
        if (id != ACTOR_CONTROL)
            (void)!ctx_monitor(ctx, (actor_id)id);
    }
}

/* Clients of an earlier life still name its uploads and jobs, which must not be other clients' now. */
static void number_on(struct control *c)
{
    struct actor_stats stats;
    uint32_t from[2];
    for (size_t i = 0; ctx_actor_stats(c->ctx, i, &stats); i++) {
        if (strcmp(stats.name, control_class.name) != 0 || stats.restarts == 0)
            continue;
        ctx_random(c->ctx, from, sizeof(from));
        c->next_upload = from[0];
        c->next_job = from[1];
    }
}

static enum err control_init(struct ctx *ctx, void *state, const struct config *config)
{
    struct control *c = &((struct control_state *)state)->c;
    c->ctx = ctx;
    c->config = config;
    struct account *slack = &ctx_budget(ctx)->accounts[ACCOUNT_SLACK];
    c->entrance = ctx_inherit(ctx);
    bool inherited = c->entrance != NULL;
    if (!inherited)
        c->entrance = calloc(1, sizeof(*c->entrance));
    if (c->entrance == NULL)
        return ctx_fail(ctx, ERR_NOMEM, "no memory for the control socket");
    c->requests = &c->entrance->requests;
    if (!inherited)
        account_init(c->requests, "control_requests", MAX(slack->limit_bytes, REQUESTS_BYTES_MIN));
    c->requests_taken = account_take(slack, slack->limit_bytes) ? slack->limit_bytes : 0;
    buf_init(&c->filters, 0, NULL);
    name_cache_init(&c->names, config->ipns_resolve_cache_size, &ctx_budget(ctx)->accounts[ACCOUNT_TABLES]);
    enum err err = sessions_init(c);
    if (err != ERR_OK)
        return ctx_fail(ctx, err, "no memory for the sessions");
    watch_all(ctx);
    number_on(c);
    return open_listener(ctx, c, config);
}

static enum err control_handle_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct control *c = &((struct control_state *)state)->c;
    c->ctx = ctx;
    if (msg->kind == MSG_PROBE) {
        struct msg_ok ok = {0};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
        return ERR_OK;
    }
    if (msg->kind != MSG_CONTROL_REQUEST)
        return ERR_UNSUPPORTED;
    const struct msg_control_request *m = msg->fields;
    router_request(c, SLOT_NONE, to, (uint32_t)m->client, msg->deadline_ns, block_ref_span(msg->tail));
    return ERR_OK;
}

static void control_handle_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    if (msg->kind == MSG_DENYLIST)
        control_take_denylist(&((struct control_state *)state)->c, msg->tail);
}

static void handle_listener(struct control *c)
{
    unsigned slot = 0;
    uint32_t client = 0;
    struct span bytes;
    listener_acknowledge(c->listener);
    while (listener_next(c->listener, &slot, &client, &bytes))
        router_request(c, slot, (struct reply_to){0}, client, listener_deadline(c->listener, slot), bytes);
    ctx_caused_by(c->ctx, NULL); /* who is gone now is not the last one's doing */
    while (listener_gone(c->listener, &slot))
        router_gone_slot(c, slot);
    if (listener_some_left(c->listener))
        sessions_left(c);
}

static void handle_timer(struct control *c, uint64_t tag)
{
    if (tag >> 60 == TAG_DEADLINE)
        router_timer(c, tag);
    else if (tag >> 60 == TAG_JOB)
        router_patience(c, tag);
    else if (tag >> 60 == TAG_ANSWER)
        jobs_expire(c);
    else if (tag >> 60 == TAG_AGAIN)
        router_again(c, tag);
    else if (tag >> 60 == TAG_LEASE)
        sessions_lease(c);
    else if (tag >> 60 == TAG_RETRY)
        sessions_retry(c);
    else if (tag >> 60 == TAG_DOOR)
        check_doors(c);
}

static void control_handle_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct control *c = &((struct control_state *)state)->c;
    c->ctx = ctx;
    switch (info->kind) {
    case INFO_REPLY:
        if (info->tag >> 60 == TAG_SESSION)
            sessions_reply(c, info);
        else
            router_reply(c, info);
        break;
    case INFO_TIMER:
        handle_timer(c, info->tag);
        break;
    case INFO_WATCH:
        if (info->tag >> 60 == TAG_FILE_DOOR)
            file_door_admit(c->files, ctx_now(ctx));
        else
            handle_listener(c);
        break;
    case INFO_CANCEL:
        router_gone_caller(c, info->call);
        break;
    case INFO_ROOM:
        sessions_room(c);
        break;
    case INFO_JOB:
        if (info->tag >> 60 == TAG_SINK)
            getting_file_job_done(c, info);
        else
            adding_job_done(c, info);
        break;
    case INFO_UP:
        filters_up(c, info->actor);
        router_up(c);
        break;
    case INFO_DOWN:
    case INFO_NET:
    case INFO_MULTICAST:
        break;
    }
}

static void control_terminate(struct ctx *ctx, void *state, enum exit_reason reason)
{
    struct control *c = &((struct control_state *)state)->c;
    c->ctx = ctx;
    if (c->sessions != NULL) {
        router_close(c, reason != EXIT_SHUTDOWN);
        sessions_close(c);
    }
    control_take_denylist(c, NULL);
    filters_release(c);
    name_cache_release(&c->names);
    if (c->files != NULL)
        ctx_unwatch(ctx, file_door_fd(c->files));
    file_door_close(c->files);
    c->files = NULL;
    if (c->listener != NULL)
        ctx_unwatch(ctx, listener_fd(c->listener));
    c->listener = NULL;
    if (c->entrance != NULL)
        ctx_bequeath(ctx, c->entrance, entrance_free);
    c->entrance = NULL;
    account_give(&ctx_budget(ctx)->accounts[ACCOUNT_SLACK], c->requests_taken);
    c->requests_taken = 0;
}

const struct actor_class control_class = {
    .name = "control",
    .state_bytes = sizeof(struct control_state),
    .ports = PORT_WATCH | PORT_JOBS,
    .mailbox_bytes = 8 * 1024 * 1024,
    .init = control_init,
    .handle_call = control_handle_call,
    .handle_cast = control_handle_cast,
    .handle_info = control_handle_info,
    .terminate = control_terminate,
};

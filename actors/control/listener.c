/* SPDX-License-Identifier: MIT */
#include "actors/control/listener.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/control/listener_door.h"
#include "base/group.h"
#include "base/limits.h"

enum { LEFT_KEPT = 128 }; /* more would have to leave while one request goes from nng's thread to its slot */

enum slot_state {
    SLOT_NNG,     /* its aio receives or sends */
    SLOT_ARRIVED, /* the message is the actor's to take */
    SLOT_TAKEN,   /* the actor works on it */
};

struct slot {
    struct listener *owner;
    nng_ctx ctx;
    nng_aio *aio;
    nng_msg *msg;           /* of nng or of the actor, as state says */
    bool sending;           /* only touched by whoever owns the slot, as charged is */
    uint8_t returned;       /* lives of the actor that ended with it */
    uint64_t deadline_ns;   /* of one that was returned; UINT64_MAX = it has none yet */
    size_t charged;         /* to the account of requests */
    _Atomic int state;      /* the release that hands over pairs with the acquire of the taker */
    _Atomic uint64_t order; /* of arrival */
    _Atomic uint32_t pipe;  /* who asked; 0 = nobody */
    _Atomic uint32_t gone;  /* the pipe that REM_POST named last; it may be that of an earlier request */
};

struct listener {
    nng_socket socket;
    bool open;
    struct door door;
    int fd;
    char path[512];
    char group[LISTENER_GROUP_BYTES];
    uint32_t uids[LISTENER_UIDS_MAX];
    size_t uid_count;
    struct account *requests;
    uint8_t busy[2][LISTENER_BUSY_BYTES]; /* in msgpack, in JSON */
    size_t busy_len[2];
    _Atomic uint64_t arrivals;
    _Atomic uint32_t left[LEFT_KEPT]; /* the last pipes that went; sequentially consistent against the slots' pipe */
    _Atomic uint32_t left_count;
    _Atomic uint32_t left_noted; /* of left_count, those that can be found in left */
    uint32_t left_told;          /* of left_noted; the actor's */
    _Atomic bool stopping;
    struct slot slots[LISTENER_SLOTS];
};

static void wake(struct listener *listener)
{
    uint64_t one = 1;
    (void)!write(listener->fd, &one, sizeof(one));
}

/* ---- callbacks on nng's threads: they never block ---- */

static bool charge(struct slot *slot, size_t len)
{
    struct account *requests = slot->owner->requests;
    if (requests == NULL || len <= LISTENER_FREE_BYTES)
        return true;
    if (!account_take(requests, len))
        return false;
    slot->charged = len;
    return true;
}

static void discharge(struct slot *slot)
{
    if (slot->charged > 0)
        account_give(slot->owner->requests, slot->charged);
    slot->charged = 0;
}

static void receive_next(struct slot *slot)
{
    slot->sending = false;
    slot->returned = 0;
    slot->deadline_ns = UINT64_MAX;
    atomic_store_explicit(&slot->pipe, 0, memory_order_relaxed);
    if (!atomic_load_explicit(&slot->owner->stopping, memory_order_acquire))
        nng_ctx_recv(slot->ctx, slot->aio);
}

/* Sends bytes in a message of their own, so that a large request is not kept while a small answer leaves. */
static void send_answer(struct slot *slot, struct span bytes)
{
    nng_msg *msg = NULL;
    if (nng_msg_alloc(&msg, 0) != 0 || nng_msg_append(msg, bytes.data, bytes.len) != 0) {
        nng_msg_free(msg);
        receive_next(slot); /* drops the request: the client's own deadline ends its wait */
        return;
    }
    slot->sending = true;
    nng_aio_set_msg(slot->aio, msg);
    nng_ctx_send(slot->ctx, slot->aio);
}

/* Does not fit: nothing of it stays. Whoever writes msgpack begins with a map, which no JSON does. */
static void refuse(struct slot *slot)
{
    struct listener *listener = slot->owner;
    const uint8_t *bytes = nng_msg_body(slot->msg);
    int form = bytes[0] < 0x80;
    nng_msg_free(slot->msg);
    slot->msg = NULL;
    send_answer(slot, span_of(listener->busy[form], listener->busy_len[form]));
}

static uint32_t client_of(nng_pipe pipe)
{
    return (uint32_t)MAX(nng_pipe_id(pipe), 1);
}

bool listener_has_left(const struct listener *listener, uint32_t client)
{
    for (size_t i = 0; i < LEFT_KEPT; i++) {
        if (atomic_load(&listener->left[i]) == client)
            return true;
    }
    return false;
}

static void on_received(struct slot *slot)
{
    struct listener *listener = slot->owner;
    slot->msg = nng_aio_get_msg(slot->aio);
    if (!charge(slot, nng_msg_len(slot->msg))) {
        refuse(slot);
        return;
    }
    uint32_t client = client_of(nng_msg_get_pipe(slot->msg));
    atomic_store(&slot->pipe, client);
    if (listener_has_left(listener, client)) /* two of nng's threads may come in either order */
        atomic_store_explicit(&slot->gone, client, memory_order_relaxed);
    atomic_store_explicit(&slot->order, atomic_fetch_add_explicit(&listener->arrivals, 1, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->state, SLOT_ARRIVED, memory_order_release);
    wake(listener);
}

static void on_aio(void *arg)
{
    struct slot *slot = arg;
    int code = nng_aio_result(slot->aio);
    if (code == NNG_ECLOSED || code == NNG_ECANCELED)
        return;
    if (slot->sending && code != 0)
        nng_msg_free(nng_aio_get_msg(slot->aio)); /* the client is gone */
    if (slot->sending || code != 0)
        receive_next(slot);
    else
        on_received(slot);
}

bool listener_allows(const struct listener *listener, uint64_t uid)
{
    for (size_t i = 0; i < listener->uid_count; i++) {
        if (listener->uids[i] == uid)
            return true;
    }
    return false;
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct listener *listener = arg;
    if (event == NNG_PIPE_EV_ADD_PRE) {
        uint64_t uid = 0;
        door_entered(&listener->door); /* and perhaps is sent out again */
        if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 || !listener_allows(listener, uid))
            (void)nng_pipe_close(pipe);
        return;
    }
    uint32_t client = client_of(pipe);
    atomic_store(&listener->left[atomic_fetch_add(&listener->left_count, 1) % LEFT_KEPT], client);
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        if (atomic_load(&listener->slots[i].pipe) == client)
            atomic_store_explicit(&listener->slots[i].gone, client, memory_order_release);
    }
    (void)atomic_fetch_add(&listener->left_noted, 1);
    wake(listener);
}

/* ---- opening ---- */

struct modes {
    mode_t folder;
    mode_t socket;
};

static struct modes modes_of(const struct listener_options *options)
{
    if (options->uid_count > 1)
        return (struct modes){.folder = 0711, .socket = 0666};
    if (options->group[0] != '\0')
        return (struct modes){.folder = 0710, .socket = 0660};
    return (struct modes){.folder = 0700, .socket = 0600};
}

static enum err set_group(const char *name, const char *path, char why[LISTENER_WHY_BYTES])
{
    gid_t gid = 0;
    if (name[0] == '\0')
        return ERR_OK;
    if (group_find(name, &gid) != ERR_OK) {
        (void)snprintf(why, LISTENER_WHY_BYTES, "Control.Group: no group is named %.64s", name);
        return ERR_NOT_FOUND;
    }
    if (chown(path, (uid_t)-1, gid) == 0)
        return ERR_OK;
    int number = errno;
    (void)snprintf(why, LISTENER_WHY_BYTES, "Control.Group: %.128s cannot be given to %.64s", path, name);
    return err_from_errno(number);
}

static enum err set_access(const struct listener_options *options, const char *path, mode_t mode,
                           char why[LISTENER_WHY_BYTES])
{
    enum err err = set_group(options->group, path, why);
    if (err == ERR_OK && chmod(path, mode) != 0) {
        int number = errno;
        (void)snprintf(why, LISTENER_WHY_BYTES, "the mode of %.128s cannot be set", path);
        err = err_from_errno(number);
    }
    return err;
}

enum err listener_share(const struct listener_options *options, const char *path, char why[LISTENER_WHY_BYTES])
{
    return set_access(options, path, modes_of(options).socket, why);
}

/* A socket that others may use lies in a folder that they can pass; what is in there keeps its own mode. */
static enum err make_folder(const struct listener_options *options, char why[LISTENER_WHY_BYTES])
{
    mode_t mode = modes_of(options).folder;
    if (mkdir(options->folder, mode) != 0 && errno != EEXIST) {
        int number = errno;
        (void)snprintf(why, LISTENER_WHY_BYTES, "%.128s cannot be made: %s", options->folder,
                       err_text(err_from_errno(number)));
        return err_from_errno(number);
    }
    enum err err = set_access(options, options->folder, mode, why);
    return err == ERR_OK && mode != 0700 ? set_access(options, options->repository, mode, why) : err;
}

static int open_slots(struct listener *listener)
{
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        struct slot *slot = &listener->slots[i];
        slot->owner = listener;
        int code = nng_ctx_open(&slot->ctx, listener->socket);
        if (code == 0)
            code = nng_aio_alloc(&slot->aio, on_aio, slot);
        if (code != 0)
            return code;
    }
    return 0;
}

static int open_socket(struct listener *listener)
{
    int code = nng_rep0_open(&listener->socket);
    if (code != 0)
        return code;
    listener->open = true;
    code = nng_pipe_notify(listener->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, listener);
    if (code == 0)
        code = nng_pipe_notify(listener->socket, NNG_PIPE_EV_REM_POST, on_pipe, listener);
    return code == 0 ? open_slots(listener) : code;
}

static enum err set_path(struct listener *listener, const char *folder, char why[LISTENER_WHY_BYTES])
{
    int len = snprintf(listener->path, sizeof(listener->path), "%s/control.sock", folder);
    if (len >= 0 && len <= LISTENER_PATH_MAX)
        return ERR_OK;
    (void)snprintf(why, LISTENER_WHY_BYTES,
                   "the control socket %.100s... has %d bytes, %d are possible: choose a shorter HEARTH_PATH", folder,
                   len, LISTENER_PATH_MAX);
    return ERR_TOO_LARGE;
}

static void keep_busy(struct listener *listener, int form, struct span answer)
{
    listener->busy_len[form] = MIN(answer.len, (size_t)LISTENER_BUSY_BYTES);
    if (answer.len > 0)
        memcpy(listener->busy[form], answer.data, listener->busy_len[form]);
}

enum err listener_open(const struct listener_options *options, struct listener **ret_listener,
                       char why[LISTENER_WHY_BYTES])
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return ERR_NOMEM;
    listener->fd = -1;
    memcpy(listener->uids, options->uids, sizeof(listener->uids));
    listener->uid_count = options->uid_count;
    listener->requests = options->requests;
    (void)snprintf(listener->group, sizeof(listener->group), "%s", options->group);
    keep_busy(listener, 0, options->busy);
    keep_busy(listener, 1, options->busy_json);
    enum err err = set_path(listener, options->folder, why);
    if (err == ERR_OK)
        err = make_folder(options, why);
    if (err == ERR_OK) {
        listener->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        int code = listener->fd < 0 ? NNG_ENOMEM : open_socket(listener);
        if (code == 0)
            code = door_open(&listener->door, listener->socket, listener->path, (int)modes_of(options).socket,
                             options->request_bytes_max);
        if (code != 0) {
            (void)snprintf(why, LISTENER_WHY_BYTES, "%.160s: %s", listener->path, nng_strerror(code));
            err = code == NNG_EADDRINUSE ? ERR_EXISTS : ERR_IO;
        }
    }
    if (err == ERR_OK)
        err = set_group(options->group, listener->path, why);
    if (err != ERR_OK) {
        listener_close(listener);
        return err;
    }
    for (size_t i = 0; i < LISTENER_SLOTS; i++)
        receive_next(&listener->slots[i]);
    *ret_listener = listener;
    return ERR_OK;
}

/* The order that nng 1.5.2 survives: stop flag, stop the aios, close the socket, free the aios. */
void listener_close(struct listener *listener)
{
    if (listener == NULL)
        return;
    atomic_store_explicit(&listener->stopping, true, memory_order_release);
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        if (listener->slots[i].aio != NULL)
            nng_aio_stop(listener->slots[i].aio);
    }
    door_close(&listener->door);
    if (listener->open)
        (void)nng_close(listener->socket);
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        struct slot *slot = &listener->slots[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) != SLOT_NNG)
            nng_msg_free(slot->msg);
        discharge(slot);
        if (slot->aio != NULL)
            nng_aio_free(slot->aio);
    }
    if (listener->fd >= 0)
        (void)close(listener->fd);
    free(listener);
}

bool listener_check(struct listener *listener, char why[LISTENER_WHY_BYTES])
{
    if (!door_check(&listener->door))
        return false;
    (void)snprintf(why, LISTENER_WHY_BYTES, "the control socket took nobody in any more and was opened anew");
    (void)!set_group(listener->group, listener->path, why); /* why says more then */
    return true;
}

bool listener_check_soon(const struct listener *listener)
{
    return door_knocks(&listener->door);
}

/* ---- the actor's side ---- */

void listener_resume(struct listener *listener)
{
    for (unsigned i = 0; i < LISTENER_SLOTS; i++) {
        if (atomic_load_explicit(&listener->slots[i].state, memory_order_relaxed) == SLOT_TAKEN)
            listener_answer(listener, i, span_of(listener->busy[0], listener->busy_len[0]));
    }
    wake(listener);
}

int listener_fd(const struct listener *listener)
{
    return listener->fd;
}

void listener_acknowledge(struct listener *listener)
{
    uint64_t count;
    (void)!read(listener->fd, &count, sizeof(count));
}

bool listener_next(struct listener *listener, unsigned *ret_slot, uint32_t *ret_client, struct span *ret_bytes)
{
    struct slot *oldest = NULL;
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        struct slot *slot = &listener->slots[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_ARRIVED &&
            (oldest == NULL || atomic_load_explicit(&slot->order, memory_order_relaxed) <
                                   atomic_load_explicit(&oldest->order, memory_order_relaxed)))
            oldest = slot;
    }
    if (oldest == NULL)
        return false;
    atomic_store_explicit(&oldest->state, SLOT_TAKEN, memory_order_relaxed);
    *ret_slot = (unsigned)(oldest - listener->slots);
    *ret_client = atomic_load_explicit(&oldest->pipe, memory_order_relaxed);
    *ret_bytes = span_of(nng_msg_body(oldest->msg), nng_msg_len(oldest->msg));
    return true;
}

bool listener_gone(struct listener *listener, unsigned *ret_slot)
{
    for (size_t i = 0; i < LISTENER_SLOTS; i++) {
        struct slot *slot = &listener->slots[i];
        uint32_t pipe = atomic_load_explicit(&slot->pipe, memory_order_relaxed);
        if (atomic_load_explicit(&slot->state, memory_order_relaxed) == SLOT_TAKEN && pipe != 0 &&
            atomic_compare_exchange_strong_explicit(&slot->gone, &pipe, 0, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            *ret_slot = (unsigned)i;
            return true;
        }
    }
    return false;
}

bool listener_some_left(struct listener *listener)
{
    uint32_t noted = atomic_load(&listener->left_noted);
    bool some = noted != listener->left_told;
    listener->left_told = noted;
    return some;
}

uint64_t listener_deadline(const struct listener *listener, unsigned index)
{
    return listener->slots[index].deadline_ns;
}

bool listener_return(struct listener *listener, unsigned index, uint64_t deadline_ns)
{
    struct slot *slot = &listener->slots[index];
    if (slot->msg == NULL || slot->returned == LISTENER_RETURNS_MAX)
        return false;
    slot->returned++;
    slot->deadline_ns = deadline_ns;
    atomic_store_explicit(&slot->state, SLOT_ARRIVED, memory_order_release);
    return true;
}

void listener_drop_bytes(struct listener *listener, unsigned index)
{
    nng_msg_free(listener->slots[index].msg);
    listener->slots[index].msg = NULL;
}

void listener_answer(struct listener *listener, unsigned index, struct span bytes)
{
    struct slot *slot = &listener->slots[index];
    nng_msg *old = slot->msg;
    slot->msg = NULL;
    discharge(slot);
    atomic_store_explicit(&slot->state, SLOT_NNG, memory_order_release);
    send_answer(slot, bytes);
    nng_msg_free(old); /* last: the answer may borrow from it */
}

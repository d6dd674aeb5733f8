/* SPDX-License-Identifier: MIT */
/*
 * What is denied: the denylists of $HEARTH_PATH/denylists. Read before anything is served; read again as a job when the folder changes.
 * The image goes to control too, which asks it about paths, and to discovery, about keys of the DHT. An image that cannot be made leaves the one before in force.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "actors/bitswap/node.h"
#include "actors/tree.h"
#include "base/limits.h"
#include "schemas/config.h"
#include "storage/denylist_folder.h"
#include "storage/folder_watch.h"

enum { SETTLE_MS = 1000, RETRY_MS = 1000, CHECKS_MAX = 4, ROWS_BYTES = 64 * 1024 };
enum { LISTENERS = 2 };

struct denied {
    struct denylist_folder folder; /* as it was read */
    struct block_ref *image;
    uint64_t loaded_ns; /* real time */
    char path[DENYLIST_FOLDER_PATH_MAX];
    const struct disk_port *disk; /* NULL: there are no lists */
    struct account *account;
    int watch;
    uint64_t timer;
    bool loading;
    bool changed;
    bool untold[LISTENERS]; /* they have not heard of the image */
    size_t checks;
};

/* A question of somebody which rule it is. */
struct check {
    struct denylist_load load;
    struct denylist_match match;
    struct reply_to call;
    size_t len;
    uint8_t text[];
};

static struct denylist_load *load_new(struct node *n, size_t more)
{
    const struct denied *d = n->denied;
    struct denylist_load *load = calloc(1, sizeof(*load) + more);
    if (load == NULL)
        return NULL;
    load->disk = d->disk;
    load->account = d->account;
    load->bytes_max = d->account->limit_bytes / 2; /* peers and wants need the rest */
    memcpy(load->path, d->path, sizeof(load->path));
    ctx_random(n->ctx, load->key, sizeof(load->key));
    return load;
}

static void load_free(void *arg)
{
    struct denylist_load *load = arg;
    if (load != NULL)
        block_ref_unref(load->image);
    free(load);
}

static void say_loaded(struct node *n)
{
    const struct denied *d = n->denied;
    for (size_t i = 0; i < d->folder.count; i++) {
        const struct denylist_file *f = &d->folder.files[i];
        ctx_log(n->ctx, LOG_INFO, "denylist %s: %llu rules", f->name, (unsigned long long)f->rules);
        if (f->invalid > 0)
            ctx_log(n->ctx, LOG_WARN, "denylist %s: %llu lines are no rules and deny nothing, the first is %llu: %s",
                    f->name, (unsigned long long)f->invalid, (unsigned long long)f->invalid_line, f->invalid_why);
    }
}

/* ---- whom it is told ---- */

static const actor_id listeners[LISTENERS] = {ACTOR_CONTROL, ACTOR_DISCOVERY};

static void tell(struct node *n, unsigned listener)
{
    struct denied *d = n->denied;
    const struct denylist *list = denylist_of(d->image);
    struct msg_denylist fields = {.rules = list == NULL ? 0 : list->rules};
    struct msg msg = {.kind = MSG_DENYLIST, .fields = &fields, .tail = d->image};
    d->untold[listener] = ctx_cast(n->ctx, listeners[listener], &msg) != ERR_OK;
    if (d->untold[listener] && d->timer == 0)
        d->timer = ctx_timer(n->ctx, ctx_now(n->ctx) + RETRY_MS * MS_NS, NODE_TAG_DENIED);
}

static void take(struct node *n, struct denylist_load *load)
{
    struct denied *d = n->denied;
    block_ref_unref(d->image);
    d->image = load->image;
    load->image = NULL;
    d->folder = load->folder;
    d->loaded_ns = ctx_real_now(n->ctx);
    n->denylist = denylist_of(d->image);
    say_loaded(n);
}

/* ---- reading again ---- */

static enum err load_job(void *arg, const _Atomic bool *cancelled)
{
    struct denylist_load *load = arg;
    load->cancelled = cancelled;
    return denylist_folder_read(load);
}

static void reload(struct node *n)
{
    struct denied *d = n->denied;
    struct denylist_load *load = load_new(n, 0);
    d->changed = false;
    d->loading = load != NULL && ctx_job(n->ctx, "files", load_job, load, load_free, NODE_TAG_DENIED) == ERR_OK;
    if (d->loading)
        return;
    load_free(load);
    d->changed = true;
}

static void look_later(struct node *n)
{
    struct denied *d = n->denied;
    if (d->timer == 0 && !d->loading)
        d->timer = ctx_timer(n->ctx, ctx_now(n->ctx) + SETTLE_MS * MS_NS, NODE_TAG_DENIED);
}

void denied_watch(struct node *n)
{
    folder_watch_drain(n->denied->watch);
    n->denied->changed = true;
    look_later(n);
}

void denied_timer(struct node *n)
{
    struct denied *d = n->denied;
    d->timer = 0;
    for (unsigned i = 0; i < LISTENERS; i++)
        if (d->untold[i])
            tell(n, i);
    if (d->changed && !d->loading)
        reload(n);
    if (d->changed)
        look_later(n);
}

static void loaded(struct node *n, struct denylist_load *load, enum err err)
{
    struct denied *d = n->denied;
    d->loading = false;
    if (err == ERR_OK) {
        take(n, load);
        for (unsigned i = 0; i < LISTENERS; i++)
            tell(n, i);
        fetch_drop_denied(n);
        engine_look_at_all(n->engine); /* what was denied may be allowed now */
    } else {
        ctx_log(n->ctx, LOG_ERROR, "denylists: what was read before stays in force: %s", load->why);
    }
    load_free(load);
    if (d->changed)
        look_later(n);
}

/* ---- questions ---- */

static enum err check_job(void *arg, const _Atomic bool *cancelled)
{
    struct check *check = arg;
    check->load.cancelled = cancelled;
    return denylist_folder_find(&check->load, span_of(check->text, check->len), &check->match);
}

enum err denied_check(struct node *n, const struct msg_denylist_check *asked, struct reply_to call)
{
    struct denied *d = n->denied;
    struct msg_denylist_check_ok none = {0};
    if (d->disk == NULL) {
        ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_DENYLIST_CHECK_OK, .fields = &none});
        return ERR_OK;
    }
    if (d->checks == CHECKS_MAX)
        return ERR_BUSY;
    struct denylist_load *load = load_new(n, sizeof(struct check) - sizeof(*load) + asked->path.len);
    struct check *check = (void *)load; /* begins with it */
    if (check == NULL)
        return ERR_NOMEM;
    check->call = call;
    check->len = asked->path.len;
    memcpy(check->text, asked->path.data, asked->path.len);
    enum err err = ctx_job(n->ctx, "files", check_job, check, load_free, NODE_TAG_CHECK);
    if (err == ERR_OK)
        d->checks++;
    else
        load_free(check);
    return err;
}

static void checked(struct node *n, struct check *check, enum err err)
{
    static const char *const verdicts[] = {"", "allowed", "denied"};
    struct msg_denylist_check_ok ok = {.verdict = span_text(verdicts[check->match.answer]),
                                       .file = span_text(check->match.file),
                                       .line = check->match.line};
    n->denied->checks--;
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        ctx_reply(n->ctx, check->call, &(struct msg){.kind = MSG_DENYLIST_CHECK_OK, .fields = &ok});
    else
        ctx_reply_err(n->ctx, check->call, err, "%s", check->load.why);
    load_free(check);
}

void denied_job(struct node *n, const struct info *info)
{
    if (info->tag == NODE_TAG_CHECK)
        checked(n, info->arg, info->err);
    else
        loaded(n, info->arg, info->err);
}

enum err denied_list(struct node *n, struct reply_to call)
{
    const struct denied *d = n->denied;
    struct buf rows;
    enum err err = ERR_OK;
    buf_init(&rows, ROWS_BYTES, NULL);
    for (size_t i = 0; i < d->folder.count && err == ERR_OK; i++) {
        const struct denylist_file *f = &d->folder.files[i];
        struct item_denylist_file row = {.file = span_text(f->name),
                                         .name = span_text(f->title),
                                         .rules = f->rules,
                                         .invalid = f->invalid,
                                         .invalid_line = f->invalid_line,
                                         .invalid_why = span_text(f->invalid_why)};
        err = schema_list_add_map(&rows, &schema_item_denylist_file, &row);
    }
    struct msg_denylist_list_ok ok = {.files = schema_list_of(&rows, (uint32_t)d->folder.count),
                                      .bytes = d->image == NULL ? 0 : d->image->cap,
                                      .loaded = d->loaded_ns};
    if (err == ERR_OK)
        ctx_reply(n->ctx, call, &(struct msg){.kind = MSG_DENYLIST_LIST_OK, .fields = &ok});
    buf_release(&rows);
    return err;
}

/* ---- life ---- */

static void close_watch(void *thing)
{
    (void)close(*(int *)thing);
    free(thing);
}

/* For the next life, which would have to wait while this one closes it: the kernel takes up to 20 ms. */
static void leave_watch(struct node *n)
{
    struct denied *d = n->denied;
    int *left = malloc(sizeof(*left));
    ctx_unwatch(n->ctx, d->watch);
    if (left == NULL) {
        (void)close(d->watch);
        return;
    }
    *left = d->watch;
    ctx_bequeath(n->ctx, left, close_watch);
}

static int open_watch(struct node *n, const char *path)
{
    int *left = ctx_inherit(n->ctx);
    if (left == NULL)
        return folder_watch_open(path);
    int fd = *left;
    free(left);
    if (folder_watch_renew(fd, path))
        return fd;
    (void)close(fd);
    return -1;
}

/* Without the folder's watch, as on the simulator, what changes there is in force after the next start. */
static void watch(struct node *n)
{
    struct denied *d = n->denied;
    d->watch = d->disk == NULL ? -1 : open_watch(n, d->path);
    if (d->watch < 0 || ctx_watch(n->ctx, d->watch, NODE_TAG_DENIED) == ERR_OK)
        return;
    (void)close(d->watch);
    d->watch = -1;
}

enum err denied_init(struct node *n, const struct config *config)
{
    struct denied *d = n->denied = calloc(1, sizeof(*d));
    if (d == NULL)
        return ctx_fail(n->ctx, ERR_NOMEM, "no memory for the denylists");
    d->watch = -1;
    d->account = n->tables;
    d->disk = config->path == NULL || config->path[0] == '\0' ? NULL : ctx_disk(n->ctx);
    int len = snprintf(d->path, sizeof(d->path), "%s/denylists", config->path == NULL ? "" : config->path);
    if (d->disk == NULL || len < 0 || (size_t)len >= sizeof(d->path)) {
        d->disk = NULL;
        return ERR_OK;
    }
    (void)d->disk->make_dir(d->disk->self, d->path); /* a place to put them; without it there are none */
    watch(n);
    struct denylist_load *load = load_new(n, 0);
    enum err err = load == NULL ? ERR_NOMEM : denylist_folder_read(load);
    if (err == ERR_OK)
        take(n, load);
    else
        err = ctx_fail(n->ctx, err, "the denylists cannot be read: %s", load == NULL ? "no memory" : load->why);
    load_free(load);
    for (unsigned i = 0; i < LISTENERS && err == ERR_OK; i++)
        err = ctx_monitor(n->ctx, listeners[i]);
    return err;
}

void denied_up(struct node *n, actor_id who)
{
    for (unsigned i = 0; i < LISTENERS; i++)
        if (listeners[i] == who && n->denied->image != NULL)
            tell(n, i);
}

void denied_release(struct node *n)
{
    struct denied *d = n->denied;
    if (d == NULL)
        return;
    if (d->watch >= 0)
        leave_watch(n);
    block_ref_unref(d->image);
    free(d);
    n->denied = NULL;
    n->denylist = NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * add open, write, file, close: an upload turns bytes into blocks, the store acknowledges each, and only then is the client told.
 * The bytes come with a write, or out of a file that the daemon reads itself. Both may arrive out of order, since a client keeps several
 * in flight: each waits until the upload has come to its offset.
 */
#include <stdio.h>
#include <stdlib.h>

#include "actors/control/adding.h"
#include "actors/control/operations.h"
#include "schemas/pack.h"
#include "wire/dag_links.h"

enum { ADDED_BYTES_MAX = 1024 * 1024, PUT_TIMEOUT_S = 60, SUB_PIN = 0 };

static struct file_session *find_upload(struct control *c, uint64_t number)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (c->sessions[i].kind == SESSION_UPLOAD && c->sessions[i].number == number)
            return &c->sessions[i];
    }
    return NULL;
}

static enum err no_upload(struct conversation *v, uint64_t number)
{
    return conversation_error(v, ERR_NOT_FOUND,
                              "no upload %llu: it ended, waited for more than %d s, or others needed its place",
                              (unsigned long long)number, SESSION_LEASE_S);
}

/* ---- add open ---- */

/* What the user sets beside the profile. */
static void set_layout(struct import_options *o, const struct op_add_open *args)
{
    if (args->chunk_bytes > 0)
        o->chunk_bytes = (uint32_t)args->chunk_bytes;
    if (args->max_file_links > 0)
        o->max_links = (uint32_t)args->max_file_links;
    if (args->max_hamt_fanout > 0)
        o->hamt_fanout = (uint32_t)args->max_hamt_fanout;
    o->directory_links = (uint32_t)args->max_directory_links;
    o->inlined = args->inlined;
    o->inline_bytes = (uint32_t)args->inline_limit;
}

/* A CAR's blocks are what they are: only how its bytes are taken is said here. */
static enum upload_format format_of(const struct op_add_open *args)
{
    return args->car ? UPLOAD_CAR : args->tree ? UPLOAD_TREE : UPLOAD_FILE;
}

static enum err options_of(struct control *c, struct conversation *v, const struct op_add_open *args,
                           struct upload_options *options)
{
    struct span profile = args->profile.len > 0 ? args->profile : span_text(c->config->import_profile);
    bool old = span_equal_text(profile, "unixfs-v0-2015");
    if (!old && !span_equal_text(profile, "unixfs-v1-2025"))
        return conversation_error(v, ERR_INVALID, "the profile is unixfs-v1-2025 or unixfs-v0-2015, not \"%.*s\"",
                                  (int)profile.len, (const char *)profile.data);
    *options = (struct upload_options){
        .import = import_options_of(old ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025),
        .format = format_of(args),
        .wrap = args->wrap,
        .shared = c->uploads,
        .name = args->name,
    };
    if (args->cid_version < 2) {
        if (args->cid_version == 1 && options->import.cid_version == 0)
            options->import.raw_leaves = true; /* as the reference does unless told otherwise */
        if (args->cid_version == 0)
            options->import.raw_leaves = false;
        options->import.cid_version = (uint8_t)args->cid_version;
    }
    if (args->raw_leaves < 2)
        options->import.raw_leaves = args->raw_leaves == 1;
    set_layout(&options->import, args);
    struct budget *budget = ctx_budget(c->ctx);
    options->import.account = budget == NULL ? NULL : &budget->accounts[ACCOUNT_TABLES];
    const char *why = "";
    enum err err = import_options_check(&options->import, &why);
    return err == ERR_OK ? ERR_OK : conversation_error(v, err, "%s", why);
}

enum err add_open_start(struct control *c, struct conversation *v)
{
    const struct op_add_open *args = (const void *)v->args;
    struct upload_options options;
    enum err err = options_of(c, v, args, &options);
    if (err != ERR_OK)
        return err;
    struct file_session *s = file_session_new(c, SESSION_UPLOAD);
    if (s == NULL)
        return conversation_error(v, ERR_BUSY, "%d uploads are open: try again", UPLOADS_MAX);
    err = upload_new(&options, ctx_now(c->ctx), &s->upload);
    if (err != ERR_OK) {
        file_session_free(c, s);
        return err;
    }
    file_session_owned(c, s, v->client);
    s->pin = args->pin && !args->only_hash;
    s->only_hash = args->only_hash;
    err = s->pin ? file_session_lease(c, s) : ERR_OK;
    if (err != ERR_OK) {
        file_session_free(c, s);
        return err;
    }
    memcpy(s->path, args->name.data == NULL ? (const uint8_t *)"" : args->name.data, args->name.len);
    struct buf result;
    buf_init(&result, 256, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_u64(&p, "upload", s->number);
    err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    buf_release(&result);
    return err;
}

/* ---- blocks on their way to the store ---- */

static enum err put(struct control *c, struct file_session *s)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct msg_block_put m = {.cid = span_of(bytes, cid_encode(&s->held_flight.cid, bytes))};
    return file_session_send(c, s, &s->held_flight, ACTOR_TIERED_STORAGE, MSG_BLOCK_PUT, &m, s->held_flight.block,
                             PUT_TIMEOUT_S * SECOND_NS);
}

/* The next block to send: one that the store had no room for goes first. False when there is none. */
static bool hold_next(struct file_session *s)
{
    if (s->retry_count > 0)
        s->held_flight = s->retries[--s->retry_count];
    else if (upload_next_put(s->upload, &s->held_flight.ticket, &s->held_flight.cid, &s->held_flight.block) != ERR_OK)
        return false;
    s->held = true;
    return true;
}

/* The lease that ended with the store's life is asked of the next one. What was collected in between, its pin will miss. */
static bool lease_again(struct control *c, struct file_session *s)
{
    enum err err = s->wants_lease ? file_session_lease(c, s) : ERR_OK;
    s->wants_lease = err != ERR_OK;
    if (err == ERR_BUSY || (err == ERR_UNAVAILABLE && control_waits(c, &s->patience)))
        file_session_pause(c, s);
    return err == ERR_OK;
}

void adding_send_puts(struct control *c, struct file_session *s)
{
    if (!lease_again(c, s))
        return;
    while (!s->paused && (s->held || hold_next(s))) {
        enum err err = s->only_hash ? ERR_OK : put(c, s);
        if (err == ERR_BUSY)
            return; /* goes on with the next acknowledgement or INFO_ROOM */
        if (err == ERR_UNAVAILABLE && control_waits(c, &s->patience)) {
            file_session_pause(c, s);
            return;
        }
        s->held = false;
        if (err == ERR_OK && !s->only_hash)
            continue; /* the flight has the block until it is acknowledged */
        block_ref_unref(s->held_flight.block);
        upload_ack(s->upload, s->held_flight.ticket, err);
    }
}

void upload_flight_ended(struct control *c, struct file_session *s, const struct flight *flight,
                         const struct info *info)
{
    if (info->err == ERR_OK)
        s->patience = (struct patience){0};
    if (info->err == ERR_BUSY || control_waits_after(c, &s->patience, info)) {
        s->retries[s->retry_count++] = *flight;
        file_session_pause(c, s);
        return;
    }
    block_ref_unref(flight->block);
    upload_ack(s->upload, flight->ticket, info->err);
}

/* ---- answers ---- */

bool adding_collect(struct file_session *s, struct adding *work)
{
    struct upload_added added;
    while (work->added.len < ADDED_BYTES_MAX - 2 * PATH_TEXT_MAX) {
        if (upload_next_added(s->upload, &added) != ERR_OK)
            return true;
        char cid[CID_TEXT_MAX];
        cid_text(&added.cid, cid);
        struct pack p = pack_begin(&work->added);
        pack_map(&p, 4);
        pack_text(&p, "path");
        pack_bytes(&p, added.path);
        pack_pair_text(&p, "cid", cid);
        pack_pair_u64(&p, "bytes", added.bytes);
        pack_pair_bool(&p, "folder", added.is_directory);
        work->count += pack_end(&p) == ERR_OK;
    }
    return false;
}

/* What a CAR held, now that all of it is stored. */
static void answer_car(struct control *c, struct conversation *v, const struct car_importer *car)
{
    struct buf result;
    struct cid cid;
    struct car_totals totals = car_importer_totals(car);
    buf_init(&result, ANSWER_BYTES_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 3);
    pack_text(&p, "roots");
    size_t where = pack_array_open(&p);
    uint32_t count = 0;
    for (; car_importer_root(car, count, &cid); count++) {
        char text[CID_TEXT_MAX];
        cid_text(&cid, text);
        pack_text(&p, text);
    }
    pack_count(&p, where, count);
    pack_pair_u64(&p, "blocks", totals.blocks);
    pack_pair_u64(&p, "bytes", totals.bytes);
    if (pack_end(&p) == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    else
        conversation_fail(c, v, CODE_TOO_LARGE, "the answer is too large");
    buf_release(&result);
}

void adding_answer(struct control *c, struct conversation *v, struct adding *work)
{
    struct buf result;
    buf_init(&result, ADDED_BYTES_MAX + 4096, NULL);
    struct pack p = pack_begin(&result);
    bool closing = work->kind == ADDING_CLOSE;
    pack_map(&p, closing ? 3 : 2);
    if (closing) {
        char cid[CID_TEXT_MAX];
        cid_text(&work->root.cid, cid);
        pack_pair_text(&p, "cid", cid);
        pack_pair_u64(&p, "size", work->root.tsize);
    } else {
        pack_pair_u64(&p, "offset", work->offset);
    }
    pack_text(&p, "added");
    pack_array(&p, work->count);
    pack_raw(&p, buf_span(&work->added));
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        conversation_finish(c, v, buf_span(&result));
    else
        conversation_fail(c, v, CODE_TOO_LARGE, "the answer is too large");
    buf_release(&result);
}

/* ERR_AGAIN: waits for the window, for an earlier write, or for acknowledgements. */
static enum err go_on_writing(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_add_write *args = (const void *)v->args;
    struct adding *work = v->work;
    uint64_t end = args->offset + args->data.len;
    if (work->offset > s->next_offset)
        return ERR_AGAIN; /* an earlier piece is still on its way */
    bool room = true;
    bool moves = true;
    while (moves) {
        uint64_t before = work->offset;
        struct span rest = span_skip(args->data, (size_t)(work->offset - args->offset));
        enum err err = upload_write(s->upload, ctx_now(c->ctx), work->offset, rest, &s->next_offset);
        if (err != ERR_OK)
            return err;
        work->offset = MIN(MAX(s->next_offset, work->offset), end);
        adding_send_puts(c, s);
        room = adding_collect(s, work);
        /* With nothing under way no acknowledgement will come back here: blocks that are only hashed free the window at once. */
        moves = room && s->flight_count == 0 && work->offset > before && work->offset < end;
    }
    if (work->offset < end && room)
        return ERR_AGAIN;
    file_session_show(c, s, "add", s->next_offset, 0, NULL, false);
    adding_answer(c, v, work);
    return ERR_OK;
}

/* The n-th CID to pin: the root, or what it links to when the root itself is carried by its CID and stored nowhere. */
static bool cid_to_pin(const struct cid *root, size_t n, struct cid *ret_cid)
{
    struct dag_links links;
    struct span name;
    if (root->hash.code != MULTIHASH_IDENTITY) {
        *ret_cid = *root;
        return n == 0;
    }
    if (dag_links_open(root->codec, span_of(root->hash.digest, root->hash.len), &links) != ERR_OK)
        return false;
    for (size_t i = 0; dag_links_next(&links, ret_cid, &name); i++) {
        if (i == n)
            return true;
    }
    return false;
}

/* Pins what is to be pinned, one after the other, then answers. */
static enum err go_on_pinning(struct control *c, struct file_session *s, struct conversation *v)
{
    struct adding *work = v->work;
    struct cid cid;
    bool more = work->pinning;
    while (more && (more = cid_to_pin(&work->root.cid, work->pinned++, &cid)) && cid.hash.code == MULTIHASH_IDENTITY) {
    }
    if (more) {
        uint8_t bytes[CID_BYTES_MAX];
        struct msg_pin_add m = {.cid = span_of(bytes, cid_encode(&cid, bytes)), .recursive = true};
        enum err err = conversation_call(c, v, ACTOR_TIERED_STORAGE, MSG_PIN_ADD, &m, NULL, SUB_PIN, 0);
        if (err == ERR_BUSY || (err == ERR_UNAVAILABLE && control_waits(c, &s->patience)))
            conversation_rest(c, v, SUB_PIN);
        else if (err != ERR_OK)
            return err;
        return ERR_AGAIN;
    }
    adding_answer(c, v, work);
    file_session_free(c, s);
    return ERR_OK;
}

static enum err go_on_closing(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_add_close *args = (const void *)v->args;
    struct adding *work = v->work;
    if (work->pinning)
        return ERR_AGAIN;
    enum err err = upload_close(s->upload, ctx_now(c->ctx), args->size);
    if (err != ERR_OK)
        return err;
    adding_send_puts(c, s);
    (void)adding_collect(s, work);
    err = upload_result(s->upload, &work->root);
    if (err != ERR_OK)
        return err;
    if (upload_car(s->upload) != NULL) {
        s->kept = args->keep;
        answer_car(c, v, upload_car(s->upload));
        if (!s->kept)
            file_session_free(c, s);
        return ERR_OK;
    }
    (void)adding_collect(s, work);
    work->pinning = s->pin;
    return go_on_pinning(c, s, v);
}

/* A pin is committed, or not. */
enum err add_close_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct file_session *s = v->session;
    if (control_waits_after(c, &s->patience, info)) {
        conversation_rest(c, v, sub);
        return ERR_OK;
    }
    if (info->err != ERR_OK)
        return info->err;
    s->patience = (struct patience){0};
    enum err err = go_on_pinning(c, s, v);
    return err == ERR_AGAIN ? ERR_OK : err;
}

/* The pin that was not made is made again: twice is once. */
enum err add_close_again(struct control *c, struct conversation *v, unsigned sub)
{
    (void)sub;
    ((struct adding *)v->work)->pinned--;
    enum err err = go_on_pinning(c, v->session, v);
    return err == ERR_AGAIN ? ERR_OK : err;
}

static void fail_all(struct control *c, struct file_session *s, enum err err)
{
    char why[WHY_BYTES];
    const char *said = upload_why(s->upload);
    (void)snprintf(why, sizeof(why), "%s", said[0] != '\0' ? said : err_text(err));
    file_session_fail(c, s, err, why);
}

static enum err go_on(struct control *c, struct file_session *s, struct conversation *v)
{
    switch (((const struct adding *)v->work)->kind) {
    case ADDING_BYTES:
        return go_on_writing(c, s, v);
    case ADDING_FILE:
        return adding_file_go_on(c, s, v);
    case ADDING_CLOSE:
        return go_on_closing(c, s, v);
    }
    return ERR_INTERNAL;
}

/* One pass over those who wait; true when one of them was answered, which may let another go on. */
static bool drive_once(struct control *c, struct file_session *s, enum err *ret_err)
{
    for (unsigned i = 0; i < s->queued; i++) {
        struct conversation *v = s->queue[i];
        enum err err = go_on(c, s, v);
        if (err == ERR_AGAIN)
            continue;
        *ret_err = err;
        return err == ERR_OK;
    }
    return false;
}

void upload_drive(struct control *c, struct file_session *s)
{
    uint32_t generation = s->generation;
    enum err err = ERR_OK;
    adding_send_puts(c, s);
    while (drive_once(c, s, &err) && s->generation == generation) {
    }
    if (err != ERR_OK && s->generation == generation)
        fail_all(c, s, err);
}

void upload_lease_lost(struct control *c, struct file_session *s, const struct info *info)
{
    if (!control_waits_after(c, &s->patience, info)) {
        fail_all(c, s, info->err == ERR_OK ? ERR_UNAVAILABLE : info->err);
        return;
    }
    s->wants_lease = true;
    upload_drive(c, s);
}

/* ---- beginnings and ends ---- */

/* Pieces that came too early hold at most half of the room, so that the ones they wait for can always come. */
enum err adding_join(struct control *c, struct conversation *v, uint64_t number, enum adding_kind kind, uint64_t offset)
{
    struct file_session *s = find_upload(c, number);
    if (s == NULL)
        return no_upload(v, number);
    bool ahead = kind == ADDING_BYTES && offset > s->next_offset;
    if (ahead && account_free(c->requests) < c->requests->limit_bytes / 2)
        return conversation_error(v, ERR_BUSY, "an earlier piece is missing, and others need the room: try again");
    struct adding *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return ERR_NOMEM;
    buf_init(&work->added, ADDED_BYTES_MAX, NULL);
    work->kind = kind;
    work->offset = offset;
    v->work = work;
    if (!file_session_enqueue(s, v))
        return ERR_BUSY;
    file_session_owned(c, s, v->client);
    s->used_at = ctx_now(c->ctx);
    upload_touch(s->upload, s->used_at);
    upload_drive(c, s);
    return ERR_OK;
}

enum err add_write_start(struct control *c, struct conversation *v)
{
    const struct op_add_write *args = (const void *)v->args;
    return adding_join(c, v, args->upload, ADDING_BYTES, args->offset);
}

enum err add_close_start(struct control *c, struct conversation *v)
{
    const struct op_add_close *args = (const void *)v->args;
    if (!args->abort)
        return adding_join(c, v, args->upload, ADDING_CLOSE, 0);
    struct file_session *s = find_upload(c, args->upload);
    if (s == NULL)
        return no_upload(v, args->upload);
    fail_all(c, s, ERR_CANCELLED);
    conversation_finish(c, v, (struct span){0});
    return ERR_OK;
}

void adding_end(struct control *c, struct conversation *v)
{
    struct adding *work = v->work;
    if (work != NULL) {
        file_source_free(work->source, c->ctx);
        import_leaf_release(&work->leaf);
        buf_release(&work->added);
    }
    free(work);
    v->work = NULL;
    if (v->session != NULL)
        file_session_dequeue(v->session, v);
    v->session = NULL;
}

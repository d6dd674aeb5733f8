/* SPDX-License-Identifier: MIT */
/*
 * Backups: a snapshot of the catalogue beside it, then pieces of it and of the segments for whoever copies them. While one is open no
 * segment is removed, so every row of the snapshot names bytes that can still be read. One at a time, under a lease.
 *
 *      BACKUP_NONE --open--> COPYING (catalogue lane, in steps) --> READY --close, or the lease is over--> REMOVING --> NONE
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/blockstore_private.h"

enum { SNAPSHOT_PAGES = 128 }; /* 512 KiB a step: others of the lane wait for a millisecond */

static bool snapshot_path(const struct store_core *core, char to[STORE_PATH_MAX])
{
    int len = snprintf(to, STORE_PATH_MAX, "%s/backup.db", core->path);
    return len > 0 && len < STORE_PATH_MAX;
}

void store_backup_remove(struct store_core *core)
{
    char path[STORE_PATH_MAX];
    if (snapshot_path(core, path))
        (void)core->port->unlink(core->port->self, path);
}

/* ---- the snapshot ---- */

void blockstore_backup_open(struct blockstore *s, struct store_backup_op *op)
{
    struct store_backup *b = &s->backup;
    if (b->state != BACKUP_NONE || s->broken) {
        op->done(op, s->broken ? ERR_CORRUPT : ERR_BUSY);
        return;
    }
    *b = (struct store_backup){.state = BACKUP_COPYING, .id = b->id + 1, .op = op};
    store_flush(s); /* before the snapshot begins */
}

void blockstore_backup_close(struct blockstore *s, uint64_t id)
{
    if (s->backup.id == id && s->backup.state == BACKUP_READY)
        s->backup.state = BACKUP_REMOVING;
}

bool store_backup_is_open(const struct blockstore *s)
{
    return s->backup.state != BACKUP_NONE;
}

uint64_t store_backup_due(const struct blockstore *s)
{
    return s->backup.state == BACKUP_READY ? s->backup.until_ns : UINT64_MAX;
}

struct store_job *store_snapshot_job(struct blockstore *s)
{
    struct store_backup *b = &s->backup;
    if (b->state == BACKUP_READY && s->now_ns >= b->until_ns)
        b->state = BACKUP_REMOVING;
    /* A commit that waits goes first: this is the same lane. */
    bool waits = b->running || s->flush || s->committing || store_commit_due(s);
    if ((b->state != BACKUP_COPYING && b->state != BACKUP_REMOVING) || waits)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_SNAPSHOT);
    if (job == NULL)
        return NULL;
    job->remove = b->state == BACKUP_REMOVING;
    b->running = true;
    return job;
}

static enum err begin_snapshot(struct store_core *core)
{
    char path[STORE_PATH_MAX];
    struct disk_file *file;
    if (!snapshot_path(core, path))
        return ERR_TOO_LARGE;
    store_backup_remove(core);
    enum err err = core->port->open(core->port->self, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (err != ERR_OK)
        return err;
    core->port->close(file); /* it is there with our mode now, before SQLite opens it */
    const char *vfs = core->vfs == NULL ? NULL : sqlite_vfs_name(core->vfs);
    return catalogue_snapshot(core->catalogue, path, vfs, &core->snapshot);
}

enum err store_job_snapshot(struct store_job *job)
{
    struct store_core *core = job->core;
    enum err err = ERR_OK;
    if (job->remove) {
        store_backup_remove(core);
        return ERR_OK;
    }
    if (core->snapshot == NULL)
        err = begin_snapshot(core);
    if (err == ERR_OK)
        err = snapshot_step(core->snapshot, SNAPSHOT_PAGES, &job->finished);
    if (err == ERR_OK && !job->finished)
        return ERR_OK;
    snapshot_end(core->snapshot);
    core->snapshot = NULL;
    if (err != ERR_OK)
        store_backup_remove(core);
    return err;
}

void store_snapshot_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_backup *b = &s->backup;
    struct store_backup_op *op = b->op;
    b->running = false;
    if (err == ERR_BUSY || (err == ERR_OK && !job->remove && !job->finished))
        return;
    if (job->remove || err != ERR_OK) {
        b->state = BACKUP_NONE;
    } else {
        b->state = BACKUP_READY;
        b->until_ns = s->now_ns + STORE_BACKUP_LEASE_NS;
    }
    b->op = NULL;
    if (op == NULL)
        return;
    op->id = b->id;
    op->done(op, err);
}

/* ---- pieces ---- */

void blockstore_backup_read(struct blockstore *s, struct store_piece_op *op)
{
    if (s->backup.state != BACKUP_READY || s->backup.id != op->backup) {
        op->done(op, ERR_NOT_FOUND);
        return;
    }
    s->backup.until_ns = s->now_ns + STORE_BACKUP_LEASE_NS;
    op->next = NULL;
    *s->pieces_tail = op;
    s->pieces_tail = &op->next;
}

struct store_job *store_piece_job(struct blockstore *s)
{
    if (s->pieces == NULL || s->reading_piece)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_PIECE);
    if (job == NULL)
        return NULL;
    struct store_piece_op *op = s->pieces;
    job->piece_op = op;
    job->piece = (struct store_piece){.segment = op->segment, .offset = op->offset, .length = op->length};
    s->pieces = op->next;
    if (s->pieces == NULL)
        s->pieces_tail = &s->pieces;
    s->reading_piece = true;
    return job;
}

static enum err read_snapshot(const struct store_core *core, struct store_piece *piece, uint8_t *to, size_t *ret_len)
{
    char path[STORE_PATH_MAX];
    struct disk_file *file;
    if (!snapshot_path(core, path))
        return ERR_TOO_LARGE;
    enum err err = core->port->open(core->port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    err = core->port->size(file, &piece->size);
    if (err == ERR_OK)
        err = core->port->pread(file, to, piece->length, piece->offset, ret_len);
    core->port->close(file);
    return err;
}

/* The operation may be gone when the store is closed meanwhile: the job works on a copy of what it asks. */
enum err store_job_piece(struct store_job *job)
{
    struct store_piece *piece = &job->piece;
    size_t len = 0;
    piece->ref = block_ref_new(piece->length, job->account);
    if (piece->ref == NULL)
        return ERR_NOMEM;
    enum err err = piece->segment == 0 ? read_snapshot(job->core, piece, piece->ref->data, &len)
                                       : disk_tier_read_bytes(job->core->tier, piece->segment, piece->offset,
                                                              piece->ref->data, piece->length, &len, &piece->size);
    piece->ref->len = len;
    return err;
}

void store_piece_done(struct blockstore *s, struct store_job *job, enum err err)
{
    struct store_piece_op *op = job->piece_op;
    s->reading_piece = false;
    if (err == ERR_BUSY) {
        op->next = s->pieces;
        if (s->pieces == NULL)
            s->pieces_tail = &op->next;
        s->pieces = op;
        return;
    }
    if (err == ERR_OK) {
        op->ref = job->piece.ref;
        op->size = job->piece.size;
        job->piece.ref = NULL;
    }
    op->done(op, err == ERR_NOMEM ? ERR_BUSY : err);
}

/* SPDX-License-Identifier: MIT */
/* Whether the disk takes writes: a small file, really written, synced and removed. */
#include <stdio.h>

#include "storage/blockstore_private.h"

struct store_job *store_probe_job(struct blockstore *s)
{
    if (s->probes == NULL || s->probing)
        return NULL;
    struct store_job *job = store_job_new(s, JOB_PROBE);
    if (job == NULL)
        return NULL;
    job->op = s->probes;
    s->probes = job->op->next;
    s->probing = true;
    return job;
}

void store_probe_done(struct blockstore *s, struct store_job *job, enum err err)
{
    s->probing = false;
    job->op->done(job->op, err);
}

void blockstore_probe(struct blockstore *s, struct store_op *op)
{
    op->next = s->probes;
    s->probes = op;
}

enum err store_job_probe(struct store_job *job)
{
    static const char text[] = "hearth writes this to see whether it can\n";
    char path[STORE_PATH_MAX + 16];
    const struct disk_port *port = job->core->port;
    struct disk_file *file;
    (void)snprintf(path, sizeof(path), "%s/probe", job->core->path);
    enum err err = port->open(port->self, path, DISK_WRITE | DISK_CREATE, &file);
    if (err != ERR_OK)
        return err;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = sizeof(text) - 1};
    err = port->pwritev(file, &iov, 1, 0);
    if (err == ERR_OK)
        err = port->fdatasync(file);
    port->close(file);
    enum err gone = port->unlink(port->self, path);
    return err != ERR_OK ? err : gone;
}

/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"

#include <stdio.h>

#include "storage/blockstore.h"
#include "storage/segment.h"
#include "wire/cid.h"

bool copy_path(char to[STORE_COPY_PATH_MAX], const char *folder, const char *a, const char *b, const char *c)
{
    int len = snprintf(to, STORE_COPY_PATH_MAX, "%s/%s%s%s", folder, a, b, c);
    return len > 0 && len < STORE_COPY_PATH_MAX;
}

uint64_t copy_file_size(const struct disk_port *port, const char *path)
{
    struct disk_file *file = NULL;
    uint64_t size = 0;
    if (port->open(port->self, path, DISK_READ, &file) != ERR_OK)
        return 0;
    if (port->size(file, &size) != ERR_OK)
        size = 0;
    port->close(file);
    return size;
}

/* ---- which segments are there ---- */

struct others {
    const struct disk_port *port;
    const char *folder;
    const struct segment_checkpoint *list;
    size_t count;
    size_t segments;
    bool remove;
};

static void look_at(void *arg, const char *name)
{
    struct others *o = arg;
    char path[STORE_COPY_PATH_MAX];
    uint64_t id;
    if (!segment_parse_name(name, &id))
        return;
    o->segments++;
    for (size_t i = 0; i < o->count; i++) {
        if (o->list[i].segment == id)
            return;
    }
    if (o->remove && copy_path(path, o->folder, "segments/", name, ""))
        (void)o->port->unlink(o->port->self, path);
}

static enum err list_segments(struct others *o)
{
    char dir[STORE_COPY_PATH_MAX];
    if (!copy_path(dir, o->folder, "segments", "", ""))
        return ERR_TOO_LARGE;
    return o->port->list(o->port->self, dir, look_at, o);
}

bool copy_has_segments(const struct disk_port *port, const char *folder)
{
    struct others o = {.port = port, .folder = folder};
    return list_segments(&o) == ERR_OK && o.segments > 0;
}

int copy_remove_others(const struct disk_port *port, const char *folder, const struct segment_checkpoint *list,
                       size_t count)
{
    struct others o = {.port = port, .folder = folder, .list = list, .count = count, .remove = true};
    enum err err = list_segments(&o);
    return err == ERR_OK ? EXIT_OK : say_error("%s: %s", folder, err_text(err));
}

/* ---- verification ---- */

struct verifying {
    const struct invocation *in;
    struct progress progress;
};

static void tell_bad(void *arg, const struct block_place *place, enum err err)
{
    const struct verifying *v = arg;
    struct multihash hash;
    char text[CID_TEXT_MAX] = "?";
    if (multihash_parse(block_key_span(&place->key), &hash) == ERR_OK) {
        struct cid cid = cid_v1(place->codec, &hash);
        cid_text(&cid, text);
    }
    (void)fputs("block ", stdout);
    print_cid(stdout, &v->in->globals, span_text(text));
    printf(" was corrupt (%s)\n", blockstore_damage_text(err));
}

static void tell_progress(void *arg, uint64_t blocks)
{
    progress_add(&((struct verifying *)arg)->progress, blocks);
}

int copy_verify(const struct invocation *in, const char *folder)
{
    struct verifying v = {.in = in};
    struct store_copy_check check = {.arg = &v, .bad = tell_bad, .progress = tell_progress};
    progress_begin(&v.progress, "verifying", 0, true);
    enum err err = store_copy_verify(folder, &check);
    progress_end(&v.progress);
    if (err != ERR_OK)
        return say_error("%s: it cannot be verified: %s", folder, err_text(err));
    if (check.bad_count > 0)
        return say_error("%s: %llu of %llu blocks are damaged", folder, (unsigned long long)check.bad_count,
                         (unsigned long long)check.blocks);
    printf("verify complete, all blocks validated.\n");
    return EXIT_OK;
}

/* SPDX-License-Identifier: MIT */
#include "sim/disk_inode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

enum { CHANGES_FIRST_CAP = 8 };

struct inode *inode_new(void)
{
    return calloc(1, sizeof(struct inode));
}

static void clear_changes(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        free(inode->changes[i].data);
    inode->change_count = 0;
}

void inode_free(struct inode *inode)
{
    if (inode == NULL)
        return;
    clear_changes(inode);
    free(inode->changes);
    sparse_release(&inode->live);
    sparse_release(&inode->durable);
    free(inode);
}

static bool log_change(struct inode *inode, enum change_kind kind, uint64_t offset, const void *data, size_t len)
{
    if (inode->steady)
        return true;
    if (inode->change_count == inode->change_cap) {
        size_t cap = inode->change_cap == 0 ? CHANGES_FIRST_CAP : inode->change_cap * 2;
        struct change *changes = realloc(inode->changes, cap * sizeof(*changes));
        if (changes == NULL)
            return false;
        inode->changes = changes;
        inode->change_cap = cap;
    }
    uint8_t *copy = NULL;
    if (len > 0) {
        copy = malloc(len);
        if (copy == NULL)
            return false;
        memcpy(copy, data, len);
    }
    inode->changes[inode->change_count++] = (struct change){.kind = kind, .offset = offset, .len = len, .data = copy};
    return true;
}

struct inode *inode_clone(const struct inode *from)
{
    struct inode *to = inode_new();
    if (to == NULL || !sparse_copy(&to->live, &from->live) || !sparse_copy(&to->durable, &from->durable))
        goto fail;
    to->steady = from->steady;
    for (size_t i = 0; i < from->change_count; i++) {
        const struct change *c = &from->changes[i];
        if (!log_change(to, c->kind, c->offset, c->data, c->len))
            goto fail;
    }
    return to;
fail:
    inode_free(to);
    return NULL;
}

bool inode_write(struct inode *inode, const void *data, size_t len, uint64_t offset)
{
    return log_change(inode, CHANGE_WRITE, offset, data, len) && sparse_write(&inode->live, data, len, offset);
}

bool inode_resize(struct inode *inode, uint64_t len)
{
    return log_change(inode, CHANGE_SIZE, len, NULL, 0) && sparse_resize(&inode->live, (size_t)len);
}

void inode_lose_changes(struct inode *inode)
{
    clear_changes(inode);
}

static bool apply_whole(struct sparse *to, const struct change *c)
{
    return c->kind == CHANGE_SIZE ? sparse_resize(to, (size_t)c->offset) : sparse_write(to, c->data, c->len, c->offset);
}

/* What a failed sync has lost stays lost: it is not among the changes any more. */
bool inode_sync(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        if (!apply_whole(&inode->durable, &inode->changes[i]))
            return false;
    }
    clear_changes(inode);
    return true;
}

/* Applies those sectors of a write that keep() chooses: a file system never tears inside a sector. */
static bool apply_torn(struct sparse *to, const struct change *c, struct prng *prng, bool prefix_only)
{
    if (c->kind == CHANGE_SIZE)
        return apply_whole(to, c);
    size_t at = 0;
    bool on = prefix_only;
    while (at < c->len) {
        size_t room = SIM_DISK_SECTOR - (size_t)((c->offset + at) % SIM_DISK_SECTOR);
        size_t n = MIN(room, c->len - at);
        if (prefix_only)
            on = on && prng_below(prng, 4) != 0;
        else
            on = prng_below(prng, 2) == 0;
        if (on && !sparse_write(to, c->data + at, n, c->offset + at))
            return false;
        at += n;
    }
    return true;
}

static bool apply_prefix(struct inode *inode, struct sparse *to, struct prng *prng)
{
    size_t whole = (size_t)prng_below(prng, inode->change_count + 1);
    for (size_t i = 0; i < whole; i++) {
        if (!apply_whole(to, &inode->changes[i]))
            return false;
    }
    return whole == inode->change_count || apply_torn(to, &inode->changes[whole], prng, true);
}

static bool apply_reordered(struct inode *inode, struct sparse *to, struct prng *prng)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        uint64_t fate = prng_below(prng, 3); /* lost, torn or whole */
        bool ok = fate == 0 ||
                  (fate == 1 ? apply_torn(to, &inode->changes[i], prng, false) : apply_whole(to, &inode->changes[i]));
        if (!ok)
            return false;
    }
    return true;
}

static bool apply_cut(struct inode *inode, struct sparse *to, enum sim_disk_cut how, struct prng *prng)
{
    switch (how) {
    case SIM_CUT_KEEP:
        for (size_t i = 0; i < inode->change_count; i++) {
            if (!apply_whole(to, &inode->changes[i]))
                return false;
        }
        return true;
    case SIM_CUT_PREFIX:
        return apply_prefix(inode, to, prng);
    case SIM_CUT_REORDER:
        return apply_reordered(inode, to, prng);
    case SIM_CUT_DROP:
    case SIM_CUT_COUNT:
        break;
    }
    return true;
}

bool inode_power_cut(struct inode *inode, enum sim_disk_cut how, struct prng *prng)
{
    assert(!inode->steady);
    inode->opens = 0;
    inode->locked = false;
    if (inode->change_count > 0 && !apply_cut(inode, &inode->durable, how, prng))
        return false;
    clear_changes(inode);
    return sparse_copy(&inode->live, &inode->durable);
}

static bool flip(struct sparse *bytes, uint64_t offset, uint8_t mask)
{
    uint8_t byte;
    if (offset >= bytes->len)
        return true;
    sparse_read(bytes, &byte, 1, offset);
    byte ^= mask;
    return sparse_write(bytes, &byte, 1, offset);
}

bool inode_damage(struct inode *inode, uint64_t offset, uint8_t mask)
{
    return flip(&inode->live, offset, mask) && flip(&inode->durable, offset, mask);
}

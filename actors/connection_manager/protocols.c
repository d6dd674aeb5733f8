/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/protocols.h"

#include <assert.h>
#include <string.h>

int protocols_row(const struct protocols *p, struct span name)
{
    for (size_t i = 0; i < p->count; i++)
        if (span_equal_text(name, p->rows[i].name))
            return (int)i;
    return -1;
}

static struct protocol *add(struct protocols *p, struct span name)
{
    struct protocol *row = &p->rows[p->count++];
    memset(row, 0, sizeof(*row));
    memcpy(row->name, name.data, name.len);
    return row;
}

void protocols_init(struct protocols *p)
{
    size_t count;
    const struct tree_protocol *table = tree_protocols(&count);
    assert(count < PROTOCOLS_MAX);
    p->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct protocol *row = add(p, span_text(table[i].name));
        row->owner = table[i].actor;
        row->fixed = row->served = row->was_served = true;
    }
}

enum err protocols_serve(struct protocols *p, actor_id owner, struct span name)
{
    int at = protocols_row(p, name);
    if (name.len == 0 || name.len >= PROTOCOLS_NAME_BYTES)
        return ERR_TOO_LARGE;
    if (at < 0 && p->count == PROTOCOLS_MAX)
        return ERR_BUSY;
    struct protocol *row = at < 0 ? add(p, name) : &p->rows[at];
    if (row->owner != owner && row->served)
        return ERR_EXISTS;
    row->owner = owner;
    row->served = true;
    return ERR_OK;
}

void protocols_clear(struct protocols *p, actor_id owner)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->rows[i].owner == owner)
            p->rows[i].served = p->rows[i].fixed;
}

bool protocols_changed(struct protocols *p)
{
    bool changed = false;
    for (size_t i = 0; i < p->count; i++) {
        changed = changed || p->rows[i].served != p->rows[i].was_served;
        p->rows[i].was_served = p->rows[i].served;
    }
    return changed;
}

int protocols_match(const struct protocols *p, struct span name)
{
    int row = protocols_row(p, name);
    return row >= 0 && p->rows[row].served ? row : -1;
}

const struct protocol *protocols_at(const struct protocols *p, int row)
{
    assert(row >= 0 && (size_t)row < p->count);
    return &p->rows[row];
}

const char *protocols_known(const struct protocols *p, struct span name)
{
    int row = protocols_row(p, name);
    return row < 0 ? NULL : p->rows[row].name;
}

size_t protocols_list(const struct protocols *p, const char *ret_names[PROTOCOLS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->rows[i].served)
            ret_names[count++] = p->rows[i].name;
    return count;
}

/* SPDX-License-Identifier: MIT */
#include "storage/move_marks.h"

#include <stdlib.h>

#include "base/limits.h"

struct move_mark {
    uint64_t hash; /* 0: none */
    uint64_t at_ns;
};

enum { MARK_BYTES = MARK_SETS * MARK_WAYS * sizeof(struct move_mark) };

enum err move_marks_init(struct move_marks *m, struct account *account)
{
    *m = (struct move_marks){.account = account};
    if (account != NULL && !account_take(account, MARK_BYTES))
        return ERR_NOMEM;
    m->marks = calloc((size_t)MARK_SETS * MARK_WAYS, sizeof(*m->marks));
    if (m->marks == NULL && account != NULL)
        account_give(account, MARK_BYTES);
    return m->marks == NULL ? ERR_NOMEM : ERR_OK;
}

void move_marks_release(struct move_marks *m)
{
    if (m->marks != NULL && m->account != NULL)
        account_give(m->account, MARK_BYTES);
    free(m->marks);
    m->marks = NULL;
}

/* The end of a digest is as good as random; whoever searches for digests that collide only makes his own blocks forgotten. */
static uint64_t hash_of(const struct block_key *key)
{
    uint64_t hash = 0;
    size_t n = MIN(key->len, sizeof(hash));
    memcpy(&hash, key->bytes + key->len - n, n);
    return hash == 0 ? 1 : hash;
}

static struct move_mark *set_of(const struct move_marks *m, uint64_t hash)
{
    return m->marks + (size_t)(hash % MARK_SETS) * MARK_WAYS;
}

static struct move_mark *find(const struct move_marks *m, uint64_t hash)
{
    struct move_mark *set = set_of(m, hash);
    for (size_t i = 0; i < MARK_WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
    }
    return NULL;
}

void move_marks_set(struct move_marks *m, const struct block_key *key, uint64_t at_ns)
{
    uint64_t hash = hash_of(key);
    struct move_mark *set = set_of(m, hash);
    struct move_mark *mark = find(m, hash);
    for (size_t i = 0; mark == NULL && i < MARK_WAYS; i++) {
        if (set[i].hash == 0)
            mark = &set[i];
    }
    if (mark == NULL) {
        mark = set;
        for (size_t i = 1; i < MARK_WAYS; i++)
            mark = set[i].at_ns < mark->at_ns ? &set[i] : mark;
    }
    *mark = (struct move_mark){.hash = hash, .at_ns = at_ns};
}

void move_marks_drop(struct move_marks *m, const struct block_key *key)
{
    struct move_mark *mark = find(m, hash_of(key));
    if (mark != NULL)
        *mark = (struct move_mark){0};
}

bool move_marks_find(const struct move_marks *m, const struct block_key *key, uint64_t since_ns)
{
    const struct move_mark *mark = find(m, hash_of(key));
    return mark != NULL && mark->at_ns >= since_ns;
}

/* SPDX-License-Identifier: MIT */
#include "storage/heat.h"

#include <stdlib.h>

enum { COLD_SAMPLE = 16, HALVINGS_MAX = 60 };

void heat_map_init(struct heat_map *map, struct account *account)
{
    table_init(&map->rows, HEAT_BLOCKS_MAX, account);
    map->hand = 0;
}

void heat_map_release(struct heat_map *map)
{
    size_t position = 0;
    void *row;
    while ((row = table_next(&map->rows, &position, NULL)) != NULL)
        free(row);
    table_release(&map->rows);
}

static double cooled(const struct heat_entry *row, uint64_t now_ns)
{
    uint64_t age = now_ns > row->time_ns ? now_ns - row->time_ns : 0;
    uint64_t halvings = age / HEAT_HALF_LIFE_NS;
    if (halvings > HALVINGS_MAX)
        return 0;
    double score = row->score / (double)(UINT64_C(1) << halvings);
    return score * (1.0 - (double)(age % HEAT_HALF_LIFE_NS) / (double)HEAT_HALF_LIFE_NS / 2.0);
}

static double weight(enum heat_kind kind)
{
    switch (kind) {
    case HEAT_READ:
    case HEAT_SERVED:
        return 1.0;
    case HEAT_STORED:
    case HEAT_WANTED:
        return 0.5;
    }
    return 0;
}

/* Looks at the next few rows and drops the coldest of them. */
static void drop_cold(struct heat_map *map, uint64_t now_ns)
{
    struct heat_entry *coldest = NULL;
    for (int i = 0; i < COLD_SAMPLE; i++) {
        struct heat_entry *row = table_next(&map->rows, &map->hand, NULL);
        if (row == NULL) {
            map->hand = 0;
            row = table_next(&map->rows, &map->hand, NULL);
        }
        if (row != NULL && (coldest == NULL || cooled(row, now_ns) < cooled(coldest, now_ns)))
            coldest = row;
    }
    if (coldest != NULL)
        free(table_remove(&map->rows, block_key_span(&coldest->key)));
}

static struct heat_entry *add_row(struct heat_map *map, const struct block_key *key, uint64_t now_ns)
{
    if (table_len(&map->rows) >= HEAT_BLOCKS_MAX)
        drop_cold(map, now_ns);
    struct heat_entry *row = calloc(1, sizeof(*row));
    if (row == NULL)
        return NULL;
    row->key = *key;
    if (table_put(&map->rows, block_key_span(key), row, NULL) != ERR_OK) {
        free(row);
        return NULL;
    }
    return row;
}

enum err heat_map_note(struct heat_map *map, const struct block_key *key, struct span cid, enum heat_kind kind,
                       const struct peer_id *asker, uint64_t now_ns)
{
    if (cid.len > HEAT_CID_MAX)
        return ERR_TOO_LARGE;
    struct heat_entry *row = table_get(&map->rows, block_key_span(key));
    if (row == NULL)
        row = add_row(map, key, now_ns);
    if (row == NULL)
        return ERR_NOMEM;
    row->score = cooled(row, now_ns) + weight(kind);
    row->time_ns = now_ns;
    if (kind == HEAT_READ || kind == HEAT_SERVED) {
        row->accesses++;
        row->used_at_ns = now_ns;
    }
    if (kind == HEAT_WANTED) {
        row->wants++;
        row->wanted_at_ns = now_ns;
        row->asker = asker == NULL ? (struct peer_id){0} : *asker;
    }
    memcpy(row->cid, cid.data, cid.len);
    row->cid_len = (uint8_t)cid.len;
    return ERR_OK;
}

double heat_map_score(const struct heat_map *map, const struct block_key *key, uint64_t now_ns)
{
    const struct heat_entry *row = table_get(&map->rows, block_key_span(key));
    return row == NULL ? 0 : cooled(row, now_ns);
}

bool heat_map_find(const struct heat_map *map, const struct block_key *key, uint64_t now_ns, struct heat_entry *ret_row)
{
    const struct heat_entry *row = table_get(&map->rows, block_key_span(key));
    if (row == NULL)
        return false;
    *ret_row = *row;
    ret_row->score = cooled(row, now_ns);
    return true;
}

/* Insertion into a short sorted list: max is small beside the table. */
size_t heat_map_top(const struct heat_map *map, uint64_t now_ns, struct heat_entry *ret_rows, size_t max)
{
    size_t count = 0;
    size_t position = 0;
    const struct heat_entry *row;
    while (max > 0 && (row = table_next(&map->rows, &position, NULL)) != NULL) {
        double score = cooled(row, now_ns);
        if (count == max && score <= ret_rows[count - 1].score)
            continue;
        size_t at = count < max ? count++ : count - 1;
        for (; at > 0 && ret_rows[at - 1].score < score; at--)
            ret_rows[at] = ret_rows[at - 1];
        ret_rows[at] = *row;
        ret_rows[at].score = score;
    }
    return count;
}

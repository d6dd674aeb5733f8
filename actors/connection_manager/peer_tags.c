/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/peer_tags.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"

enum { HALVINGS_MAX = 40 }; /* then nothing is left of the largest value */

struct tag {
    char name[PEER_TAG_NAME_MAX];
    int64_t value; /* at since_ns */
    uint64_t half_life_ns;
    uint64_t since_ns;
};

/* All that was said of a peer. */
struct peer_marks {
    struct tag tags[PEER_TAGS_MAX];
    size_t tag_count;
    char protections[PEER_TAGS_MAX][PEER_TAG_NAME_MAX];
    size_t protection_count;
};

void peer_tags_init(struct peer_tags *tags, struct account *account)
{
    tags->account = account;
    table_init(&tags->peers, PEER_TAGS_PEERS_MAX, account);
}

static void marks_free(struct peer_tags *tags, struct peer_marks *marks)
{
    if (tags->account != NULL)
        account_give(tags->account, sizeof(*marks));
    free(marks);
}

void peer_tags_release(struct peer_tags *tags)
{
    size_t position = 0;
    struct peer_marks *marks;
    while ((marks = table_next(&tags->peers, &position, NULL)) != NULL)
        marks_free(tags, marks);
    table_release(&tags->peers);
}

/* Whole halvings, and in between a straight line: near enough for an order. */
static int64_t value_of(const struct tag *tag, uint64_t now_ns)
{
    if (tag->half_life_ns == 0 || now_ns <= tag->since_ns)
        return tag->value;
    uint64_t age = now_ns - tag->since_ns;
    uint64_t halvings = age / tag->half_life_ns;
    if (halvings > HALVINGS_MAX)
        return 0;
    int64_t value = tag->value / (INT64_C(1) << halvings);
    double part = (double)(age % tag->half_life_ns) / (double)tag->half_life_ns;
    return value - (int64_t)((double)value * part / 2);
}

/* Drops tags of which nothing is left. */
static void let_fade(struct peer_marks *marks, uint64_t now_ns)
{
    for (size_t i = marks->tag_count; i-- > 0;)
        if (value_of(&marks->tags[i], now_ns) == 0)
            marks->tags[i] = marks->tags[--marks->tag_count];
}

static int64_t sum_of(const struct peer_marks *marks, uint64_t now_ns)
{
    int64_t sum = 0;
    for (size_t i = 0; i < marks->tag_count; i++)
        sum += value_of(&marks->tags[i], now_ns);
    return sum;
}

static void drop_if_empty(struct peer_tags *tags, struct span key)
{
    struct peer_marks *marks = table_get(&tags->peers, key);
    if (marks != NULL && marks->tag_count == 0 && marks->protection_count == 0)
        marks_free(tags, table_remove(&tags->peers, key));
}

/* The peer worth least goes, unless it is worth as much as the newcomer. */
static bool make_room(struct peer_tags *tags, int64_t value, uint64_t now_ns)
{
    size_t position = 0;
    struct span key;
    struct peer_marks *marks;
    struct peer_id least = {0};
    int64_t least_value = value;
    while ((marks = table_next(&tags->peers, &position, &key)) != NULL) {
        int64_t sum = sum_of(marks, now_ns);
        if (marks->protection_count > 0 || sum >= least_value)
            continue;
        least_value = sum;
        if (peer_id_parse(key, &least) != ERR_OK)
            continue;
    }
    if (peer_id_is_empty(&least))
        return false;
    marks_free(tags, table_remove(&tags->peers, peer_id_span(&least)));
    return true;
}

static enum err marks_get(struct peer_tags *tags, const struct peer_id *peer, int64_t value, uint64_t now_ns,
                          struct peer_marks **ret_marks)
{
    struct peer_marks *marks = table_get(&tags->peers, peer_id_span(peer));
    *ret_marks = marks;
    if (marks != NULL)
        return ERR_OK;
    if (table_len(&tags->peers) == PEER_TAGS_PEERS_MAX && !make_room(tags, value, now_ns))
        return ERR_BUSY;
    if (tags->account != NULL && !account_take(tags->account, sizeof(*marks)))
        return ERR_NOMEM;
    marks = calloc(1, sizeof(*marks));
    if (marks != NULL && table_put(&tags->peers, peer_id_span(peer), marks, NULL) == ERR_OK) {
        *ret_marks = marks;
        return ERR_OK;
    }
    if (tags->account != NULL)
        account_give(tags->account, sizeof(*marks));
    free(marks);
    return ERR_NOMEM;
}

static size_t find_tag(const struct peer_marks *marks, struct span name)
{
    size_t i = 0;
    while (i < marks->tag_count && !span_equal_text(name, marks->tags[i].name))
        i++;
    return i;
}

enum err peer_tags_set(struct peer_tags *tags, const struct peer_id *peer, struct span name, int64_t value,
                       uint64_t half_life_ns, uint64_t now_ns)
{
    struct tag tag = {.value = value, .half_life_ns = half_life_ns, .since_ns = now_ns};
    struct peer_marks *marks;
    if (text_copy(name, tag.name, sizeof(tag.name)) != ERR_OK || value > PEER_TAG_VALUE_MAX ||
        value < -PEER_TAG_VALUE_MAX)
        return ERR_TOO_LARGE;
    if (value == 0 && table_get(&tags->peers, peer_id_span(peer)) == NULL)
        return ERR_OK;
    enum err err = marks_get(tags, peer, value, now_ns, &marks);
    if (err != ERR_OK)
        return err;
    let_fade(marks, now_ns);
    size_t at = find_tag(marks, name);
    if (value == 0 && at < marks->tag_count)
        marks->tags[at] = marks->tags[--marks->tag_count];
    else if (value != 0 && at < PEER_TAGS_MAX)
        marks->tags[at] = tag;
    else if (value != 0)
        err = ERR_BUSY;
    if (err == ERR_OK && value != 0 && at == marks->tag_count)
        marks->tag_count++;
    drop_if_empty(tags, peer_id_span(peer));
    return err;
}

enum err peer_tags_protect(struct peer_tags *tags, const struct peer_id *peer, struct span name, bool protect,
                           uint64_t now_ns)
{
    char text[PEER_TAG_NAME_MAX];
    struct peer_marks *marks;
    if (text_copy(name, text, sizeof(text)) != ERR_OK)
        return ERR_TOO_LARGE;
    if (!protect && table_get(&tags->peers, peer_id_span(peer)) == NULL)
        return ERR_OK;
    enum err err = marks_get(tags, peer, PEER_TAG_VALUE_MAX, now_ns, &marks);
    if (err != ERR_OK)
        return err;
    size_t at = 0;
    while (at < marks->protection_count && !span_equal_text(name, marks->protections[at]))
        at++;
    bool there = at < marks->protection_count;
    if (protect && !there && at == PEER_TAGS_MAX)
        err = ERR_BUSY;
    else if (protect && !there)
        memcpy(marks->protections[marks->protection_count++], text, sizeof(text));
    else if (!protect && there)
        memmove(marks->protections[at], marks->protections[--marks->protection_count], sizeof(text));
    drop_if_empty(tags, peer_id_span(peer));
    return err;
}

int64_t peer_tags_value(struct peer_tags *tags, const struct peer_id *peer, uint64_t now_ns)
{
    const struct peer_marks *marks = table_get(&tags->peers, peer_id_span(peer));
    return marks == NULL ? 0 : sum_of(marks, now_ns);
}

bool peer_tags_are_protecting(const struct peer_tags *tags, const struct peer_id *peer)
{
    const struct peer_marks *marks = table_get(&tags->peers, peer_id_span(peer));
    return marks != NULL && marks->protection_count > 0;
}

static bool begins_with(const char *text, struct span name)
{
    return strlen(text) >= name.len && memcmp(text, name.data, name.len) == 0;
}

void peer_tags_forget(struct peer_tags *tags, struct span name)
{
    size_t position = 0;
    struct span key;
    struct peer_marks *marks;
    while ((marks = table_next(&tags->peers, &position, &key)) != NULL) {
        for (size_t i = marks->tag_count; i-- > 0;)
            if (begins_with(marks->tags[i].name, name))
                marks->tags[i] = marks->tags[--marks->tag_count];
        for (size_t i = marks->protection_count; i-- > 0;)
            if (begins_with(marks->protections[i], name))
                memmove(marks->protections[i], marks->protections[--marks->protection_count], PEER_TAG_NAME_MAX);
        drop_if_empty(tags, key);
    }
}

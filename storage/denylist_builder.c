/* SPDX-License-Identifier: MIT */
#include "storage/denylist_builder.h"

#include <stdlib.h>

enum { BITS_MAX = 24, RULES_MAX = 1 << 30 };

enum err denylist_builder_init(struct denylist_builder *b, struct account *account, uint64_t rules_guess,
                               const uint8_t key[DENYLIST_KEY_BYTES])
{
    uint32_t bits = 0;
    while (bits < BITS_MAX && (rules_guess >> bits) > DENYLIST_BUCKET_RULES)
        bits++;
    *b = (struct denylist_builder){.account = account, .head = {.bits = bits}};
    memcpy(b->head.key, key, DENYLIST_KEY_BYTES);
    b->counts = calloc((size_t)1 << bits, sizeof(*b->counts));
    return b->counts == NULL ? ERR_NOMEM : ERR_OK;
}

static void note_prefix(struct denylist *head, size_t len)
{
    for (size_t i = 0; i < head->prefix_count; i++)
        if (head->prefixes[i] == len)
            return;
    if (head->prefix_count < DENYLIST_PREFIXES_MAX)
        head->prefixes[head->prefix_count++] = (uint16_t)len;
    else
        head->all_prefixes = true;
}

static enum err note_function(struct denylist *head, uint32_t code)
{
    for (size_t i = 0; i < head->function_count; i++)
        if (head->functions[i] == code)
            return ERR_OK;
    if (head->function_count == DENYLIST_FUNCTIONS_MAX)
        return ERR_TOO_LARGE;
    head->functions[head->function_count++] = code;
    return ERR_OK;
}

static uint64_t *rules_of(const struct denylist_builder *b)
{
    return (uint64_t *)(void *)(b->image->data + denylist_rules_offset(b->head.bits));
}

static const struct denylist *image_of(const struct denylist_builder *b)
{
    return denylist_of(b->image);
}

void denylist_builder_add(struct denylist_builder *b, const struct denylist_rule *rule)
{
    if (b->err != ERR_OK)
        return;
    if (rule->allow != b->allows) {
        b->allows = rule->allow;
        if (++b->run == DENYLIST_RUNS_MAX)
            b->err = ERR_TOO_LARGE;
    }
    uint64_t hash = denylist_hash(b->head.key, rule);
    uint64_t bucket = denylist_bucket(b->head.bits, hash);
    if (!b->second) {
        if (rule->prefix)
            note_prefix(&b->head, rule->path.len);
        if (rule->kind == DENYLIST_DOUBLE && b->err == ERR_OK)
            b->err = note_function(&b->head, rule->hash.code);
        b->counts[bucket]++;
        if (++b->head.rules == RULES_MAX)
            b->err = ERR_TOO_LARGE;
    } else if (b->counts[bucket] == image_of(b)->directory[bucket + 1]) {
        b->err = ERR_AGAIN;
    } else {
        rules_of(b)[b->counts[bucket]++] = denylist_print(b->head.bits, hash) | (uint16_t)b->run;
    }
}

enum err denylist_builder_turn(struct denylist_builder *b)
{
    size_t buckets = (size_t)1 << b->head.bits;
    if (b->err != ERR_OK)
        return b->err;
    b->image = block_ref_new(denylist_rules_offset(b->head.bits) + b->head.rules * sizeof(uint64_t), b->account);
    if (b->image == NULL)
        return b->err = ERR_NOMEM;
    memcpy(b->image->data, &b->head, sizeof(b->head));
    uint32_t *directory = (uint32_t *)(void *)(b->image->data + offsetof(struct denylist, directory));
    uint32_t at = 0;
    for (size_t i = 0; i < buckets; i++) {
        directory[i] = at;
        at += b->counts[i];
        b->counts[i] = directory[i];
    }
    directory[buckets] = at;
    b->second = true;
    b->allows = false;
    b->run = 0;
    return ERR_OK;
}

enum err denylist_builder_take(struct denylist_builder *b, struct block_ref **ret_image)
{
    size_t buckets = (size_t)1 << b->head.bits;
    for (size_t i = 0; b->err == ERR_OK && i < buckets; i++)
        if (b->counts[i] != image_of(b)->directory[i + 1])
            b->err = ERR_AGAIN;
    if (b->err != ERR_OK)
        return b->err;
    *ret_image = b->image;
    b->image = NULL;
    return ERR_OK;
}

void denylist_builder_release(struct denylist_builder *b)
{
    free(b->counts);
    b->counts = NULL;
    block_ref_unref(b->image);
    b->image = NULL;
}

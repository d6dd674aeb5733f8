/* SPDX-License-Identifier: MIT */
#include "storage/denylist.h"

#include <sodium.h>

#include "base/text.h"
#include "wire/multibase.h"

_Static_assert(DENYLIST_KEY_BYTES == crypto_shorthash_KEYBYTES, "one key of SipHash");

enum {
    LABEL_MAX = 63,
    HASHED_MAX = 8 + MULTIHASH_BYTES_MAX + DENYLIST_NAME_MAX + DENYLIST_PATH_MAX,
    TEXT_MAX = 16 + CID_TEXT_MAX + DENYLIST_NAME_MAX + DENYLIST_PATH_MAX
};

const struct denylist *denylist_of(const struct block_ref *image)
{
    return image == NULL ? NULL : (const struct denylist *)(const void *)image->data;
}

/* kind, prefix, length of name, name, multihash, path: no two rules give the same bytes. */
uint64_t denylist_hash(const uint8_t key[DENYLIST_KEY_BYTES], const struct denylist_rule *rule)
{
    uint8_t bytes[HASHED_MAX];
    uint64_t hash = 0;
    size_t len = 3;
    bytes[0] = (uint8_t)rule->kind;
    bytes[1] = rule->prefix;
    bytes[2] = (uint8_t)MIN(rule->name.len, (size_t)DENYLIST_NAME_MAX);
    if (bytes[2] > 0)
        memcpy(bytes + len, rule->name.data, bytes[2]);
    len += bytes[2];
    if (bytes[2] == 0)
        len += multihash_encode(&rule->hash, bytes + len);
    size_t path = MIN(rule->path.len, (size_t)DENYLIST_PATH_MAX);
    if (path > 0)
        memcpy(bytes + len, rule->path.data, path);
    (void)crypto_shorthash((uint8_t *)&hash, bytes, len + path, key);
    return hash;
}

/* ---- one question: the latest run of those whose rules match ---- */

struct question {
    const struct denylist *list;
    bool found;
    uint16_t run;
};

static void look(struct question *q, const struct denylist_rule *rule)
{
    const struct denylist *l = q->list;
    uint64_t hash = denylist_hash(l->key, rule);
    uint64_t print = denylist_print(l->bits, hash);
    uint64_t bucket = denylist_bucket(l->bits, hash);
    const uint64_t *rules =
        (const uint64_t *)(const void *)((const uint8_t *)(const void *)l + denylist_rules_offset(l->bits));
    for (uint32_t i = l->directory[bucket]; i < l->directory[bucket + 1]; i++) {
        if ((rules[i] & ~UINT64_C(0xffff)) != print)
            continue;
        q->run = q->found ? MAX(q->run, (uint16_t)rules[i]) : (uint16_t)rules[i];
        q->found = true;
    }
}

/* The rules about exactly this path, and those about what it begins with. */
static void look_below(struct question *q, struct denylist_rule rule, struct span path)
{
    const struct denylist *l = q->list;
    rule.path = path;
    look(q, &rule);
    rule.prefix = true;
    for (size_t i = 0; !l->all_prefixes && i < l->prefix_count; i++) {
        rule.path = span_first(path, l->prefixes[i]);
        if (l->prefixes[i] <= path.len)
            look(q, &rule);
    }
    for (size_t len = 0; l->all_prefixes && len <= path.len; len++) {
        rule.path = span_first(path, len);
        look(q, &rule);
    }
}

static void look_double(struct question *q, struct span text)
{
    for (size_t i = 0; i < q->list->function_count; i++) {
        struct denylist_rule rule = {.kind = DENYLIST_DOUBLE};
        if (multihash_sum(q->list->functions[i], 0, text, &rule.hash) == ERR_OK)
            look(q, &rule);
    }
}

/* head, and the path behind a slash; without a path only if always. */
static void look_joined(struct question *q, const char *head, struct span path, bool always)
{
    uint8_t text[TEXT_MAX];
    const struct span begin = span_text(head);
    size_t len = begin.len;
    memcpy(text, begin.data, begin.len);
    if (path.len > 0 || always)
        text[len++] = '/';
    if (path.len > 0)
        memcpy(text + len, path.data, path.len);
    look_double(q, span_of(text, len + path.len));
}

static bool multihash_text(const struct multihash *hash, char to[CID_TEXT_MAX])
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = 0;
    if (multibase_encode_bare(MULTIBASE_58_BTC, span_of(bytes, multihash_encode(hash, bytes)), to, CID_TEXT_MAX - 1,
                              &len) != ERR_OK)
        return false;
    to[len] = '\0';
    return true;
}

static void look_double_cid(struct question *q, const struct cid *cid, struct span path)
{
    char text[CID_TEXT_MAX];
    struct cid v1 = cid_v1(cid->codec, &cid->hash);
    if (q->list->function_count == 0)
        return;
    cid_text(&v1, text);
    look_joined(q, text, path, true);
    if (multihash_text(&cid->hash, text))
        look_joined(q, text, path, false);
}

static enum denylist_answer answer(const struct question *q)
{
    if (!q->found)
        return DENYLIST_UNKNOWN;
    return q->run % 2 == 0 ? DENYLIST_DENIED : DENYLIST_ALLOWED;
}

/* ---- paths ---- */

/* The path as the resolver would walk it. False when it is too long: no rule can be about it. */
static bool tidy(struct span path, uint8_t to[DENYLIST_PATH_MAX], size_t *ret_len)
{
    size_t len = 0;
    while (path.len > 0) {
        const uint8_t *slash = memchr(path.data, '/', path.len);
        struct span part = span_first(path, slash == NULL ? path.len : (size_t)(slash - path.data));
        path = span_skip(path, part.len + 1);
        if (part.len == 0 || span_equal_text(part, "."))
            continue;
        if (span_equal_text(part, "..")) {
            while (len > 0 && to[--len] != '/')
                continue;
            continue;
        }
        if (part.len + 1 > DENYLIST_PATH_MAX - len)
            return false;
        if (len > 0)
            to[len++] = '/';
        memcpy(to + len, part.data, part.len);
        len += part.len;
    }
    *ret_len = len;
    return true;
}

enum denylist_answer denylist_ask_cid(const struct denylist *list, const struct cid *cid)
{
    return denylist_ask_path(list, cid, (struct span){0});
}

enum denylist_answer denylist_ask_path(const struct denylist *list, const struct cid *cid, struct span path)
{
    struct question q = {.list = list};
    uint8_t tidied[DENYLIST_PATH_MAX];
    size_t len = 0;
    if (list == NULL || list->rules == 0)
        return DENYLIST_UNKNOWN;
    if (!tidy(path, tidied, &len))
        len = 0;
    look_below(&q, (struct denylist_rule){.kind = DENYLIST_IPFS, .hash = cid->hash}, span_of(tidied, len));
    look_double_cid(&q, cid, span_of(tidied, len));
    return answer(&q);
}

/* ---- names ---- */

static void look_domain(struct question *q, struct span name, struct span path)
{
    char text[sizeof("/ipns/") + DENYLIST_NAME_MAX] = "/ipns/";
    const size_t prefix = sizeof("/ipns/") - 1;
    look_below(q, (struct denylist_rule){.kind = DENYLIST_IPNS, .name = name}, path);
    if (q->list->function_count == 0)
        return;
    memcpy(text + prefix, name.data, name.len);
    text[prefix + name.len] = '\0';
    look_joined(q, text, path, false);
    look_joined(q, text + prefix, path, true);
}

/* "en-wiki--x-org" stands for "en.wiki-x.org" where a name must be one label. False when it is no such label. */
static bool unfold_label(struct span name, char to[LABEL_MAX], size_t *ret_len)
{
    size_t len = 0;
    if (name.len > LABEL_MAX || memchr(name.data, '.', name.len) != NULL)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        bool doubled = name.data[i] == '-' && i + 1 < name.len && name.data[i + 1] == '-';
        to[len++] = name.data[i] == '-' && !doubled ? '.' : (char)name.data[i];
        i += (size_t)doubled;
    }
    *ret_len = len;
    return true;
}

static void look_name(struct question *q, struct span name, struct span path)
{
    char lower[DENYLIST_NAME_MAX];
    char unfolded[LABEL_MAX];
    size_t len = 0;
    if (name.len == 0 || name.len > sizeof(lower))
        return;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    name = span_of(lower, name.len);
    look_domain(q, name, path);
    if (unfold_label(name, unfolded, &len))
        look_domain(q, span_of(unfolded, len), path);
}

/* A key as a CID, or as a peer id is written. */
static bool key_of(struct span name, struct cid *ret_cid)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = 0;
    struct multihash hash;
    if (cid_parse_text(name, ret_cid) == ERR_OK)
        return true;
    if (multibase_decode_bare(MULTIBASE_58_BTC, name, bytes, sizeof(bytes), &len) != ERR_OK ||
        multihash_parse(span_of(bytes, len), &hash) != ERR_OK)
        return false;
    *ret_cid = cid_v1(CODEC_LIBP2P_KEY, &hash);
    return true;
}

enum denylist_answer denylist_ask_name(const struct denylist *list, struct span name, struct span path)
{
    struct question q = {.list = list};
    struct cid cid;
    uint8_t tidied[DENYLIST_PATH_MAX];
    size_t len = 0;
    if (list == NULL || list->rules == 0)
        return DENYLIST_UNKNOWN;
    if (!tidy(path, tidied, &len))
        len = 0;
    struct span below = span_of(tidied, len);
    if (key_of(name, &cid)) {
        if (cid.version == 0)
            cid = cid_v1(CODEC_LIBP2P_KEY, &cid.hash); /* a key's hash, as old peer ids are written */
        look_below(&q, (struct denylist_rule){.kind = DENYLIST_IPNS, .hash = cid.hash}, below);
        look_double_cid(&q, &cid, below);
    } else {
        look_name(&q, name, below);
    }
    return answer(&q);
}

static bool takes(struct span *text, const char *prefix)
{
    if (!span_equal_text(span_first(*text, strlen(prefix)), prefix))
        return false;
    *text = span_skip(*text, strlen(prefix));
    return true;
}

enum denylist_answer denylist_ask_text(const struct denylist *list, struct span text)
{
    struct cid cid;
    bool name = takes(&text, "/ipns/") || takes(&text, "ipns://");
    if (!name)
        (void)(takes(&text, "/ipfs/") || takes(&text, "ipfs://"));
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    struct span head = span_first(text, slash == NULL ? text.len : (size_t)(slash - text.data));
    struct span path = span_skip(text, head.len + 1);
    if (name)
        return denylist_ask_name(list, head, path);
    return cid_parse_text(head, &cid) == ERR_OK ? denylist_ask_path(list, &cid, path) : DENYLIST_UNKNOWN;
}

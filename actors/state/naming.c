/* SPDX-License-Identifier: MIT */
#include "actors/state/naming.h"

#include <stdarg.h>
#include <stdio.h>

#include <sodium.h>

#include "storage/keystore.h"
#include "wire/signing_key.h"

enum { SHOWN = 128 };

static const struct {
    const char *name;
    enum key_type type;
} types[] = {{"ed25519", KEY_ED25519}, {"rsa", KEY_RSA}, {"secp256k1", KEY_SECP256K1}, {"ecdsa", KEY_ECDSA}};

PRINTF_LIKE(3, 4) static enum err say(enum err err, char why[STATE_WHY_BYTES], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, STATE_WHY_BYTES, fmt, args);
    va_end(args);
    return err;
}

static void key_drop(struct signing_key **key)
{
    signing_key_free(*key);
}

static const char *type_name(enum key_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return "unknown";
}

/* The sentence of an error of the keystore about this key. */
static enum err key_failed(enum err err, struct span name, char why[STATE_WHY_BYTES])
{
    int len = (int)MIN(name.len, (size_t)SHOWN);
    const char *text = (const char *)name.data;
    if (err == ERR_OK)
        return ERR_OK;
    if (err == ERR_INVALID)
        return say(err, why, "\"%.*s\" is no name of a key: 1 to %d bytes, no '/', not beginning with '.'", len, text,
                   KEYSTORE_NAME_MAX);
    if (err == ERR_NOT_FOUND)
        return say(err, why, "no key is named \"%.*s\"", len, text);
    if (err == ERR_EXISTS)
        return say(err, why, "a key named \"%.*s\" exists already", len, text);
    if (err == ERR_CORRUPT)
        return say(err, why, "the file of the key \"%.*s\" is damaged: restore it, or remove the key", len, text);
    return say(err, why, "key \"%.*s\": %s", len, text, err_text(err));
}

static enum err refuse_self(struct span name, const char *what, char why[STATE_WHY_BYTES])
{
    if (!span_equal_text(name, "self"))
        return ERR_OK;
    return say(ERR_INVALID, why, "the key named 'self' is the node's own: it cannot be %s", what);
}

/* ---- finding ---- */

static enum err own_key(const struct naming *n, struct signing_key **ret_key)
{
    if (n->self == NULL)
        return ERR_NOT_FOUND;
    uint8_t secret[ED25519_PRIVATE_KEY_BYTES];
    key_pair_encode(n->self, secret);
    enum err err = signing_key_decode(span_of(secret, sizeof(secret)), ret_key);
    sodium_memzero(secret, sizeof(secret));
    return err;
}

struct search {
    const struct naming *n;
    const struct peer_id *name;
    struct signing_key *found;
};

static void try_key(void *arg, struct span name)
{
    struct search *search = arg;
    struct signing_key *key = NULL;
    if (search->found != NULL || keystore_get(search->n->disk, search->n->folder, name, &key) != ERR_OK)
        return;
    struct peer_id id = signing_key_peer_id(key);
    if (peer_id_equal(&id, search->name))
        search->found = key;
    else
        signing_key_free(key);
}

static enum err key_of_peer(const struct naming *n, const struct peer_id *name, struct signing_key **ret_key)
{
    struct search search = {.n = n, .name = name};
    if (n->self != NULL) {
        struct peer_id self = key_pair_peer_id(n->self);
        if (peer_id_equal(&self, name))
            return own_key(n, ret_key);
    }
    enum err err = keystore_list(n->disk, n->folder, try_key, &search);
    if (err != ERR_OK) {
        signing_key_free(search.found);
        return err;
    }
    *ret_key = search.found;
    return search.found == NULL ? ERR_NOT_FOUND : ERR_OK;
}

/* By its name, else by its peer id. */
static enum err find_key(const struct naming *n, struct span text, struct signing_key **ret_key,
                         char why[STATE_WHY_BYTES])
{
    struct peer_id name;
    enum err err =
        span_equal_text(text, "self") ? own_key(n, ret_key) : keystore_get(n->disk, n->folder, text, ret_key);
    if (err == ERR_NOT_FOUND && peer_id_parse_text(text, &name) == ERR_OK)
        err = key_of_peer(n, &name, ret_key);
    return key_failed(err, text, why);
}

/* ---- keys ---- */

static enum err add_row(struct buf *rows, uint32_t *count, struct span name, const struct signing_key *key)
{
    struct peer_id id = signing_key_peer_id(key);
    struct item_key_row row = {
        .name = name, .peer = peer_id_span(&id), .type = span_text(type_name(signing_key_type(key)))};
    enum err err = schema_list_add_map(rows, &schema_item_key_row, &row);
    if (err == ERR_OK)
        (*count)++;
    return err;
}

/* Keeps a new key and appends its row. */
static enum err keep(struct naming *n, struct span name, const struct signing_key *key, struct buf *rows,
                     uint32_t *count, char why[STATE_WHY_BYTES])
{
    enum err err = key_failed(keystore_put(n->disk, n->folder, name, key, false), name, why);
    return err == ERR_OK ? add_row(rows, count, name, key) : err;
}

enum err naming_gen(struct naming *n, const struct msg_key_gen *ask, struct buf *rows, uint32_t *ret_count,
                    char why[STATE_WHY_BYTES])
{
    CLEANUP(key_drop) struct signing_key *key = NULL;
    enum key_type type = KEY_ED25519;
    bool known = ask->type.len == 0;
    for (size_t i = 0; !known && i < ARRAY_LEN(types); i++) {
        known = span_equal_text(ask->type, types[i].name);
        type = types[i].type;
    }
    if (!known)
        return say(ERR_INVALID, why, "\"%.*s\" is no type of key: ed25519, rsa, secp256k1 and ecdsa are",
                   (int)MIN(ask->type.len, (size_t)16), (const char *)ask->type.data);
    if (type != KEY_RSA && ask->bits != 0)
        return say(ERR_INVALID, why, "only the size of RSA keys can be chosen");
    enum err err = refuse_self(ask->name, "made anew", why);
    if (err != ERR_OK)
        return err;
    err = signing_key_generate(type, (unsigned)ask->bits, &key);
    if (err == ERR_INVALID)
        return say(err, why, "RSA keys have %d to %d bits", KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
    *ret_count = 0;
    return err == ERR_OK ? keep(n, ask->name, key, rows, ret_count, why) : err;
}

enum err naming_import(struct naming *n, const struct msg_key_import *ask, struct buf *rows, uint32_t *ret_count,
                       char why[STATE_WHY_BYTES])
{
    CLEANUP(key_drop) struct signing_key *key = NULL;
    enum err err = refuse_self(ask->name, "replaced", why);
    if (err != ERR_OK)
        return err;
    err = ask->pem ? signing_key_decode_pem(ask->data, &key) : signing_key_decode(ask->data, &key);
    if (err != ERR_OK)
        return say(err, why, "this is no private key as %s: %s",
                   ask->pem ? "PKCS #8 in PEM without a password" : "libp2p's protobuf", err_text(err));
    enum key_type type = signing_key_type(key);
    if (!ask->any_type && type == KEY_ECDSA)
        return say(ERR_UNSUPPORTED, why,
                   "%s keys are refused by most nodes: --allow-any-key-type takes it all the same", type_name(type));
    *ret_count = 0;
    return keep(n, ask->name, key, rows, ret_count, why);
}

struct listing {
    struct naming *n;
    struct buf *rows;
    uint32_t *count;
    enum err err;
};

/* A damaged file hides no other key. */
static void list_one(void *arg, struct span name)
{
    struct listing *listing = arg;
    CLEANUP(key_drop) struct signing_key *key = NULL;
    if (listing->err == ERR_OK && keystore_get(listing->n->disk, listing->n->folder, name, &key) == ERR_OK)
        listing->err = add_row(listing->rows, listing->count, name, key);
}

enum err naming_list(struct naming *n, struct buf *rows, uint32_t *ret_count, char why[STATE_WHY_BYTES])
{
    struct listing listing = {.n = n, .rows = rows, .count = ret_count};
    CLEANUP(key_drop) struct signing_key *self = NULL;
    *ret_count = 0;
    if (own_key(n, &self) == ERR_OK)
        listing.err = add_row(rows, ret_count, span_text("self"), self);
    enum err err = keystore_list(n->disk, n->folder, list_one, &listing);
    if (err == ERR_OK)
        err = listing.err;
    return err == ERR_OK ? ERR_OK : say(err, why, "the keys cannot be listed: %s", err_text(err));
}

enum err naming_rm(struct naming *n, const struct msg_key_rm *ask, struct buf *rows, uint32_t *ret_count,
                   char why[STATE_WHY_BYTES])
{
    size_t position = 0;
    struct span name;
    *ret_count = 0;
    while (schema_list_next_bytes(&ask->names, &position, &name)) {
        CLEANUP(key_drop) struct signing_key *key = NULL;
        enum err err = refuse_self(name, "removed", why);
        if (err == ERR_OK)
            err = key_failed(keystore_get(n->disk, n->folder, name, &key), name, why);
        if (err != ERR_OK && err != ERR_CORRUPT) /* a damaged one can be removed */
            return err;
        if (err == ERR_OK)
            err = add_row(rows, ret_count, name, key);
        if (err != ERR_OK && err != ERR_CORRUPT)
            return err;
    }
    for (position = 0; schema_list_next_bytes(&ask->names, &position, &name);) {
        enum err err = keystore_rm(n->disk, n->folder, name);
        if (err != ERR_OK && err != ERR_NOT_FOUND) /* named twice */
            return key_failed(err, name, why);
    }
    return ERR_OK;
}

enum err naming_rename(struct naming *n, const struct msg_key_rename *ask, struct buf *rows, uint32_t *ret_count,
                       bool *ret_overwritten, char why[STATE_WHY_BYTES])
{
    CLEANUP(key_drop) struct signing_key *key = NULL;
    CLEANUP(key_drop) struct signing_key *old = NULL;
    enum err err = refuse_self(ask->from, "renamed", why);
    if (err == ERR_OK)
        err = refuse_self(ask->to, "replaced", why);
    if (err == ERR_OK)
        err = key_failed(keystore_get(n->disk, n->folder, ask->from, &key), ask->from, why);
    if (err != ERR_OK)
        return err;
    *ret_overwritten = keystore_get(n->disk, n->folder, ask->to, &old) != ERR_NOT_FOUND;
    err = key_failed(keystore_rename(n->disk, n->folder, ask->from, ask->to, ask->force), ask->to, why);
    *ret_count = 0;
    return err == ERR_OK ? add_row(rows, ret_count, ask->to, key) : err;
}

/* ---- records ---- */

enum err naming_last(struct naming *n, struct span key_text, struct ipns_row *ret_row, char why[STATE_WHY_BYTES])
{
    CLEANUP(key_drop) struct signing_key *key = NULL;
    enum err err = find_key(n, key_text, &key, why);
    if (err != ERR_OK)
        return err;
    struct peer_id name = signing_key_peer_id(key);
    err = ipns_store_get(n->store, &name, ret_row, why);
    if (err != ERR_NOT_FOUND)
        return err;
    *ret_row = (struct ipns_row){.name = name};
    return ERR_OK;
}

/* What the next record has to be newer than. */
struct past {
    bool any;
    uint64_t sequence;
    struct span value;
};

static void take_past(struct past *past, struct span bytes, const struct peer_id *name)
{
    struct ipns_record record;
    if (bytes.len == 0 || ipns_record_decode(bytes, &record) != ERR_OK ||
        ipns_record_authenticate(&record, name) != ERR_OK)
        return;
    if (past->any && record.sequence <= past->sequence)
        return;
    *past = (struct past){.any = true, .sequence = record.sequence, .value = record.value};
}

static enum err next_sequence(const struct past *past, const struct msg_ipns_sign *ask, uint64_t *ret_sequence,
                              char why[STATE_WHY_BYTES])
{
    if (ask->sequenced && past->any && ask->sequence <= past->sequence)
        return say(ERR_INVALID, why, "the sequence must be higher than that of the last record, %llu",
                   (unsigned long long)past->sequence);
    if (ask->sequenced) {
        *ret_sequence = ask->sequence;
        return ERR_OK;
    }
    bool same = past->any && span_equal(past->value, ask->value);
    if (past->any && !same && past->sequence == INT64_MAX)
        return say(ERR_TOO_LARGE, why, "the last record of this name has the highest sequence there is");
    *ret_sequence = !past->any ? 0 : same ? past->sequence : past->sequence + 1;
    return ERR_OK;
}

/* Signs, then keeps: the record is not the caller's before it is durable. */
static enum err seal_and_keep(struct naming *n, const struct signing_key *key, const struct ipns_claim *claim,
                              struct ipns_row *row, char why[STATE_WHY_BYTES])
{
    CLEANUP(buf_release) struct buf record = {0};
    buf_init(&record, IPNS_RECORD_BYTES_MAX, NULL);
    enum err err = ipns_record_seal(key, claim, &record);
    if (err != ERR_OK)
        return say(err, why, "no record can be made of that: %s", err_text(err));
    memcpy(row->record, record.data, record.len);
    row->record_len = record.len;
    return ipns_store_put(n->store, row, why);
}

enum err naming_sign(struct naming *n, const struct msg_ipns_sign *ask, uint64_t real_now_ns, struct ipns_row *ret_row,
                     char why[STATE_WHY_BYTES])
{
    CLEANUP(key_drop) struct signing_key *key = NULL;
    struct past past = {.any = false};
    struct ipns_row kept;
    enum err err = find_key(n, ask->key, &key, why);
    if (err != ERR_OK)
        return err;
    struct peer_id name = signing_key_peer_id(key);
    err = ipns_store_get(n->store, &name, &kept, why);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    if (err == ERR_OK)
        take_past(&past, span_of(kept.record, kept.record_len), &name);
    take_past(&past, ask->known, &name);
    struct ipns_claim claim = {.value = ask->value, .ttl_ns = ask->ttl_ns, .eol_ns = real_now_ns + ask->lifetime_ns};
    err = next_sequence(&past, ask, &claim.sequence, why);
    if (err != ERR_OK)
        return err;
    *ret_row = (struct ipns_row){.name = name, .published_at = real_now_ns};
    return seal_and_keep(n, key, &claim, ret_row, why);
}

enum err naming_renew(struct naming *n, struct peer_id *position, uint64_t told_before, uint64_t lifetime_ns,
                      uint64_t real_now_ns, struct ipns_row *ret_row, char why[STATE_WHY_BYTES])
{
    struct ipns_row row;
    for (;;) {
        CLEANUP(key_drop) struct signing_key *key = NULL;
        struct ipns_record record;
        enum err err =
            ipns_store_due(n->store, peer_id_is_empty(position) ? NULL : position, told_before, real_now_ns, &row, why);
        if (err != ERR_OK)
            return err;
        *position = row.name;
        if (key_of_peer(n, &row.name, &key) != ERR_OK ||
            ipns_record_decode(span_of(row.record, row.record_len), &record) != ERR_OK)
            continue; /* its key was removed: the record may expire */
        char value[IPNS_RECORD_BYTES_MAX];
        if (record.value.len > sizeof(value))
            continue;
        memcpy(value, record.value.data, record.value.len); /* the new record takes the place of the old one */
        struct ipns_claim claim = {.value = span_of(value, record.value.len),
                                   .ttl_ns = record.ttl_ns,
                                   .sequence = record.sequence,
                                   .eol_ns = MAX(record.eol_ns, real_now_ns + lifetime_ns)};
        *ret_row = row;
        ret_row->published_at = real_now_ns;
        return seal_and_keep(n, key, &claim, ret_row, why);
    }
}

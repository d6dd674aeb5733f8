/* SPDX-License-Identifier: MIT */
/*
 * What denylists say of the DHT's keys. Peers are told neither providers nor records of what is denied, as if there were none, and what they tell
 * of it is not kept. Records that are held when a list comes go; providers cannot be found by it, as a place in the key space does not
 * say of what: they are passed over until they expire, or the list changes.
 */
#include "actors/discovery/dht.h"
#include "storage/denylist.h"

static bool denies(const struct dht *d, uint64_t codec, const struct multihash *hash)
{
    struct cid cid = cid_v1(codec, hash);
    return denylist_ask_cid(denylist_of(d->denylist), &cid) == DENYLIST_DENIED;
}

/* Double hashes of older lists name a CID with its codec, which a multihash does not have: those that most blocks have are asked for. */
bool dht_denies_block(const struct dht *d, struct span multihash)
{
    struct multihash hash;
    if (d->denylist == NULL || multihash_parse(multihash, &hash) != ERR_OK)
        return false;
    return denies(d, CODEC_RAW, &hash) || denies(d, CODEC_DAG_PB, &hash);
}

bool dht_denies_record(const struct dht *d, struct span key)
{
    struct peer_id id;
    char name[PEER_ID_TEXT_MAX];
    struct span prefix = span_text("/ipns/");
    if (d->denylist == NULL || !span_equal(span_first(key, prefix.len), prefix) ||
        peer_id_parse(span_skip(key, prefix.len), &id) != ERR_OK)
        return false;
    peer_id_text(&id, name);
    return denylist_ask_name(denylist_of(d->denylist), span_text(name), (struct span){0}) == DENYLIST_DENIED;
}

static bool is_denied(void *arg, struct span key)
{
    return dht_denies_record(arg, key);
}

void dht_denied_take(struct dht *d, struct block_ref *image)
{
    struct block_ref *old = d->denylist;
    d->denylist = image == NULL ? NULL : block_ref_ref(image);
    block_ref_unref(old);
    if (d->denylist != NULL && d->records != NULL)
        (void)record_store_remove_if(d->records, is_denied, d);
}

/* ---- as a store's rules ---- */

static enum err validate(void *self, struct span key, struct span value, uint64_t now_ns, uint64_t *ret_expires_ns)
{
    return dht_denies_record(self, key) ? ERR_DENIED : dht_value_check(key, value, now_ns, ret_expires_ns);
}

static bool is_better(void *self, struct span key, struct span held, struct span offered)
{
    (void)self;
    return dht_value_compare(key, offered, held) > 0;
}

struct record_rules dht_denied_rules(struct dht *d)
{
    return (struct record_rules){.validate = validate, .is_better = is_better, .self = d};
}

/* SPDX-License-Identifier: MIT */
#include "wire/peer_id.h"

#include <assert.h>
#include <string.h>

#include "wire/cid.h"

static struct peer_id from_hash(const struct multihash *hash)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = multihash_encode(hash, bytes);
    struct peer_id id = {.len = (uint8_t)len};
    assert(len <= PEER_ID_BYTES_MAX);
    memcpy(id.bytes, bytes, len);
    return id;
}

static bool hash_is_peer(const struct multihash *hash)
{
    if (hash->code == MULTIHASH_IDENTITY)
        return hash->len > 0 && hash->len <= PEER_ID_KEY_INLINE_MAX;
    return hash->code == MULTIHASH_SHA2_256 && hash->len == SHA256_BYTES;
}

struct peer_id peer_id_of_key(struct span public_key)
{
    struct multihash hash = {.code = MULTIHASH_SHA2_256, .len = SHA256_BYTES};
    if (public_key.len > PEER_ID_KEY_INLINE_MAX) {
        sha256_sum(public_key, hash.digest);
        return from_hash(&hash);
    }
    hash.code = MULTIHASH_IDENTITY;
    hash.len = (uint8_t)public_key.len;
    if (public_key.len > 0)
        memcpy(hash.digest, public_key.data, public_key.len);
    return from_hash(&hash);
}

enum err peer_id_parse(struct span bytes, struct peer_id *ret_id)
{
    struct multihash hash;
    if (multihash_parse(bytes, &hash) != ERR_OK || !hash_is_peer(&hash))
        return ERR_INVALID;
    *ret_id = from_hash(&hash);
    return ERR_OK;
}

enum err peer_id_parse_text(struct span text, struct peer_id *ret_id)
{
    if (text.len == 0 || text.len >= 4 * PEER_ID_BYTES_MAX)
        return ERR_INVALID;
    bool base58 = text.data[0] == '1' || (text.len > 1 && text.data[0] == 'Q' && text.data[1] == 'm');
    if (base58) {
        uint8_t bytes[PEER_ID_BYTES_MAX];
        size_t len = 0;
        if (multibase_decode_bare(MULTIBASE_58_BTC, text, bytes, sizeof(bytes), &len) != ERR_OK)
            return ERR_INVALID;
        return peer_id_parse(span_of(bytes, len), ret_id);
    }
    struct cid cid;
    if (cid_parse_text(text, &cid) != ERR_OK || cid.codec != CODEC_LIBP2P_KEY || !hash_is_peer(&cid.hash))
        return ERR_INVALID;
    *ret_id = from_hash(&cid.hash);
    return ERR_OK;
}

void peer_id_text(const struct peer_id *id, char to[PEER_ID_TEXT_MAX])
{
    size_t len = 0;
    enum err err = multibase_encode_bare(MULTIBASE_58_BTC, peer_id_span(id), to, PEER_ID_TEXT_MAX - 1, &len);
    assert(err == ERR_OK);
    (void)err;
    to[len] = '\0';
}

void peer_id_text_cid(const struct peer_id *id, char to[PEER_ID_TEXT_MAX])
{
    uint8_t bytes[2 + PEER_ID_BYTES_MAX] = {1, CODEC_LIBP2P_KEY};
    size_t len = 0;
    memcpy(bytes + 2, id->bytes, id->len);
    enum err err =
        multibase_encode_bare(MULTIBASE_36, span_of(bytes, 2u + id->len), to + 1, PEER_ID_TEXT_MAX - 2, &len);
    assert(err == ERR_OK);
    (void)err;
    to[0] = MULTIBASE_36;
    to[1 + len] = '\0';
}

enum err peer_id_key(const struct peer_id *id, struct span *ret_public_key)
{
    if (id->len < 2 || id->bytes[0] != MULTIHASH_IDENTITY)
        return ERR_NOT_FOUND;
    *ret_public_key = span_of(id->bytes + 2, id->len - 2u);
    return ERR_OK;
}

bool peer_id_equal(const struct peer_id *a, const struct peer_id *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

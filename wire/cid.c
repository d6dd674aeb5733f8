/* SPDX-License-Identifier: MIT */
#include "wire/cid.h"

#include <assert.h>
#include <string.h>

#include "wire/varint.h"

enum { V0_DIGEST_BYTES = 32, V0_BYTES = 34, V0_TEXT_CHARS = 46 };

static bool hash_fits_v0(uint32_t code, size_t len)
{
    return code == MULTIHASH_SHA2_256 && len == V0_DIGEST_BYTES;
}

struct cid cid_v1(uint32_t codec, const struct multihash *hash)
{
    return (struct cid){.codec = codec, .version = 1, .hash = *hash};
}

enum err cid_v0(const struct multihash *hash, struct cid *ret_cid)
{
    if (!hash_fits_v0(hash->code, hash->len))
        return ERR_INVALID;
    *ret_cid = (struct cid){.codec = CODEC_DAG_PB, .version = 0, .hash = *hash};
    return ERR_OK;
}

enum err cid_as_version(const struct cid *cid, unsigned version, struct cid *ret_cid)
{
    if (version == 0)
        return cid->codec == CODEC_DAG_PB ? cid_v0(&cid->hash, ret_cid) : ERR_INVALID;
    if (version != 1)
        return ERR_INVALID;
    *ret_cid = cid_v1(cid->codec, &cid->hash);
    return ERR_OK;
}

static bool starts_like_v0(struct span in)
{
    return in.len >= 2 && in.data[0] == MULTIHASH_SHA2_256 && in.data[1] == V0_DIGEST_BYTES;
}

enum err cid_decode(struct span *in, struct cid *ret_cid)
{
    struct span rest = *in;
    uint64_t version = 0;
    uint64_t codec = CODEC_DAG_PB;
    if (!starts_like_v0(rest)) {
        enum err err = varint_decode(&rest, &version);
        if (err != ERR_OK)
            return err;
        if (version != 1)
            return ERR_INVALID;
        err = varint_decode(&rest, &codec);
        if (err != ERR_OK)
            return err;
        if (codec > UINT32_MAX)
            return ERR_UNSUPPORTED;
    }
    struct multihash hash;
    enum err err = multihash_decode(&rest, &hash);
    if (err != ERR_OK)
        return err;
    *in = rest;
    *ret_cid = (struct cid){.codec = (uint32_t)codec, .version = (uint8_t)version, .hash = hash};
    return ERR_OK;
}

enum err cid_parse(struct span in, struct cid *ret_cid)
{
    struct cid cid;
    enum err err = cid_decode(&in, &cid);
    if (err != ERR_OK)
        return err;
    if (in.len != 0)
        return ERR_INVALID;
    *ret_cid = cid;
    return ERR_OK;
}

size_t cid_encode(const struct cid *cid, uint8_t to[CID_BYTES_MAX])
{
    uint8_t head[1 + VARINT_BYTES_MAX] = {1};
    size_t n = 0;
    if (cid->version != 0) {
        n = 1 + varint_encode(cid->codec, head + 1);
        memcpy(to, head, n);
    }
    return n + multihash_encode(&cid->hash, to + n);
}

static enum err parse_v0_text(struct span text, struct cid *ret_cid)
{
    uint8_t bytes[V0_BYTES];
    size_t len = 0;
    enum err err = multibase_decode_bare(MULTIBASE_58_BTC, text, bytes, sizeof(bytes), &len);
    if (err != ERR_OK)
        return ERR_INVALID;
    return len == V0_BYTES && starts_like_v0(span_of(bytes, len)) ? cid_parse(span_of(bytes, len), ret_cid)
                                                                  : ERR_INVALID;
}

enum err cid_parse_text(struct span text, struct cid *ret_cid)
{
    if (text.len == V0_TEXT_CHARS && text.data[0] == 'Q' && text.data[1] == 'm')
        return parse_v0_text(text, ret_cid);
    if (text.len < 2)
        return ERR_INVALID;
    enum multibase base;
    enum err err = multibase_of((char)text.data[0], &base);
    if (err != ERR_OK)
        return err;
    uint8_t bytes[CID_BYTES_MAX];
    size_t len = 0;
    err = multibase_decode_bare(base, span_skip(text, 1), bytes, sizeof(bytes), &len);
    if (err != ERR_OK)
        return err;
    /* a v0 CID has one text only */
    if (len == 0 || bytes[0] != 1)
        return ERR_INVALID;
    err = cid_parse(span_of(bytes, len), ret_cid);
    return err == ERR_TRUNCATED ? ERR_INVALID : err;
}

enum err cid_text_base(const struct cid *cid, enum multibase base, char to[CID_TEXT_MAX])
{
    uint8_t bytes[CID_BYTES_MAX];
    size_t len = cid_encode(cid, bytes);
    if (cid->version == 0 && base != MULTIBASE_58_BTC)
        return ERR_UNSUPPORTED;
    size_t lead = cid->version == 0 ? 0 : 1;
    size_t chars = 0;
    enum err err = multibase_encode_bare(base, span_of(bytes, len), to + lead, CID_TEXT_MAX - 1 - lead, &chars);
    if (err != ERR_OK)
        return ERR_UNSUPPORTED;
    if (lead > 0)
        to[0] = (char)base;
    to[lead + chars] = '\0';
    return ERR_OK;
}

void cid_text(const struct cid *cid, char to[CID_TEXT_MAX])
{
    enum err err = cid_text_base(cid, cid->version == 0 ? MULTIBASE_58_BTC : MULTIBASE_32, to);
    assert(err == ERR_OK);
    (void)err;
}

bool cid_equal(const struct cid *a, const struct cid *b)
{
    return a->version == b->version && a->codec == b->codec && multihash_equal(&a->hash, &b->hash);
}

bool cid_same_block(const struct cid *a, const struct cid *b)
{
    return multihash_equal(&a->hash, &b->hash);
}

struct cid_prefix cid_prefix_of(const struct cid *cid)
{
    return (struct cid_prefix){
        .codec = cid->codec, .hash_code = cid->hash.code, .version = cid->version, .hash_len = cid->hash.len};
}

size_t cid_prefix_encode(const struct cid_prefix *prefix, uint8_t to[CID_PREFIX_BYTES_MAX])
{
    uint8_t bytes[4 * VARINT_BYTES_MAX];
    size_t n = varint_encode(prefix->version, bytes);
    n += varint_encode(prefix->codec, bytes + n);
    n += varint_encode(prefix->hash_code, bytes + n);
    n += varint_encode(prefix->hash_len, bytes + n);
    memcpy(to, bytes, n);
    return n;
}

enum err cid_prefix_parse(struct span in, struct cid_prefix *ret_prefix)
{
    uint64_t field[4] = {0};
    for (size_t i = 0; i < ARRAY_LEN(field); i++) {
        enum err err = varint_decode(&in, &field[i]);
        if (err != ERR_OK)
            return err;
    }
    if (in.len != 0 || field[0] > 1)
        return ERR_INVALID;
    if (field[1] > UINT32_MAX || field[2] > UINT32_MAX)
        return ERR_UNSUPPORTED;
    if (field[3] > MULTIHASH_DIGEST_MAX)
        return ERR_TOO_LARGE;
    struct cid_prefix prefix = {.version = (uint8_t)field[0],
                                .codec = (uint32_t)field[1],
                                .hash_code = (uint32_t)field[2],
                                .hash_len = (uint8_t)field[3]};
    bool v0 = prefix.codec == CODEC_DAG_PB && hash_fits_v0(prefix.hash_code, prefix.hash_len);
    if (prefix.version == 0 && !v0)
        return ERR_INVALID;
    *ret_prefix = prefix;
    return ERR_OK;
}

enum err cid_prefix_sum(const struct cid_prefix *prefix, struct span data, struct cid *ret_cid)
{
    struct cid cid = {.codec = prefix->codec, .version = prefix->version};
    enum err err = multihash_sum(prefix->hash_code, prefix->hash_len, data, &cid.hash);
    if (err != ERR_OK)
        return err;
    *ret_cid = cid;
    return ERR_OK;
}

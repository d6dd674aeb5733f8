/* SPDX-License-Identifier: MIT */
/*
 * What the tests of importer, exporter and their kin share: a block store that is a table, and the generators of the
 * IPIP-499 vectors (kubo test/cli/testutils: ChaCha20 keystream, key = sha256(seed), nonce 0; names from an alphabet of
 * 38 characters).
 */
#ifndef HEARTH_TESTS_IMPORT_MODEL_H
#define HEARTH_TESTS_IMPORT_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/block_ref.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/table.h"
#include "storage/importer.h"
#include "wire/cid.h"

#ifndef assert_ok
#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
#endif

enum { STORE_MAX = 1 << 20 };

struct block_store {
    struct table blocks; /* multihash bytes -> struct block_ref */
    bool drop;           /* only count */
    uint64_t emitted;
    uint64_t bytes;
    struct cid last;
};

static inline void store_init(struct block_store *s)
{
    *s = (struct block_store){0};
    table_init(&s->blocks, STORE_MAX, NULL);
}

static inline void store_release(struct block_store *s)
{
    size_t position = 0;
    struct block_ref *block;
    while ((block = table_next(&s->blocks, &position, NULL)) != NULL)
        block_ref_unref(block);
    table_release(&s->blocks);
}

static inline enum err store_emit(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct block_store *s = arg;
    s->emitted++;
    s->bytes += block->len;
    s->last = *cid;
    if (s->drop)
        return ERR_OK;
    assert_ok(multihash_verify(&cid->hash, block_ref_span(block)));
    uint8_t key[MULTIHASH_BYTES_MAX];
    void *old = NULL;
    assert_ok(table_put(&s->blocks, span_of(key, multihash_encode(&cid->hash, key)), block_ref_ref(block), &old));
    block_ref_unref(old);
    return ERR_OK;
}

static inline struct import_sink store_sink(struct block_store *s)
{
    return (struct import_sink){.emit = store_emit, .arg = s};
}

static inline struct block_ref *store_get(const struct block_store *s, const struct cid *cid)
{
    uint8_t key[MULTIHASH_BYTES_MAX];
    return table_get(&s->blocks, span_of(key, multihash_encode(&cid->hash, key)));
}

/* The deterministic stream of a seed. */
struct stream {
    uint8_t key[32];
    uint64_t position; /* a multiple of 64 except after the last read */
};

static inline void stream_init(struct stream *s, const char *seed)
{
    *s = (struct stream){0};
    sha256_sum(span_text(seed), s->key);
}

/* Reads at any position: begins at the block that holds it. */
static inline void stream_read(struct stream *s, uint8_t *to, size_t len)
{
    static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
    size_t skip = (size_t)(s->position % 64);
    uint8_t first[64] = {0};
    size_t head = skip == 0 ? 0 : MIN(len, 64 - skip);
    uint32_t block = (uint32_t)(s->position / 64);
    if (head > 0) {
        assert_int_equal(crypto_stream_chacha20_ietf_xor_ic(first, first, 64, nonce, block, s->key), 0);
        memcpy(to, first + skip, head);
        block++;
    }
    if (len > head) {
        memset(to + head, 0, len - head);
        assert_int_equal(crypto_stream_chacha20_ietf_xor_ic(to + head, to + head, len - head, nonce, block, s->key), 0);
    }
    s->position += len;
}

/* The next file name of a stream. */
static inline struct span stream_name(struct stream *s, uint8_t *to, size_t len)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz01234567890-_";
    stream_read(s, to, len);
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)alphabet[to[i] % (sizeof(alphabet) - 1)];
    return span_of(to, len);
}

static inline void assert_cid_text(const struct cid *cid, const char *expected)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    assert_string_equal(text, expected);
}

/* Imports bytes fed in random pieces. */
static inline struct import_node import_bytes(const struct import_options *options, struct block_store *store,
                                              struct span bytes, struct prng *prng)
{
    struct import_sink sink = store_sink(store);
    struct file_builder *builder;
    assert_ok(file_builder_new(options, &sink, &builder));
    while (bytes.len > 0) {
        size_t piece = prng == NULL ? bytes.len : 1 + (size_t)prng_below(prng, bytes.len);
        assert_ok(file_builder_write(builder, span_first(bytes, piece)));
        bytes = span_skip(bytes, piece);
    }
    struct import_node root;
    assert_ok(file_builder_finish(builder, NULL, &root));
    file_builder_free(builder);
    assert_true(cid_equal(&root.cid, &store->last));
    return root;
}

#endif

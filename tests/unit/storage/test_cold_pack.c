/* SPDX-License-Identifier: MIT */
/* Packs: what is written is read, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "storage/pack_writer.h"
#include "tests/support/storage.h"

enum { PACK = 7, BLOCKS = 6 };

static const uint8_t mark[PACK_MARK_BYTES] = "a tier for tests";

/* A pack in memory, with the blocks that are in it. */
struct made {
    struct buf bytes;
    struct cold_place places[BLOCKS];
    struct buf blocks[BLOCKS];
    struct pack_tail tail;
};

static enum err to_buf(void *arg, struct span bytes)
{
    return buf_append_span(arg, bytes);
}

static struct pack_writer_options options_for(struct buf *to)
{
    struct pack_writer_options options = {.pack = PACK, .bytes_max = PACK_BYTES_MAX, .sink = to_buf, .arg = to};
    memcpy(options.mark, mark, sizeof(mark));
    return options;
}

/* The i-th block: empty, one byte, text that compresses, noise that does not, ... */
static void fill_block(struct buf *block, size_t i)
{
    static const size_t sizes[BLOCKS] = {0, 1, 3000, 3000, 64, 700};
    struct prng prng;
    buf_init(block, 1 << 20, NULL);
    prng_init(&prng, i + 1);
    uint8_t *to = buf_reserve(block, sizes[i] + 1);
    assert_non_null(to);
    for (size_t j = 0; j < sizes[i]; j++)
        to[j] = i % 2 == 0 ? (uint8_t)("abc"[j % 3]) : (uint8_t)prng_next(&prng);
    buf_commit(block, sizes[i]);
}

static void make(struct made *m)
{
    struct pack_writer *w;
    buf_init(&m->bytes, 1 << 20, NULL);
    struct pack_writer_options options = options_for(&m->bytes);
    assert_int_equal(pack_writer_new(&options, &w), ERR_OK);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block_key key;
        fill_block(&m->blocks[i], i);
        test_key(buf_span(&m->blocks[i]), &key);
        assert_int_equal(pack_writer_add(w, &key, 0x55, buf_span(&m->blocks[i]), &m->places[i]), ERR_OK);
    }
    assert_int_equal(pack_writer_finish(w, &m->tail), ERR_OK);
    assert_int_equal(pack_writer_bytes(w), m->bytes.len);
    pack_writer_free(w);
}

static void drop(struct made *m)
{
    buf_release(&m->bytes);
    for (size_t i = 0; i < BLOCKS; i++)
        buf_release(&m->blocks[i]);
}

static struct span record_of(const struct made *m, size_t i)
{
    return span_first(span_skip(buf_span(&m->bytes), m->places[i].offset), pack_record_bytes(&m->places[i]));
}

static struct span end_of(const struct made *m)
{
    return span_skip(buf_span(&m->bytes), (size_t)m->tail.index);
}

static void each_block_is_one_range(void **state)
{
    (void)state;
    struct made m;
    uint8_t to[4096];
    make(&m);
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(pack_decode_record(record_of(&m, i), &m.places[i], to), ERR_OK);
        assert_true(span_equal(span_of(to, m.places[i].size), buf_span(&m.blocks[i])));
    }
    /* Where compressing pays it was done, and only there. */
    assert_true(m.places[2].stored < 100);
    assert_int_equal(m.places[3].stored, m.places[3].size);
    assert_int_equal(m.places[1].stored, 1);
    drop(&m);
}

struct seen {
    const struct made *m;
    size_t count;
};

static enum err compare_entry(void *arg, const struct cold_place *place)
{
    struct seen *seen = arg;
    const struct cold_place *want = &seen->m->places[seen->count++];
    assert_true(block_key_equal(&place->key, &want->key));
    assert_int_equal(place->offset, want->offset);
    assert_int_equal(place->stored, want->stored);
    assert_int_equal(place->size, want->size);
    assert_int_equal(place->codec, want->codec);
    assert_int_equal(place->pack, want->pack);
    return ERR_OK;
}

static void the_index_lists_all(void **state)
{
    (void)state;
    struct made m;
    struct pack_tail tail;
    make(&m);
    struct seen seen = {.m = &m};
    assert_int_equal(pack_check_header(buf_span(&m.bytes), PACK, mark), ERR_OK);
    assert_int_equal(pack_decode_tail(buf_span(&m.bytes), PACK, m.bytes.len, &tail), ERR_OK);
    assert_int_equal(tail.index, m.tail.index);
    assert_int_equal(tail.body_crc, m.tail.body_crc);
    assert_int_equal(pack_read_index(end_of(&m), &tail, compare_entry, &seen), ERR_OK);
    assert_int_equal(seen.count, BLOCKS);
    drop(&m);
}

/* Does a record come out of these bytes that is not the one that was put in? ERR_OK only for the right one. */
static enum err try_record(struct span bytes, const struct made *m, size_t i)
{
    uint8_t to[4096];
    enum err err = pack_decode_record(bytes, &m->places[i], to);
    if (err == ERR_OK)
        assert_true(span_equal(span_of(to, m->places[i].size), buf_span(&m->blocks[i])));
    return err;
}

static void a_cut_record_does_not_parse(void **state)
{
    (void)state;
    struct made m;
    make(&m);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct span whole = record_of(&m, i);
        for (size_t len = 0; len < whole.len; len++)
            assert_int_equal(try_record(span_first(whole, len), &m, i), ERR_TRUNCATED);
        assert_int_equal(try_record(span_of(whole.data, whole.len + 1), &m, i), ERR_CORRUPT); /* one byte of the next */
    }
    drop(&m);
}

static void a_flipped_bit_does_not_parse(void **state)
{
    (void)state;
    struct made m;
    struct pack_tail tail;
    make(&m);
    for (size_t i = 0; i < BLOCKS; i++) {
        struct span whole = record_of(&m, i);
        for (size_t bit = 0; bit < whole.len * 8; bit++) {
            m.bytes.data[m.places[i].offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(try_record(whole, &m, i), ERR_CORRUPT);
            m.bytes.data[m.places[i].offset + bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    for (size_t bit = 0; bit < PACK_HEADER_BYTES * 8; bit++) {
        m.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(pack_check_header(buf_span(&m.bytes), PACK, mark), ERR_OK);
        m.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = m.tail.index * 8; bit < m.bytes.len * 8; bit++) {
        m.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum err err = pack_decode_tail(buf_span(&m.bytes), PACK, m.bytes.len, &tail);
        if (err == ERR_OK)
            err = pack_read_index(span_skip(buf_span(&m.bytes), (size_t)tail.index), &tail, NULL, NULL);
        assert_int_not_equal(err, ERR_OK);
        m.bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    drop(&m);
}

static void a_cut_pack_has_no_tail(void **state)
{
    (void)state;
    struct made m;
    struct pack_tail tail;
    make(&m);
    for (size_t len = 0; len < m.bytes.len; len++) {
        /* Its object is shorter, or its object claims to be whole and the last bytes are others. */
        assert_int_not_equal(pack_decode_tail(span_first(buf_span(&m.bytes), len), PACK, len, &tail), ERR_OK);
        assert_int_not_equal(pack_decode_tail(span_first(buf_span(&m.bytes), len), PACK, m.bytes.len, &tail), ERR_OK);
    }
    assert_int_equal(pack_decode_tail(buf_span(&m.bytes), PACK, m.bytes.len + 1, &tail), ERR_CORRUPT);
    for (size_t len = 0; len < end_of(&m).len; len++)
        assert_int_equal(pack_read_index(span_first(end_of(&m), len), &m.tail, NULL, NULL), ERR_TRUNCATED);
    drop(&m);
}

static void what_belongs_to_another_pack_does_not_count(void **state)
{
    (void)state;
    struct made m;
    struct pack_tail tail;
    uint8_t to[4096];
    uint8_t other[PACK_MARK_BYTES] = {0};
    make(&m);
    struct cold_place place = m.places[2];
    place.pack = PACK + 1;
    assert_int_equal(pack_decode_record(record_of(&m, 2), &place, to), ERR_CORRUPT);
    place = m.places[2];
    place.key = m.places[3].key;
    assert_int_equal(pack_decode_record(record_of(&m, 2), &place, to), ERR_CORRUPT);
    assert_int_equal(pack_check_header(buf_span(&m.bytes), PACK + 1, mark), ERR_MISMATCH);
    assert_int_equal(pack_check_header(buf_span(&m.bytes), PACK, other), ERR_MISMATCH);
    assert_int_equal(pack_decode_tail(buf_span(&m.bytes), PACK + 1, m.bytes.len, &tail), ERR_MISMATCH);
    drop(&m);
}

/* A record with a good checksum whose payload is made to hurt: it states a size that it does not have. */
static void a_payload_that_lies_about_its_size_is_refused(void **state)
{
    (void)state;
    struct made m;
    uint8_t record[PACK_RECORD_HEAD_MAX + 4096];
    uint8_t to[4096];
    make(&m);
    struct cold_place place = m.places[2];
    struct span payload = span_skip(record_of(&m, 2), PACK_RECORD_FIXED + (size_t)place.key.len);
    place.size -= 1;
    size_t head = pack_encode_record(&place, PACK_ZSTD, payload, record);
    memcpy(record + head, payload.data, payload.len);
    assert_int_equal(pack_decode_record(span_of(record, head + payload.len), &place, to), ERR_CORRUPT);
    /* Two frames, one behind the other. */
    uint8_t twice[256];
    place = m.places[2];
    memcpy(twice, payload.data, payload.len);
    memcpy(twice + payload.len, payload.data, payload.len);
    place.stored *= 2;
    head = pack_encode_record(&place, PACK_ZSTD, span_of(twice, place.stored), record);
    memcpy(record + head, twice, place.stored);
    assert_int_equal(pack_decode_record(span_of(record, head + place.stored), &place, to), ERR_CORRUPT);
    /* Something behind the frame that unpacks to nothing. */
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};
    memcpy(twice + payload.len, skippable, sizeof(skippable));
    place.stored = m.places[2].stored + (uint32_t)sizeof(skippable);
    head = pack_encode_record(&place, PACK_ZSTD, span_of(twice, place.stored), record);
    memcpy(record + head, twice, place.stored);
    assert_int_equal(pack_decode_record(span_of(record, head + place.stored), &place, to), ERR_CORRUPT);
    drop(&m);
}

static void a_pack_ends_where_it_is_full(void **state)
{
    (void)state;
    struct buf bytes;
    struct pack_writer *w;
    struct pack_tail tail;
    struct cold_place place;
    struct buf block;
    struct block_key key;
    size_t added = 0;
    buf_init(&bytes, 1 << 20, NULL);
    struct pack_writer_options options = options_for(&bytes);
    options.bytes_max = 10000;
    assert_int_equal(pack_writer_new(&options, &w), ERR_OK);
    fill_block(&block, 3);
    test_key(buf_span(&block), &key);
    while (pack_writer_add(w, &key, 0x55, buf_span(&block), &place) == ERR_OK)
        added++;
    assert_int_equal(added, 3);
    assert_int_equal(pack_writer_records(w), 3);
    assert_int_equal(pack_writer_payload(w), 3 * block.len);
    assert_int_equal(pack_writer_add(w, &key, 0x55, buf_span(&block), &place), ERR_BUSY);
    assert_int_equal(pack_writer_finish(w, &tail), ERR_OK);
    assert_true(tail.bytes <= 10000);
    assert_int_equal(pack_writer_add(w, &key, 0x55, buf_span(&block), &place), ERR_CLOSED);
    pack_writer_free(w);
    buf_release(&block);
    buf_release(&bytes);
}

static void its_memory_comes_from_the_account(void **state)
{
    (void)state;
    struct buf bytes;
    struct account account;
    struct pack_writer *w;
    struct cold_place place;
    struct pack_tail tail;
    struct buf block;
    struct block_key key;
    buf_init(&bytes, 1 << 20, NULL);
    fill_block(&block, 2);
    test_key(buf_span(&block), &key);
    struct pack_writer_options options = options_for(&bytes);
    options.account = &account;
    account_init(&account, "test", PACK_COMPRESSOR_BYTES - 1);
    assert_int_equal(pack_writer_new(&options, &w), ERR_NOMEM);
    assert_int_equal(account_used(&account), 0);
    account_init(&account, "test", PACK_COMPRESSOR_BYTES + 100);
    assert_int_equal(pack_writer_new(&options, &w), ERR_OK);
    assert_int_equal(pack_writer_add(w, &key, 0x55, buf_span(&block), &place), ERR_NOMEM);
    assert_int_equal(bytes.len, PACK_HEADER_BYTES); /* nothing of it was written */
    assert_int_equal(pack_writer_finish(w, &tail), ERR_OK);
    pack_writer_free(w);
    assert_int_equal(account_used(&account), 0);
    buf_release(&block);
    buf_release(&bytes);
}

static void names_are_read_back(void **state)
{
    (void)state;
    char name[PACK_NAME_MAX];
    uint64_t pack = 0;
    pack_name(UINT64_C(0x0123456789abcdef), name);
    assert_string_equal(name, "0123456789abcdef.pack");
    assert_true(pack_parse_name(name, &pack));
    assert_int_equal(pack, UINT64_C(0x0123456789abcdef));
    assert_false(pack_parse_name("0123456789abcdeF.pack", &pack));
    assert_false(pack_parse_name("0123456789abcdef.seg", &pack));
    assert_false(pack_parse_name("hearth-tier", &pack));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_is_one_range),
        cmocka_unit_test(the_index_lists_all),
        cmocka_unit_test(a_cut_record_does_not_parse),
        cmocka_unit_test(a_flipped_bit_does_not_parse),
        cmocka_unit_test(a_cut_pack_has_no_tail),
        cmocka_unit_test(what_belongs_to_another_pack_does_not_count),
        cmocka_unit_test(a_payload_that_lies_about_its_size_is_refused),
        cmocka_unit_test(a_pack_ends_where_it_is_full),
        cmocka_unit_test(its_memory_comes_from_the_account),
        cmocka_unit_test(names_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

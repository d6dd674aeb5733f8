/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/bitswap.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

/* Everything a reader reports, as one line of text per event: what two runs are compared by. */
struct log {
    struct buf text;
    struct account account;
    size_t acquired_max;
    int refuse; /* how many acquires to refuse first */
    size_t blocks;
    size_t rejected;
};

static struct block_ref *on_acquire(void *arg, size_t size)
{
    struct log *log = arg;
    log->acquired_max = MAX(log->acquired_max, size);
    if (log->refuse > 0) {
        log->refuse--;
        return NULL;
    }
    return block_ref_new(size, &log->account);
}

static void say(struct log *log, const char *what, const struct cid *cid, const char *more)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    assert_ok(buf_appendf(&log->text, "%s %s%s;", what, text, more));
}

static void on_want(void *arg, const struct bitswap_want *want)
{
    char more[64];
    (void)snprintf(more, sizeof(more), " p%d%s%s%s", want->priority, want->cancel ? " cancel" : "",
                   want->type == BITSWAP_WANT_HAVE ? " have" : "", want->send_dont_have ? " dont" : "");
    say(arg, "want", &want->cid, more);
}

static void on_presence(void *arg, const struct cid *cid, bool have)
{
    say(arg, have ? "have" : "dont_have", cid, "");
}

static void on_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct log *log = arg;
    char more[32];
    (void)snprintf(more, sizeof(more), " %zu bytes", block->len);
    assert_ok(multihash_verify(&cid->hash, block_ref_span(block)));
    log->blocks++;
    say(arg, "block", cid, more);
}

static void on_rejected(void *arg, enum err why, size_t bytes)
{
    struct log *log = arg;
    log->rejected++;
    assert_ok(buf_appendf(&log->text, "rejected %s %zu;", err_name(why), bytes));
}

static void on_end(void *arg, const struct bitswap_end *end)
{
    struct log *log = arg;
    assert_ok(buf_appendf(&log->text, "end%s pending %d ignored %u;", end->full ? " full" : "", end->pending_bytes,
                          end->ignored));
}

static struct bitswap_sink sink_of(struct log *log)
{
    return (struct bitswap_sink){.arg = log,
                                 .acquire = on_acquire,
                                 .want = on_want,
                                 .presence = on_presence,
                                 .block = on_block,
                                 .rejected = on_rejected,
                                 .end = on_end};
}

static void log_init(struct log *log)
{
    *log = (struct log){0};
    buf_init(&log->text, 8 * MIB, NULL);
    account_init(&log->account, "test", 16 * MIB);
}

/* Feeds bytes in pieces of one size and checks that no buffer is left behind. */
static enum err run(struct log *log, struct span bytes, size_t piece)
{
    struct bitswap_reader reader;
    struct bitswap_sink sink = sink_of(log);
    enum err err = ERR_OK;
    log_init(log);
    bitswap_reader_init(&reader);
    while (bytes.len > 0 && err == ERR_OK) {
        struct span part = span_first(bytes, piece);
        err = bitswap_reader_feed(&reader, &part, &sink);
        bytes = span_skip(bytes, piece);
    }
    if (err == ERR_OK && !bitswap_reader_at_boundary(&reader))
        err = ERR_TRUNCATED;
    bitswap_reader_release(&reader);
    assert_int_equal(account_used(&log->account), 0);
    return err;
}

static void expect(const char *hex, const char *text)
{
    struct span bytes = bytes_of_hex(hex);
    for (size_t piece = 1; piece <= MAX(bytes.len, 1); piece++) {
        struct log log;
        assert_ok(run(&log, bytes, piece));
        assert_ok(buf_append_byte(&log.text, '\0'));
        assert_string_equal((const char *)log.text.data, text);
        buf_release(&log.text);
    }
}

static void expect_err(const char *hex, enum err expected)
{
    struct span bytes = bytes_of_hex(hex);
    for (size_t piece = 1; piece <= bytes.len; piece++) {
        struct log log;
        assert_err(run(&log, bytes, piece), expected);
        buf_release(&log.text);
    }
}

/* sha2-256 raw CIDv1 of "hello" and the v0 CID of the empty UnixFS directory. */
#define HELLO_HEX "015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO     "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
#define DIR_HEX   "122059948439065f29619ef41280cbb932be52c56d99c5966b65e0111239f098bbef"
#define DIR       "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"

/* Messages written by hand after message.proto, as boxo and Helia send them. */
static void messages_are_read(void **state)
{
    (void)state;
    expect("", "");
    expect("00", "end pending 0 ignored 0;");
    /* a wantlist: want-have with sendDontHave, priority 2^31-1, not full */
    expect("34"
           "0a32"
           "0a30"
           "0a24" HELLO_HEX "10ffffffff07"
           "2001"
           "2801"
           "",
           "want " HELLO " p2147483647 have dont;end pending 0 ignored 0;");
    /* a cancel of a v0 CID, and full = true */
    expect("2e"
           "0a2c"
           "0a28"
           "0a22" DIR_HEX "1001"
           "1801"
           "1001",
           "want " DIR " p1 cancel;end full pending 0 ignored 0;");
    /* a payload of "hello" under 01 55 12 20, pendingBytes 5 */
    expect("11"
           "1a0d"
           "0a0401551220"
           "120568656c6c6f"
           "2805",
           "block " HELLO " 5 bytes;end pending 5 ignored 0;");
    /* the same with the data before the prefix */
    expect("0f"
           "1a0d"
           "120568656c6c6f"
           "0a0401551220",
           "block " HELLO " 5 bytes;end pending 0 ignored 0;");
    /* a 1.0.0 block: the empty directory */
    expect("06"
           "12040a020801",
           "block " DIR " 4 bytes;end pending 0 ignored 0;");
    /* HAVE and DONT_HAVE */
    expect("50"
           "2226"
           "0a24" HELLO_HEX "2226"
           "0a22" DIR_HEX "1001",
           "have " HELLO ";dont_have " DIR ";end pending 0 ignored 0;");
    /* an empty block: data is absent in proto3 */
    expect("08"
           "1a06"
           "0a0401551220",
           "block bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku 0 bytes;end pending 0 ignored 0;");
    /* unknown fields of every type are skipped */
    expect("15"
           "3801"
           "420161"
           "4d01020304"
           "510102030405060708"
           "2801",
           "end pending 1 ignored 0;");
}

/* RELIABILITY rows D3, D4, D6. */
static void useless_parts_are_ignored(void **state)
{
    (void)state;
    expect("04"
           "0a020a00",
           "end pending 0 ignored 1;"); /* an entry of nothing */
    expect("08"
           "0a06"
           "0a04"
           "1001"
           "1801",
           "end pending 0 ignored 1;"); /* without a CID */
    expect("07"
           "0a05"
           "0a03"
           "0a0101",
           "end pending 0 ignored 1;"); /* half a CID */
    expect("0b"
           "0a09"
           "0a07"
           "0a05"
           "0155000161",
           "end pending 0 ignored 1;"); /* an identity CID */
    expect("04"
           "22020a00",
           "end pending 0 ignored 1;"); /* a presence without a CID */
    expect("02"
           "2200",
           "end pending 0 ignored 1;");
    expect("02"
           "1a00",
           "rejected invalid 0;end pending 0 ignored 0;"); /* a payload of nothing */
    expect("09"
           "1a07"
           "120568656c6c6f",
           "rejected invalid 5;end pending 0 ignored 0;"); /* no prefix */
    /* md5; a digest of 19 bytes; prefix with a byte too many; identity over its data */
    expect("10"
           "1a0e"
           "0a050155d50110"
           "120568656c6c6f",
           "rejected unsupported 5;end pending 0 ignored 0;");
    expect("0f"
           "1a0d"
           "0a0401551213"
           "120568656c6c6f",
           "rejected unsupported 5;end pending 0 ignored 0;");
    expect("10"
           "1a0e"
           "0a050155122000"
           "120568656c6c6f",
           "rejected invalid 5;end pending 0 ignored 0;");
    expect("0f"
           "1a0d"
           "0a0401550004"
           "120568656c6c6f",
           "rejected unsupported 5;end pending 0 ignored 0;");
}

static void broken_messages_end_the_stream(void **state)
{
    (void)state;
    expect_err("020a", ERR_TRUNCATED);
    expect_err("8000", ERR_INVALID);       /* length not minimal */
    expect_err("81808002", ERR_TOO_LARGE); /* 4 MiB + 1 */
    expect_err("ffffffff7f", ERR_TOO_LARGE);
    expect_err("020a05", ERR_INVALID); /* the wantlist is longer than the message */
    expect_err("040a020a05", ERR_INVALID);
    expect_err("01"
               "0a",
               ERR_INVALID);           /* the message ends inside a field */
    expect_err("020b00", ERR_INVALID); /* a group */
    expect_err("020200", ERR_INVALID); /* number 0 */
    expect_err("0328"
               "80"
               "80"
               "00",
               ERR_INVALID); /* a varint that crosses the end */
    expect_err("050d010203", ERR_TRUNCATED);
    expect_err("0a"
               "0a08"
               "0a06"
               "0a0501550001",
               ERR_INVALID); /* a CID longer than its entry */
}

/* Row D5: the length alone is enough to refuse; nothing is asked for. */
static void too_long_a_message_costs_nothing(void **state)
{
    (void)state;
    struct log log;
    assert_err(run(&log,
                   bytes_of_hex("81808002"
                                "1281808002"),
                   100),
               ERR_TOO_LARGE);
    assert_int_equal(log.acquired_max, 0);
    buf_release(&log.text);
    /* a block that claims more than is left of its message */
    assert_err(run(&log, bytes_of_hex("0612ffffff01"), 100), ERR_INVALID);
    assert_int_equal(log.acquired_max, 0);
    buf_release(&log.text);
}

static void a_refused_buffer_is_asked_for_again(void **state)
{
    (void)state;
    struct span bytes = bytes_of_hex("0f"
                                     "1a0d"
                                     "0a0401551220"
                                     "120568656c6c6f"
                                     "08"
                                     "1a06"
                                     "0a0401551220");
    struct log log;
    struct bitswap_reader reader;
    struct bitswap_sink sink = sink_of(&log);
    log_init(&log);
    log.refuse = 5;
    bitswap_reader_init(&reader);
    int again = 0;
    enum err err = bitswap_reader_feed(&reader, &bytes, &sink);
    for (; err == ERR_AGAIN && again < 10; again++) {
        assert_int_equal(bytes.len, 14); /* the data and the message after it were not touched */
        err = bitswap_reader_feed(&reader, &bytes, &sink);
    }
    assert_ok(err);
    assert_int_equal(again, 5);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(log.blocks, 2);
    log.refuse = 1; /* the empty block needs a buffer too, with no input left to wait for */
    bytes = bytes_of_hex("08"
                         "1a06"
                         "0a0401551220");
    assert_err(bitswap_reader_feed(&reader, &bytes, &sink), ERR_AGAIN);
    assert_ok(bitswap_reader_feed(&reader, &bytes, &sink));
    assert_int_equal(log.blocks, 3);
    bitswap_reader_release(&reader);
    buf_release(&log.text);
    assert_int_equal(account_used(&log.account), 0);
}

static void pieces_into(struct buf *out, struct bitswap_writer *w)
{
    size_t position = 0;
    struct bitswap_piece piece;
    while (bitswap_writer_next(w, &position, &piece)) {
        assert_ok(buf_append_span(out, piece.bytes));
        assert_ok(buf_append_span(out, block_ref_span(piece.block)));
    }
}

static struct cid cid_of(const char *text)
{
    struct cid cid;
    assert_ok(cid_parse_text(span_text(text), &cid));
    return cid;
}

static void messages_are_written(void **state)
{
    (void)state;
    struct bitswap_writer w;
    struct buf out;
    struct cid hello = cid_of(HELLO);
    struct cid dir = cid_of(DIR);
    buf_init(&out, 4096, NULL);
    bitswap_writer_init(&w, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    assert_true(bitswap_writer_is_empty(&w));
    assert_ok(bitswap_writer_want(
        &w, &(struct bitswap_want){
                .cid = hello, .priority = INT32_MAX, .type = BITSWAP_WANT_HAVE, .send_dont_have = true}));
    assert_ok(bitswap_writer_finish(&w));
    pieces_into(&out, &w);
    assert_span(buf_span(&out), "34"
                                "0a32"
                                "0a30"
                                "0a24" HELLO_HEX "10ffffffff07"
                                "2001"
                                "2801");
    bitswap_writer_release(&w);

    buf_clear(&out);
    bitswap_writer_init(&w, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    struct block_ref *block = block_ref_copy(span_text("hello"), NULL);
    w.pending_bytes = 5;
    assert_ok(bitswap_writer_block(&w, &hello, block));
    assert_ok(bitswap_writer_presence(&w, &dir, false));
    assert_ok(bitswap_writer_finish(&w));
    pieces_into(&out, &w);
    assert_span(buf_span(&out), "39"
                                "1a0d"
                                "0a0401551220"
                                "120568656c6c6f"
                                "2226"
                                "0a22" DIR_HEX "1001"
                                "2805");
    bitswap_writer_release(&w);
    block_ref_unref(block);
    buf_release(&out);
}

/* What older versions do not understand is not sent to them. */
static void older_versions_get_their_own_form(void **state)
{
    (void)state;
    struct bitswap_writer w;
    struct buf out;
    struct cid dir = cid_of(DIR);
    struct block_ref *block = block_ref_copy(bytes_of_hex("0a020801"), NULL);
    buf_init(&out, 4096, NULL);
    bitswap_writer_init(&w, BITSWAP_1_0, BITSWAP_MESSAGE_MAX, NULL);
    w.pending_bytes = 9;
    assert_ok(bitswap_writer_want(
        &w, &(struct bitswap_want){.cid = dir, .priority = 1, .type = BITSWAP_WANT_HAVE, .send_dont_have = true}));
    assert_ok(bitswap_writer_presence(&w, &dir, true));
    assert_ok(bitswap_writer_block(&w, &dir, block));
    assert_ok(bitswap_writer_finish(&w));
    pieces_into(&out, &w);
    assert_span(buf_span(&out), "30"
                                "0a28"
                                "0a26"
                                "0a22" DIR_HEX "1001"
                                "12040a020801");
    bitswap_writer_release(&w);
    block_ref_unref(block);
    buf_release(&out);
    for (int v = 0; v < BITSWAP_VERSION_COUNT; v++) {
        enum bitswap_version version;
        assert_ok(bitswap_version_of(span_text(bitswap_protocol((enum bitswap_version)v)), &version));
        assert_int_equal(version, v);
    }
    enum bitswap_version version;
    assert_err(bitswap_version_of(span_text("/ipfs/bitswap/1.3.0"), &version), ERR_UNSUPPORTED);
}

static void a_full_message_says_so(void **state)
{
    (void)state;
    struct bitswap_writer w;
    struct cid hello = cid_of(HELLO);
    bitswap_writer_init(&w, BITSWAP_1_2, 2000, NULL);
    struct bitswap_want want = {.cid = hello, .priority = -1, .cancel = true};
    int count = 0;
    while (bitswap_writer_want(&w, &want) == ERR_OK)
        count++;
    assert_in_range(count, 30, 40);
    assert_err(bitswap_writer_presence(&w, &hello, true), ERR_TOO_LARGE);
    struct block_ref *block = block_ref_new(5000, NULL);
    assert_err(bitswap_writer_block(&w, &hello, block), ERR_TOO_LARGE);
    w.full = true;
    w.pending_bytes = INT32_MAX;
    assert_ok(bitswap_writer_finish(&w));
    assert_true(w.head.len <= 2000);
    bitswap_writer_release(&w);
    assert_int_equal(block->refs, 1);
    block_ref_unref(block);
}

/* Random messages through the writer, cut at random, out of the reader: the log is what was put in. */
static void what_is_written_is_read(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 33);
    for (int round = 0; round < 150; round++) {
        struct log expected;
        struct log got;
        struct bitswap_writer w;
        struct buf bytes;
        buf_init(&bytes, BITSWAP_MESSAGE_MAX + 8, NULL);
        log_init(&expected);
        bitswap_writer_init(&w, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
        for (int i = (int)prng_below(&prng, 20); i > 0; i--) {
            uint8_t seed[8];
            struct multihash hash;
            prng_fill(&prng, seed, sizeof(seed));
            assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(seed, sizeof(seed)), &hash));
            struct bitswap_want want = {.cid = cid_v1(CODEC_RAW, &hash),
                                        .priority = (int32_t)prng_next(&prng),
                                        .cancel = prng_below(&prng, 2) == 0,
                                        .send_dont_have = prng_below(&prng, 2) == 0,
                                        .type = (enum bitswap_want_type)prng_below(&prng, 2)};
            assert_ok(bitswap_writer_want(&w, &want));
            on_want(&expected, &want);
        }
        for (int i = (int)prng_below(&prng, 6); i > 0; i--) {
            size_t len = prng_below(&prng, 4) == 0 ? prng_below(&prng, 100000) : prng_below(&prng, 6000);
            struct block_ref *block = block_ref_new(len, NULL);
            struct multihash hash;
            prng_fill(&prng, block->data, len);
            assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, block_ref_span(block), &hash));
            struct cid cid = cid_v1(prng_below(&prng, 2) == 0 ? CODEC_RAW : CODEC_DAG_PB, &hash);
            bool have = prng_below(&prng, 2) == 0;
            assert_ok(bitswap_writer_block(&w, &cid, block));
            on_block(&expected, &cid, block);
            assert_ok(bitswap_writer_presence(&w, &cid, have));
            on_presence(&expected, &cid, have);
            block_ref_unref(block);
        }
        w.full = prng_below(&prng, 2) == 0;
        w.pending_bytes = (int32_t)prng_below(&prng, 1000);
        on_end(&expected, &(struct bitswap_end){.full = w.full, .pending_bytes = w.pending_bytes});
        assert_ok(bitswap_writer_finish(&w));
        pieces_into(&bytes, &w);
        assert_ok(run(&got, buf_span(&bytes), 1 + prng_below(&prng, 5000)));
        assert_true(span_equal(buf_span(&got.text), buf_span(&expected.text)));
        bitswap_writer_release(&w);
        buf_release(&bytes);
        buf_release(&got.text);
        buf_release(&expected.text);
    }
}

/* A million wants in one message pass through without being kept. */
static void many_entries_need_no_memory(void **state)
{
    (void)state;
    struct buf bytes;
    buf_init(&bytes, BITSWAP_MESSAGE_MAX + 8, NULL);
    size_t count = (BITSWAP_MESSAGE_MAX - 8) / 4;
    assert_ok(varint_append(&bytes, protobuf_size_bytes(1, count * 4)));
    assert_ok(protobuf_put_header(&bytes, 1, count * 4));
    for (size_t i = 0; i < count; i++)
        assert_ok(buf_append(&bytes, "\x0a\x02\x10\x01", 4));
    struct log log;
    assert_ok(run(&log, buf_span(&bytes), 65536));
    assert_int_equal(log.acquired_max, 0);
    buf_release(&log.text);
    buf_release(&bytes);
}

static void random_bytes_never_break_it(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 77);
    for (int i = 0; i < 30000; i++) {
        uint8_t bytes[300];
        size_t len = prng_below(&prng, sizeof(bytes));
        struct log log;
        prng_fill(&prng, bytes, len);
        for (size_t at = 0; at < len; at++) /* small numbers reach deeper */
            if (prng_below(&prng, 3) != 0)
                bytes[at] &= 0x2f;
        (void)run(&log, span_of(bytes, len), 1 + prng_below(&prng, 40));
        buf_release(&log.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read),
        cmocka_unit_test(useless_parts_are_ignored),
        cmocka_unit_test(broken_messages_end_the_stream),
        cmocka_unit_test(too_long_a_message_costs_nothing),
        cmocka_unit_test(a_refused_buffer_is_asked_for_again),
        cmocka_unit_test(messages_are_written),
        cmocka_unit_test(older_versions_get_their_own_form),
        cmocka_unit_test(a_full_message_says_so),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(many_entries_need_no_memory),
        cmocka_unit_test(random_bytes_never_break_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

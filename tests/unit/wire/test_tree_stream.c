/* SPDX-License-Identifier: MIT */
/*
 * The tree stream: what is appended comes out in any pieces; what may not stand in a tree is refused. And the chunker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "wire/chunker.h"
#include "wire/tree_stream.h"

static void put(struct buf *out, enum tree_kind kind, const char *name, const char *body)
{
    struct tree_meta meta = {.mode = kind == TREE_FILE ? 0644 : 0, .has_mtime = kind == TREE_SYMLINK};
    meta.mtime_seconds = meta.has_mtime ? -5 : 0;
    assert_int_equal(tree_stream_append(out, kind, span_text(name), span_text(body), &meta), ERR_OK);
}

/* What came out, as one line of text. */
static void note(struct buf *log, const struct tree_event *event, enum tree_kind last)
{
    if (event->kind != TREE_DATA || last != TREE_DATA)
        assert_int_equal(buf_appendf(log, "%d:", (int)event->kind), ERR_OK);
    assert_int_equal(buf_append_span(log, event->name), ERR_OK);
    assert_int_equal(buf_append_span(log, event->body), ERR_OK);
    if (event->kind == TREE_FILE)
        assert_int_equal(event->meta.mode, 0644);
    assert_int_equal(event->meta.has_mtime, event->kind == TREE_SYMLINK);
    if (event->meta.has_mtime)
        assert_true(event->meta.mtime_seconds == -5);
}

static void any_pieces(void **state)
{
    (void)state;
    struct buf stream;
    buf_init(&stream, 4096, NULL);
    put(&stream, TREE_ENTER, "folder", "");
    put(&stream, TREE_FILE, "a.txt", "");
    put(&stream, TREE_DATA, "", "hello ");
    put(&stream, TREE_DATA, "", "world");
    put(&stream, TREE_END, "", "");
    put(&stream, TREE_SYMLINK, "link", "a.txt");
    put(&stream, TREE_LEAVE, "", "");
    put(&stream, TREE_FILE, "empty", "");
    put(&stream, TREE_END, "", "");
    struct prng prng;
    prng_init(&prng, 4);
    for (unsigned round = 0; round < 200; round++) {
        struct tree_decoder decoder;
        tree_decoder_init(&decoder, NULL);
        struct buf log;
        buf_init(&log, 4096, NULL);
        struct span rest = buf_span(&stream);
        enum tree_kind last = TREE_END;
        while (rest.len > 0) {
            size_t len = round == 0 ? rest.len : 1 + (size_t)prng_below(&prng, MIN(rest.len, 9));
            struct span piece = span_first(rest, len);
            rest = span_skip(rest, len);
            struct tree_event event;
            enum err err;
            while ((err = tree_decoder_next(&decoder, &piece, &event)) == ERR_OK) {
                note(&log, &event, last);
                last = event.kind;
            }
            assert_int_equal(err, ERR_AGAIN);
            assert_int_equal(piece.len, 0);
            if (rest.len > 0 && last != TREE_LEAVE)
                assert_false(rest.len == 0 && tree_decoder_at_end(&decoder));
        }
        assert_true(tree_decoder_at_end(&decoder));
        assert_true(span_equal_text(buf_span(&log), "1:folder3:a.txt4:hello world5:6:linka.txt2:3:empty5:"));
        buf_release(&log);
        tree_decoder_release(&decoder);
    }
    buf_release(&stream);
}

static enum err decode_all(struct span in)
{
    struct tree_decoder decoder;
    tree_decoder_init(&decoder, NULL);
    struct tree_event event;
    enum err err;
    do {
        err = tree_decoder_next(&decoder, &in, &event);
    } while (err == ERR_OK);
    if (err == ERR_AGAIN && tree_decoder_at_end(&decoder))
        err = ERR_OK;
    tree_decoder_release(&decoder);
    return err;
}

#define REFUSED(bytes, expected) assert_int_equal(decode_all(span_of(bytes, sizeof(bytes) - 1)), expected)

static void what_does_not_belong_is_refused(void **state)
{
    (void)state;
    REFUSED("\0\0\0\0\0\0\0\0", ERR_INVALID);  /* kind 0 */
    REFUSED("\7\0\0\0\0\0\0\0", ERR_INVALID);  /* kind 7 */
    REFUSED("\2\0\0\0\0\0\0\0", ERR_INVALID);  /* LEAVE at the top */
    REFUSED("\5\0\0\0\0\0\0\0", ERR_INVALID);  /* END without FILE */
    REFUSED("\4\0\0\0\1\0\0\0x", ERR_INVALID); /* DATA without FILE */
    REFUSED("\1\0\0\0\0\0\0\0", ERR_INVALID);  /* no name */
    REFUSED("\1\0\2\0\0\0\0\0..", ERR_INVALID);
    REFUSED("\1\0\1\0\0\0\0\0.", ERR_INVALID);
    REFUSED("\1\0\3\0\0\0\0\0a/b", ERR_INVALID);
    REFUSED("\1\0\3\0\0\0\0\0a\0b", ERR_INVALID);
    REFUSED("\1\0\xff\xff\0\0\0\0", ERR_TOO_LARGE); /* name of 65535 */
    REFUSED("\6\0\1\0\xff\xff\xff\xff"
            "l",
            ERR_TOO_LARGE);                                        /* target of 4 GiB */
    REFUSED("\6\0\1\0\1\0\0\0l\0", ERR_INVALID);                   /* NUL in the target */
    REFUSED("\1\x08\1\0\0\0\0\0d", ERR_INVALID);                   /* unknown flag */
    REFUSED("\1\4\1\0\0\0\0\0d", ERR_AGAIN);                       /* a folder by hashes */
    REFUSED("\3\4\1\0\0\0\0\0f", ERR_INVALID);                     /* a file has no entries */
    REFUSED("\1\1\1\0\0\0\0\0\0\x10\0\0d", ERR_INVALID);           /* mode over 07777 */
    REFUSED("\3\0\1\0\0\0\0\0f\1\0\1\0\0\0\0\0d", ERR_INVALID);    /* ENTER inside a file */
    REFUSED("\3\0\1\0\0\0\0\0f\4\0\0\0\1\0\x10\0", ERR_TOO_LARGE); /* DATA of 1 MiB + 1 */
    REFUSED("\1\0\1\0\0\0\0\0d", ERR_AGAIN);                       /* ends inside a folder */
    REFUSED("", ERR_OK);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct buf stream;
    buf_init(&stream, 1 << 16, NULL);
    for (unsigned i = 0; i < TREE_DEPTH_MAX; i++)
        put(&stream, TREE_ENTER, "d", "");
    assert_int_equal(decode_all(buf_span(&stream)), ERR_AGAIN);
    put(&stream, TREE_ENTER, "d", "");
    assert_int_equal(decode_all(buf_span(&stream)), ERR_TOO_LARGE);
    buf_release(&stream);
}

static void bad_records_are_not_appended(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096, NULL);
    assert_int_equal(tree_stream_append(&out, TREE_ENTER, span_text(".."), (struct span){0}, NULL), ERR_INVALID);
    assert_int_equal(tree_stream_append(&out, TREE_DATA, (struct span){0}, (struct span){0}, NULL), ERR_INVALID);
    assert_int_equal(tree_stream_append(&out, TREE_LEAVE, span_text("x"), (struct span){0}, NULL), ERR_INVALID);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

static void chunkers(void **state)
{
    (void)state;
    struct chunker chunker;
    assert_int_equal(chunker_parse(&chunker, span_text("size-10"), 5), ERR_OK);
    assert_int_equal(chunker.size_bytes, 10);
    assert_int_equal(chunker_parse(&chunker, span_text("default"), 5), ERR_OK);
    assert_int_equal(chunker.size_bytes, 5);
    bool cut;
    assert_int_equal(chunker_take(&chunker, 3, span_text("abcdef"), &cut), 2);
    assert_true(cut);
    assert_int_equal(chunker_take(&chunker, 3, span_text("a"), &cut), 1);
    assert_false(cut);
    assert_int_equal(chunker_parse(&chunker, span_text("rabin-1-2-3"), 5), ERR_UNSUPPORTED);
    assert_int_equal(chunker_parse(&chunker, span_text("buzhash"), 5), ERR_UNSUPPORTED);
    assert_int_equal(chunker_parse(&chunker, span_text("size-"), 5), ERR_INVALID);
    assert_int_equal(chunker_parse(&chunker, span_text("size-0"), 5), ERR_INVALID);
    assert_int_equal(chunker_parse(&chunker, span_text("size-1x"), 5), ERR_INVALID);
    assert_int_equal(chunker_parse(&chunker, span_text("size-2096897"), 5), ERR_TOO_LARGE);
    assert_int_equal(chunker_parse(&chunker, span_text("size-99999999999999999999999"), 5), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces),       cmocka_unit_test(what_does_not_belong_is_refused),
        cmocka_unit_test(depth_is_bounded), cmocka_unit_test(bad_records_are_not_appended),
        cmocka_unit_test(chunkers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/http_upgrade.h"
#include "wire/websocket.h"

enum { WIRE_MAX = 4 << 20 };

/* One end, what came out of its pipe, and what it says. */
struct end {
    struct websocket *ws;
    struct buf out;
    struct buf got;
    unsigned opened;
    enum err payload_err;
    bool close_in_payload;
};

static struct prng bytes_seed;
static bool fixed_mask; /* the mask of the RFC's examples instead of random bytes */

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    if (fixed_mask && len == sizeof(mask))
        memcpy(to, mask, sizeof(mask));
    else
        prng_fill(&bytes_seed, to, len);
}

static enum err on_opened(void *arg)
{
    ((struct end *)arg)->opened++;
    return ERR_OK;
}

static enum err on_payload(void *arg, uint8_t *data, size_t len)
{
    struct end *e = arg;
    assert_true(len > 0);
    assert_ok(buf_append(&e->got, data, len));
    memset(data, 0xee, len); /* scratch */
    if (e->close_in_payload)
        websocket_close(e->ws);
    return e->payload_err;
}

static void end_init(struct end *e, bool client)
{
    *e = (struct end){0};
    buf_init(&e->out, WIRE_MAX, NULL);
    buf_init(&e->got, WIRE_MAX, NULL);
    struct websocket_config config = {.client = client,
                                      .host = "127.0.0.1:8081",
                                      .random = fill_random,
                                      .opened = on_opened,
                                      .payload = on_payload,
                                      .arg = e};
    assert_ok(websocket_new(&config, &e->ws));
    assert_ok(websocket_start(e->ws, &e->out));
}

static void end_release(struct end *e)
{
    websocket_free(e->ws);
    buf_release(&e->out);
    buf_release(&e->got);
}

static enum err feed(struct end *e, struct span in, size_t chunk)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && in.len > 0) {
        size_t n = MIN(chunk, in.len);
        uint8_t *copy = malloc(n); /* its own allocation, so that ASan sees an over-read */
        assert_non_null(copy);
        memcpy(copy, in.data, n);
        err = websocket_feed(e->ws, copy, n, &e->out);
        free(copy);
        in = span_skip(in, n);
    }
    return err;
}

/* Moves what from has said to to. */
static enum err pass(struct end *from, struct end *to, size_t chunk)
{
    enum err err = feed(to, buf_span(&from->out), chunk);
    buf_clear(&from->out);
    return err;
}

static void pair_init(struct end *client, struct end *server, size_t chunk)
{
    end_init(client, true);
    end_init(server, false);
    assert_ok(pass(client, server, chunk));
    assert_true(websocket_is_open(server->ws));
    assert_false(websocket_is_open(client->ws));
    assert_ok(pass(server, client, chunk));
    assert_true(websocket_is_open(client->ws));
    assert_int_equal(client->opened + server->opened, 2);
}

static void pair_release(struct end *client, struct end *server)
{
    end_release(client);
    end_release(server);
}

static void say(struct end *e, struct span bytes)
{
    size_t from = e->out.len;
    assert_ok(buf_append_span(&e->out, bytes));
    assert_ok(websocket_wrap(e->ws, &e->out, from));
}

/* Feeds the hex of frames to a fresh open end of this role; returns what became of it. */
static enum err feed_frames(struct end *e, bool client, const char *hex)
{
    struct end other;
    if (client)
        pair_init(e, &other, SIZE_MAX);
    else
        pair_init(&other, e, SIZE_MAX);
    end_release(&other);
    return feed(e, bytes_of_hex(hex), SIZE_MAX);
}

/* ---- what the RFC prints in 5.7 (as binary where it has text) ---- */

static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    struct end e;
    fixed_mask = true;
    assert_ok(feed_frames(&e, true, "820548656c6c6f")); /* unmasked */
    assert_true(span_equal_text(buf_span(&e.got), "Hello"));
    buf_clear(&e.got);
    assert_ok(feed(&e, bytes_of_hex("020348656c80026c6f"), SIZE_MAX)); /* fragmented */
    assert_true(span_equal_text(buf_span(&e.got), "Hello"));
    assert_ok(feed(&e, bytes_of_hex("890548656c6c6f"), SIZE_MAX)); /* ping, and the masked pong */
    assert_ok(websocket_answer(e.ws, &e.out));
    assert_span(buf_span(&e.out), "8a8537fa213d7f9f4d5158");
    buf_clear(&e.out);
    say(&e, span_text("Hello")); /* masked */
    assert_span(buf_span(&e.out), "828537fa213d7f9f4d5158");
    end_release(&e);
    assert_ok(feed_frames(&e, false, "828537fa213d7f9f4d5158"));
    assert_true(span_equal_text(buf_span(&e.got), "Hello"));
    end_release(&e);
    fixed_mask = false;
}

static void lengths_take_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *header;
    } rows[] = {{1, "8201"},
                {125, "827d"},
                {126, "827e007e"},
                {256, "827e0100"},
                {65535, "827effff"},
                {65536, "827f0000000000010000"},
                {100000, "827f00000000000186a0"}};
    static uint8_t zeros[100000];
    struct end client;
    struct end server;
    pair_init(&client, &server, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        say(&server, span_of(zeros, rows[i].len));
        size_t head = strlen(rows[i].header) / 2;
        assert_int_equal(server.out.len, head + rows[i].len);
        assert_span(span_first(buf_span(&server.out), head), rows[i].header);
        buf_clear(&client.got);
        assert_ok(pass(&server, &client, 1000));
        assert_int_equal(client.got.len, rows[i].len);
    }
    size_t from = server.out.len;
    assert_ok(websocket_wrap(server.ws, &server.out, from)); /* of nothing: nothing */
    assert_int_equal(server.out.len, from);
    pair_release(&client, &server);
}

/* ---- the upgrade ---- */

static void the_upgrade_works_in_any_chunking(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk < 200; chunk++) {
        struct end client;
        struct end server;
        pair_init(&client, &server, chunk);
        pair_release(&client, &server);
    }
}

static void payload_right_behind_the_upgrade_is_kept(void **state)
{
    (void)state;
    struct end client;
    struct end server;
    end_init(&client, true);
    end_init(&server, false);
    assert_ok(pass(&client, &server, SIZE_MAX));
    say(&server, span_text("at once"));
    assert_ok(pass(&server, &client, SIZE_MAX));
    assert_true(span_equal_text(buf_span(&client.got), "at once"));
    pair_release(&client, &server);
}

static void a_head_without_end_is_cut_off(void **state)
{
    (void)state;
    static const size_t chunks[] = {1, 100, 5000};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct end e;
        struct buf head;
        end_init(&e, false);
        buf_init(&head, 2 * HTTP_UPGRADE_HEAD_MAX, NULL);
        assert_ok(buf_append_text(&head, "GET / HTTP/1.1\r\n"));
        while (head.len < HTTP_UPGRADE_HEAD_MAX)
            assert_ok(buf_append_text(&head, "a: b\r\n"));
        assert_ok(feed(&e, span_first(buf_span(&head), HTTP_UPGRADE_HEAD_MAX - 1), chunks[i]));
        assert_err(feed(&e, span_text("ab"), SIZE_MAX), ERR_PROTOCOL);
        assert_true(e.out.len > 12 && memcmp(e.out.data, "HTTP/1.1 400", 12) == 0);
        buf_release(&head);
        end_release(&e);
    }
}

static void who_speaks_something_else_hears_so(void **state)
{
    (void)state;
    struct end e;
    end_init(&e, false);
    assert_err(feed(&e, span_text("\x13/multistream/1.0.0\n"), 1), ERR_PROTOCOL);
    end_release(&e);
    end_init(&e, false);
    assert_err(feed(&e, span_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 7), ERR_UNSUPPORTED);
    assert_true(e.out.len > 12 && memcmp(e.out.data, "HTTP/1.1 426", 12) == 0);
    end_release(&e);
    end_init(&e, true);
    assert_err(feed(&e, span_text("\x13/multistream/1.0.0\n"), 1), ERR_PROTOCOL);
    end_release(&e);
    end_init(&e, true);
    assert_err(feed(&e, span_text("HTTP/1.1 404 Not Found\r\n\r\n"), SIZE_MAX), ERR_UNSUPPORTED);
    end_release(&e);
}

/* ---- hostile and odd frames ---- */

static void frames_that_cannot_be_end_the_session(void **state)
{
    (void)state;
    static const struct {
        bool client; /* the end that is fed */
        const char *hex;
        enum err err;
        const char *last_words; /* as a server says them */
    } rows[] = {
        {false, "820548656c6c6f", ERR_PROTOCOL, "880203ea"},  /* a client's frame without mask */
        {true, "828537fa213d7f9f4d5158", ERR_PROTOCOL, NULL}, /* a server's frame with mask */
        {false, "c28000000000", ERR_PROTOCOL, "880203ea"},    /* each reserved bit */
        {false, "a28000000000", ERR_PROTOCOL, "880203ea"},
        {false, "928000000000", ERR_PROTOCOL, "880203ea"},
        {false, "838000000000", ERR_PROTOCOL, "880203ea"}, /* reserved opcodes */
        {false, "8b8000000000", ERR_PROTOCOL, "880203ea"},
        {false, "098000000000", ERR_PROTOCOL, "880203ea"},     /* a fragmented ping */
        {false, "89fe007e00000000", ERR_PROTOCOL, "880203ea"}, /* a ping of 126 bytes */
        {false, "82fe007d00000000", ERR_PROTOCOL, "880203ea"}, /* lengths in a form that is too long */
        {false, "82ff000000000000ffff00000000", ERR_PROTOCOL, "880203ea"},
        {false, "82ff800000000000000000000000", ERR_PROTOCOL, "880203ea"}, /* the highest bit */
        {false, "808000000000", ERR_PROTOCOL, "880203ea"},                 /* a continuation of nothing */
        {false, "028000000000828000000000", ERR_PROTOCOL, "880203ea"},     /* a message inside a message */
        {false, "818000000000", ERR_UNSUPPORTED, "880203eb"},              /* text */
        {false, "888000000000", ERR_CLOSED, "880203e8"},                   /* close without status */
        {false, "88820000000003e9", ERR_CLOSED, "880203e9"},               /* with one */
        {false, "888100000000aa", ERR_PROTOCOL, "880203ea"},               /* with half a one */
        {false, "88820000000003ed", ERR_PROTOCOL, "880203ea"},             /* 1005 is never sent */
        {false, "8882000000000000", ERR_PROTOCOL, "880203ea"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e;
        assert_err(feed_frames(&e, rows[i].client, rows[i].hex), rows[i].err);
        assert_false(websocket_is_open(e.ws));
        assert_err(feed(&e, span_text("more"), SIZE_MAX), ERR_CLOSED);
        assert_ok(websocket_answer(e.ws, &e.out));
        if (rows[i].last_words != NULL)
            assert_span(buf_span(&e.out), rows[i].last_words);
        buf_clear(&e.out);
        assert_ok(websocket_answer(e.ws, &e.out)); /* said once */
        assert_int_equal(e.out.len, 0);
        end_release(&e);
    }
}

/* A length of 2^62 is only a promise: the bytes that come are handed on, nothing is kept. */
static void a_huge_frame_streams_through(void **state)
{
    (void)state;
    struct end e;
    assert_ok(feed_frames(&e, true, "827f4000000000000000"));
    for (int i = 0; i < 100; i++)
        assert_ok(feed(&e, span_text("0123456789"), 3));
    assert_int_equal(e.got.len, 1000);
    assert_true(websocket_is_open(e.ws));
    end_release(&e);
}

static void empty_frames_are_passed_over(void **state)
{
    (void)state;
    struct end e;
    assert_ok(feed_frames(&e, true,
                          "8200"
                          "0200"
                          "0000"
                          "8a00" /* a pong between fragments */
                          "8001aa"));
    assert_span(buf_span(&e.got), "aa");
    end_release(&e);
}

static void of_many_pings_the_last_is_answered(void **state)
{
    (void)state;
    struct end e;
    assert_ok(feed_frames(&e, false,
                          "8981000000000189810000000002"
                          "89810000000003"));
    assert_ok(websocket_answer(e.ws, &e.out));
    assert_span(buf_span(&e.out), "8a0103");
    buf_clear(&e.out);
    assert_ok(websocket_answer(e.ws, &e.out));
    assert_int_equal(e.out.len, 0);
    end_release(&e);
}

static void an_error_of_the_owner_ends_the_feed(void **state)
{
    (void)state;
    struct end client;
    struct end server;
    pair_init(&client, &server, SIZE_MAX);
    client.payload_err = ERR_AUTH;
    say(&server, span_text("a"));
    say(&server, span_text("b"));
    assert_err(pass(&server, &client, SIZE_MAX), ERR_AUTH);
    assert_int_equal(client.got.len, 1);
    pair_release(&client, &server);
}

static void the_owner_may_close_from_within_payload(void **state)
{
    (void)state;
    struct end client;
    struct end server;
    pair_init(&client, &server, SIZE_MAX);
    client.close_in_payload = true;
    say(&server, span_text("a"));
    assert_err(pass(&server, &client, SIZE_MAX), ERR_CLOSED);
    assert_false(websocket_is_open(client.ws));
    assert_ok(websocket_answer(client.ws, &client.out));
    assert_err(pass(&client, &server, SIZE_MAX), ERR_CLOSED);
    assert_ok(websocket_answer(server.ws, &server.out));
    assert_span(buf_span(&server.out), "880203e8");
    buf_clear(&server.out);
    say(&server, span_text("too late"));
    assert_int_equal(server.out.len, 0);
    pair_release(&client, &server);
}

/* ---- a model: what one side writes, the other reads, whatever the pieces and whatever comes between ---- */

static void ping(struct end *from)
{
    /* written by hand, since the engine asks for no pongs itself */
    uint8_t frame[] = {0x89, 0x82, 1, 2, 3, 4, 0x55, 0x66};
    assert_ok(buf_append(&from->out, frame, sizeof(frame)));
}

static void any_pieces_give_the_same_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 10, 124, 200, 5000, 70000};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct prng prng;
        struct end client;
        struct end server;
        struct buf sent[2];
        prng_init(&prng, seed);
        pair_init(&client, &server, 1 + prng_below(&prng, 50));
        buf_init(&sent[0], WIRE_MAX, NULL);
        buf_init(&sent[1], WIRE_MAX, NULL);
        unsigned pings = 0;
        for (int step = 0; step < 40; step++) {
            bool up = prng_below(&prng, 2) == 0;
            struct end *from = up ? &client : &server;
            size_t len = prng_below(&prng, sizes[prng_below(&prng, ARRAY_LEN(sizes))]);
            uint8_t *bytes = malloc(len + 1);
            assert_non_null(bytes);
            prng_fill(&prng, bytes, len);
            say(from, span_of(bytes, len));
            assert_ok(buf_append(&sent[up], bytes, len));
            free(bytes);
            if (up && prng_below(&prng, 4) == 0) {
                ping(&client);
                pings++;
            }
            if (prng_below(&prng, 2) == 0) {
                assert_ok(pass(from, up ? &server : &client, 1 + prng_below(&prng, 3000)));
                assert_ok(websocket_answer(server.ws, &server.out));
            }
        }
        assert_ok(pass(&client, &server, SIZE_MAX));
        assert_ok(pass(&server, &client, 1 + prng_below(&prng, 3000)));
        assert_true(span_equal(buf_span(&server.got), buf_span(&sent[1])));
        assert_true(span_equal(buf_span(&client.got), buf_span(&sent[0])));
        buf_release(&sent[0]);
        buf_release(&sent[1]);
        pair_release(&client, &server);
    }
}

static void without_room_the_session_is_lost_in_good_order(void **state)
{
    (void)state;
    struct end client;
    struct end server;
    pair_init(&client, &server, SIZE_MAX);
    struct buf small;
    buf_init(&small, 10, NULL);
    assert_ok(buf_append_text(&small, "old"));
    assert_ok(buf_append_text(&small, "toomuch"));
    assert_err(websocket_wrap(client.ws, &small, 3), ERR_NOMEM);
    assert_true(span_equal_text(buf_span(&small), "old"));
    buf_release(&small);
    pair_release(&client, &server);
}

int main(void)
{
    prng_init(&bytes_seed, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(lengths_take_their_shortest_form),
        cmocka_unit_test(the_upgrade_works_in_any_chunking),
        cmocka_unit_test(payload_right_behind_the_upgrade_is_kept),
        cmocka_unit_test(a_head_without_end_is_cut_off),
        cmocka_unit_test(who_speaks_something_else_hears_so),
        cmocka_unit_test(frames_that_cannot_be_end_the_session),
        cmocka_unit_test(a_huge_frame_streams_through),
        cmocka_unit_test(empty_frames_are_passed_over),
        cmocka_unit_test(of_many_pings_the_last_is_answered),
        cmocka_unit_test(an_error_of_the_owner_ends_the_feed),
        cmocka_unit_test(the_owner_may_close_from_within_payload),
        cmocka_unit_test(any_pieces_give_the_same_bytes),
        cmocka_unit_test(without_room_the_session_is_lost_in_good_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

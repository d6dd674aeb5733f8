/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "wire/multistream.h"

/* The lines of the protocol as go-multistream writes them. */
#define HEADER "\x13/multistream/1.0.0\n"
#define NOISE  "\x07/noise\n"
#define TLS    "\x0b/tls/1.0.0\n"
#define NA     "\x03na\n"

static int match_noise_or_tls(void *arg, struct span name)
{
    (void)arg;
    if (span_equal_text(name, "/noise"))
        return 7;
    return span_equal_text(name, "/tls/1.0.0") ? 8 : -1;
}

struct peer {
    struct multistream m;
    struct buf out;
    enum err err;
    size_t used;
};

static void peer_init(struct peer *p)
{
    buf_init(&p->out, MULTISTREAM_OUTPUT_MAX, NULL);
    p->err = ERR_OK;
    p->used = 0;
}

static void peer_release(struct peer *p)
{
    multistream_release(&p->m);
    buf_release(&p->out);
}

static void responder(struct peer *p)
{
    peer_init(p);
    multistream_init_responder(&p->m, match_noise_or_tls, NULL);
    assert_int_equal(multistream_start(&p->m, &p->out), ERR_OK);
}

static void initiator(struct peer *p, const char *const *protocols, size_t count)
{
    peer_init(p);
    multistream_init_initiator(&p->m, protocols, count);
    assert_int_equal(multistream_start(&p->m, &p->out), ERR_OK);
}

static void feed(struct peer *p, struct span in, size_t chunk)
{
    while (in.len > 0 && p->err == ERR_OK && !multistream_is_done(&p->m)) {
        size_t used = 0;
        p->err = multistream_feed(&p->m, span_first(in, chunk), &p->out, &used);
        p->used += used;
        in = span_skip(in, used);
    }
}

static void assert_out(const struct peer *p, const char *text)
{
    assert_true(span_equal_text(buf_span(&p->out), text));
}

static void each_side_speaks_at_once(void **state)
{
    (void)state;
    struct peer r;
    responder(&r);
    assert_out(&r, HEADER);
    peer_release(&r);
    struct peer i;
    static const char *const protocols[] = {"/noise", "/tls/1.0.0"};
    initiator(&i, protocols, 2);
    assert_out(&i, HEADER NOISE);
    peer_release(&i);
}

static void responder_answers_in_any_chunking(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk < 70; chunk++) {
        struct peer r;
        responder(&r);
        feed(&r, span_text(HEADER "\x03ls\n\x0c/yamux/1.0.\n" TLS "payload"), chunk);
        assert_int_equal(r.err, ERR_OK);
        assert_int_equal(multistream_selected(&r.m), 8);
        assert_out(&r, HEADER NA NA TLS);
        assert_int_equal(r.used, strlen(HEADER "\x03ls\n\x0c/yamux/1.0.\n" TLS));
        peer_release(&r);
    }
}

static void initiator_goes_through_its_list(void **state)
{
    (void)state;
    static const char *const protocols[] = {"/a", "/noise", "/tls/1.0.0"};
    for (size_t chunk = 1; chunk < 50; chunk++) {
        struct peer i;
        initiator(&i, protocols, 3);
        feed(&i, span_text(HEADER NA NOISE "rest"), chunk);
        assert_int_equal(i.err, ERR_OK);
        assert_int_equal(multistream_selected(&i.m), 1);
        assert_int_equal(i.used, strlen(HEADER NA NOISE));
        assert_out(&i, HEADER "\x03/a\n" NOISE);
        peer_release(&i);
        initiator(&i, protocols, 3);
        feed(&i, span_text(HEADER NA NA NA), chunk);
        assert_int_equal(i.err, ERR_REFUSED);
        peer_release(&i);
    }
}

/* The bytes behind an accepted proposal are never read as another one, whatever they look like. */
static void t12_payload_that_looks_like_a_proposal_is_not_routed(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk < 60; chunk++) {
        struct peer r;
        responder(&r);
        feed(&r, span_text(HEADER NOISE TLS TLS), chunk);
        assert_int_equal(multistream_selected(&r.m), 7);
        assert_int_equal(r.used, strlen(HEADER NOISE));
        size_t used = 1;
        assert_int_equal(multistream_feed(&r.m, span_text(TLS), &r.out, &used), ERR_OK);
        assert_int_equal(used, 0);
        assert_out(&r, HEADER NOISE);
        peer_release(&r);
    }
}

static void t13_hostile_lines_end_the_negotiation(void **state)
{
    (void)state;
    static const struct {
        struct span in;
        const char *what;
    } bad[] = {
        {{(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 9}, "varint of 2^63 - 1"},
        {{(const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10}, "varint of 2^63"},
        {{(const uint8_t *)"\x00", 1}, "empty line"},
        {{(const uint8_t *)"\x93\x00", 2}, "length not in its shortest form"},
        {{(const uint8_t *)"\x81\x08", 2}, "length 1025"},
        {{(const uint8_t *)"\x13/multistream/1.0.0x", 20}, "no newline"},
        {{(const uint8_t *)"\x13/multistream/1.0.1\n", 20}, "another version"},
        {{(const uint8_t *)"GET / HTTP/1.1\r\n\r\n..............................................................", 72},
         "HTTP"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (size_t chunk = 1; chunk < 40; chunk += 6) {
            struct peer r;
            responder(&r);
            feed(&r, bad[i].in, chunk);
            if (r.err != ERR_PROTOCOL)
                print_error("%s\n", bad[i].what);
            assert_int_equal(r.err, ERR_PROTOCOL);
            assert_true(r.m.line.cap <= 2048);
            peer_release(&r);
        }
    }
}

static void t13_a_thousand_proposals_are_cut_off(void **state)
{
    (void)state;
    struct peer r;
    responder(&r);
    feed(&r, span_text(HEADER), 100);
    unsigned answered = 0;
    while (r.err == ERR_OK && answered < 1000) {
        feed(&r, span_text("\x05/nop\n"), 3);
        answered++;
    }
    assert_int_equal(r.err, ERR_PROTOCOL);
    assert_int_equal(answered, MULTISTREAM_PROPOSALS_MAX);
    assert_true(r.out.cap + r.m.line.cap < 2048);
    peer_release(&r);
}

static void the_longest_line_is_taken(void **state)
{
    (void)state;
    struct buf line;
    buf_init(&line, 4096, NULL);
    assert_int_equal(buf_append_text(&line, HEADER), ERR_OK);
    char name[MULTISTREAM_LINE_MAX];
    memset(name, 'x', sizeof(name));
    assert_int_equal(multistream_append_line(&line, span_of(name, MULTISTREAM_LINE_MAX)), ERR_TOO_LARGE);
    assert_int_equal(multistream_append_line(&line, span_of(name, MULTISTREAM_LINE_MAX - 1)), ERR_OK);
    for (size_t chunk = 1; chunk < 1100; chunk += 27) {
        struct peer r;
        responder(&r);
        feed(&r, buf_span(&line), chunk);
        assert_int_equal(r.err, ERR_OK);
        assert_out(&r, HEADER NA);
        peer_release(&r);
    }
    buf_release(&line);
}

static void wrong_answers_are_refused(void **state)
{
    (void)state;
    static const char *const protocols[] = {"/noise"};
    static const char *const bad[] = {HEADER TLS, HEADER HEADER, NOISE, HEADER "\x04na \n"};
    for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
        struct peer i;
        initiator(&i, protocols, 1);
        feed(&i, span_text(bad[k]), 5);
        assert_int_equal(i.err, ERR_PROTOCOL);
        peer_release(&i);
    }
}

/* Both engines connected through pipes of random chunks: they agree on the first common name, and both leave the payload. */
static void connected_pairs_agree(void **state)
{
    (void)state;
    static const char *const names[] = {"/x", "/y/1", "/noise", "/z", "/tls/1.0.0"};
    struct prng prng;
    prng_init(&prng, 12);
    for (int round = 0; round < 500; round++) {
        const char *protocols[4];
        size_t count = 1 + prng_below(&prng, 4);
        int want = -1;
        for (size_t k = 0; k < count; k++) {
            size_t pick = prng_below(&prng, ARRAY_LEN(names));
            protocols[k] = names[pick];
            if (want < 0 && (pick == 2 || pick == 4))
                want = (int)k;
        }
        struct peer i;
        struct peer r;
        initiator(&i, protocols, count);
        responder(&r);
        for (int step = 0; step < 400 && (i.out.len > 0 || r.out.len > 0); step++) {
            struct peer *from = prng_below(&prng, 2) == 0 ? &i : &r;
            struct peer *to = from == &i ? &r : &i;
            struct span in = span_first(buf_span(&from->out), 1 + prng_below(&prng, 9));
            size_t before = to->used;
            feed(to, in, in.len);
            buf_drop(&from->out, to->used - before);
        }
        assert_int_equal(i.err, want < 0 ? ERR_REFUSED : ERR_OK);
        assert_int_equal(multistream_selected(&i.m), want);
        assert_int_equal(multistream_is_done(&r.m), want >= 0);
        peer_release(&i);
        peer_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_side_speaks_at_once),
        cmocka_unit_test(responder_answers_in_any_chunking),
        cmocka_unit_test(initiator_goes_through_its_list),
        cmocka_unit_test(t12_payload_that_looks_like_a_proposal_is_not_routed),
        cmocka_unit_test(t13_hostile_lines_end_the_negotiation),
        cmocka_unit_test(t13_a_thousand_proposals_are_cut_off),
        cmocka_unit_test(the_longest_line_is_taken),
        cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(connected_pairs_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a process that was taken over writes to a lane: nothing of it reaches beyond its own bytes, and nothing of it stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mailbox/batch_check.h"
#include "mailbox/ipc_desk.h"
#include "tests/support/link_ends.h"

enum { BYTES_MAX = 1024 };

/* A batch as it lies in memory. */
struct made {
    uint8_t bytes[BYTES_MAX];
    size_t len;
};

static struct made made_batch(uint32_t count)
{
    struct made m = {.len = ENVELOPE_BATCH_BYTES};
    const uint32_t head[2] = {ENVELOPE_MAGIC, count};
    memcpy(m.bytes, head, sizeof(head));
    return m;
}

static void add_cast(struct made *m, actor_id from, uint64_t tail_bytes, uint16_t account)
{
    struct record r = {.type = RECORD_CAST,
                       .kind = schema_messages.schemas[0].kind,
                       .from = from,
                       .to = RECEIVER,
                       .from_epoch = 1,
                       .to_epoch = 1,
                       .deadline_ns = UINT64_MAX};
    const struct tail_mark mark = {.there = tail_bytes > 0, .account = account, .len = tail_bytes};
    envelope_encode(m->bytes + m->len, &r);
    envelope_set_mark(m->bytes + m->len, &mark);
    m->len += envelope_record_bytes(0);
}

static void expect_nothing_held(void)
{
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        assert_int_equal(account_used(&link_budget.accounts[i]), i == ACCOUNT_MAILBOX ? sizeof(struct hops) : 0);
}

/* A header that announces records and is all there is. */
static void records_that_are_not_there_are_not_looked_at(void **state)
{
    (void)state;
    struct link_ends e;
    for (uint32_t count = 0; count < 3; count++) {
        const struct made m = made_batch(count);
        link_ends_open(&e);
        link_ends_write(&e, LINK_MAGIC, (uint32_t)m.len, m.len, 0, span_of(m.bytes, m.len));
        assert_int_equal(link_ends_read(&e), ERR_PROTOCOL);
        link_ends_write(&e, LINK_MAGIC, (uint32_t)m.len, m.len + 8, 0, span_of(m.bytes, m.len));
        assert_int_equal(link_ends_read(&e), ERR_PROTOCOL);
        link_ends_write(&e, LINK_MAGIC + 1, (uint32_t)m.len, m.len, 0, span_of(m.bytes, m.len));
        assert_int_equal(link_ends_read(&e), ERR_PROTOCOL);
        link_ends_close(&e);
        expect_nothing_held();
    }
}

/* In as many fragments as it has bytes, but for its first ones. */
static void a_batch_may_come_in_any_pieces(void **state)
{
    (void)state;
    struct link_ends e;
    struct made m = made_batch(3);
    add_cast(&m, SENDER, 5, ACCOUNT_UPLOADS + 1);
    add_cast(&m, SENDER, 0, 0);
    add_cast(&m, SENDER, 7, 999);
    memset(m.bytes + m.len, 9, 12);
    for (size_t piece = 1; piece < 64; piece += 9) {
        link_ends_open(&e);
        size_t at = 0;
        enum err err = ERR_AGAIN;
        while (at < m.len + 12) {
            size_t len = MIN(at == 0 ? MAX(piece, ENVELOPE_BATCH_BYTES) : piece, m.len + 12 - at);
            assert_int_equal(err, ERR_AGAIN);
            link_ends_write(&e, LINK_MAGIC, (uint32_t)m.len, m.len + 12, at, span_of(m.bytes + at, len));
            err = link_ends_read(&e);
            at += len;
        }
        assert_int_equal(err, ERR_OK);
        link_ends_close(&e);
        expect_nothing_held();
    }
}

/* Wherever it is cut, what comes next is read, and the rest of the torn one is not. */
static void a_batch_that_is_cut_off_leaves_nothing(void **state)
{
    (void)state;
    struct link_ends e;
    struct made torn = made_batch(2);
    struct made next = made_batch(1);
    add_cast(&torn, SENDER, 30, 1);
    add_cast(&torn, SENDER, 40, 0);
    add_cast(&next, SENDER, 0, 0);
    size_t whole = torn.len + 70;
    for (size_t cut = ENVELOPE_BATCH_BYTES; cut < whole; cut++) {
        link_ends_open(&e);
        link_ends_write(&e, LINK_MAGIC, (uint32_t)torn.len, whole, 0, span_of(torn.bytes, cut));
        assert_int_equal(link_ends_read(&e), ERR_AGAIN);
        if (cut % 2 == 0)
            link_release(e.self, &e.link);
        link_ends_write(&e, LINK_MAGIC, (uint32_t)next.len, next.len, 0, span_of(next.bytes, next.len));
        assert_int_equal(link_ends_read(&e), ERR_OK);
        link_ends_write(&e, LINK_MAGIC, (uint32_t)torn.len, whole, cut, span_of(torn.bytes + cut, whole - cut));
        assert_int_equal(link_ends_read(&e), ERR_AGAIN);
        link_ends_close(&e);
        expect_nothing_held();
    }
}

static void what_breaks_the_rules_is_told(void **state)
{
    (void)state;
    struct link_ends e;
    struct made m = made_batch(1);
    add_cast(&m, SENDER, 10, 1);
    link_ends_open(&e);
    const struct span body = span_of(m.bytes, m.len);
    const struct span more = span_of(m.bytes, m.len + 11);
    const struct {
        uint32_t body_bytes;
        uint64_t total_bytes;
        struct span payload;
    } wrong[] = {
        {(uint32_t)m.len, m.len, body},          /* no bytes for its tail */
        {(uint32_t)m.len, m.len + 10, more},     /* more than was announced */
        {(uint32_t)m.len, m.len - 1, body},      /* less in all than in its body */
        {(uint32_t)m.len, UINT64_MAX, body},     /* a tail without an end */
        {(uint32_t)m.len - 1, m.len + 9, body},  /* torn in its record */
        {15, m.len, body},                       /* less than a header */
        {BATCH_BYTES_MAX + 1, UINT64_MAX, body}, /* larger than any */
        {(uint32_t)m.len + 8, m.len + 18, more}, /* something behind its records */
        {(uint32_t)m.len, m.len + 10, {0}},      /* no bytes */
        {(uint32_t)m.len, m.len + 10, span_first(body, 15)},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        link_ends_write(&e, LINK_MAGIC, wrong[i].body_bytes, wrong[i].total_bytes, 0, wrong[i].payload);
        assert_int_equal(link_ends_read(&e), ERR_PROTOCOL);
        expect_nothing_held();
    }
    link_ends_close(&e);
}

/* Who writes such things faster than they can be read keeps nobody from his turn. */
static void each_look_hears_of_it_once(void **state)
{
    (void)state;
    static struct link_ends e;
    struct ipc_desk desk;
    struct batch *batch;
    actor_id bad = 0;
    int fds[LINK_ACTORS * LANE_COUNT];
    link_ends_open(&e);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = i == SENDER * LANE_COUNT + LANE_DATA ? e.link.fd : -1;
    assert_int_equal(desk_open(&desk, e.self, fds), ERR_OK);
    for (int i = 0; i < 3; i++)
        link_ends_write(&e, LINK_MAGIC + 1, 20, 20, 0, span_text("what is no batch at all"));
    for (int i = 0; i < 3; i++) {
        desk_look(&desk);
        assert_int_equal(desk_receive(&desk, LANE_DATA, &batch, &bad), ERR_PROTOCOL);
        assert_int_equal(bad, SENDER);
        assert_int_equal(desk_receive(&desk, LANE_DATA, &batch, &bad), ERR_AGAIN);
    }
    desk_close(&desk);
    link_ends_close(&e);
}

static enum err check_of(struct record r, actor_id from, actor_id to)
{
    uint8_t bytes[ENVELOPE_BATCH_BYTES + ENVELOPE_RECORD_BYTES];
    const struct made m = made_batch(1);
    memcpy(bytes, m.bytes, m.len);
    envelope_encode(bytes + m.len, &r);
    return batch_check(link_runtime(), from, to, bytes, sizeof(bytes), 0);
}

static void nobody_speaks_for_another(void **state)
{
    (void)state;
    const uint16_t kind = schema_messages.schemas[0].kind;
    const struct record call = {.type = RECORD_CALL, .kind = kind, .from = SENDER, .to = RECEIVER, .correlation = 1};
    struct record r = call;
    assert_int_equal(check_of(r, SENDER, RECEIVER), ERR_OK);
    assert_int_equal(check_of(r, STRANGER, RECEIVER), ERR_PROTOCOL); /* not from him */
    assert_int_equal(check_of(r, SENDER, STRANGER), ERR_PROTOCOL);   /* not for him */
    r.from = STRANGER;
    assert_int_equal(check_of(r, STRANGER, RECEIVER), ERR_PROTOCOL); /* not in the call table */
    r = call;
    r.correlation = 0;
    assert_int_equal(check_of(r, SENDER, RECEIVER), ERR_PROTOCOL);
    r = call;
    r.kind = 1;
    assert_int_equal(check_of(r, SENDER, RECEIVER), ERR_PROTOCOL);
    for (int type = 0; type < 256; type++) {
        r = (struct record){.type = (enum record_type)type, .kind = 1, .from = SENDER, .to = RECEIVER};
        bool may = type == RECORD_CANCEL || type == RECORD_ROOM;
        assert_int_equal(check_of(r, SENDER, RECEIVER), may ? ERR_OK : ERR_PROTOCOL);
    }
    r = (struct record){.type = RECORD_DOWN, .from = LINK_ACTORS, .to = RECEIVER};
    assert_int_equal(check_of(r, ROOT_ID, RECEIVER), ERR_PROTOCOL); /* there is no such actor */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_that_are_not_there_are_not_looked_at),
        cmocka_unit_test(a_batch_may_come_in_any_pieces),
        cmocka_unit_test(a_batch_that_is_cut_off_leaves_nothing),
        cmocka_unit_test(what_breaks_the_rules_is_told),
        cmocka_unit_test(each_look_hears_of_it_once),
        cmocka_unit_test(nobody_speaks_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

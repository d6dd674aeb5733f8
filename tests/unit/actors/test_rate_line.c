/* SPDX-License-Identifier: MIT */
/* Rates and the line for them: the long run is exact, shares are fair, a random crowd beside the sum that it may move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actors/connection_manager/bandwidth.h"
#include "base/limits.h"
#include "base/random.h"
#include "schemas/bandwidth_rule.h"
#include "schemas/config.h"

static const uint64_t start_ns = 3600 * SECOND_NS;

/* Bytes that one who always wants gets in so many seconds, asking at odd times. */
static uint64_t moved_alone(uint64_t rate, uint64_t seconds)
{
    struct rate_line line;
    struct rate_turn turn = {0};
    struct prng prng;
    uint64_t sum = 0;
    prng_init(&prng, rate);
    rate_line_init(&line);
    rate_bucket_set(&line.bucket, rate, start_ns);
    for (uint64_t now = start_ns; now < start_ns + seconds * SECOND_NS; now += 1 + prng_below(&prng, 3 * MS_NS)) {
        while (rate_line_next(&line, now) != NULL)
            continue;
        size_t n = rate_line_ask(&line, &turn, 1 << 20, now);
        if (n == 0)
            continue;
        sum += n;
        rate_line_spend(&line, &turn, n, now);
    }
    rate_turn_leave(&turn);
    return sum;
}

static void the_long_run_is_the_rate(void **state)
{
    (void)state;
    static const uint64_t rates[] = {16000, 99991, 1000000, 125000000};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t moved = moved_alone(rates[i], 60);
        uint64_t burst = MAX(rates[i] / 2, (uint64_t)RATE_BURST_MIN_BYTES);
        assert_true(moved <= rates[i] * 60 + burst);
        assert_true(moved >= rates[i] * 59);
    }
}

static void without_a_rate_nobody_waits(void **state)
{
    (void)state;
    struct rate_line line;
    struct rate_turn turn = {0};
    rate_line_init(&line);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rate_line_ask(&line, &turn, 1 << 20, start_ns), 1 << 20);
        rate_line_spend(&line, &turn, 1 << 20, start_ns);
    }
    assert_true(rate_line_deadline(&line, start_ns) == UINT64_MAX);
}

static void what_could_not_be_held_back_is_paid_for_later(void **state)
{
    (void)state;
    struct rate_bucket bucket = {0};
    rate_bucket_set(&bucket, 100000, start_ns);
    assert_int_equal(rate_bucket_level(&bucket, start_ns), 50000);
    rate_bucket_take(&bucket, 350000, start_ns);
    assert_int_equal(rate_bucket_level(&bucket, start_ns), -300000);
    uint64_t at = rate_bucket_ready(&bucket, 1500, start_ns);
    assert_true(at > start_ns + 3 * SECOND_NS && at < start_ns + 3100 * MS_NS);
    assert_true(rate_bucket_level(&bucket, at - MS_NS) < 1500);
    assert_true(rate_bucket_level(&bucket, at) >= 1500);
    assert_int_equal(rate_bucket_level(&bucket, at + 1000000 * SECOND_NS), 50000);
}

/* What was had under one rate counts under the next, and no burst is more than the rate's. */
static void a_rate_may_change(void **state)
{
    (void)state;
    struct rate_bucket bucket = {0};
    rate_bucket_set(&bucket, 100000, start_ns);
    rate_bucket_take(&bucket, 50000, start_ns);
    rate_bucket_set(&bucket, 200000, start_ns);
    assert_int_equal(rate_bucket_level(&bucket, start_ns), 0);
    rate_bucket_set(&bucket, 400000, start_ns + 100 * MS_NS);
    assert_int_equal(rate_bucket_level(&bucket, start_ns + 100 * MS_NS), 20000);
    assert_int_equal(rate_bucket_level(&bucket, start_ns + 10 * SECOND_NS), 200000);
    rate_bucket_set(&bucket, 100000, start_ns + 10 * SECOND_NS);
    assert_int_equal(rate_bucket_level(&bucket, start_ns + 10 * SECOND_NS), 50000);
    /* more than a burst is never there at once */
    assert_true(rate_bucket_ready(&bucket, MIB, start_ns + 10 * SECOND_NS) == start_ns + 10 * SECOND_NS);
}

static void time_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    struct rate_bucket bucket = {0};
    rate_bucket_set(&bucket, 100000, start_ns);
    rate_bucket_take(&bucket, 50000, start_ns);
    assert_int_equal(rate_bucket_level(&bucket, start_ns + MS_NS), 100);
    assert_int_equal(rate_bucket_level(&bucket, start_ns), 100);
    assert_int_equal(rate_bucket_level(&bucket, start_ns + MS_NS), 100);
}

/* Turns that always want, each by its own step; the owner wakes when the line says so. */
enum { CROWD = 40 };
struct crowd {
    struct rate_line line;
    struct rate_turn turns[CROWD];
    uint64_t moved[CROWD];
    unsigned size;
    uint64_t wakes;
};

static void want_more(struct crowd *c, unsigned i, size_t want, uint64_t now)
{
    size_t n = rate_line_ask(&c->line, &c->turns[i], want, now);
    if (n == 0)
        return;
    c->moved[i] += n;
    rate_line_spend(&c->line, &c->turns[i], n, now);
}

static void run_crowd(struct crowd *c, uint64_t seconds, size_t want)
{
    uint64_t now = start_ns;
    for (unsigned i = 0; i < c->size; i++) {
        c->turns[i].owner = &c->turns[i];
        while (c->turns[i].in == NULL)
            want_more(c, i, want, now);
    }
    while (now < start_ns + seconds * SECOND_NS) {
        struct rate_turn *turn;
        uint64_t at = rate_line_deadline(&c->line, now);
        assert_true(at != UINT64_MAX && at >= now); /* somebody waits */
        now = at;
        c->wakes++;
        while ((turn = rate_line_next(&c->line, now)) != NULL) {
            unsigned i = (unsigned)(turn - c->turns);
            want_more(c, i, want, now); /* what was granted */
            want_more(c, i, want, now); /* and to the end of the line */
        }
    }
}

static void a_crowd_shares_evenly_and_sleeps(void **state)
{
    (void)state;
    static struct crowd c;
    c = (struct crowd){.size = CROWD};
    rate_line_init(&c.line);
    rate_bucket_set(&c.line.bucket, 1000000, start_ns);
    run_crowd(&c, 60, 128 * 1024);
    uint64_t sum = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        sum += c.moved[i];
        assert_true(c.moved[i] > 59000000 / CROWD * 9 / 10 && (i < 4 || c.moved[i] < 61000000 / CROWD * 11 / 10));
    }
    assert_true(sum <= 60 * 1000000 + 500000 + CROWD * 1500 && sum >= 59 * 1000000);
    assert_true(c.wakes < 60 * 100); /* and nobody spins */
    for (unsigned i = 0; i < CROWD; i++)
        rate_turn_leave(&c.turns[i]);
    assert_int_equal(c.line.waiting, 0);
}

/* The slow one of two peers does not hold up the other, and keeps to its own rate. */
static void a_bucket_of_its_own_holds_up_nobody_else(void **state)
{
    (void)state;
    static struct crowd c;
    struct rate_bucket slow = {0};
    c = (struct crowd){.size = 3};
    rate_line_init(&c.line);
    rate_bucket_set(&c.line.bucket, 1000000, start_ns);
    rate_bucket_set(&slow, 50000, start_ns);
    c.turns[0].own = &slow;
    run_crowd(&c, 60, 128 * 1024);
    assert_true(c.moved[0] >= 59 * 50000 && c.moved[0] <= 60 * 50000 + 25000);
    assert_true(c.wakes < 60 * 1000);
    assert_true(c.moved[1] > 26000000 && c.moved[2] > 26000000);
    for (unsigned i = 0; i < 3; i++)
        rate_turn_leave(&c.turns[i]);
}

static void a_grant_that_is_not_used_goes_back(void **state)
{
    (void)state;
    struct rate_line line;
    struct rate_turn a = {0};
    struct rate_turn b = {0};
    rate_line_init(&line);
    rate_bucket_set(&line.bucket, 100000, start_ns);
    assert_int_equal(rate_line_ask(&line, &a, 100000, start_ns), 50000);
    rate_line_spend(&line, &a, 50000, start_ns);
    assert_int_equal(rate_line_ask(&line, &a, 100000, start_ns), 0);
    assert_int_equal(rate_line_ask(&line, &b, 100000, start_ns), 0);
    uint64_t now = start_ns + SECOND_NS;
    assert_ptr_equal(rate_line_next(&line, now), &a);
    assert_int_equal(rate_line_ask(&line, &a, 100000, now), 25000);
    rate_line_spend(&line, &a, 5000, now);
    assert_ptr_equal(rate_line_next(&line, now), &b);
    assert_int_equal(rate_line_ask(&line, &b, 100000, now), 45000);
    rate_line_spend(&line, &b, 45000, now);
    assert_null(rate_line_next(&line, now));
    assert_int_equal(rate_line_ask(&line, &a, 100000, now), 0);
    assert_ptr_equal(rate_line_next(&line, now + SECOND_NS), &a);
    rate_turn_leave(&a); /* who leaves has no grant any more */
    assert_int_equal(rate_line_ask(&line, &a, 100000, now + SECOND_NS), 0);
    rate_turn_leave(&a);
}

static void a_random_crowd_keeps_to_the_sum(void **state)
{
    (void)state;
    static struct crowd c;
    struct prng prng;
    prng_init(&prng, 3);
    c = (struct crowd){.size = CROWD};
    rate_line_init(&c.line);
    rate_bucket_set(&c.line.bucket, 300000, start_ns);
    uint64_t now = start_ns;
    for (int step = 0; step < 50000; step++) {
        unsigned i = (unsigned)prng_below(&prng, CROWD);
        uint64_t sum = 0;
        now += prng_below(&prng, 2 * MS_NS);
        if (prng_below(&prng, 20) == 0)
            rate_turn_leave(&c.turns[i]);
        else
            want_more(&c, i, 1 + (size_t)prng_below(&prng, 100000), now);
        (void)rate_line_next(&c.line, now);
        size_t standing = 0;
        for (unsigned k = 0; k < CROWD; k++) {
            sum += c.moved[k];
            standing += c.turns[k].in != NULL;
        }
        assert_int_equal(standing, c.line.waiting);
        assert_true(sum <= 150000 + (now - start_ns) / 1000 * 3 / 10 + 1);
    }
}

/* ---- rules ---- */

static void set(struct config *config, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(config, key, span_text(value), why), ERR_OK);
}

#define ALICE "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

static void rules_are_by_name_peer_and_hour(void **state)
{
    (void)state;
    static struct bandwidth b;
    struct config *config;
    const char *item = NULL;
    struct peer_id alice;
    const struct peer_id bob = {.len = 34, .bytes = {0x12, 0x20, 7}};
    struct rate_bucket buckets[BANDWIDTH_DIRECTIONS];
    assert_int_equal(config_new("/x", &config), ERR_OK);
    assert_int_equal(bandwidth_init(&b, config, start_ns, &item), ERR_OK);
    assert_false(b.limited);
    set(config, "Swarm.Bandwidth.In", "1MB");
    assert_int_equal(bandwidth_init(&b, config, start_ns, &item), ERR_OK);
    assert_true(b.limited);
    set(config, "Swarm.Bandwidth.In", "0");
    set(config, "Swarm.Bandwidth.Out", "1MB");
    set(config, "Swarm.Bandwidth.PerProtocol", "/ipfs/bitswap 2MB 1MB, /ipfs/kad/1.0.0 100kB 0");
    set(config, "Swarm.Bandwidth.PerPeer", ALICE " 0 500kB, * 200kB 300kB");
    set(config, "Swarm.Bandwidth.Schedule", "8-18 1MB 250kB, 12-13 2MB 2MB, 22-6 0 0");
    assert_int_equal(bandwidth_init(&b, config, start_ns, &item), ERR_OK);
    assert_true(b.limited);
    assert_ptr_equal(bandwidth_protocol_of(&b, span_text("/ipfs/bitswap/1.2.0")), &b.protocols[0]);
    assert_ptr_equal(bandwidth_protocol_of(&b, span_text("/ipfs/bitswap")), &b.protocols[0]);
    assert_null(bandwidth_protocol_of(&b, span_text("/ipfs/bitswapper/1")));
    assert_int_equal(bandwidth_protocol_of(&b, span_text("/ipfs/kad/1.0.0"))->line[BANDWIDTH_IN].bucket.rate, 100000);
    assert_int_equal(peer_id_parse_text(span_text(ALICE), &alice), ERR_OK);
    memset(buckets, 0, sizeof(buckets));
    bandwidth_peer(&b, &alice, start_ns, buckets);
    assert_int_equal(buckets[BANDWIDTH_IN].rate, 0);
    assert_int_equal(buckets[BANDWIDTH_OUT].rate, 500000);
    bandwidth_peer(&b, &bob, start_ns, buckets);
    assert_int_equal(buckets[BANDWIDTH_IN].rate, 200000);
    static const struct {
        unsigned hour;
        uint64_t in;
        uint64_t out;
    } rows[] = {{7, 0, 1000000},
                {8, 1000000, 250000},
                {12, 1000000, 250000}, /* the first that holds */
                {17, 1000000, 250000},
                {18, 0, 1000000},
                {22, 0, 0},
                {23, 0, 0},
                {0, 0, 0},
                {5, 0, 0},
                {6, 0, 1000000}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bandwidth_hour(&b, rows[i].hour, start_ns);
        assert_int_equal(b.all[BANDWIDTH_IN].bucket.rate, rows[i].in);
        assert_int_equal(b.all[BANDWIDTH_OUT].bucket.rate, rows[i].out);
    }
    struct rate_turn turn = {0};
    assert_true(bandwidth_deadline(&b, start_ns) == UINT64_MAX);
    struct rate_line *line = &b.protocols[0].line[BANDWIDTH_IN];
    rate_line_spend(line, &turn, 10 * MIB, start_ns);
    assert_int_equal(rate_line_ask(line, &turn, 1 << 20, start_ns), 0);
    assert_true(bandwidth_deadline(&b, start_ns) > start_ns && bandwidth_deadline(&b, start_ns) < UINT64_MAX);
    rate_turn_leave(&turn);
    set(config, "Swarm.Bandwidth.PerPeer", "12D3 0 500kB");
    assert_int_equal(bandwidth_init(&b, config, start_ns, &item), ERR_INVALID);
    assert_string_equal(item, "12D3 0 500kB");
    config_free(config);
}

static void rules_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "a",         "a 1MB",      "a 1MB 1MB 1MB", "a many 1MB",
                                      "a 1MB -1", "a 15999 0", "a 1MB 100B", "a 9999TB 0"};
    static const char *const hours[] = {"", "8", "8-", "-8", "24-3", "3-25", "5-5", "8-18-20", "a-b"};
    struct bandwidth_rule rule;
    uint8_t from;
    uint8_t to;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(bandwidth_rule_parse(span_text(bad[i]), &rule), ERR_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(hours); i++)
        assert_int_equal(bandwidth_hours_parse(span_text(hours[i]), &from, &to), ERR_INVALID);
    assert_int_equal(bandwidth_rule_parse(span_text("  a\t1MB   0 "), &rule), ERR_OK);
    assert_int_equal(rule.in, 1000000);
    assert_int_equal(rule.out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_long_run_is_the_rate),
        cmocka_unit_test(without_a_rate_nobody_waits),
        cmocka_unit_test(what_could_not_be_held_back_is_paid_for_later),
        cmocka_unit_test(a_rate_may_change),
        cmocka_unit_test(time_that_goes_back_gives_nothing),
        cmocka_unit_test(a_crowd_shares_evenly_and_sleeps),
        cmocka_unit_test(a_bucket_of_its_own_holds_up_nobody_else),
        cmocka_unit_test(a_grant_that_is_not_used_goes_back),
        cmocka_unit_test(a_random_crowd_keeps_to_the_sum),
        cmocka_unit_test(rules_are_by_name_peer_and_hour),
        cmocka_unit_test(rules_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

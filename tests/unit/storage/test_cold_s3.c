/* SPDX-License-Identifier: MIT */
/* The S3 client against the simulated server, in virtual time: what only time shows, and a fault at each request in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "sim/bucket.h"
#include "sim/disk.h"
#include "storage/cold_s3.h"
#include "storage/cold_tier.h"
#include "tests/support/storage.h"

enum { BLOCKS = 12, BLOCK_BYTES = 450 * 1000, LATENCY_MS = 20, DEADLINE_S = 10, REST_S = 61 };

static const uint8_t mark[PACK_MARK_BYTES] = "one for the test";

struct world {
    struct sim_bucket *bucket;
    struct s3_client *client;
    struct account account;
    struct cold_tier tier;
    struct cold_call call;
    struct cold_place places[BLOCKS];
    uint8_t *blocks[BLOCKS];
};

static struct s3_options options_for(struct world *w)
{
    return (struct s3_options){.http = sim_bucket_port(w->bucket),
                               .endpoint = "https://s3.example",
                               .region = "eu-1",
                               .bucket = "tier",
                               .prefix = "node/",
                               .credentials = {.key_id = "me", .secret = "secret"},
                               .seed = 1,
                               .account = &w->account};
}

/* Each operation has a deadline of its own. */
static struct cold_call *call_of(struct world *w)
{
    w->call = (struct cold_call){.deadline_ns = sim_bucket_now(w->bucket) + DEADLINE_S * SECOND_NS};
    return &w->call;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    char why[COLD_WHY_BYTES];
    assert_non_null(w);
    w->bucket = sim_bucket_new("tier", LATENCY_MS * MS_NS);
    account_init(&w->account, "test", 16 * MIB);
    struct s3_options options = options_for(w);
    assert_int_equal(s3_client_new(&options, &w->client, why), ERR_OK);
    assert_int_equal(cold_s3_new(w->client, &w->tier.store), ERR_OK);
    assert_int_equal(cold_tier_claim(w->tier.store, call_of(w), mark), ERR_OK);
    memcpy(w->tier.mark, mark, sizeof(mark));
    w->tier.account = &w->account;
    for (size_t i = 0; i < BLOCKS; i++) {
        struct prng prng;
        prng_init(&prng, i);
        w->blocks[i] = malloc(BLOCK_BYTES);
        assert_non_null(w->blocks[i]);
        prng_fill(&prng, w->blocks[i], BLOCK_BYTES);
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->tier.store->class->free(w->tier.store);
    s3_client_free(w->client);
    assert_int_equal(account_used(&w->account), 0);
    sim_bucket_free(w->bucket);
    for (size_t i = 0; i < BLOCKS; i++)
        free(w->blocks[i]);
    free(w);
    return 0;
}

static enum err write_pack(struct world *w, uint64_t id)
{
    struct cold_pack *pack;
    struct pack_tail tail;
    struct cold_place places[BLOCKS];
    enum err err = cold_pack_begin(&w->tier, call_of(w), id, &pack);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; err == ERR_OK && i < BLOCKS; i++) {
        struct block_key key;
        struct span block = span_of(w->blocks[i], BLOCK_BYTES);
        test_key(block, &key);
        err = cold_pack_add(pack, call_of(w), &key, 0x55, block, &places[i]);
    }
    if (err != ERR_OK) {
        cold_pack_abandon(pack, call_of(w));
        return err;
    }
    err = cold_pack_end(pack, call_of(w), &tail);
    if (err == ERR_OK)
        memcpy(w->places, places, sizeof(places));
    return err;
}

static enum err read_block(struct world *w, size_t i)
{
    struct block_ref *ref;
    enum err err = cold_tier_read(&w->tier, call_of(w), &w->places[i], &w->account, &ref);
    if (err != ERR_OK)
        return err;
    assert_true(span_equal(block_ref_span(ref), span_of(w->blocks[i], BLOCK_BYTES)));
    block_ref_unref(ref);
    return ERR_OK;
}

static void a_pack_in_parts_is_proved_by_its_tag(void **state)
{
    struct world *w = *state;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    struct s3_counters c = s3_client_counters(w->client);
    assert_int_equal(c.requests[S3_UPLOAD_PART], 2);
    assert_int_equal(c.requests[S3_GET], 2); /* both for the mark: the pack was not read back */
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(read_block(w, i), ERR_OK);
    assert_int_equal(s3_client_counters(w->client).requests[S3_GET], 2 + BLOCKS);
    assert_int_equal(cold_tier_check(&w->tier, call_of(w), 1, NULL), ERR_OK);
    assert_int_equal(sim_bucket_damage(w->bucket, "node/0000000000000001.pack", w->places[4].offset + 500, 1), ERR_OK);
    assert_int_equal(read_block(w, 4), ERR_CORRUPT);
    assert_int_equal(cold_tier_check(&w->tier, call_of(w), 1, NULL), ERR_CORRUPT);
}

static bool is_troubled(const struct world *w)
{
    char why[COLD_WHY_BYTES];
    s3_client_trouble(w->client, why);
    return why[0] != '\0';
}

static void an_hour_of_absence_loses_nothing(void **state)
{
    struct world *w = *state;
    uint64_t reads = 0;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    uint64_t before = sim_bucket_requests(w->bucket);
    uint64_t back = sim_bucket_now(w->bucket) + 3600 * SECOND_NS;
    sim_bucket_absent_until(w->bucket, back);
    while (sim_bucket_now(w->bucket) <
           back) { /* somebody wants a block each second, and space is wanted now and then */
        uint64_t at = sim_bucket_now(w->bucket);
        enum err err = read_block(w, reads++ % BLOCKS);
        if (err == ERR_OK) { /* the last try outlasted the hour */
            assert_true(sim_bucket_now(w->bucket) >= back);
            break;
        }
        assert_int_equal(err, ERR_UNAVAILABLE);
        assert_true(sim_bucket_now(w->bucket) - at <= DEADLINE_S * SECOND_NS);
        assert_true(w->call.retry_at_ns > at && w->call.why[0] != '\0');
        assert_true(is_troubled(w));
        if (reads % 300 == 0)
            assert_int_equal(write_pack(w, 2), ERR_UNAVAILABLE);
        sim_bucket_advance(w->bucket, SECOND_NS);
    }
    assert_true(sim_bucket_requests(w->bucket) - before < 500);
    /* Whoever asks again when he is told to is served, a minute after the end at the latest. */
    enum err err = read_block(w, 0);
    while (err == ERR_UNAVAILABLE && sim_bucket_now(w->bucket) < back + REST_S * SECOND_NS) {
        sim_bucket_advance(w->bucket, w->call.retry_at_ns - sim_bucket_now(w->bucket));
        err = read_block(w, 0);
    }
    assert_int_equal(err, ERR_OK);
    assert_false(is_troubled(w));
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(read_block(w, i), ERR_OK);
    assert_int_equal(write_pack(w, 2), ERR_OK);
    assert_int_equal(sim_bucket_objects(w->bucket), 3);
    assert_int_equal(sim_bucket_uploads(w->bucket), 0);
}

/* However long its call may take, a request that nobody answers is given up in a time that people wait for. */
static void an_outage_is_told_before_a_long_deadline(void **state)
{
    struct world *w = *state;
    struct block_ref *ref;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    uint64_t at = sim_bucket_now(w->bucket);
    struct cold_call patient = {.deadline_ns = at + 600 * SECOND_NS};
    sim_bucket_absent_until(w->bucket, at + 3600 * SECOND_NS);
    assert_int_equal(cold_tier_read(&w->tier, &patient, &w->places[0], NULL, &ref), ERR_UNAVAILABLE);
    assert_in_range(sim_bucket_now(w->bucket) - at, S3_PATIENCE_NS / 2, S3_PATIENCE_NS + 10 * SECOND_NS);
    assert_true(patient.retry_at_ns > at && patient.why[0] != '\0');
}

static void a_short_deadline_is_no_outage(void **state)
{
    struct world *w = *state;
    struct block_ref *ref;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    struct cold_call hasty = {.deadline_ns = sim_bucket_now(w->bucket) + MS_NS};
    assert_int_equal(cold_tier_read(&w->tier, &hasty, &w->places[0], NULL, &ref), ERR_UNAVAILABLE);
    assert_int_equal(read_block(w, 0), ERR_OK); /* the next one has not to wait for him */
}

static void what_the_server_asks_for_is_waited(void **state)
{
    struct world *w = *state;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    uint64_t at = sim_bucket_now(w->bucket);
    sim_bucket_fail(w->bucket, SIM_BUCKET_STATUS, 503, 3, 0, 2);
    assert_int_equal(read_block(w, 0), ERR_OK);
    assert_in_range(sim_bucket_now(w->bucket) - at, 6 * SECOND_NS, 7 * SECOND_NS);
    /* More than there is time for: no wait at all. */
    at = sim_bucket_now(w->bucket);
    sim_bucket_fail(w->bucket, SIM_BUCKET_STATUS, 503, 3600, 0, 1);
    assert_int_equal(read_block(w, 0), ERR_UNAVAILABLE);
    assert_true(sim_bucket_now(w->bucket) - at < SECOND_NS);
}

static void a_cancelled_call_ends(void **state)
{
    struct world *w = *state;
    _Atomic bool cancelled = true;
    struct block_ref *ref;
    assert_int_equal(write_pack(w, 1), ERR_OK);
    sim_bucket_fail(w->bucket, SIM_BUCKET_STATUS, 500, 0, 0, 100);
    call_of(w)->cancelled = &cancelled;
    uint64_t at = sim_bucket_now(w->bucket);
    assert_int_equal(cold_tier_read(&w->tier, &w->call, &w->places[0], NULL, &ref), ERR_CANCELLED);
    assert_true(sim_bucket_now(w->bucket) - at < SECOND_NS);
}

/* With the n-th request failing: the pack is there and whole, or it is not, and nothing is left. */
static void try_with(struct world *w, uint64_t id, enum sim_bucket_fault fault, uint64_t n, uint64_t count)
{
    uint64_t swept = 0;
    sim_bucket_fail(w->bucket, fault, 500, 0, n, count);
    enum err err = write_pack(w, id);
    sim_bucket_fail(w->bucket, fault, 500, 0, 0, 0);
    if (err == ERR_OK) {
        assert_int_equal(cold_tier_check(&w->tier, call_of(w), id, NULL), ERR_OK);
        for (size_t i = 0; i < BLOCKS; i++)
            assert_int_equal(read_block(w, i), ERR_OK);
    } else {
        assert_true(count > 1); /* once is nothing */
        assert_int_equal(err, ERR_UNAVAILABLE);
        sim_bucket_advance(w->bucket, REST_S * SECOND_NS);
    }
    /* What the next start does with a pack that has no row of a block. */
    assert_int_equal(cold_tier_sweep(&w->tier, call_of(w), &swept), ERR_OK);
    assert_int_equal(cold_tier_remove(&w->tier, call_of(w), id), ERR_OK);
    assert_int_equal(sim_bucket_objects(w->bucket), 1);
    assert_int_equal(sim_bucket_uploads(w->bucket), 0);
    sim_bucket_advance(w->bucket, REST_S * SECOND_NS); /* the budget is full again */
}

static void each_request_fails_once_and_for_good(void **state)
{
    struct world *w = *state;
    static const enum sim_bucket_fault faults[] = {SIM_BUCKET_STATUS, SIM_BUCKET_RESET, SIM_BUCKET_LOSE};
    uint64_t before = sim_bucket_requests(w->bucket);
    uint64_t id = 1;
    try_with(w, id++, SIM_BUCKET_STATUS, 0, 0);
    uint64_t requests = sim_bucket_requests(w->bucket) - before;
    assert_in_range(requests, 8, 40);
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        for (uint64_t n = 0; n < 6; n++) { /* begin, two parts, the end, and HEAD; then none of them */
            try_with(w, id++, faults[f], n, 1);
            try_with(w, id++, faults[f], n, 1000);
        }
    }
}

static enum err note_pack(void *arg, uint64_t pack, uint64_t bytes)
{
    uint64_t *sum = arg;
    (void)bytes;
    sum[0] += pack;
    sum[1]++;
    return ERR_OK;
}

static void foreign_and_many_objects_are_listed_in_pages(void **state)
{
    struct world *w = *state;
    uint64_t sum[2] = {0, 0};
    uint64_t at = 0;
    unsigned pages = 0;
    struct cold_upload *upload;
    enum cold_proof proof;
    struct s3_options options = options_for(w);
    options.requests_per_s = 100000;
    options.burst = 100000;
    struct s3_client *fast;
    struct cold_store *store;
    struct cold_call call = {.deadline_ns = UINT64_MAX};
    char why[COLD_WHY_BYTES];
    assert_int_equal(s3_client_new(&options, &fast, why), ERR_OK);
    assert_int_equal(cold_s3_new(fast, &store), ERR_OK);
    for (uint64_t i = 0; i < 2300; i++) {
        char name[COLD_NAME_MAX];
        if (i < 1200) /* sorts before all packs */
            (void)snprintf(name, sizeof(name), "%04u.other", (unsigned)i);
        else
            pack_name((UINT64_C(1) << 60) + i, name);
        assert_int_equal(store->class->create(store, &call, name, &upload), ERR_OK);
        assert_int_equal(store->class->append(upload, &call, span_text("x")), ERR_OK);
        assert_int_equal(store->class->finish(upload, &call, &proof), ERR_OK);
        assert_int_equal(proof, COLD_PROVED);
    }
    do {
        assert_int_equal(cold_tier_packs(&w->tier, call_of(w), at, note_pack, sum, &at), ERR_OK);
        pages++;
    } while (at != 0);
    assert_int_equal(sum[1], 1100);
    assert_in_range(pages, 2, 3);
    store->class->free(store);
    s3_client_free(fast);
}

static void expect_invalid(struct s3_options options)
{
    struct s3_client *client;
    char why[COLD_WHY_BYTES] = "";
    assert_int_equal(s3_client_new(&options, &client, why), ERR_INVALID);
    assert_true(why[0] != '\0');
    assert_null(strstr(why, "secret of the test"));
}

static void what_cannot_be_meant_is_refused(void **state)
{
    struct world *w = *state;
    struct s3_options o = options_for(w);
    (void)snprintf(o.credentials.secret, sizeof(o.credentials.secret), "secret of the test");
    struct s3_options bad = o;
    bad.endpoint = "s3.example";
    expect_invalid(bad);
    bad.endpoint = "https://key:secret of the test@s3.example";
    expect_invalid(bad);
    bad = o;
    bad.bucket = "";
    expect_invalid(bad);
    bad = o;
    bad.prefix = "node"; /* node2/ would be ours, too */
    expect_invalid(bad);
    bad = o;
    bad.region = "";
    expect_invalid(bad);
    bad = o;
    bad.credentials.key_id[0] = '\0';
    expect_invalid(bad);
}

/* ---- credentials ---- */

static const char *no_environment(const char *name)
{
    return strcmp(name, "HOME") == 0 ? "/home" : NULL;
}

static const char *full_environment(const char *name)
{
    return strcmp(name, "AWS_ACCESS_KEY_ID") == 0       ? "from-environment"
           : strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0 ? "s"
           : strcmp(name, "AWS_SESSION_TOKEN") == 0     ? "t"
                                                        : NULL;
}

static void credentials_are_found_in_this_order(void **state)
{
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct s3_credentials c;
    struct disk_file *file;
    const char *text =
        "[default]\r\n  aws_access_key_id = from-file \n#aws_secret_access_key=no\naws_secret_access_key=a=b\n"
        "[other]\naws_access_key_id=x\n";
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    (void)state;
    assert_int_equal(s3_credentials_find(port, no_environment, NULL, "", &c), ERR_NOT_FOUND);
    assert_int_equal(port->open(port->self, "/home/.aws/credentials", DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    assert_int_equal(port->pwritev(file, &iov, 1, 0), ERR_OK);
    port->close(file);
    assert_int_equal(s3_credentials_find(port, no_environment, NULL, NULL, &c), ERR_OK);
    assert_string_equal(c.key_id, "from-file");
    assert_string_equal(c.secret, "a=b");
    assert_string_equal(c.token, "");
    assert_int_equal(s3_credentials_find(port, full_environment, NULL, NULL, &c), ERR_OK);
    assert_string_equal(c.key_id, "from-environment");
    assert_string_equal(c.token, "t");
    assert_int_equal(s3_credentials_find(port, full_environment, "configured", "k", &c), ERR_OK);
    assert_string_equal(c.key_id, "configured");
    assert_string_equal(c.token, "");
    assert_int_equal(s3_credentials_find(port, full_environment, "half", "", &c), ERR_INVALID);
    assert_int_equal(s3_credentials_parse(span_text(text), "other", &c), ERR_INVALID);
    assert_int_equal(s3_credentials_parse(span_text(text), "missing", &c), ERR_NOT_FOUND);
    s3_credentials_wipe(&c);
    assert_int_equal(c.key_id[0] | c.secret[0] | c.token[0], 0);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pack_in_parts_is_proved_by_its_tag, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_hour_of_absence_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_outage_is_told_before_a_long_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_deadline_is_no_outage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_server_asks_for_is_waited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_call_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_request_fails_once_and_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_and_many_objects_are_listed_in_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_meant_is_refused, set_up, tear_down),
        cmocka_unit_test(credentials_are_found_in_this_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "actors/state/store.h"
#include "storage/disk_posix.h"
#include "wire/peer_id.h"

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

struct fixture {
    char folder[64];
    struct state_options options;
    struct state_store *store;
    struct state_batch *batch;
    char why[STATE_WHY_BYTES];
    char replaced[STATE_WHY_BYTES];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/hearth-state-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->options.path, sizeof(f->options.path), "%s/state.db", f->folder);
    f->options.disk = disk_posix();
    f->store = state_store_new(&f->options);
    f->batch = state_batch_new();
    assert_true(f->store != NULL && f->batch != NULL);
    *state = f;
    return 0;
}

static void remove_each(void *arg, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", ((struct fixture *)arg)->folder, name);
    (void)unlink(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    state_store_free(f->store);
    state_batch_free(f->batch);
    (void)disk_posix()->list(disk_posix()->self, f->folder, remove_each, f);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

static void write_batch(struct fixture *f)
{
    f->batch->at++;
    if (state_store_write(f->store, f->batch, f->why, f->replaced) != ERR_OK)
        fail_msg("%s", f->why);
    state_batch_clear(f->batch);
}

static void expect_text(struct fixture *f, const char *sql, const char *want)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(f->options.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int code = sqlite3_step(statement);
    const char *got = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "(no row)";
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("%s gives %s, not %s", sql, got == NULL ? "NULL" : got, want);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

static void add_event(struct fixture *f, const char *text)
{
    struct msg_event m = {.actor = span_text("a"), .event = span_text(text), .reason = span_text("r")};
    assert_ok(state_batch_add(f->batch, MSG_EVENT, 7 * SECOND_NS, &m));
}

static void rows_are_written_and_read_by_others(void **state)
{
    struct fixture *f = *state;
    add_event(f, "exited");
    (void)snprintf(f->batch->actors[0].name, sizeof(f->batch->actors[0].name), "bitswap");
    (void)snprintf(f->batch->actors[0].state, sizeof(f->batch->actors[0].state), "running");
    f->batch->actor_count = 1;
    write_batch(f);
    expect_text(f, "SELECT state FROM actors WHERE name='bitswap'", "running");
    expect_text(f, "SELECT at||' '||actor||' '||event||' '||reason FROM v_events", "1970-01-01 00:00:07 a exited r");
    expect_text(f, "SELECT value FROM meta WHERE key='written_at'", "1");
    expect_text(f, "SELECT count(*) FROM v_connections", "0");
    expect_text(f, "SELECT count(*) FROM v_wants", "0");
    expect_text(f, "SELECT count(*) FROM v_transfers", "0");
}

static void files_are_private_and_readable_after_a_stop(void **state)
{
    struct fixture *f = *state;
    mode_t old = umask(0);
    add_event(f, "one");
    write_batch(f);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[STATE_PATH_MAX + 8];
        struct stat st;
        (void)snprintf(path, sizeof(path), "%s%s", f->options.path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    (void)umask(old);
    state_store_free(f->store);
    f->store = NULL;
    expect_text(f, "SELECT count(*) FROM events", "1");
}

static const uint8_t peer_bytes[] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20, 1,  2,  3,  4,  5,  6,  7,
                                     8,    9,    10,   11,   12,   13,   14, 15, 16, 17, 18, 19, 20,
                                     21,   22,   23,   24,   25,   26,   27, 28, 29, 30, 31, 32};

static enum err load_peers(struct fixture *f, uint64_t limit, struct buf *items, uint32_t *ret_count)
{
    struct msg_state_peers fields = {.limit = limit};
    struct state_page page;
    state_page_of(MSG_STATE_PEERS, &fields, &page);
    return state_store_load(f->store, MSG_STATE_PEERS, &page, items, ret_count, NULL, f->why);
}

static void peers_are_kept_over_lives(void **state)
{
    struct fixture *f = *state;
    struct buf addrs;
    buf_init(&addrs, 4096, NULL);
    assert_ok(schema_list_add_text(&addrs, span_text("/ip4/127.0.0.1/tcp/4001")));
    assert_ok(schema_list_add_text(&addrs, span_text("/dns4/a\"b/tcp/1")));
    struct msg_state_peer m = {.peer = span_of(peer_bytes, sizeof(peer_bytes)),
                               .addrs = schema_list_of(&addrs, 2),
                               .last_seen = 5 * SECOND_NS,
                               .connected = true};
    assert_ok(state_batch_add(f->batch, MSG_STATE_PEER, 1, &m));
    struct msg_state_connection c = {.id = 1, .peer = m.peer, .addr = span_text("/ip4/1.2.3.4/tcp/1"), .inbound = true};
    assert_ok(state_batch_add(f->batch, MSG_STATE_CONNECTION, 1, &c));
    write_batch(f);
    expect_text(f, "SELECT connected FROM peers", "1");
    expect_text(f, "SELECT direction FROM v_connections", "inbound");
    expect_text(f, "SELECT value FROM peers, json_each(addrs) WHERE key=1", "/dns4/a\"b/tcp/1");
    state_store_free(f->store);
    f->store = state_store_new(&f->options);
    struct buf items;
    buf_init(&items, 65536, NULL);
    uint32_t count = 0;
    assert_ok(load_peers(f, 10, &items, &count));
    assert_int_equal(count, 1);
    struct schema_list list = schema_list_of(&items, count);
    struct item_known_peer peer;
    size_t position = 0;
    assert_true(schema_list_next_map(&list, &schema_item_known_peer, &position, &peer));
    assert_true(span_equal(peer.peer, m.peer));
    assert_int_equal(peer.addrs.count, 2);
    assert_int_equal(peer.last_seen, 5 * SECOND_NS);
    size_t at = 0;
    struct span addr;
    assert_true(schema_list_next_bytes(&peer.addrs, &at, &addr));
    assert_true(span_equal_text(addr, "/ip4/127.0.0.1/tcp/4001"));
    expect_text(f, "SELECT connected FROM peers", "0");
    expect_text(f, "SELECT count(*) FROM connections", "0");
    buf_release(&items);
    buf_release(&addrs);
}

static void add_peer(struct fixture *f, uint8_t who, uint64_t day, uint64_t successes, uint64_t failures)
{
    uint8_t bytes[sizeof(peer_bytes)];
    memcpy(bytes, peer_bytes, sizeof(bytes));
    bytes[6] = who;
    struct msg_state_peer m = {.peer = span_of(bytes, sizeof(bytes)),
                               .last_seen = (100 + day) * 86400 * SECOND_NS,
                               .successes = successes,
                               .failures = failures};
    assert_ok(state_batch_add(f->batch, MSG_STATE_PEER, 1, &m));
}

/* Who answers and was here lately comes first; who was not here for a month is forgotten in the next life. */
static void the_best_peers_come_first(void **state)
{
    struct fixture *f = *state;
    add_peer(f, 1, 40, 0, 9);  /* here today, never answers */
    add_peer(f, 2, 39, 9, 1);  /* good */
    add_peer(f, 3, 20, 30, 0); /* better once, three weeks ago */
    add_peer(f, 4, 40, 9, 1);  /* the best */
    add_peer(f, 5, 1, 30, 0);  /* long gone */
    write_batch(f);
    state_store_free(f->store);
    f->store = state_store_new(&f->options);
    struct buf items;
    buf_init(&items, 65536, NULL);
    uint32_t count = 0;
    assert_ok(load_peers(f, 3, &items, &count));
    assert_int_equal(count, 3);
    struct schema_list list = schema_list_of(&items, count);
    struct item_known_peer peer;
    size_t position = 0;
    static const uint8_t order[] = {4, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_true(schema_list_next_map(&list, &schema_item_known_peer, &position, &peer));
        assert_int_equal(peer.peer.data[6], order[i]);
    }
    assert_int_equal(peer.failures, 9);
    expect_text(f, "SELECT count(*) FROM peers", "4");
    buf_release(&items);
}

static void gone_rows_go(void **state)
{
    struct fixture *f = *state;
    struct msg_state_transfer t = {.id = 3, .kind = span_text("add"), .bytes_done = 50, .bytes_total = 200};
    assert_ok(state_batch_add(f->batch, MSG_STATE_TRANSFER, 1, &t));
    write_batch(f);
    expect_text(f, "SELECT percent FROM v_transfers", "25.0");
    t.gone = true;
    assert_ok(state_batch_add(f->batch, MSG_STATE_TRANSFER, 1, &t));
    write_batch(f);
    expect_text(f, "SELECT count(*) FROM transfers", "0");
}

static void add_move(struct fixture *f, uint64_t id, uint64_t at, uint64_t blocks)
{
    struct msg_state_move m = {.id = id,
                               .source = span_text("disk"),
                               .target = span_text("cold"),
                               .blocks = blocks,
                               .bytes = 10 * blocks,
                               .since = id * SECOND_NS,
                               .reason = span_text("fill")};
    assert_ok(state_batch_add(f->batch, MSG_STATE_MOVE, at * SECOND_NS, &m));
}

static void moves_grow_and_are_bounded(void **state)
{
    struct fixture *f = *state;
    add_move(f, 1, 1, 3);
    add_move(f, 1, 5, 7);
    write_batch(f);
    expect_text(
        f, "SELECT \"from\"||' '||\"to\"||' '||blocks||' '||bytes||' '||since||' '||until||' '||reason FROM v_moves",
        "disk cold 7 70 1970-01-01 00:00:01 1970-01-01 00:00:05 fill");
    for (uint64_t i = 2; i < 1010; i++)
        add_move(f, i, i, 1);
    write_batch(f);
    expect_text(f, "SELECT count(*)||' '||min(id) FROM moves", "1000 10");
}

static void add_hot(struct fixture *f, uint8_t first, uint8_t end, uint64_t at)
{
    struct buf blocks;
    buf_init(&blocks, 4096, NULL);
    for (uint8_t i = first; i < end; i++) {
        const uint8_t cid[] = {0x01, 0x55, 0x00, 0x01, i}; /* raw, identity */
        struct item_hot_block item = {.cid = span_of(cid, sizeof(cid)),
                                      .heat = i + 0.0625,
                                      .accesses = 3,
                                      .wants = 2,
                                      .used_at = i % 2 == 0 ? 0 : i * SECOND_NS,
                                      .held = i % 2 == 1,
                                      .learned = i % 2 == 1,
                                      .short_heat = 1.5,
                                      .long_heat = 2.5};
        assert_ok(schema_list_add_map(&blocks, &schema_item_hot_block, &item));
    }
    struct msg_state_hot m = {.blocks = schema_list_of(&blocks, (uint32_t)(end - first))};
    assert_ok(state_batch_add(f->batch, MSG_STATE_HOT, at * SECOND_NS, &m));
    buf_release(&blocks);
}

/* What is told takes the place of what was told before; a life begins without. */
static void hot_blocks_are_those_told_last(void **state)
{
    struct fixture *f = *state;
    static const char row[] =
        "SELECT heat||' '||ifnull(short_heat,'-')||' '||ifnull(long_heat,'-')||' '||held||' '||accesses"
        "||' '||wants||' '||ifnull(used,'-')||' '||at||' '||multihash FROM v_hot LIMIT 1";
    add_hot(f, 1, 6, 7);
    write_batch(f);
    expect_text(f, row, "5.063 1.5 2.5 1 3 2 1970-01-01 00:00:05 1970-01-01 00:00:07 000105");
    expect_text(f, "SELECT group_concat(heat,' ') FROM v_hot", "5.063 4.063 3.063 2.063 1.063");
    add_hot(f, 3, 5, 8);
    write_batch(f);
    expect_text(f, row, "4.063 - - 0 3 2 - 1970-01-01 00:00:08 000104");
    expect_text(f, "SELECT group_concat(cid,' ') FROM v_hot", "bafkqaaie bafkqaaid");
    state_store_free(f->store);
    f->store = state_store_new(&f->options);
    add_event(f, "begun");
    write_batch(f);
    expect_text(f, "SELECT count(*) FROM v_hot", "0");
}

static void add_cost(struct fixture *f, uint64_t at, uint64_t reads)
{
    struct msg_state_cost m = {
        .tier = span_text("cold"), .writes = 2, .reads = reads, .removals = 1, .bytes_out = 30, .bytes_in = 400};
    assert_ok(state_batch_add(f->batch, MSG_STATE_COST, at * SECOND_NS, &m));
}

static void costs_add_up_by_month(void **state)
{
    struct fixture *f = *state;
    add_cost(f, 31 * 86400 - 1, 5);
    write_batch(f);
    add_cost(f, 31 * 86400 - 1, 6);
    add_cost(f, 31 * 86400, 7);
    write_batch(f);
    expect_text(f,
                "SELECT group_concat(month||' '||tier||' '||writes||' '||reads||' '||removals||' '||bytes_out||' '||"
                "bytes_in, ', ') FROM v_costs",
                "1970-02 cold 2 7 1 30 400, 1970-01 cold 4 11 2 60 800");
}

static void events_are_bounded(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 12; i++) {
        for (int j = 0; j < 1000; j++)
            add_event(f, "e");
        write_batch(f);
    }
    expect_text(f, "SELECT count(*) FROM events", "10000");
    for (int i = 0; i < 100000; i++) {
        struct msg_event m = {.actor = span_text("a"), .event = span_text("x")};
        if (state_batch_add(f->batch, MSG_EVENT, 1, &m) != ERR_OK)
            break;
    }
    assert_true(f->batch->records.len <= STATE_BATCH_BYTES_MAX);
    assert_true(f->batch->records.len > STATE_BATCH_BYTES_MAX - 100);
    write_batch(f);
}

static void count_bad(void *arg, const char *name)
{
    *(int *)arg += strstr(name, ".bad-") != NULL;
}

static void expect_replaced(struct fixture *f)
{
    add_event(f, "after");
    write_batch(f);
    assert_true(f->replaced[0] != '\0');
    expect_text(f, "SELECT count(*) FROM events", "1");
    int bad = 0;
    assert_ok(disk_posix()->list(disk_posix()->self, f->folder, count_bad, &bad));
    assert_true(bad > 0);
    add_event(f, "told once");
    write_batch(f);
    assert_true(f->replaced[0] == '\0');
}

static void a_damaged_file_is_moved_aside(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->options.path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fputs("this is no database ", file);
    (void)fclose(file);
    expect_replaced(f);
}

static void a_page_overwritten_is_noticed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++)
        add_event(f, "before");
    write_batch(f);
    state_store_free(f->store);
    f->store = state_store_new(&f->options);
    char wal[STATE_PATH_MAX + 8];
    (void)snprintf(wal, sizeof(wal), "%s-wal", f->options.path);
    (void)unlink(wal);
    FILE *file = fopen(f->options.path, "r+");
    assert_non_null(file);
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    assert_true(size > 8192);
    (void)fseek(file, size - 4096, SEEK_SET);
    for (int i = 0; i < 4096; i++)
        (void)fputc(0xa5, file);
    (void)fclose(file);
    expect_replaced(f);
}

static void another_version_is_moved_aside(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->options.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a); PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_replaced(f);
}

static void failure_names_the_file_and_keeps_the_batch(void **state)
{
    struct fixture *f = *state;
    struct state_options options = f->options;
    (void)snprintf(options.path, sizeof(options.path), "%s/no/such/state.db", f->folder);
    struct state_store *store = state_store_new(&options);
    add_event(f, "kept");
    size_t before = f->batch->records.len;
    assert_int_not_equal(state_store_write(store, f->batch, f->why, f->replaced), ERR_OK);
    assert_non_null(strstr(f->why, "state.db"));
    assert_int_equal(f->batch->records.len, before);
    state_store_free(store);
}

/* ---- what the DHT keeps, and what is provided ---- */

static void add_record(struct fixture *f, uint16_t kind, const void *fields)
{
    assert_ok(state_batch_add(f->batch, kind, 1, fields));
}

static uint32_t load(struct fixture *f, uint16_t kind, const struct state_page *page, struct buf *items)
{
    uint32_t count = 0;
    struct msg_state_provide_stat_ok stat;
    buf_init(items, 1 << 20, NULL);
    if (state_store_load(f->store, kind, page, items, &count, &stat, f->why) != ERR_OK)
        fail_msg("%s", f->why);
    return count;
}

static void provider_rows_come_back_oldest_first(void **state)
{
    struct fixture *f = *state;
    static const uint8_t peer[] = {0, 5, 1, 2, 3, 4, 5};
    uint8_t key[32] = {7};
    for (uint64_t slot = 0; slot < 300; slot++) {
        struct msg_state_provider m = {
            .slot = slot, .peer = span_of(peer, sizeof(peer)), .received_at = 1000 - slot / 2};
        key[1] = (uint8_t)slot;
        m.key = span_of(key, sizeof(key));
        m.addrs = span_text("addrs");
        add_record(f, MSG_STATE_PROVIDER, &m);
    }
    struct msg_state_provider gone = {.slot = 17, .gone = true};
    add_record(f, MSG_STATE_PROVIDER, &gone);
    write_batch(f);
    expect_text(f, "SELECT count(*) FROM v_providers", "299");
    struct buf items;
    struct state_page page = {0};
    uint64_t last_at = 0;
    uint32_t total = 0;
    for (uint32_t count; (count = load(f, MSG_STATE_PROVIDERS, &page, &items)) > 0; buf_release(&items)) {
        struct schema_list rows = schema_list_of(&items, count);
        struct item_kept_provider row;
        size_t position = 0;
        while (schema_list_next_map(&rows, &schema_item_kept_provider, &position, &row)) {
            assert_true(row.received_at >= last_at && row.slot != 17);
            assert_int_equal(row.key.len, 32);
            assert_int_equal(row.peer.len, sizeof(peer));
            assert_memory_equal(row.addrs.data, "addrs", 5);
            last_at = page.after_at = row.received_at;
            page.after_slot = row.slot + 1;
            total++;
        }
    }
    buf_release(&items);
    assert_int_equal(total, 299);
}

static void values_come_back(void **state)
{
    struct fixture *f = *state;
    static const uint8_t peer[] = {0, 5, 1, 2, 3, 4, 5};
    static uint8_t value[10 * 1024];
    for (uint64_t slot = 0; slot < 20; slot++) {
        struct msg_state_value m = {.slot = slot, .key = span_text("/pk/x"), .peer = span_of(peer, sizeof(peer))};
        m.value = span_of(value, sizeof(value));
        add_record(f, MSG_STATE_VALUE, &m);
    }
    write_batch(f);
    struct buf items;
    struct state_page page = {0};
    assert_int_equal(load(f, MSG_STATE_VALUES, &page, &items), 16);
    buf_release(&items);
    page.after_slot = 16;
    assert_int_equal(load(f, MSG_STATE_VALUES, &page, &items), 4);
    buf_release(&items);
}

static void add_provide(struct fixture *f, uint8_t first, unsigned count, uint64_t class, uint64_t seen)
{
    struct buf rows;
    buf_init(&rows, 1 << 16, NULL);
    for (unsigned i = 0; i < count; i++) {
        uint8_t key[32] = {(uint8_t)(first + i)};
        struct item_provide_row row = {.key = span_of(key, sizeof(key)), .multihash = span_of(key, 2)};
        assert_ok(schema_list_add_map(&rows, &schema_item_provide_row, &row));
    }
    struct msg_state_provide m = {.rows = schema_list_of(&rows, count), .class = class, .seen = seen};
    add_record(f, MSG_STATE_PROVIDE, &m);
    write_batch(f);
    buf_release(&rows);
}

static void mark_provided(struct fixture *f, uint8_t first, unsigned count, uint64_t at)
{
    struct buf keys;
    buf_init(&keys, 1 << 16, NULL);
    for (unsigned i = 0; i < count; i++) {
        uint8_t key[32] = {(uint8_t)(first + i)};
        assert_ok(schema_list_add_bytes(&keys, span_of(key, sizeof(key))));
    }
    struct msg_state_provided m = {.keys = schema_list_of(&keys, count), .at = at};
    add_record(f, MSG_STATE_PROVIDED, &m);
    write_batch(f);
    buf_release(&keys);
}

static unsigned provides(struct fixture *f, uint8_t from, uint64_t before, uint64_t class, uint64_t limit)
{
    struct buf items;
    struct state_page page = {.from = {from}, .before = before, .class = class, .limit = limit, .now = 1000};
    uint32_t count = load(f, MSG_STATE_PROVIDES, &page, &items);
    buf_release(&items);
    return count;
}

/* As the row of one place says, whenever that was. */
static uint64_t provided_at(struct fixture *f, uint8_t place)
{
    struct buf items;
    size_t position = 0;
    struct item_provide_row row;
    struct state_page page = {.from = {place}, .before = INT64_MAX, .limit = 1};
    uint32_t count = load(f, MSG_STATE_PROVIDES, &page, &items);
    struct schema_list rows = schema_list_of(&items, count);
    assert_int_equal(count, 1);
    assert_true(schema_list_next_map(&rows, &schema_item_provide_row, &position, &row));
    assert_int_equal(row.key.data[0], place);
    buf_release(&items);
    return row.provided_at;
}

/* A walk over the store names what is there; what was provided when outlives walks, and what no walk sees any more goes. */
static void what_is_provided_is_kept(void **state)
{
    struct fixture *f = *state;
    add_provide(f, 10, 5, 1, 1);
    add_provide(f, 10, 20, 3, 1);
    expect_text(f, "SELECT group_concat(n) FROM (SELECT count(*) AS n FROM provides GROUP BY class ORDER BY class)",
                "5,15");
    assert_int_equal(provides(f, 0, 0, 1, 100), 5);
    assert_int_equal(provides(f, 12, 0, 1, 100), 3);
    assert_int_equal(provides(f, 0, 0, 3, 10), 10);
    assert_int_equal(provides(f, 0, 1000, 0, 100), 20);
    mark_provided(f, 10, 10, 500);
    assert_int_equal(provides(f, 0, 0, 1, 100), 0);
    assert_int_equal(provides(f, 0, 0, 3, 100), 10);
    assert_int_equal(provides(f, 0, 499, 0, 100), 10);
    assert_int_equal(provides(f, 0, 500, 0, 100), 20);
    mark_provided(f, 10, 10, 1001); /* under a clock that was ahead: due, and then as all others */
    assert_int_equal(provides(f, 0, 499, 0, 100), 20);
    mark_provided(f, 10, 10, 500);
    assert_int_equal(provides(f, 0, 499, 0, 100), 10);
    assert_int_equal(provided_at(f, 19), 500);
    assert_int_equal(provided_at(f, 20), 0);
    add_provide(f, 10, 8, 3, 2); /* two of ten are gone, and nothing is pinned any more */
    add_record(f, MSG_STATE_PROVIDE_WALKED, &(struct msg_state_provide_walked){.seen = 2});
    write_batch(f);
    expect_text(f, "SELECT count(*)||','||sum(provided_at=500)||','||min(class) FROM provides", "8,8,3");
    mark_provided(f, 10, 1, 0);
    add_record(f, MSG_STATE_SWEEP, &(struct msg_state_sweep){.position = 77, .due_at = 88, .again = true});
    write_batch(f);
    uint32_t count = 0;
    struct msg_state_provide_stat_ok stat = {0};
    struct state_page page = {0};
    assert_ok(state_store_load(f->store, MSG_STATE_PROVIDE_STAT, &page, NULL, &count, &stat, f->why));
    assert_true(stat.rows == 7 && stat.fresh == 7 && stat.oldest_at == 0 && stat.position == 77 && stat.due_at == 88);
    assert_true(stat.seen == 2);
    add_record(f, MSG_STATE_PROVIDE_WALKED, &(struct msg_state_provide_walked){0});
    write_batch(f);
    expect_text(f, "SELECT count(*) FROM v_provides", "0");
}

/* Heat moves rows of stored blocks, not those of pins, and makes none; the next walk moves them back. */
static void what_is_hot_is_a_class_of_what_is_there(void **state)
{
    struct fixture *f = *state;
    add_provide(f, 10, 2, 1, 1);
    add_provide(f, 10, 4, 3, 1);
    add_provide(f, 11, 9, 2, 1);
    expect_text(f, "SELECT group_concat(class) FROM (SELECT class FROM provides ORDER BY key)", "1,1,2,2");
    expect_text(f, "SELECT count(*) FROM v_provides WHERE class='hot'", "2");
    assert_int_equal(provides(f, 0, 0, 2, 100), 2);
    add_provide(f, 10, 4, 3, 2);
    expect_text(f, "SELECT group_concat(class) FROM (SELECT class FROM provides ORDER BY key)", "3,3,3,3");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_written_and_read_by_others),
        TEST(files_are_private_and_readable_after_a_stop),
        TEST(peers_are_kept_over_lives),
        TEST(the_best_peers_come_first),
        TEST(gone_rows_go),
        TEST(moves_grow_and_are_bounded),
        TEST(events_are_bounded),
        TEST(hot_blocks_are_those_told_last),
        TEST(costs_add_up_by_month),
        TEST(a_damaged_file_is_moved_aside),
        TEST(a_page_overwritten_is_noticed),
        TEST(another_version_is_moved_aside),
        TEST(failure_names_the_file_and_keeps_the_batch),
        TEST(provider_rows_come_back_oldest_first),
        TEST(values_come_back),
        TEST(what_is_provided_is_kept),
        TEST(what_is_hot_is_a_class_of_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

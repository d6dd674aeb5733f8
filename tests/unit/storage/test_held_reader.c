/* SPDX-License-Identifier: MIT */
/*
 * Another process holds a transaction on a real blocks.db. The log grows, the process is named, what the store does for itself rests, and
 * what people ask for goes on; once the reader has gone, all goes on by itself.
 */
#include "tests/support/storage.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "storage/disk_posix.h"
#include "tests/support/store_driver.h"

enum { BLOCKS = 24, BLOCK_BYTES = 1000, COMMITS_MAX = 200, LOG_STOP = 512 * 1024 };

struct world {
    char path[64];
    struct blockstore *store;
    uint64_t now;
    char said[2048];
    struct block_key keys[BLOCKS];
    uint8_t bytes[BLOCKS][BLOCK_BYTES];
};

static void on_notice(void *arg, bool fatal, const char *text)
{
    struct world *w = arg;
    assert_false(fatal);
    (void)snprintf(w->said + strlen(w->said), sizeof(w->said) - strlen(w->said), "%s\n", text);
}

static void start(struct world *w)
{
    char why[STORE_WHY_BYTES];
    struct blockstore_options options = {.port = disk_posix(),
                                         .path = w->path,
                                         .storage_max_bytes = 64 * MIB,
                                         .scrub_rate = 1 * MIB,
                                         .segment_bytes = 64 * KIB,
                                         .allocate_bytes = 16 * KIB,
                                         .cache_kib = 256,
                                         .log_stop_bytes = LOG_STOP,
                                         .events = {.arg = w, .notice = on_notice}};
    assert_int_equal(blockstore_open(&options, w->now, w->now, &w->store, why), ERR_OK);
}

static void live(struct world *w, uint64_t ns)
{
    for (uint64_t until = w->now + ns; w->now < until; w->now += SECOND_NS) {
        blockstore_tick(w->store, w->now, w->now);
        test_drive(w->store, 1000);
    }
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/* ---- the reader, forked before anybody has the database open ---- */

struct reader {
    pid_t pid;
    int tell; /* the path; then closed: it ends */
    int hear;
};

static void read_and_hold(int from, int to)
{
    char path[128] = {0};
    sqlite3 *db;
    char byte;
    if (read(from, path, sizeof(path) - 1) <= 0)
        _exit(0);
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "BEGIN; SELECT count(*) FROM blocks", NULL, NULL, NULL);
    byte = rc == SQLITE_OK ? 'y' : 'n';
    (void)!write(to, &byte, 1);
    (void)!read(from, &byte, 1);
    _exit(0);
}

static struct reader reader_new(void)
{
    int tell[2];
    int hear[2];
    assert_int_equal(pipe(tell), 0);
    assert_int_equal(pipe(hear), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(tell[1]);
        read_and_hold(tell[0], hear[1]);
    }
    (void)close(tell[0]);
    (void)close(hear[1]);
    return (struct reader){.pid = pid, .tell = tell[1], .hear = hear[0]};
}

static void reader_hold(const struct reader *r, const struct world *w)
{
    char path[128];
    char byte = 0;
    (void)snprintf(path, sizeof(path), "%s/blocks.db", w->path);
    assert_int_equal(write(r->tell, path, strlen(path)), (ssize_t)strlen(path));
    assert_int_equal(read(r->hear, &byte, 1), 1);
    assert_int_equal(byte, 'y');
}

static void reader_end(const struct reader *r)
{
    (void)close(r->tell);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    (void)close(r->hear);
}

/* ---- what is asked for meanwhile ---- */

static uint64_t log_bytes(const struct world *w)
{
    char path[128];
    struct stat stat_of;
    (void)snprintf(path, sizeof(path), "%s/blocks.db-wal", w->path);
    assert_int_equal(stat(path, &stat_of), 0);
    return (uint64_t)stat_of.st_size;
}

static void put_all(struct world *w)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        memset(w->bytes[i], (int)i + 1, BLOCK_BYTES);
        test_key(span_of(w->bytes[i], BLOCK_BYTES), &w->keys[i]);
        assert_int_equal(test_put(w->store, &w->keys[i], span_of(w->bytes[i], BLOCK_BYTES), NULL), ERR_OK);
    }
    live(w, 6 * SECOND_NS);
}

/* Pins come and go, each with a commit, until the log is past its bound. */
static void fill_log(struct world *w)
{
    for (unsigned n = 0; log_bytes(w) <= LOG_STOP; n++) {
        assert_true(n < COMMITS_MAX);
        assert_int_equal(test_change(w->store, &w->keys[n / 2 % BLOCKS], n % 2 == 0 ? CHANGE_PIN_ADD : CHANGE_PIN_RM),
                         ERR_OK);
    }
    assert_int_equal(test_change(w->store, &w->keys[0], CHANGE_PIN_ADD), ERR_OK);
}

static void a_reader_is_named_and_what_need_not_be_rests(void **state)
{
    (void)state;
    char who[64];
    struct world *w = calloc(1, sizeof(*w));
    struct reader reader = reader_new();
    (void)snprintf(w->path, sizeof(w->path), "/tmp/hearth-reader-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    w->now = SECOND_NS;
    start(w);
    put_all(w);
    reader_hold(&reader, w);
    fill_log(w);
    (void)snprintf(who, sizeof(who), "process %ld has held the database open", (long)reader.pid);
    assert_non_null(strstr(w->said, who));
    assert_non_null(strstr(w->said, "rest until then"));
    uint64_t full = log_bytes(w);
    live(w, 300 * SECOND_NS); /* the scrubber would have begun long ago */
    assert_int_equal(blockstore_stats(w->store).scrub.began_ns + blockstore_stats(w->store).scrub.ended_ns, 0);
    assert_int_equal(log_bytes(w), full);
    static const uint8_t late[] = "late";
    struct block_key key = {0};
    test_key(span_of(late, sizeof(late)), &key);
    assert_int_equal(test_put(w->store, &key, span_of(late, sizeof(late)), NULL), ERR_OK);
    assert_int_equal(test_change(w->store, &key, CHANGE_PIN_ADD), ERR_OK);
    assert_int_equal(test_change(w->store, &key, CHANGE_BLOCK_RM), ERR_DENIED);
    reader_end(&reader);
    live(w, 300 * SECOND_NS); /* nobody asks for anything: it goes on by itself */
    assert_int_not_equal(blockstore_stats(w->store).scrub.ended_ns, 0);
    assert_int_equal(blockstore_stats(w->store).scrub.blocks, BLOCKS + 1);
    assert_int_equal(test_change(w->store, &w->keys[1], CHANGE_PIN_ADD), ERR_OK); /* begins the log anew */
    uint64_t pins = blockstore_stats(w->store).pins;
    blockstore_close(w->store, true);
    start(w);
    struct block_ref *ref = NULL;
    assert_int_equal(test_get(w->store, &key, &ref), ERR_OK);
    assert_true(span_equal(block_ref_span(ref), span_of(late, sizeof(late))));
    block_ref_unref(ref);
    assert_int_equal(blockstore_stats(w->store).pins, pins);
    blockstore_close(w->store, false);
    assert_int_equal(nftw(w->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reader_is_named_and_what_need_not_be_rests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Uploads whose bytes the daemon reads itself: the real control actor behind its socket, beside a store that only plays its part. Files
 * that are not what was named, that change, and requests that end half-way.
 */
#include "tests/support/import_model.h"

#include <string.h>

#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/tree.h"
#include "base/limits.h"
#include "mailbox/backend.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "storage/disk_posix.h"
#include "storage/local_file.h"
#include "wire/multibase.h"

enum { WAIT_S = 20, HELD_MAX = 1024, HELD_LOOK_MS = 5, BIG = 12 * 1024 * 1024 };

static struct {
    char folder[64];
    char path[128];
    struct local_file_id id;
    struct config *config;
    struct runtime *rt;
    struct budget budget;
    nng_socket socket;
    unsigned upload;
    _Atomic bool hold; /* the store acknowledges nothing */
    _Atomic bool full; /* and is full then */
    _Atomic unsigned puts;
} play;

static uint8_t content[BIG];

/* ---- actors that play a part ---- */

struct store_state {
    struct reply_to held[HELD_MAX];
    size_t count;
};

static void answer_put(struct ctx *ctx, struct reply_to to)
{
    static const struct msg_block_put_ok stored = {0};
    if (atomic_load(&play.full))
        ctx_reply_err(ctx, to, ERR_NO_SPACE, "full");
    else
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_PUT_OK, .fields = &stored});
}

static enum err store_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct store_state *s = state;
    static const struct msg_ok ok = {0};
    if (msg->kind != MSG_BLOCK_PUT) {
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
        return ERR_OK;
    }
    atomic_fetch_add(&play.puts, 1);
    if (!atomic_load(&play.hold))
        answer_put(ctx, to);
    else if (s->count < HELD_MAX)
        s->held[s->count++] = to;
    return ERR_OK;
}

static void store_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct store_state *s = state;
    if (info->kind != INFO_TIMER)
        return;
    while (s->count > 0 && !atomic_load(&play.hold))
        answer_put(ctx, s->held[--s->count]);
    (void)ctx_timer(ctx, ctx_now(ctx) + HELD_LOOK_MS * MS_NS, 1);
}

static enum err store_init_timer(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + HELD_LOOK_MS * MS_NS, 1);
    return ERR_OK;
}

static void ignore_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

static const struct actor_class store_class = {.name = "tiered_storage",
                                               .state_bytes = sizeof(struct store_state),
                                               .init = store_init_timer,
                                               .handle_call = store_call,
                                               .handle_info = store_info};
static const struct actor_class idle_class = {.name = "idle", .handle_cast = ignore_cast};

static const struct child_spec children[] = {
    {.id = "state", .start = ACTOR_STATE, .restart = RESTART_PERMANENT},
    {.id = "tiered_storage", .start = ACTOR_TIERED_STORAGE, .restart = RESTART_PERMANENT},
    {.id = "heat_tracker", .start = ACTOR_HEAT_TRACKER, .restart = RESTART_PERMANENT},
    {.id = "connection_manager", .start = ACTOR_CONNECTION_MANAGER, .restart = RESTART_PERMANENT},
    {.id = "discovery", .start = ACTOR_DISCOVERY, .restart = RESTART_PERMANENT},
    {.id = "bitswap", .start = ACTOR_BITSWAP, .restart = RESTART_PERMANENT},
    {.id = "control", .start = ACTOR_CONTROL, .restart = RESTART_PERMANENT},
};
static const struct supervisor_spec root = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 3,
                                            .period_ms = 1000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{ACTOR_CONTROL, ACTOR_TIERED_STORAGE}, {ACTOR_CONTROL, ACTOR_STATE}};
static const struct lane_spec lanes[] = {{.name = "files", .workers = 2, .queue = 16}};
static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &idle_class,        [ACTOR_TIERED_STORAGE] = &store_class,
    [ACTOR_HEAT_TRACKER] = &idle_class, [ACTOR_CONNECTION_MANAGER] = &idle_class,
    [ACTOR_DISCOVERY] = &idle_class,    [ACTOR_BITSWAP] = &idle_class,
    [ACTOR_CONTROL] = &control_class,
};

/* ---- the stage ---- */

static nng_socket dial(void)
{
    nng_socket socket;
    char url[128];
    (void)snprintf(url, sizeof(url), "ipc://%s/run/control.sock", play.folder);
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, WAIT_S * 1000), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    return socket;
}

static int begin(void **state)
{
    (void)state;
    char why[256] = "";
    memset(&play, 0, sizeof(play));
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-add-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    (void)snprintf(play.path, sizeof(play.path), "%s/film", play.folder);
    assert_ok(config_new(play.folder, &play.config));
    assert_ok(budget_init(&play.budget, 64 * MIB));
    struct runtime_config config = {
        .backend = &backend_inproc,
        .classes = classes,
        .class_count = ACTOR_COUNT,
        .tree = &root,
        .edges = edges,
        .edge_count = ARRAY_LEN(edges),
        .lanes = lanes,
        .lane_count = ARRAY_LEN(lanes),
        .schemas = &schema_messages,
        .config = play.config,
        .budget = &play.budget,
        .disk = disk_posix(),
    };
    if (runtime_start(&config, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    play.socket = dial();
    return 0;
}

static int end(void **state)
{
    (void)state;
    char path[128];
    (void)nng_close(play.socket);
    assert_int_equal(runtime_stop(&play.rt, 5 * SECOND_NS), RUNTIME_EXIT_OK);
    assert_int_equal(account_used(&play.budget.accounts[ACCOUNT_UPLOADS]), 0);
    config_free(play.config);
    (void)unlink(play.path);
    (void)snprintf(path, sizeof(path), "%s/run/control.sock", play.folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/run", play.folder);
    (void)rmdir(path);
    return rmdir(play.folder);
}

/* ---- asking ---- */

static void ask(const char *request, char *answer, size_t answer_bytes)
{
    size_t len = answer_bytes - 1;
    assert_int_equal(nng_send(play.socket, (void *)(uintptr_t)request, strlen(request), 0), 0);
    assert_int_equal(nng_recv(play.socket, answer, &len, 0), 0);
    answer[len] = '\0';
}

static void expect(const char *request, const char *want)
{
    char answer[4096];
    ask(request, answer, sizeof(answer));
    if (strstr(answer, want) == NULL)
        fail_msg("%s gave %s, not %s", request, answer, want);
}

static void open_upload(const char *args)
{
    char request[256];
    char answer[256];
    (void)snprintf(request, sizeof(request), "{\"op\":\"add open\",\"args\":{\"name\":\"film\"%s}}", args);
    ask(request, answer, sizeof(answer));
    const char *at = strstr(answer, "\"upload\":");
    assert_non_null(at);
    play.upload = (unsigned)strtoul(at + strlen("\"upload\":"), NULL, 10);
}

static void file_request(char *to, size_t to_bytes, const char *path, uint64_t offset, uint64_t from, uint64_t length)
{
    struct buf text;
    buf_init(&text, 1024, NULL);
    assert_ok(multibase_encode(MULTIBASE_64_URL, span_text(path), &text));
    (void)snprintf(
        to, to_bytes,
        "{\"op\":\"add file\",\"timeout_ms\":20000,\"args\":{\"upload\":%u,\"offset\":%llu,\"path\":\"%.*s\","
        "\"device\":%llu,\"inode\":%llu,\"size\":%llu,\"mtime_ns\":%llu,\"from\":%llu,\"length\":%llu}}",
        play.upload, (unsigned long long)offset, (int)text.len, (const char *)text.data,
        (unsigned long long)play.id.device, (unsigned long long)play.id.inode, (unsigned long long)play.id.size,
        (unsigned long long)play.id.mtime_ns, (unsigned long long)from, (unsigned long long)length);
    buf_release(&text);
}

/* The same place in the file as in the stream. */
static void expect_file(const char *path, uint64_t offset, uint64_t length, const char *want)
{
    char request[1024];
    file_request(request, sizeof(request), path, offset, offset, length);
    expect(request, want);
}

static void expect_offset(uint64_t offset, uint64_t length, uint64_t want)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "\"offset\":%llu", (unsigned long long)want);
    expect_file(play.path, offset, length, text);
}

static void close_upload(uint64_t size, const char *want)
{
    char request[128];
    (void)snprintf(request, sizeof(request), "{\"op\":\"add close\",\"args\":{\"upload\":%u,\"size\":%llu}}",
                   play.upload, (unsigned long long)size);
    expect(request, want);
}

static void abort_upload(void)
{
    char request[128];
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add close\",\"args\":{\"upload\":%u,\"size\":0,\"abort\":true}}", play.upload);
    expect(request, "\"ok\":true");
}

static void make_file(size_t len)
{
    struct stat st;
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 11 + i / 1000);
    int fd = open(play.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stat(play.path, &st), 0);
    assert_ok(local_file_id_of(&st, &play.id));
}

static void cid_of_content(enum import_profile profile, size_t len, char text[CID_TEXT_MAX])
{
    struct import_options options = import_options_of(profile);
    struct block_store store;
    store_init(&store);
    struct import_node node = import_bytes(&options, &store, span_of(content, len), NULL);
    cid_text(&node.cid, text);
    store_release(&store);
}

static bool uploads_are_empty(void *arg)
{
    (void)arg;
    return account_used(&play.budget.accounts[ACCOUNT_UPLOADS]) == 0;
}

/* ---- scripts ---- */

static void a_file_is_read_in_place(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(BIG - 12345);
    open_upload("");
    expect_offset(0, play.id.size, play.id.size);
    cid_of_content(IMPORT_UNIXFS_V1_2025, play.id.size, cid);
    close_upload(play.id.size, cid);
    assert_int_equal(atomic_load(&play.puts), 13); /* 12 leaves and the root */
    /* In another profile, range by range: each goes on to its chunk's end, and a repetition is no error. */
    open_upload(",\"profile\":\"unixfs-v0-2015\"");
    expect_offset(0, 1, 262144);
    expect_offset(0, 262144, 262144);
    expect_offset(0, 300000, 524288);
    expect_offset(524288, play.id.size - 524288, play.id.size);
    cid_of_content(IMPORT_UNIXFS_V0_2015, play.id.size, cid);
    close_upload(play.id.size, cid);
}

/* ENTER-less tree of one file: FILE and END as records, the content between them. */
static void in_a_tree_it_is_the_open_file(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    char request[1024];
    struct buf record;
    struct buf text;
    make_file(2 * MIB + 5);
    buf_init(&record, 256, NULL);
    buf_init(&text, 256, NULL);
    open_upload(",\"tree\":true");
    expect_file(play.path, 0, play.id.size, "\"code\":\"invalid\""); /* no file is open */
    assert_ok(tree_stream_append(&record, TREE_FILE, span_text("film"), (struct span){0}, NULL));
    uint64_t at = record.len;
    assert_ok(multibase_encode(MULTIBASE_64_URL, buf_span(&record), &text));
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":0,\"data\":\"%.*s\"}}", play.upload,
                   (int)text.len, (const char *)text.data);
    expect(request, "\"ok\":true");
    file_request(request, sizeof(request), play.path, at, 0, play.id.size);
    expect(request, "\"ok\":true");
    buf_clear(&record);
    buf_clear(&text);
    assert_ok(tree_stream_append(&record, TREE_END, (struct span){0}, (struct span){0}, NULL));
    assert_ok(multibase_encode(MULTIBASE_64_URL, buf_span(&record), &text));
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":%llu,\"data\":\"%.*s\"}}", play.upload,
                   (unsigned long long)(at + play.id.size), (int)text.len, (const char *)text.data);
    expect(request, "\"ok\":true");
    cid_of_content(IMPORT_UNIXFS_V1_2025, play.id.size, cid);
    close_upload(at + play.id.size + record.len, cid);
    buf_release(&record);
    buf_release(&text);
}

/* What cannot be read as it was named is refused, and the upload goes on with bytes. */
static void other_files_are_refused(void **state)
{
    (void)state;
    char other[160];
    make_file(MIB);
    struct local_file_id named = play.id;
    open_upload("");
    play.id.inode++;
    expect_file(play.path, 0, MIB, "\"code\":\"not_found\"");
    play.id = named;
    play.id.mtime_ns++;
    expect_file(play.path, 0, MIB, "it changed, or the daemon sees another file here");
    play.id = named;
    expect_file("film", 0, MIB, "\"code\":\"invalid\"");
    expect_file("/nowhere/film", 0, MIB, "\"code\":\"not_found\"");
    expect_file(play.path, 0, MIB + 1, "\"code\":\"invalid\"");
    (void)snprintf(other, sizeof(other), "%s/link", play.folder);
    assert_int_equal(symlink(play.path, other), 0);
    expect_file(other, 0, MIB, "\"code\":\"not_found\"");
    assert_int_equal(unlink(other), 0);
    assert_int_equal(mkfifo(other, 0600), 0);
    expect_file(other, 0, MIB, "\"code\":\"not_found\"");
    assert_int_equal(unlink(other), 0);
    char request[256];
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":0,\"data\":\"uaGVsbG8K\"}}", play.upload);
    expect(request, "\"offset\":6");
    expect_file(play.path, 6, 100, "\"code\":\"invalid\""); /* in the middle of a chunk */
    close_upload(6, "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am");
    open_upload(",\"chunk_bytes\":1000");
    expect_file(play.path, 0, MIB, "\"code\":\"unsupported\"");
    abort_upload();
}

static void one_that_changes_half_way_is_refused(void **state)
{
    (void)state;
    make_file(4 * MIB);
    open_upload("");
    expect_offset(0, MIB, MIB);
    assert_int_equal(truncate(play.path, 3 * MIB), 0);
    expect_file(play.path, MIB, MIB, "it changed");
    abort_upload();
    make_file(4 * MIB);
    open_upload("");
    expect_offset(0, MIB, MIB);
    assert_int_equal(unlink(play.path), 0);
    expect_file(play.path, MIB, MIB, "\"code\":\"not_found\"");
    abort_upload();
    assert_true(runtime_await(play.rt, uploads_are_empty, NULL, WAIT_S * SECOND_NS));
}

static bool account_is_spent(void *arg)
{
    (void)arg;
    return account_free(&play.budget.accounts[ACCOUNT_UPLOADS]) < MIB;
}

/* The store stands still, so the file is read as far as the account goes; then its client gives it up. */
static void a_cancelled_request_reads_no_further(void **state)
{
    (void)state;
    char request[1024];
    const struct account *account = &play.budget.accounts[ACCOUNT_UPLOADS];
    make_file(BIG);
    open_upload("");
    atomic_store(&play.hold, true);
    file_request(request, sizeof(request), play.path, 0, 0, BIG);
    request[strlen(request) - 1] = '\0';
    (void)strncat(request, ",\"id\":\"x\"}", sizeof(request) - strlen(request) - 1);
    assert_int_equal(nng_send(play.socket, request, strlen(request), 0), 0);
    assert_true(runtime_await(play.rt, account_is_spent, NULL, WAIT_S * SECOND_NS));
    assert_true(account_used(account) <= account->limit_bytes);
    expect("{\"op\":\"cancel\",\"args\":{\"request\":\"x\"}}", "\"cancelled\":true");
    atomic_store(&play.hold, false);
    /* What was read is stored, and no more is read though there is room. */
    assert_true(runtime_await(play.rt, uploads_are_empty, NULL, WAIT_S * SECOND_NS));
    assert_true(atomic_load(&play.puts) < BIG / MIB);
    abort_upload();
}

static void a_full_store_ends_the_upload(void **state)
{
    (void)state;
    char request[1024];
    char answer[1024];
    size_t len = sizeof(answer) - 1;
    make_file(BIG);
    open_upload("");
    atomic_store(&play.hold, true);
    file_request(request, sizeof(request), play.path, 0, 0, BIG);
    assert_int_equal(nng_send(play.socket, request, strlen(request), 0), 0);
    assert_true(runtime_await(play.rt, account_is_spent, NULL, WAIT_S * SECOND_NS));
    atomic_store(&play.full, true);
    atomic_store(&play.hold, false);
    assert_int_equal(nng_recv(play.socket, answer, &len, 0), 0);
    answer[len] = '\0';
    assert_non_null(strstr(answer, "\"code\":\"no_space\""));
    expect_file(play.path, 0, 1, "no upload");
    assert_true(runtime_await(play.rt, uploads_are_empty, NULL, WAIT_S * SECOND_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_in_place, begin, end),
        cmocka_unit_test_setup_teardown(in_a_tree_it_is_the_open_file, begin, end),
        cmocka_unit_test_setup_teardown(other_files_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(one_that_changes_half_way_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_full_store_ends_the_upload, begin, end),
        cmocka_unit_test_setup_teardown(a_cancelled_request_reads_no_further, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

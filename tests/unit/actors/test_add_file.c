/* SPDX-License-Identifier: MIT */
/*
 * Uploads whose bytes the daemon reads itself: the real control actor behind its sockets, beside a store that only plays its part. Files
 * that never came or are none, that change, and requests that end half-way.
 */
#include "tests/unit/actors/helper_control.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/messages.h"
#include "tests/support/descriptors.h"
#include "wire/car.h"
#include "wire/multibase.h"

enum { HELD_MAX = 1024, HELD_LOOK_MS = 5, BIG = 12 * 1024 * 1024 };

static struct {
    uint64_t size;
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
    if (msg->kind == MSG_LEASE)
        return ERR_OK; /* lasts */
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

static const struct actor_class store_class = {.name = "tiered_storage",
                                               .state_bytes = sizeof(struct store_state),
                                               .init = store_init_timer,
                                               .handle_call = store_call,
                                               .handle_info = store_info};

static int begin(void **state)
{
    (void)state;
    memset(&play, 0, sizeof(play));
    stage_open(&store_class);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_close();
    assert_int_equal(account_used(&stage.budget.accounts[ACCOUNT_UPLOADS]), 0);
    return 0;
}

/* ---- asking ---- */

static void open_upload(const char *args)
{
    char request[256];
    char answer[256];
    (void)snprintf(request, sizeof(request), "{\"op\":\"add open\",\"args\":{\"name\":\"film\"%s}}", args);
    stage_ask(request, answer, sizeof(answer));
    const char *at = strstr(answer, "\"upload\":");
    assert_non_null(at);
    play.upload = (unsigned)strtoul(at + strlen("\"upload\":"), NULL, 10);
}

static void file_request(char *to, size_t to_bytes, uint64_t offset, uint64_t from, uint64_t length)
{
    (void)snprintf(to, to_bytes,
                   "{\"op\":\"add file\",\"timeout_ms\":20000,\"args\":{\"upload\":%u,\"offset\":%llu,\"file\":%llu,"
                   "\"from\":%llu,\"length\":%llu}}",
                   play.upload, (unsigned long long)offset, (unsigned long long)stage.token, (unsigned long long)from,
                   (unsigned long long)length);
}

/* The same place in the file as in the stream. */
static void expect_file(uint64_t offset, uint64_t length, const char *want)
{
    char request[1024];
    file_request(request, sizeof(request), offset, offset, length);
    stage_expect(request, want);
}

static void expect_offset(uint64_t offset, uint64_t length, uint64_t want)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "\"offset\":%llu", (unsigned long long)want);
    expect_file(offset, length, text);
}

static void close_upload(uint64_t size, const char *want)
{
    char request[128];
    (void)snprintf(request, sizeof(request), "{\"op\":\"add close\",\"args\":{\"upload\":%u,\"size\":%llu}}",
                   play.upload, (unsigned long long)size);
    stage_expect(request, want);
}

static void abort_upload(void)
{
    char request[128];
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add close\",\"args\":{\"upload\":%u,\"size\":0,\"abort\":true}}", play.upload);
    stage_expect(request, "\"ok\":true");
}

static void make_file(size_t len)
{
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 11 + i / 1000);
    int fd = open(stage.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    assert_int_equal(close(fd), 0);
    play.size = len;
    stage_hand_over(stage.path, O_RDONLY);
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
    return account_used(&stage.budget.accounts[ACCOUNT_UPLOADS]) == 0;
}

/* ---- scripts ---- */

static void a_file_is_read_in_place(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(BIG - 12345);
    open_upload("");
    expect_offset(0, play.size, play.size);
    stage_expect_closed(); /* with its last byte */
    cid_of_content(IMPORT_UNIXFS_V1_2025, play.size, cid);
    close_upload(play.size, cid);
    assert_int_equal(atomic_load(&play.puts), 13); /* 12 leaves and the root */
    stage_hand_over(stage.path, O_RDONLY);
    /* In another profile, range by range: each goes on to its chunk's end, and a repetition is no error. */
    open_upload(",\"profile\":\"unixfs-v0-2015\"");
    expect_offset(0, 1, 262144);
    expect_offset(0, 262144, 262144);
    expect_offset(0, 300000, 524288);
    expect_offset(524288, play.size - 524288, play.size);
    cid_of_content(IMPORT_UNIXFS_V0_2015, play.size, cid);
    close_upload(play.size, cid);
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
    expect_file(0, play.size, "\"code\":\"invalid\""); /* no file is open */
    assert_ok(tree_stream_append(&record, TREE_FILE, span_text("film"), (struct span){0}, NULL));
    uint64_t at = record.len;
    assert_ok(multibase_encode(MULTIBASE_64_URL, buf_span(&record), &text));
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":0,\"data\":\"%.*s\"}}", play.upload,
                   (int)text.len, (const char *)text.data);
    stage_expect(request, "\"ok\":true");
    file_request(request, sizeof(request), at, 0, play.size);
    stage_expect(request, "\"ok\":true");
    buf_clear(&record);
    buf_clear(&text);
    assert_ok(tree_stream_append(&record, TREE_END, (struct span){0}, (struct span){0}, NULL));
    assert_ok(multibase_encode(MULTIBASE_64_URL, buf_span(&record), &text));
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":%llu,\"data\":\"%.*s\"}}", play.upload,
                   (unsigned long long)(at + play.size), (int)text.len, (const char *)text.data);
    stage_expect(request, "\"ok\":true");
    cid_of_content(IMPORT_UNIXFS_V1_2025, play.size, cid);
    close_upload(at + play.size + record.len, cid);
    buf_release(&record);
    buf_release(&text);
}

static void expect_not_found(void)
{
    expect_file(0, MIB, "\"code\":\"not_found\"");
}

/* What cannot be read is refused, and the upload goes on with bytes. */
static void other_files_are_refused(void **state)
{
    (void)state;
    char fifo[160];
    make_file(MIB);
    open_upload("");
    expect_file(0, MIB + 1, "\"code\":\"invalid\"");
    stage.token++; /* of a file that never came */
    expect_not_found();
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", stage.folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    stage_hand_over(fifo, O_RDWR);
    expect_not_found();
    assert_int_equal(unlink(fifo), 0);
    stage_hand_over(stage.folder, O_RDONLY | O_DIRECTORY);
    expect_not_found();
    stage_hand_over("/dev/zero", O_RDONLY);
    expect_not_found();
    stage_hand_over(stage.path, O_WRONLY);
    expect_file(0, MIB, "it did not come to files.sock");
    char request[256];
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":0,\"data\":\"uaGVsbG8K\"}}", play.upload);
    stage_expect(request, "\"offset\":6");
    stage_hand_over(stage.path, O_RDONLY);
    expect_file(6, 100, "\"code\":\"invalid\""); /* in the middle of a chunk */
    close_upload(6, "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am");
    open_upload(",\"chunk_bytes\":1000");
    stage_hand_over(stage.path, O_RDONLY);
    expect_file(0, MIB, "\"code\":\"unsupported\"");
    open_upload("");
    expect_not_found(); /* it is the other upload's */
    abort_upload();
    play.upload--;
    abort_upload();
    stage_expect_closed();
}

static void one_that_changes_half_way_is_refused(void **state)
{
    (void)state;
    make_file(4 * MIB);
    open_upload("");
    expect_offset(0, MIB, MIB);
    assert_int_equal(truncate(stage.path, 3 * MIB), 0);
    expect_file(MIB, MIB, "it changed while it was read");
    char request[1024];
    file_request(request, sizeof(request), MIB, 3 * MIB, MIB); /* past its end */
    stage_expect(request, "it changed while it was read");
    abort_upload();
    assert_true(runtime_await(stage.rt, uploads_are_empty, NULL, STAGE_WAIT_S * SECOND_NS));
    stage_expect_closed();
}

/* Its name is no matter of the daemon's. */
static void one_that_vanishes_is_read_to_its_end(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    make_file(4 * MIB);
    open_upload("");
    expect_offset(0, MIB, MIB);
    assert_int_equal(unlink(stage.path), 0);
    expect_offset(MIB, 3 * MIB, 4 * MIB);
    cid_of_content(IMPORT_UNIXFS_V1_2025, 4 * MIB, cid);
    close_upload(4 * MIB, cid);
}

/* Not more: nng closes what the test before had a little later. */
static bool is_as_before(void *arg)
{
    return descriptors_open(NULL) <= *(const unsigned *)arg;
}

/* The sockets are made anew, and what was open is closed: handed over, in use, and waiting in the old socket. */
static void a_restart_leaks_nothing(void **state)
{
    (void)state;
    char cid[CID_TEXT_MAX];
    stage_expect("{\"op\":\"version\"}", "\"ok\":true");
    unsigned before = descriptors_open(NULL);
    make_file(2 * MIB);
    open_upload("");
    expect_offset(0, MIB, MIB);
    stage_hand_over(stage.path, O_RDONLY);
    stage_hand_over(stage.folder, O_RDONLY | O_DIRECTORY);
    atomic_store(&stage.fail, true);
    stage_hand_over(stage.path, O_RDONLY);               /* which wakes it, unless the request does */
    stage_expect("{\"op\":\"version\"}", "\"ok\":true"); /* asked again of the next life */
    assert_false(atomic_load(&stage.fail));
    expect_file(MIB, MIB, "no upload");
    stage_expect_closed();
    assert_true(runtime_await(stage.rt, is_as_before, &before, STAGE_WAIT_S * SECOND_NS));
    open_upload("");
    stage_hand_over(stage.path, O_RDONLY);
    expect_offset(0, 2 * MIB, 2 * MIB);
    cid_of_content(IMPORT_UNIXFS_V1_2025, 2 * MIB, cid);
    close_upload(2 * MIB, cid);
}

static bool account_is_spent(void *arg)
{
    (void)arg;
    return account_free(&stage.budget.accounts[ACCOUNT_UPLOADS]) < MIB;
}

/* The store stands still, so the file is read as far as the account goes; then its client gives it up. */
static void a_cancelled_request_reads_no_further(void **state)
{
    (void)state;
    char request[1024];
    const struct account *account = &stage.budget.accounts[ACCOUNT_UPLOADS];
    make_file(BIG);
    open_upload("");
    atomic_store(&play.hold, true);
    file_request(request, sizeof(request), 0, 0, BIG);
    request[strlen(request) - 1] = '\0';
    (void)strncat(request, ",\"id\":\"x\"}", sizeof(request) - strlen(request) - 1);
    assert_int_equal(nng_send(stage.socket, request, strlen(request), 0), 0);
    assert_true(runtime_await(stage.rt, account_is_spent, NULL, STAGE_WAIT_S * SECOND_NS));
    assert_true(account_used(account) <= account->limit_bytes);
    stage_expect("{\"op\":\"cancel\",\"args\":{\"request\":\"x\"}}", "\"cancelled\":true");
    atomic_store(&play.hold, false);
    /* What was read is stored, and no more is read though there is room. */
    assert_true(runtime_await(stage.rt, uploads_are_empty, NULL, STAGE_WAIT_S * SECOND_NS));
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
    file_request(request, sizeof(request), 0, 0, BIG);
    assert_int_equal(nng_send(stage.socket, request, strlen(request), 0), 0);
    assert_true(runtime_await(stage.rt, account_is_spent, NULL, STAGE_WAIT_S * SECOND_NS));
    atomic_store(&play.full, true);
    atomic_store(&play.hold, false);
    assert_int_equal(nng_recv(stage.socket, answer, &len, 0), 0);
    answer[len] = '\0';
    assert_non_null(strstr(answer, "\"code\":\"no_space\""));
    expect_file(0, 1, "no upload");
    assert_true(runtime_await(stage.rt, uploads_are_empty, NULL, STAGE_WAIT_S * SECOND_NS));
}

enum { CAR_BLOCKS = 20000 };

/* Hands over a CAR of many small blocks; returns its length. */
static uint64_t make_car(char root_text[CID_TEXT_MAX])
{
    struct buf car;
    buf_init(&car, BIG, NULL);
    for (unsigned i = 0; i < CAR_BLOCKS; i++) {
        uint8_t head[CAR_SECTION_HEAD_MAX];
        struct multihash hash;
        assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&i, sizeof(i)), &hash));
        struct cid cid = cid_v1(CODEC_RAW, &hash);
        if (i == 0) {
            assert_ok(car_append_header(&car, &cid, 1));
            cid_text(&cid, root_text);
        }
        assert_ok(buf_append(&car, head, car_section_head(&cid, sizeof(i), head)));
        assert_ok(buf_append(&car, &i, sizeof(i)));
    }
    int fd = open(stage.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, car.data, car.len), car.len);
    assert_int_equal(close(fd), 0);
    stage_hand_over(stage.path, O_RDONLY);
    uint64_t len = car.len;
    buf_release(&car);
    return len;
}

/* It goes as bytes, no more at once than the window has; its roots come with the end. */
static void a_car_is_read_in_place(void **state)
{
    (void)state;
    char want[CID_TEXT_MAX + 64];
    char root_text[CID_TEXT_MAX] = "";
    char request[160];
    uint64_t len = make_car(root_text);
    open_upload(",\"car\":true");
    expect_offset(0, len, len);
    (void)snprintf(want, sizeof(want), "\"roots\":[\"%s\"],\"blocks\":%u", root_text, CAR_BLOCKS);
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add close\",\"args\":{\"upload\":%u,\"size\":%llu,\"keep\":true}}", play.upload,
                   (unsigned long long)len);
    stage_expect(request, want);
    assert_int_equal(atomic_load(&play.puts), CAR_BLOCKS);
    /* it is kept until it is given up */
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"add write\",\"args\":{\"upload\":%u,\"offset\":0,\"data\":\"u\"}}", play.upload);
    stage_expect(request, "\"ok\":true");
    abort_upload();
    stage_expect(request, "not_found");
    stage_expect_closed();
}

/* Where nothing is stored no acknowledgement makes room in the window: it goes on by itself. */
static void a_car_that_is_only_hashed_is_read_to_its_end(void **state)
{
    (void)state;
    char root_text[CID_TEXT_MAX] = "";
    uint64_t len = make_car(root_text);
    open_upload(",\"car\":true,\"only_hash\":true");
    expect_offset(0, len, len);
    close_upload(len, root_text);
    assert_int_equal(atomic_load(&play.puts), 0);
}

/* One that is none ends its upload with the place; nothing is left open. */
static void what_is_no_car_is_refused(void **state)
{
    (void)state;
    make_file(BIG / 4);
    open_upload(",\"car\":true");
    expect_file(0, play.size, "of the CAR");
    close_upload(play.size, "not_found");
    assert_int_equal(atomic_load(&play.puts), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_in_place, begin, end),
        cmocka_unit_test_setup_teardown(in_a_tree_it_is_the_open_file, begin, end),
        cmocka_unit_test_setup_teardown(other_files_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(one_that_changes_half_way_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(one_that_vanishes_is_read_to_its_end, begin, end),
        cmocka_unit_test_setup_teardown(a_restart_leaks_nothing, begin, end),
        cmocka_unit_test_setup_teardown(a_full_store_ends_the_upload, begin, end),
        cmocka_unit_test_setup_teardown(a_car_is_read_in_place, begin, end),
        cmocka_unit_test_setup_teardown(a_car_that_is_only_hashed_is_read_to_its_end, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_car_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_cancelled_request_reads_no_further, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * get against a daemon that lies (RELIABILITY row D15): a REP socket that answers `get` from a script. Whatever it says,
 * nothing may appear outside the destination, and terminal escapes must not reach the terminal. And one large file, which the
 * daemon writes itself, or not, or only in part.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>

#include "base/file_pass.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "wire/tree_stream.h"

enum { LOOK_MS = 20 };

/* One entry of the only folder, and what it is: its record's kind, and its content or target. */
static struct {
    struct span name;
    enum tree_kind kind;
    struct span body;
    struct tree_meta meta;
} entry;

/* Instead of the folder: one file, and what becomes of it. */
enum { LARGE = 3 * 1024 * 1024, UNSEEN = -1 };
static struct {
    bool on;
    uint64_t claimed;          /* its size, as `get` says; 0 = not said, as daemons did before */
    unsigned parts;            /* written by the daemon, as many requests; then it refuses */
    bool lies;                 /* about how far it came */
    enum control_code as;      /* how it refuses */
    int door;                  /* files.sock, UNSEEN = there is none */
    _Atomic unsigned asked[3]; /* get, get file, read */
} large;

static uint8_t content[LARGE];

static nng_socket server;
static nng_thread *thread;
static _Atomic bool over; /* looked at each LOOK_MS: a socket that is closed while somebody receives may hang */
static char folder[64];
static char url[128];

/* A record that nobody checks, as a daemon that lies would send it. */
static void put_record(struct buf *to, enum tree_kind kind, struct span name, struct span body)
{
    const struct tree_meta *meta = &entry.meta;
    bool dressed = meta->has_mtime && kind != TREE_DATA && kind != TREE_END && kind != TREE_LEAVE;
    uint8_t head[TREE_HEADER_BYTES + TREE_META_BYTES_MAX] = {(uint8_t)kind, dressed ? 3 : 0, (uint8_t)name.len};
    head[4] = (uint8_t)body.len;
    for (unsigned i = 0; i < 4; i++) {
        head[8 + i] = (uint8_t)(meta->mode >> (8 * i));
        head[20 + i] = (uint8_t)(meta->mtime_nanos >> (8 * i));
    }
    for (unsigned i = 0; i < 8; i++)
        head[12 + i] = (uint8_t)((uint64_t)meta->mtime_seconds >> (8 * i));
    assert_int_equal(buf_append(to, head, dressed ? sizeof(head) : TREE_HEADER_BYTES), ERR_OK);
    assert_int_equal(buf_append_span(to, name), ERR_OK);
    assert_int_equal(buf_append_span(to, body), ERR_OK);
}

static void put_stream(struct buf *to)
{
    struct span none = {0};
    put_record(to, TREE_ENTER, span_text("root"), none);
    put_record(to, entry.kind, entry.name, entry.kind == TREE_SYMLINK ? entry.body : none);
    if (entry.kind == TREE_FILE) {
        put_record(to, TREE_DATA, none, entry.body);
        put_record(to, TREE_END, none, none);
    }
    if (entry.kind == TREE_ENTER)
        put_record(to, TREE_LEAVE, none, none);
    put_record(to, TREE_LEAVE, none, none);
}

static void put_large_stream(struct buf *to)
{
    assert_int_equal(tree_stream_append(to, TREE_FILE, span_text("root"), (struct span){0}, &entry.meta), ERR_OK);
    for (size_t at = 0; at < LARGE; at += TREE_DATA_MAX)
        assert_int_equal(
            tree_stream_append(to, TREE_DATA, (struct span){0}, span_of(content + at, TREE_DATA_MAX), NULL), ERR_OK);
    assert_int_equal(tree_stream_append(to, TREE_END, (struct span){0}, (struct span){0}, NULL), ERR_OK);
}

/* A piece of the stream, and the size of the file beside it. */
static void answer_large_get(struct span args, struct buf *to)
{
    struct buf stream;
    buf_init(&stream, LARGE + 4096, NULL);
    put_large_stream(&stream);
    uint64_t offset = value_u64(args, "offset");
    struct span data = span_first(span_skip(buf_span(&stream), (size_t)offset), (size_t)value_u64(args, "length"));
    struct pack p = pack_begin(to);
    pack_map(&p, large.claimed > 0 ? 3 : 2);
    pack_text(&p, "data");
    pack_bytes(&p, data);
    pack_pair_bool(&p, "end", offset + data.len == stream.len);
    if (large.claimed > 0)
        pack_pair_u64(&p, "file_size", large.claimed);
    assert_int_equal(pack_end(&p), ERR_OK);
    buf_release(&stream);
}

/* The next 1,000,000 bytes. */
static bool write_large(struct span args, struct buf *to)
{
    struct passed_file passed;
    if (large.parts == 0 || file_pass_receive(large.door, &passed) != ERR_OK)
        return false;
    large.parts--;
    assert_int_equal(passed.token, value_u64(args, "file"));
    uint64_t offset = value_u64(args, "offset");
    size_t len = (size_t)MIN(LARGE - offset, UINT64_C(1000000));
    assert_int_equal(pwrite(passed.fd, content + offset, len, (off_t)offset), len);
    assert_int_equal(close(passed.fd), 0);
    struct pack p = pack_begin(to);
    pack_map(&p, 2);
    pack_pair_u64(&p, "offset", large.lies ? LARGE + 1 : offset + len);
    pack_pair_u64(&p, "size", LARGE);
    return pack_end(&p) == ERR_OK;
}

static void read_large(struct span args, struct buf *to)
{
    uint64_t offset = MIN(value_u64(args, "offset"), (uint64_t)LARGE);
    struct pack p = pack_begin(to);
    pack_map(&p, 2);
    pack_text(&p, "data");
    pack_bytes(&p, span_first(span_of(content + offset, (size_t)(LARGE - offset)), (size_t)value_u64(args, "length")));
    pack_pair_u64(&p, "size", LARGE);
    assert_int_equal(pack_end(&p), ERR_OK);
}

static void answer_large(const struct request *request, struct buf *to)
{
    struct buf result;
    buf_init(&result, LARGE, NULL);
    bool writes = span_equal_text(request->op, "get file");
    bool reads = span_equal_text(request->op, "read");
    (void)atomic_fetch_add(&large.asked[reads ? 2 : writes], 1);
    bool done = true;
    if (writes)
        done = write_large(request->args, &result);
    else if (reads)
        read_large(request->args, &result);
    else
        answer_large_get(request->args, &result);
    if (done)
        assert_int_equal(answer_pack(buf_span(&result), request->id, 0, to), ERR_OK);
    else
        assert_int_equal(answer_pack_error(large.as, "it cannot", "", request->id, 0, to), ERR_OK);
    buf_release(&result);
}

static void answer_one(struct span bytes, struct buf *to)
{
    struct request request;
    struct buf result;
    char why[100];
    buf_init(&result, 4096, NULL);
    if (request_unpack(bytes, &request, why, sizeof(why)) != ERR_OK)
        return;
    if (large.on) {
        answer_large(&request, to);
        return;
    }
    struct buf stream;
    buf_init(&stream, 4096, NULL);
    put_stream(&stream);
    struct pack p = pack_begin(&result);
    pack_map(&p, 2);
    pack_text(&p, "data");
    pack_bytes(&p, span_skip(buf_span(&stream), (size_t)value_u64(request.args, "offset")));
    pack_pair_bool(&p, "end", true);
    buf_release(&stream);
    if (pack_end(&p) == ERR_OK && answer_pack(buf_span(&result), request.id, 0, to) != ERR_OK)
        buf_clear(to);
    buf_release(&result);
}

static void serve(void *arg)
{
    (void)arg;
    nng_msg *msg = NULL;
    while (!atomic_load(&over)) {
        if (nng_recvmsg(server, &msg, 0) != 0)
            continue;
        struct buf answer;
        buf_init(&answer, LARGE, NULL);
        answer_one(span_of(nng_msg_body(msg), nng_msg_len(msg)), &answer);
        nng_msg_clear(msg);
        if (nng_msg_append(msg, answer.data, answer.len) != 0 || nng_sendmsg(server, msg, 0) != 0)
            nng_msg_free(msg);
        buf_release(&answer);
    }
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/hearth-get-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mkdir("here", 0700), 0);
    (void)snprintf(url, sizeof(url), "ipc://%s/s", folder);
    assert_int_equal(nng_rep0_open(&server), 0);
    assert_int_equal(nng_socket_set_ms(server, NNG_OPT_RECVTIMEO, LOOK_MS), 0);
    assert_int_equal(nng_listen(server, url, NULL, 0), 0);
    atomic_store(&over, false);
    assert_int_equal(nng_thread_create(&thread, serve, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    atomic_store(&over, true);
    nng_thread_destroy(thread);
    (void)nng_close(server);
    assert_int_equal(chdir("/"), 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static int get_with(struct cmd_get args)
{
    struct globals globals = {.api = url, .timeout_ms = 5000};
    struct client *client = NULL;
    char why[512];
    struct invocation *in = calloc(1, sizeof(*in));
    args.path = span_text("root");
    assert_int_equal(client_open(&globals, &client, why), ERR_OK);
    int status = run_get(client, in, &args);
    client_close(client);
    free(in);
    return status;
}

static int get(const char *output)
{
    return get_with((struct cmd_get){.output = span_text(output)});
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void an_honest_folder_lands(void **state)
{
    (void)state;
    entry.name = span_text("file");
    entry.kind = TREE_FILE;
    entry.body = span_text("evil");
    assert_int_equal(get("here/out"), EXIT_OK);
    FILE *file = fopen("here/out/file", "r");
    assert_non_null(file);
    char text[8] = "";
    assert_int_equal(fread(text, 1, sizeof(text), file), 4);
    assert_string_equal(text, "evil");
    (void)fclose(file);
}

static void hostile_names_are_refused(void **state)
{
    (void)state;
    const struct span names[] = {span_text(".."), span_text("."),     span_text("/tmp/x"), span_text("../escaped"),
                                 span_text(""),   span_of("a\0b", 3), span_text("a/b")};
    entry.kind = TREE_FILE;
    entry.body = span_text("evil");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        entry.name = names[i];
        assert_int_not_equal(get("here/out"), EXIT_OK);
    }
    assert_false(exists("escaped") || exists("here/escaped") || exists("here/out/a"));
}

/* A symlink that was there before, or that the folder itself brought, is not walked through. */
static void symlinks_lead_nowhere(void **state)
{
    (void)state;
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    assert_int_equal(mkdir("here/out", 0700), 0); /* there already: `root` lands in it */
    assert_int_equal(mkdir("here/out/root", 0700), 0);
    assert_int_equal(symlink("../../../elsewhere/file", "here/out/root/file"), 0);
    entry.name = span_text("file");
    entry.kind = TREE_FILE;
    entry.body = span_text("evil");
    assert_int_not_equal(get("here/out"), EXIT_OK);
    assert_false(exists("elsewhere/file"));
    assert_int_equal(symlink("../../../elsewhere", "here/out/root/sub"), 0);
    entry.name = span_text("sub");
    entry.kind = TREE_ENTER;
    assert_int_not_equal(get("here/out"), EXIT_OK);
}

static void a_symlink_keeps_its_target_as_it_is(void **state)
{
    (void)state;
    char target[32] = "";
    entry.name = span_text("link");
    entry.kind = TREE_SYMLINK;
    entry.body = span_text("../../etc");
    assert_int_equal(get("here/out"), EXIT_OK);
    assert_int_equal(readlink("here/out/link", target, sizeof(target) - 1), 9);
    assert_string_equal(target, "../../etc");
    entry.body = span_of("a\0b", 3);
    entry.name = span_text("link2");
    assert_int_not_equal(get("here/out"), EXIT_OK);
}

/* UnixFS 1.5: nanoseconds and times before 1970 are kept; what would run as its owner is not. */
static void modes_and_times_are_restored(void **state)
{
    (void)state;
    const enum tree_kind kinds[] = {TREE_FILE, TREE_ENTER, TREE_SYMLINK};
    entry.meta = (struct tree_meta){.mode = 04741, .has_mtime = true, .mtime_seconds = -2, .mtime_nanos = 123456789};
    entry.body = span_text("evil");
    entry.name = span_text("e");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct stat st;
        char path[32];
        entry.kind = kinds[i];
        (void)snprintf(path, sizeof(path), "here/out%zu", i);
        assert_int_equal(get(path), EXIT_OK);
        (void)snprintf(path, sizeof(path), "here/out%zu/e", i);
        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(st.st_mtim.tv_sec, -2);
        assert_int_equal(st.st_mtim.tv_nsec, 123456789);
        if (kinds[i] != TREE_SYMLINK)
            assert_int_equal(st.st_mode & 07777, 0741);
    }
    entry.meta = (struct tree_meta){0};
}

/* A pipe that was there before, as /dev/null is: it gets the bytes, and stays what it was. */
static void what_is_no_file_keeps_its_mode_and_time(void **state)
{
    (void)state;
    struct stat before;
    struct stat after;
    assert_int_equal(mkdir("here/out", 0700), 0);
    assert_int_equal(mkdir("here/out/root", 0700), 0);
    assert_int_equal(mkfifo("here/out/root/pipe", 0622), 0);
    int reader = open("here/out/root/pipe", O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(fstat(reader, &before), 0);
    entry.meta = (struct tree_meta){.mode = 0640, .has_mtime = true, .mtime_seconds = 1000};
    entry.name = span_text("pipe");
    entry.kind = TREE_FILE;
    entry.body = span_text("evil");
    assert_int_equal(get("here/out"), EXIT_OK);
    char text[8] = "";
    assert_int_equal(read(reader, text, sizeof(text)), 4);
    assert_int_equal(fstat(reader, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_true(after.st_mtim.tv_sec > 1000);
    (void)close(reader);
    entry.meta = (struct tree_meta){0};
}

/* ---- one large file ---- */

static void serve_large(bool with_door)
{
    char path[128];
    large.on = true;
    large.claimed = LARGE;
    large.as = CODE_NOT_FOUND;
    large.door = UNSEEN;
    for (size_t i = 0; i < LARGE; i++)
        content[i] = (uint8_t)(i * 5 + i / 777);
    (void)snprintf(path, sizeof(path), "%s/files.sock", folder);
    if (with_door)
        assert_int_equal(file_pass_listen(path, &large.door), ERR_OK);
}

static int teardown_large(void **state)
{
    int code = teardown(state); /* its thread has ended then */
    if (large.door >= 0)
        (void)close(large.door);
    memset(&large, 0, sizeof(large));
    entry.meta = (struct tree_meta){0};
    return code;
}

static void expect_asked(unsigned files, bool reads)
{
    assert_int_equal(large.asked[0], 1);
    assert_int_equal(large.asked[1], files);
    assert_int_equal(large.asked[2] > 0, reads);
}

static void expect_large(const char *path)
{
    static uint8_t bytes[LARGE + 1];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), LARGE);
    assert_memory_equal(bytes, content, LARGE);
    (void)fclose(file);
}

static void the_daemon_writes_a_large_file(void **state)
{
    (void)state;
    struct stat st;
    serve_large(true);
    large.parts = 9;
    entry.meta = (struct tree_meta){.mode = 0640, .has_mtime = true, .mtime_seconds = 1000};
    FILE *longer = fopen("here/out", "w");
    assert_non_null(longer);
    assert_int_equal(fseek(longer, LARGE + 100, SEEK_SET), 0);
    assert_int_equal(fputc('x', longer), 'x');
    (void)fclose(longer);
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    expect_asked(3, false);
    assert_int_equal(stat("here/out", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1000);
}

static void what_it_does_not_write_is_read(void **state)
{
    (void)state;
    serve_large(true);
    large.parts = 2;
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    expect_asked(3, true);
}

static void one_that_cannot_write_is_read_from(void **state)
{
    (void)state;
    serve_large(true);
    large.as = CODE_NO_SPACE;
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    expect_asked(1, true);
}

static void one_that_takes_no_files_is_read_from(void **state)
{
    (void)state;
    serve_large(false);
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    expect_asked(0, true);
}

/* Without the size it goes on as a stream, and so does what is no file to be handed over. */
static void others_come_as_a_stream(void **state)
{
    (void)state;
    serve_large(true);
    large.parts = 9;
    assert_int_equal(get("/dev/null"), EXIT_OK);
    assert_int_equal(large.asked[1] + large.asked[2], 0);
    large.claimed = 0;
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    assert_int_equal(large.asked[1] + large.asked[2], 0);
}

static void one_that_lies_about_its_writing_is_read_from(void **state)
{
    (void)state;
    serve_large(true);
    large.parts = 9;
    large.lies = true;
    assert_int_equal(get("here/out"), EXIT_OK);
    expect_large("here/out");
    expect_asked(1, true);
}

static void a_false_size_is_no_whole_file(void **state)
{
    (void)state;
    serve_large(true);
    large.claimed = LARGE + 5;
    assert_int_equal(get("here/out"), EXIT_ERROR);
    expect_asked(1, true);
}

/* Who waited in vain is not to wait again. */
static void a_timeout_is_final(void **state)
{
    (void)state;
    serve_large(true);
    large.as = CODE_TIMEOUT;
    assert_int_equal(get("here/out"), EXIT_TIMED_OUT);
    expect_asked(1, false);
}

/* The bytes of a file that are looked for. */
static bool holds(const char *path, const char *text)
{
    static char bytes[65536];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

static void an_archive_is_whole_or_not_there(void **state)
{
    (void)state;
    struct cmd_get args = {.archive = true, .output = span_text("here/out")};
    entry.name = span_text("file");
    entry.kind = TREE_FILE;
    entry.body = span_text("content");
    assert_int_equal(get_with(args), EXIT_OK);
    assert_true(holds("here/out.tar", "root/file") && holds("here/out.tar", "content"));
    entry.name = span_text("../file");
    assert_int_not_equal(get_with(args), EXIT_OK);
    assert_false(exists("here/out.tar"));
    args.compress = true;
    assert_int_not_equal(get_with(args), EXIT_OK);
    assert_false(exists("here/out.tar.gz"));
    entry.name = span_text("file");
    assert_int_equal(get_with(args), EXIT_OK);
    assert_true(holds("here/out.tar.gz", "\x1f\x8b\x08"));
    args.archive = false; /* a folder is not one file */
    assert_int_not_equal(get_with(args), EXIT_OK);
    assert_false(exists("here/out.gz"));
}

static void escapes_are_escaped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    print_escaped(to, span_text("a\033]0;owned\007b\r\n\x7f"));
    (void)fclose(to);
    for (size_t i = 0; i < len; i++)
        assert_true(text[i] >= 0x20 && text[i] < 0x7f);
    free(text);
}

static void a_daemon_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct globals globals = {.api = "ipc:///tmp/hearth-no-such-socket"};
    struct client *client = NULL;
    char why[512] = "";
    assert_int_equal(client_open(&globals, &client, why), ERR_UNAVAILABLE);
    assert_non_null(strstr(why, "/tmp/hearth-no-such-socket"));
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LARGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_large)
    const struct CMUnitTest tests[] = {
        TEST(an_honest_folder_lands),
        TEST(hostile_names_are_refused),
        TEST(modes_and_times_are_restored),
        TEST(what_is_no_file_keeps_its_mode_and_time),
        TEST(symlinks_lead_nowhere),
        TEST(a_symlink_keeps_its_target_as_it_is),
        TEST(an_archive_is_whole_or_not_there),
        LARGE_TEST(the_daemon_writes_a_large_file),
        LARGE_TEST(what_it_does_not_write_is_read),
        LARGE_TEST(one_that_cannot_write_is_read_from),
        LARGE_TEST(one_that_takes_no_files_is_read_from),
        LARGE_TEST(others_come_as_a_stream),
        LARGE_TEST(one_that_lies_about_its_writing_is_read_from),
        LARGE_TEST(a_false_size_is_no_whole_file),
        LARGE_TEST(a_timeout_is_final),
        cmocka_unit_test(escapes_are_escaped),
        cmocka_unit_test(a_daemon_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

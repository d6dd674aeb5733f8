/* SPDX-License-Identifier: MIT */
/*
 * get against a daemon that lies (RELIABILITY row D15): a REP socket that answers `ls` and `read` from a script. Whatever it
 * says, nothing may appear outside the destination, and terminal escapes must not reach the terminal.
 */
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
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>

#include "cli/run.h"
#include "schemas/pack.h"

/* One entry of the only folder, and what it is. */
static struct {
    struct span name;
    const char *kind;
    struct span target;
} entry;

static nng_socket server;
static nng_thread *thread;
static char folder[64];
static char url[128];

static void pack_entry(struct pack *p)
{
    pack_map(p, 4);
    pack_text(p, "name");
    pack_bytes(p, entry.name);
    pack_pair_text(p, "cid", "entry");
    pack_pair_text(p, "kind", entry.kind);
    pack_pair_u64(p, "size", 4);
}

static void pack_ls_result(struct pack *p, bool root)
{
    pack_map(p, 6);
    pack_pair_text(p, "kind", root ? "folder" : entry.kind);
    pack_pair_u64(p, "size", 4);
    pack_text(p, "target");
    pack_bytes(p, entry.target);
    pack_text(p, "entries");
    pack_array(p, root ? 1 : 0);
    if (root)
        pack_entry(p);
    pack_pair_bool(p, "more", false);
    pack_pair_u64(p, "next", 1);
}

static void answer_one(struct span bytes, struct buf *to)
{
    struct request request;
    struct buf result;
    char why[100];
    buf_init(&result, 4096, NULL);
    if (request_unpack(bytes, &request, why, sizeof(why)) != ERR_OK)
        return;
    struct pack p = pack_begin(&result);
    if (span_equal_text(request.op, "read")) {
        pack_map(&p, 2);
        pack_text(&p, "data");
        pack_bytes(&p, value_u64(request.args, "offset") == 0 ? span_text("evil") : (struct span){0});
        pack_pair_u64(&p, "size", 4);
    } else {
        pack_ls_result(&p, span_equal_text(value_text(request.args, "path"), "root"));
    }
    if (pack_end(&p) == ERR_OK && answer_pack(buf_span(&result), request.id, to) != ERR_OK)
        buf_clear(to);
    buf_release(&result);
}

static void serve(void *arg)
{
    (void)arg;
    nng_msg *msg = NULL;
    while (nng_recvmsg(server, &msg, 0) == 0) {
        struct buf answer;
        buf_init(&answer, 65536, NULL);
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
    assert_int_equal(nng_listen(server, url, NULL, 0), 0);
    assert_int_equal(nng_thread_create(&thread, serve, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    (void)nng_close(server);
    nng_thread_destroy(thread);
    assert_int_equal(chdir("/"), 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static int get(const char *output)
{
    struct globals globals = {.api = url, .timeout_ms = 5000};
    struct client *client = NULL;
    char why[512];
    struct invocation *in = calloc(1, sizeof(*in));
    struct cmd_get args = {.path = span_text("root"), .output = span_text(output)};
    assert_int_equal(client_open(&globals, &client, why), ERR_OK);
    int status = run_get(client, in, &args);
    client_close(client);
    free(in);
    return status;
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
    entry.kind = "file";
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
    entry.kind = "file";
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
    entry.kind = "file";
    assert_int_not_equal(get("here/out"), EXIT_OK);
    assert_false(exists("elsewhere/file"));
    assert_int_equal(symlink("../../../elsewhere", "here/out/root/sub"), 0);
    entry.name = span_text("sub");
    entry.kind = "folder";
    assert_int_not_equal(get("here/out"), EXIT_OK);
}

static void a_symlink_keeps_its_target_as_it_is(void **state)
{
    (void)state;
    char target[32] = "";
    entry.name = span_text("link");
    entry.kind = "symlink";
    entry.target = span_text("../../etc");
    assert_int_equal(get("here/out"), EXIT_OK);
    assert_int_equal(readlink("here/out/link", target, sizeof(target) - 1), 9);
    assert_string_equal(target, "../../etc");
    entry.target = span_of("a\0b", 3);
    entry.name = span_text("link2");
    assert_int_not_equal(get("here/out"), EXIT_OK);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_honest_folder_lands),          TEST(hostile_names_are_refused),
        TEST(symlinks_lead_nowhere),           TEST(a_symlink_keeps_its_target_as_it_is),
        cmocka_unit_test(escapes_are_escaped), cmocka_unit_test(a_daemon_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

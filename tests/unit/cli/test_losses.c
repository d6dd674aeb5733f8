/* SPDX-License-Identifier: MIT */
/*
 * Requests whose answerer ends while they are out, and is started again: each life takes one request and ends, but for the last, which answers.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#include "cli/client.h"
#include "schemas/pack.h"

/* Time enough for ALL_MOST lives where each takes a second or more: under a sanitizer, on a machine that is shared. */
enum { TIMEOUT_MS = 300000, QUICK_MOST = 5, ALL_MOST = 64 };

static struct {
    char folder[64];
    char run[80];
    char lock[80];
    char path[96];
    pid_t keeper;
    struct shared {
        _Atomic unsigned deaths; /* so many lives still end */
        _Atomic unsigned taken;  /* requests, by all lives */
        _Atomic bool says;       /* a life tells of its end, instead of the request's answer */
        _Atomic unsigned jobs;   /* so many requests still become jobs that are lost */
        _Atomic bool asked;      /* the next request is about one */
        _Atomic bool rude;       /* between two lives there is one that ends before it greets */
        _Atomic bool mute;       /* the first request is answered with no, no other at all */
    } * shared;
} scene;

static enum err pack_job(struct buf *to)
{
    struct buf result;
    buf_init(&result, 64, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_u64(&p, "job", 1);
    enum err err = pack_end(&p);
    if (err == ERR_OK)
        err = answer_pack(buf_span(&result), (struct span){0}, 0, to);
    buf_release(&result);
    return err;
}

static enum err pack_answer(bool good, struct buf *to)
{
    if (scene.shared->asked) {
        scene.shared->asked = false;
        return answer_pack_error(CODE_NOT_FOUND, "no job 1", "", (struct span){0}, 0, to);
    }
    if (good && scene.shared->jobs > 0) {
        scene.shared->jobs--;
        scene.shared->asked = true;
        return pack_job(to);
    }
    return good ? answer_pack((struct span){0}, (struct span){0}, 0, to)
                : answer_pack_error(CODE_UNAVAILABLE, CONTROL_STOPS_TEXT, "", (struct span){0}, 0, to);
}

static void send_packed(nng_socket socket, enum err packed_well, struct buf *packed)
{
    nng_msg *msg = NULL;
    if (packed_well != ERR_OK || nng_msg_alloc(&msg, 0) != 0 || nng_msg_append(msg, packed->data, packed->len) != 0 ||
        nng_sendmsg(socket, msg, 0) != 0)
        _exit(EXIT_FAILURE);
    buf_release(packed);
}

static void answer(nng_socket socket, bool good)
{
    struct buf packed;
    buf_init(&packed, 4096, NULL);
    send_packed(socket, pack_answer(good, &packed), &packed);
}

static void answer_no(nng_socket socket)
{
    struct buf packed;
    buf_init(&packed, 4096, NULL);
    send_packed(socket, answer_pack_error(CODE_UNAVAILABLE, "it is away", "", (struct span){0}, 0, &packed), &packed);
}

static void live(int ready)
{
    nng_socket socket;
    nng_msg *msg = NULL;
    char url[128];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(url, sizeof(url), "ipc://%s", scene.path);
    if (nng_rep0_open(&socket) != 0 || nng_listen(socket, url, NULL, 0) != 0 ||
        (ready >= 0 && write(ready, "r", 1) != 1))
        _exit(EXIT_FAILURE);
    while (nng_recvmsg(socket, &msg, 0) == 0) {
        nng_msg_free(msg);
        scene.shared->taken++;
        if (scene.shared->mute && scene.shared->taken == 1)
            answer_no(socket);
        if (scene.shared->mute)
            continue;
        bool ends = scene.shared->deaths > 0;
        if (ends)
            scene.shared->deaths--;
        if (ends && !scene.shared->says)
            _exit(EXIT_SUCCESS);
        answer(socket, !ends);
    }
    _exit(EXIT_SUCCESS);
}

/* Takes one connection and ends. */
static void end_in_the_greeting(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", scene.path);
    (void)unlink(scene.path);
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (door < 0 || bind(door, (const struct sockaddr *)&at, sizeof(at)) != 0 || listen(door, 1) != 0)
        _exit(EXIT_FAILURE);
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    (void)unlink(scene.path);
    if (fd < 0 || close(fd) != 0 || close(door) != 0)
        _exit(EXIT_FAILURE);
    scene.shared->rude = false;
}

/* The daemon: has the lock, and starts who answers again. */
static void keep(int ready)
{
    int lock = open(scene.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0)
        _exit(EXIT_FAILURE);
    for (;; ready = -1) {
        int status = 0;
        pid_t life = fork();
        if (life == 0)
            live(ready);
        if (life < 0 || waitpid(life, &status, 0) != life || status != EXIT_SUCCESS)
            _exit(EXIT_FAILURE);
        if (scene.shared->rude)
            end_in_the_greeting();
    }
}

/* Before this process has made any socket of nng: its threads would be missing in the other one. */
static int open_scene(void **state)
{
    (void)state;
    int ready[2];
    char byte = 0;
    (void)snprintf(scene.folder, sizeof(scene.folder), "/tmp/hearth-losses-XXXXXX");
    assert_non_null(mkdtemp(scene.folder));
    (void)snprintf(scene.run, sizeof(scene.run), "%s/run", scene.folder);
    (void)snprintf(scene.lock, sizeof(scene.lock), "%s/daemon.lock", scene.folder);
    (void)snprintf(scene.path, sizeof(scene.path), "%s/sock", scene.run);
    assert_int_equal(mkdir(scene.run, 0700), 0);
    scene.shared = mmap(NULL, sizeof(*scene.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(scene.shared, MAP_FAILED);
    assert_int_equal(pipe(ready), 0);
    scene.keeper = fork();
    assert_true(scene.keeper >= 0);
    if (scene.keeper == 0)
        keep(ready[1]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    assert_int_equal(kill(scene.keeper, SIGKILL), 0);
    assert_int_equal(waitpid(scene.keeper, NULL, 0), scene.keeper);
    (void)munmap(scene.shared, sizeof(*scene.shared));
    (void)unlink(scene.path);
    (void)unlink(scene.lock);
    (void)rmdir(scene.run);
    return rmdir(scene.folder);
}

/* Jobs that are watched are asked about more often. */
static void ignore_progress(void *arg, uint64_t done)
{
    (void)arg;
    (void)done;
}

static enum control_code ask_with(const char *op, unsigned deaths, bool says, bool mutates)
{
    struct client *client = NULL;
    struct outcome outcome;
    char why[512] = "";
    struct globals globals = {.api = scene.path};
    scene.shared->taken = 0;
    scene.shared->says = says;
    scene.shared->deaths = deaths;
    assert_int_equal(client_open(&globals, &client, why), ERR_OK);
    client_watch(client, ignore_progress, NULL);
    struct call *call = call_start(client, op, (struct span){0}, TIMEOUT_MS, mutates);
    assert_non_null(call);
    call_wait(call, &outcome);
    call_free(call);
    client_close(client);
    scene.shared->deaths = 0;
    scene.shared->jobs = 0;
    return outcome.code;
}

static void what_may_be_executed_twice_outlives_ends(void **state)
{
    (void)state;
    assert_int_equal(ask_with("id", QUICK_MOST - 1, false, false), CODE_OK);
    assert_int_equal(scene.shared->taken, QUICK_MOST);
}

static void and_ends_that_are_told(void **state)
{
    (void)state;
    assert_int_equal(ask_with("id", QUICK_MOST - 1, true, false), CODE_OK);
    assert_int_equal(scene.shared->taken, QUICK_MOST);
}

static void but_not_each_that_it_may_have_caused(void **state)
{
    (void)state;
    assert_int_equal(ask_with("id", UINT32_MAX, false, false), CODE_NOT_RUNNING);
    assert_in_range(scene.shared->taken, QUICK_MOST, ALL_MOST); /* QUICK_MOST where no machine stands still */
}

static void a_try_without_an_answer_leaves_what_the_one_before_said(void **state)
{
    (void)state;
    struct client *client = NULL;
    struct outcome outcome;
    char why[512] = "";
    struct globals globals = {.api = scene.path};
    scene.shared->taken = 0;
    scene.shared->mute = true;
    assert_int_equal(client_open(&globals, &client, why), ERR_OK);
    struct call *call = call_start(client, "id", (struct span){0}, 2000, false);
    assert_non_null(call);
    call_wait(call, &outcome);
    assert_true(scene.shared->taken >= 2);
    assert_int_equal(outcome.code, CODE_UNAVAILABLE);
    assert_true(span_equal_text(outcome.message, "it is away"));
    call_free(call);
    client_close(client);
    scene.shared->mute = false;
}

static void and_one_that_ends_in_the_greeting(void **state)
{
    (void)state;
    scene.shared->rude = true;
    assert_int_equal(ask_with("id", 1, false, false), CODE_OK);
    assert_false(scene.shared->rude);
}

static void what_may_not_be_executed_twice_is_not_sent_twice(void **state)
{
    (void)state;
    assert_int_equal(ask_with("add write", 1, false, true), CODE_NOT_RUNNING);
    assert_int_equal(scene.shared->taken, 1);
    assert_int_equal(ask_with("add write", 1, true, true), CODE_UNAVAILABLE);
    assert_int_equal(scene.shared->taken, 1);
}

static void a_job_that_is_lost_begins_anew_where_it_may(void **state)
{
    (void)state;
    scene.shared->jobs = 1;
    assert_int_equal(ask_with("pin add", 0, false, true), CODE_OK);
    assert_int_equal(scene.shared->taken, 3);
    scene.shared->jobs = 1;
    assert_int_equal(ask_with("add write", 0, false, true), CODE_NOT_FOUND);
    assert_int_equal(scene.shared->taken, 2);
}

/* Ends that come late are not a request's own, but not for ever. */
static void late_ends_do_not_count_in_a_row(void **state)
{
    (void)state;
    enum { QUICK = 499, LATE = 500 };
    struct losses losses = {0};
    for (unsigned i = 1; i < ALL_MOST; i++)
        assert_true(losses_allow(&losses, i % QUICK_MOST == 0 ? LATE : QUICK));
    assert_false(losses_allow(&losses, LATE));
    losses = (struct losses){0};
    for (unsigned i = 1; i < QUICK_MOST; i++)
        assert_true(losses_allow(&losses, QUICK));
    assert_false(losses_allow(&losses, QUICK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_ends_do_not_count_in_a_row),
        cmocka_unit_test(what_may_be_executed_twice_outlives_ends),
        cmocka_unit_test(and_ends_that_are_told),
        cmocka_unit_test(and_one_that_ends_in_the_greeting),
        cmocka_unit_test(a_try_without_an_answer_leaves_what_the_one_before_said),
        cmocka_unit_test(but_not_each_that_it_may_have_caused),
        cmocka_unit_test(what_may_not_be_executed_twice_is_not_sent_twice),
        cmocka_unit_test(a_job_that_is_lost_begins_anew_where_it_may),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}

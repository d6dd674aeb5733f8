/* SPDX-License-Identifier: MIT */
/* Open files over a datagram socket: what comes whole, and datagrams that a hostile sender makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file_pass.h"
#include "base/le.h"
#include "tests/support/descriptors.h"

enum { DESCRIPTORS_MAX = 200, TOKEN = 0x01020304 };

static struct {
    char folder[64];
    char path[128];
    int socket;
    int file; /* what is sent */
} play;

static int begin(void **state)
{
    (void)state;
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-pass-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    (void)snprintf(play.path, sizeof(play.path), "%s/files.sock", play.folder);
    assert_int_equal(file_pass_listen(play.path, &play.socket), ERR_OK);
    play.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return play.file >= 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(close(play.file), 0);
    assert_int_equal(close(play.socket), 0);
    (void)unlink(play.path);
    return rmdir(play.folder);
}

static void expect_nothing(void)
{
    struct passed_file passed;
    assert_int_equal(file_pass_receive(play.socket, &passed), ERR_AGAIN);
}

/* Sends bytes with as many descriptors, and sees that none of it is taken or stays open. */
static void expect_dropped(const uint8_t *bytes, size_t len, unsigned descriptors)
{
    static union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, play.path, MIN(strlen(play.path) + 1, sizeof(address.sun_path)));
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr msg = {.msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &part, .msg_iovlen = 1};
    if (descriptors > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&msg);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (unsigned i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(rights) + i * sizeof(int), &play.file, sizeof(int));
    }
    struct passed_file passed = {.fd = -1};
    unsigned before = descriptors_open(NULL);
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(from >= 0);
    assert_int_equal(sendmsg(from, &msg, 0), (ssize_t)len);
    assert_int_equal(close(from), 0);
    assert_int_equal(file_pass_receive(play.socket, &passed), ERR_INVALID);
    assert_int_equal(passed.fd, -1);
    assert_int_equal(descriptors_open(NULL), before);
    expect_nothing();
}

static void good_bytes(uint8_t bytes[FILE_PASS_BYTES])
{
    le_put(bytes, FILE_PASS_MAGIC, 4);
    le_put(bytes + 4, FILE_PASS_VERSION, 4);
    le_put(bytes + 8, TOKEN, 8);
}

static void a_file_comes_with_its_sender(void **state)
{
    (void)state;
    struct stat want;
    struct stat got;
    struct passed_file passed;
    expect_nothing();
    assert_int_equal(file_pass_send(play.path, UINT64_MAX - 1, play.file), ERR_OK);
    assert_int_equal(file_pass_receive(play.socket, &passed), ERR_OK);
    assert_true(passed.token == UINT64_MAX - 1);
    assert_int_equal(passed.uid, getuid());
    assert_int_not_equal(passed.fd, play.file);
    assert_int_equal(fcntl(passed.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstat(play.file, &want), 0);
    assert_int_equal(fstat(passed.fd, &got), 0);
    assert_true(want.st_dev == got.st_dev && want.st_ino == got.st_ino);
    assert_int_equal(close(passed.fd), 0);
    expect_nothing();
}

static void all_else_is_dropped(void **state)
{
    (void)state;
    uint8_t bytes[FILE_PASS_BYTES + 1] = {0};
    good_bytes(bytes);
    expect_dropped(bytes, FILE_PASS_BYTES, 0);
    expect_dropped(bytes, FILE_PASS_BYTES, 2);
    expect_dropped(bytes, FILE_PASS_BYTES, 3);
    expect_dropped(bytes, FILE_PASS_BYTES, DESCRIPTORS_MAX);
    expect_dropped(bytes, 0, 0);
    expect_dropped(bytes, FILE_PASS_BYTES - 1, 1);
    expect_dropped(bytes, FILE_PASS_BYTES + 1, 1);
    bytes[0]++;
    expect_dropped(bytes, FILE_PASS_BYTES, 1);
    good_bytes(bytes);
    bytes[4]++;
    expect_dropped(bytes, FILE_PASS_BYTES, 1);
    a_file_comes_with_its_sender(state); /* which stops no good one */
}

static void a_sender_never_waits(void **state)
{
    (void)state;
    struct passed_file passed;
    enum err err = ERR_OK;
    unsigned sent = 0;
    for (; err == ERR_OK && sent < 100000; sent++)
        err = file_pass_send(play.path, sent, play.file);
    assert_int_not_equal(err, ERR_OK);
    unsigned before = descriptors_open(NULL);
    for (unsigned i = 0; i + 1 < sent; i++) {
        assert_int_equal(file_pass_receive(play.socket, &passed), ERR_OK);
        assert_int_equal(passed.token, i);
        assert_int_equal(close(passed.fd), 0);
    }
    expect_nothing();
    assert_int_equal(descriptors_open(NULL), before);
    assert_int_equal(unlink(play.path), 0);
    assert_int_equal(file_pass_send(play.path, 1, play.file), ERR_NOT_FOUND);
}

static void a_socket_that_was_left_is_replaced(void **state)
{
    (void)state;
    struct stat st;
    int second;
    assert_int_equal(close(play.socket), 0);
    assert_int_not_equal(file_pass_send(play.path, 1, play.file), ERR_OK);
    assert_int_equal(file_pass_listen(play.path, &play.socket), ERR_OK);
    assert_int_equal(stat(play.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    a_file_comes_with_its_sender(state);
    /* Nothing else is. */
    assert_int_equal(unlink(play.path), 0);
    int file = open(play.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    assert_int_not_equal(file_pass_listen(play.path, &second), ERR_OK);
    assert_int_equal(access(play.path, F_OK), 0);
}

static void long_paths_are_refused(void **state)
{
    (void)state;
    char path[FILE_PASS_PATH_MAX + 2];
    int second;
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(file_pass_listen(path, &second), ERR_TOO_LARGE);
    assert_int_equal(file_pass_send(path, 1, play.file), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_comes_with_its_sender, begin, end),
        cmocka_unit_test_setup_teardown(all_else_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_sender_never_waits, begin, end),
        cmocka_unit_test_setup_teardown(a_socket_that_was_left_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(long_paths_are_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

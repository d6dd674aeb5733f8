/* SPDX-License-Identifier: MIT */
/*
 * The files that clients hand over, beside a real listener in a folder of its own. Time is the test's.
 */
#include "tests/unit/actors/helper_listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/control/file_door.h"
#include "base/file_pass.h"
#include "tests/support/descriptors.h"

enum { UPLOAD = 5, OTHER_UPLOAD = 6 };

static struct file_door *door;
static char sock[128];
static char path[128];

static void open_the_door(void)
{
    char why[LISTENER_WHY_BYTES] = "";
    if (file_door_open(&play.options, play.listener, &door, why) != ERR_OK)
        fail_msg("%s", why);
    (void)snprintf(sock, sizeof(sock), "%s/files.sock", play.folder);
    (void)snprintf(path, sizeof(path), "%s/film", play.folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(close(fd), 0);
}

static int begin(void **state)
{
    int code = play_open(state);
    open_the_door();
    return code;
}

static int begin_for_another_user(void **state)
{
    int code = play_open_for_another_user(state);
    open_the_door();
    return code;
}

/* Whatever was still in there is closed with it. */
static int end(void **state)
{
    file_door_close(door);
    assert_int_equal(descriptors_below(play.folder), 0);
    assert_int_equal(access(sock, F_OK), -1);
    (void)unlink(path);
    return play_close(state);
}

static void hand_over(uint64_t token, const char *what, int flags)
{
    int fd = open(what, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_pass_send(sock, token, fd), ERR_OK);
    assert_int_equal(close(fd), 0);
}

static void hand_over_film(uint64_t token)
{
    hand_over(token, path, O_RDONLY);
}

static unsigned kept(void)
{
    return descriptors_below(play.folder) + descriptors_open("/dev/zero");
}

static void a_file_belongs_to_the_upload_that_asks(void **state)
{
    (void)state;
    char bytes[4] = "";
    hand_over_film(1);
    hand_over_film(2);
    const struct local_file *file = file_door_find(door, 1, UPLOAD, 0); /* which takes in what waits */
    assert_non_null(file);
    assert_int_equal(file->size, 10);
    assert_int_equal(local_file_read(file, 2, bytes, 3), ERR_OK);
    assert_string_equal(bytes, "234");
    assert_null(file_door_find(door, 1, OTHER_UPLOAD, 0));
    assert_non_null(file_door_find(door, 1, UPLOAD, 0));
    assert_null(file_door_find(door, 3, UPLOAD, 0));
    assert_non_null(file_door_find(door, 2, UPLOAD, 0));
    assert_int_equal(kept(), 2);
    file_door_drop(door, 1);
    assert_null(file_door_find(door, 1, UPLOAD, 0));
    assert_int_equal(kept(), 1);
    file_door_end_upload(door, OTHER_UPLOAD);
    assert_int_equal(kept(), 1);
    file_door_end_upload(door, UPLOAD);
    assert_int_equal(kept(), 0);
    assert_int_equal(file_door_expire(door, 0), 0);
}

static void only_open_regular_files_come_in(void **state)
{
    (void)state;
    char fifo[128];
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", play.folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    hand_over(1, fifo, O_RDWR);
    hand_over(2, play.folder, O_RDONLY | O_DIRECTORY);
    hand_over(3, path, O_WRONLY | O_APPEND);
    hand_over(4, "/dev/zero", O_RDONLY);
    hand_over(5, path, O_PATH);
    assert_int_equal(unlink(fifo), 0);
    file_door_admit(door, 0);
    assert_int_equal(kept(), 0);
    for (uint64_t token = 1; token <= 5; token++)
        assert_null(file_door_find(door, token, UPLOAD, 0));
    assert_int_equal(file_door_expire(door, 0), 5);
    assert_int_equal(file_door_expire(door, 0), 0); /* told once */
}

static void what_a_file_is_open_for_counts(void **state)
{
    (void)state;
    struct local_file file;
    hand_over(1, path, O_RDONLY);
    hand_over(2, path, O_WRONLY);
    hand_over(3, path, O_RDWR);
    hand_over(4, path, O_RDWR);
    hand_over(5, path, O_RDWR | O_APPEND);
    assert_false(file_door_take(door, 1, 0, &file)); /* which takes in what waits */
    assert_int_equal(kept(), 4);                     /* it is of no use */
    assert_null(file_door_find(door, 2, UPLOAD, 0));
    assert_int_equal(kept(), 3);
    assert_true(file_door_take(door, 3, 0, &file));
    assert_int_equal(kept(), 3); /* it is ours now */
    assert_int_equal(local_file_write(&file, 9, span_of("xyz", 3)), ERR_OK);
    assert_false(file_door_take(door, 3, 0, &file));
    assert_int_equal(local_file_close(&file), ERR_OK);
    assert_non_null(file_door_find(door, 4, UPLOAD, 0));
    assert_false(file_door_take(door, 4, 0, &file)); /* it is an upload's */
    assert_non_null(file_door_find(door, 4, UPLOAD, 0));
    assert_false(file_door_take(door, 5, 0, &file));
    assert_int_equal(kept(), 1);
    assert_int_equal(file_door_expire(door, 0), 0);
}

static void a_token_names_one_file(void **state)
{
    (void)state;
    hand_over_film(1);
    hand_over_film(1);
    file_door_admit(door, 0);
    assert_int_equal(kept(), 1);
    assert_int_equal(file_door_expire(door, 0), 1);
}

static void other_users_are_refused(void **state)
{
    (void)state;
    hand_over_film(1);
    assert_null(file_door_find(door, 1, UPLOAD, 0));
    assert_int_equal(kept(), 0);
    assert_int_equal(file_door_expire(door, 0), 1);
}

static void newcomers_take_the_place_of_the_oldest(void **state)
{
    (void)state;
    uint64_t token;
    for (token = 0; token <= FILE_DOOR_FILES; token++) {
        hand_over_film(token);
        file_door_admit(door, token); /* each later than the one before */
        if (token == 0)
            assert_non_null(file_door_find(door, 0, UPLOAD, 0));
    }
    assert_int_equal(kept(), FILE_DOOR_FILES);
    assert_non_null(file_door_find(door, 0, UPLOAD, 0)); /* older, but in use */
    assert_null(file_door_find(door, 1, UPLOAD, 0));
    for (token = 2; token <= FILE_DOOR_FILES; token++)
        assert_non_null(file_door_find(door, token, UPLOAD, 0));
    assert_int_equal(file_door_expire(door, 0), 0);
    hand_over_film(token); /* now all are in use */
    assert_null(file_door_find(door, token, UPLOAD, 0));
    assert_int_equal(kept(), FILE_DOOR_FILES);
    assert_int_equal(file_door_expire(door, 0), 1);
}

static void a_file_that_nobody_asks_for_goes(void **state)
{
    (void)state;
    uint64_t lease = FILE_DOOR_LEASE_S * SECOND_NS;
    hand_over_film(1);
    hand_over_film(2);
    file_door_admit(door, 100);
    assert_non_null(file_door_find(door, 2, UPLOAD, 100));
    (void)file_door_expire(door, 99 + lease);
    assert_int_equal(kept(), 2);
    (void)file_door_expire(door, 100 + lease);
    assert_int_equal(kept(), 1);
    assert_null(file_door_find(door, 1, UPLOAD, 100 + lease));
    assert_non_null(file_door_find(door, 2, UPLOAD, 100 + lease));
}

static void it_has_the_access_of_the_control_socket(void **state)
{
    (void)state;
    struct stat st;
    char why[LISTENER_WHY_BYTES] = "";
    struct file_door *second;
    assert_int_equal(stat(sock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct listener_options options = play.options;
    options.uid_count = 2;
    file_door_close(door);
    assert_int_equal(file_door_open(&options, play.listener, &door, why), ERR_OK);
    assert_int_equal(stat(sock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    char folder[FILE_PASS_PATH_MAX];
    memset(folder, 'x', sizeof(folder) - 1);
    folder[sizeof(folder) - 1] = '\0';
    options.folder = folder;
    assert_int_equal(file_door_open(&options, play.listener, &second, why), ERR_TOO_LARGE);
    assert_true(why[0] != '\0');
}

/* As in the simulator. */
static void without_a_door_there_is_no_file(void **state)
{
    (void)state;
    struct local_file file;
    assert_null(file_door_find(NULL, 1, UPLOAD, 0));
    assert_false(file_door_take(NULL, 1, 0, &file));
    file_door_drop(NULL, 1);
    file_door_end_upload(NULL, UPLOAD);
    assert_int_equal(file_door_expire(NULL, 0), 0);
    file_door_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_belongs_to_the_upload_that_asks, begin, end),
        cmocka_unit_test_setup_teardown(only_open_regular_files_come_in, begin, end),
        cmocka_unit_test_setup_teardown(what_a_file_is_open_for_counts, begin, end),
        cmocka_unit_test_setup_teardown(a_token_names_one_file, begin, end),
        cmocka_unit_test_setup_teardown(other_users_are_refused, begin_for_another_user, end),
        cmocka_unit_test_setup_teardown(newcomers_take_the_place_of_the_oldest, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_nobody_asks_for_goes, begin, end),
        cmocka_unit_test_setup_teardown(it_has_the_access_of_the_control_socket, begin, end),
        cmocka_unit_test(without_a_door_there_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

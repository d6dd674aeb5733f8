/* SPDX-License-Identifier: MIT */
/*
 * Files that the daemon writes itself: the real control actor behind its sockets, beside a store that plays its part. All that a file may be made
 * of, ranges, descriptors that may not be written, blocks that come late or never, and requests that end half-way.
 */
#include "tests/unit/actors/helper_control.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/messages.h"
#include "tests/support/descriptors.h"
#include "wire/dag_pb.h"
#include "wire/multibase.h"

enum { HELD_MAX = 256, TICK_MS = 5, BIG = 12 * 1024 * 1024, WHOLE = 0 };

/* Carried by its CID: 0123456789, four times. */
#define INLINED "bafkqakbqgezdgnbvgy3tqojqgezdgnbvgy3tqojqgezdgnbvgy3tqojqgezdgnbvgy3tqoi"

static pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER; /* a test may swap a block while the actor answers */

static struct {
    struct block_store store;
    char cid[CID_TEXT_MAX];
    uint64_t size;
    _Atomic unsigned allowed; /* blocks that are still answered; the rest is held */
    _Atomic bool slow;        /* one more of them is each 5 ms */
    _Atomic unsigned gets;
} play;

static uint8_t content[BIG];
static uint8_t written[BIG + 1];

/* ---- the store ---- */

struct held {
    struct reply_to to;
    struct cid cid;
};

struct store_state {
    struct held held[HELD_MAX];
    size_t count;
};

/* The caller's reference, or NULL. */
static struct block_ref *look_up(const struct cid *cid)
{
    (void)pthread_mutex_lock(&store_lock);
    struct block_ref *block = store_get(&play.store, cid);
    if (block != NULL)
        block = block_ref_ref(block);
    (void)pthread_mutex_unlock(&store_lock);
    return block;
}

static void answer_get(struct ctx *ctx, const struct held *held)
{
    uint8_t bytes[CID_BYTES_MAX];
    struct block_ref *block = look_up(&held->cid);
    if (block == NULL) {
        ctx_reply_err(ctx, held->to, ERR_NOT_FOUND, "absent");
        return;
    }
    struct msg_block fields = {.cid = span_of(bytes, cid_encode(&held->cid, bytes)), .size = block->len};
    ctx_reply(ctx, held->to, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = block});
    block_ref_unref(block);
}

static void answer_allowed(struct ctx *ctx, struct store_state *s)
{
    size_t done = 0;
    for (; done < s->count && atomic_load(&play.allowed) > 0; done++) {
        atomic_fetch_sub(&play.allowed, 1);
        answer_get(ctx, &s->held[done]);
    }
    s->count -= done;
    memmove(s->held, s->held + done, s->count * sizeof(s->held[0]));
}

static enum err store_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct store_state *s = state;
    if (msg->kind != MSG_BLOCK_GET || s->count == HELD_MAX)
        return ERR_UNSUPPORTED;
    struct held *held = &s->held[s->count++];
    held->to = to;
    assert_ok(cid_parse(((const struct msg_block_get *)msg->fields)->cid, &held->cid));
    atomic_fetch_add(&play.gets, 1);
    answer_allowed(ctx, s);
    return ERR_OK;
}

static void store_info(struct ctx *ctx, void *state, const struct info *info)
{
    if (info->kind != INFO_TIMER)
        return;
    if (atomic_load(&play.slow))
        atomic_fetch_add(&play.allowed, 1);
    answer_allowed(ctx, state);
    (void)ctx_timer(ctx, ctx_now(ctx) + TICK_MS * MS_NS, 1);
}

static enum err store_begin(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + TICK_MS * MS_NS, 1);
    return ERR_OK;
}

static const struct actor_class store_class = {.name = "tiered_storage",
                                               .state_bytes = sizeof(struct store_state),
                                               .init = store_begin,
                                               .handle_call = store_call,
                                               .handle_info = store_info};

static int begin(void **state)
{
    (void)state;
    memset(&play, 0, sizeof(play));
    store_init(&play.store);
    atomic_store(&play.allowed, UINT_MAX);
    stage_open(&store_class);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_close();
    store_release(&play.store);
    return 0;
}

/* ---- what is there, and what was written ---- */

static void import(const struct import_options *options, size_t len)
{
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 7 + i / 1000);
    struct import_node node = import_bytes(options, &play.store, span_of(content, len), NULL);
    cid_text(&node.cid, play.cid);
    play.size = len;
}

static void import_profile(enum import_profile profile, size_t len)
{
    struct import_options options = import_options_of(profile);
    import(&options, len);
}

/* A folder with the file in it. */
static void put_into_folder(const char *name)
{
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&play.store);
    struct cid file;
    struct import_node folder;
    uint8_t bytes[CID_BYTES_MAX];
    assert_ok(cid_parse_text(span_text(play.cid), &file));
    struct dag_pb_link link = {
        .name = span_text(name), .cid = span_of(bytes, cid_encode(&file, bytes)), .has_name = true};
    struct buf links;
    buf_init(&links, 256, NULL);
    assert_ok(dag_pb_append(&links, &link, 1, NULL));
    struct unixfs_node fields = {.type = UNIXFS_DIRECTORY};
    assert_ok(import_emit_node(&options, &sink, buf_span(&links), &fields, &folder));
    cid_text(&folder.cid, play.cid);
    buf_release(&links);
}

static void make_file(void)
{
    int fd = open(stage.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

static size_t read_file(void)
{
    int fd = open(stage.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t len = pread(fd, written, sizeof(written), 0);
    assert_true(len >= 0);
    assert_int_equal(close(fd), 0);
    return (size_t)len;
}

/* The bytes from offset on and nothing else. */
static void expect_written(uint64_t offset, uint64_t length)
{
    uint64_t end = MIN(offset + length, play.size);
    assert_int_equal(read_file(), end > offset ? end : 0);
    for (size_t i = 0; end > offset && i < offset; i++)
        assert_int_equal(written[i], 0);
    if (end > offset)
        assert_memory_equal(written + offset, content + offset, (size_t)(end - offset));
}

/* ---- asking ---- */

static void get_request(char *to, size_t to_bytes, const char *path, uint64_t offset, uint64_t length)
{
    char range[64] = "";
    if (length != WHOLE)
        (void)snprintf(range, sizeof(range), ",\"length\":%llu", (unsigned long long)length);
    (void)snprintf(to, to_bytes,
                   "{\"op\":\"get file\",\"id\":\"x\",\"timeout_ms\":20000,\"args\":{\"path\":\"%s\",\"file\":%llu,"
                   "\"offset\":%llu%s,\"offline\":true}}",
                   path, (unsigned long long)stage.token, (unsigned long long)offset, range);
}

static uint64_t number_in(const char *answer, const char *key)
{
    const char *at = strstr(answer, key);
    if (at == NULL)
        fail_msg("%s has no %s", answer, key);
    return strtoull(at + strlen(key), NULL, 10);
}

/* One request, and where it came to. */
static uint64_t get_once(const char *path, uint64_t offset, uint64_t length)
{
    char request[1024];
    char answer[1024];
    stage_hand_over(stage.path, O_WRONLY);
    get_request(request, sizeof(request), path, offset, length);
    stage_ask(request, answer, sizeof(answer));
    assert_int_equal(number_in(answer, "\"size\":"), play.size);
    return number_in(answer, "\"offset\":");
}

/* Asks on until all is there, as a busy machine may need it. */
static void get(const char *path, uint64_t offset, uint64_t length)
{
    uint64_t end = length == WHOLE ? play.size : MIN(offset + length, play.size);
    uint64_t at = offset;
    make_file();
    do {
        uint64_t before = at;
        at = get_once(path, at, length == WHOLE ? WHOLE : offset + length - at);
        assert_true(at >= before && (at > before || at >= end));
    } while (at < end);
    assert_int_equal(at, MAX(end, offset));
    stage_expect_closed();
}

static void expect_refused(uint64_t offset, const char *want)
{
    char request[1024];
    get_request(request, sizeof(request), play.cid, offset, WHOLE);
    stage_expect(request, want);
    stage_expect_closed();
}

static void send_request(nng_socket socket, uint64_t offset)
{
    char request[1024];
    stage_hand_over(stage.path, O_WRONLY);
    get_request(request, sizeof(request), play.cid, offset, WHOLE);
    assert_int_equal(nng_send(socket, request, strlen(request), 0), 0);
}

static bool something_is_written(void *arg)
{
    (void)arg;
    struct stat st;
    return stat(stage.path, &st) == 0 && st.st_size > 0;
}

static void await_first_bytes(void)
{
    assert_true(runtime_await(stage.rt, something_is_written, NULL, STAGE_WAIT_S * SECOND_NS));
}

/* ---- scripts ---- */

static void files_of_every_make_are_written(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 5000, 1024 * 1024, 1024 * 1024 + 1, BIG - 12345};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        import_profile(IMPORT_UNIXFS_V1_2025, sizes[i]);
        get(play.cid, 0, WHOLE);
        expect_written(0, play.size);
        import_profile(IMPORT_UNIXFS_V0_2015, sizes[i]);
        get(play.cid, 0, WHOLE);
        expect_written(0, play.size);
    }
    struct import_options options = import_options_of(IMPORT_UNIXFS_V0_2015);
    options.chunk_bytes = 700; /* far more blocks than go with one job, in several levels */
    options.max_links = 11;
    import(&options, 300000);
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

static void so_are_inlined_and_repeated_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++)
        content[i] = (uint8_t)('0' + i % 10);
    play.size = 40;
    get(INLINED, 0, WHOLE);
    expect_written(0, 40);
    get(INLINED, 35, 3);
    expect_written(35, 3);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    memset(content, 0, 5 * MIB);
    struct import_node node = import_bytes(&options, &play.store, span_of(content, 5 * MIB), NULL);
    cid_text(&node.cid, play.cid);
    play.size = 5 * MIB;
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

static void a_file_in_a_folder_is_written(void **state)
{
    (void)state;
    char path[CID_TEXT_MAX + 32];
    import_profile(IMPORT_UNIXFS_V1_2025, 2 * MIB + 7);
    put_into_folder("film");
    (void)snprintf(path, sizeof(path), "/ipfs/%s/film", play.cid);
    get(path, 0, WHOLE);
    expect_written(0, play.size);
    make_file();
    stage_hand_over(stage.path, O_WRONLY);
    expect_refused(0, "this is a directory, not a file");
    (void)snprintf(play.cid + strlen(play.cid), 8, "/none");
    stage_hand_over(stage.path, O_WRONLY);
    expect_refused(0, "\"code\":\"not_found\"");
}

static void ranges_are_kept(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, 3 * MIB + 100);
    const uint64_t ranges[][2] = {
        {0, 1},
        {0, MIB},
        {MIB - 1, 2},
        {100, 2 * MIB},
        {play.size - 1, 1},
        {play.size - 1, 1000},
        {play.size, 1},
        {play.size + 5, 7},
        {MIB, INT64_MAX},
        {INT64_MAX, INT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        get(play.cid, ranges[i][0], ranges[i][1]);
        expect_written(ranges[i][0], ranges[i][1]);
    }
}

/* A file that was there, and longer, keeps what the daemon was not asked to write: to truncate it is its owner's. */
static void nothing_else_is_touched(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, 2 * MIB);
    make_file();
    memset(written, 'x', 2 * MIB + 10);
    int fd = open(stage.path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, written, 2 * MIB + 10), 2 * MIB + 10);
    assert_int_equal(close(fd), 0);
    for (uint64_t at = 5; at < 2 * MIB;)
        at = get_once(play.cid, at, WHOLE);
    assert_int_equal(read_file(), 2 * MIB + 10);
    assert_memory_equal(written, "xxxxx", 5);
    assert_memory_equal(written + 5, content + 5, 2 * MIB - 5);
    assert_memory_equal(written + 2 * MIB, "xxxxxxxxxx", 10);
}

/* Requests in a row go on with one reader, and so does the first with that of the tree stream: no block is asked for again. */
static void one_reader_goes_on(void **state)
{
    (void)state;
    char request[512];
    static char answer[512 * 1024];
    import_profile(IMPORT_UNIXFS_V1_2025, 4 * MIB);
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"get\",\"args\":{\"path\":\"%s\",\"length\":262144,\"offline\":true}}", play.cid);
    stage_ask(request, answer, sizeof(answer));
    assert_int_equal(number_in(answer, "\"file_size\":"), play.size);
    make_file();
    uint64_t first = 262144 - (8 + strlen(play.cid)) - 8; /* without the records' heads */
    uint64_t at = first;
    while (at < 2 * MIB)
        at = get_once(play.cid, at, 2 * MIB - at);
    while (at < play.size)
        at = get_once(play.cid, at, WHOLE);
    expect_written(first, play.size);
    assert_int_equal(atomic_load(&play.gets), 5);
    /* A tree stream that stands elsewhere is left as it is. */
    stage_ask(request, answer, sizeof(answer));
    at = get_once(play.cid, first + 1, 1);
    assert_int_equal(at, first + 2);
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"get\",\"args\":{\"path\":\"%s\",\"offset\":262144,\"length\":10,\"offline\":true}}",
                   play.cid);
    stage_expect(request, "\"end\":false");
}

static void what_may_not_be_written_is_refused(void **state)
{
    (void)state;
    char path[160];
    const char *not_there = "it did not come to files.sock open for writing";
    import_profile(IMPORT_UNIXFS_V1_2025, 2 * MIB);
    make_file();
    expect_refused(0, not_there);
    stage_hand_over(stage.path, O_RDONLY);
    expect_refused(0, not_there);
    stage_hand_over(stage.path, O_RDWR | O_APPEND);
    expect_refused(0, not_there);
    stage_hand_over("/dev/null", O_WRONLY);
    expect_refused(0, not_there);
    (void)snprintf(path, sizeof(path), "%s/fifo", stage.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    stage_hand_over(path, O_RDWR);
    expect_refused(0, not_there);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chmod(stage.path, 04700), 0);
    stage_hand_over(stage.path, O_WRONLY);
    expect_refused(0, not_there);
    assert_int_equal(read_file(), 0);
    assert_int_equal(atomic_load(&play.gets), 0);
    assert_int_equal(chmod(stage.path, 0600), 0);
    assert_int_equal(get_once(play.cid, 0, 10), 10);
    expect_refused(0, not_there); /* a descriptor serves once */
}

/* What open said yes to may still be forbidden. */
static void errors_of_the_file_are_told(void **state)
{
    (void)state;
    char path[64];
    struct rlimit limit;
    struct rlimit less;
    import_profile(IMPORT_UNIXFS_V1_2025, 4 * MIB);
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    stage_hand_over(path, O_RDWR);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    expect_refused(0, "the file cannot be written: not allowed");
    assert_int_equal(close(fd), 0);
    make_file();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    less = limit;
    less.rlim_cur = 3 * MIB;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    uint64_t at = 0;
    for (; at < 2 * MIB;)
        at = get_once(play.cid, at, 2 * MIB - at);
    stage_hand_over(stage.path, O_WRONLY);
    expect_refused(at, "\"code\":\"too_large\"");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(read_file(), 3 * MIB);
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

static struct cid leaf_of(size_t index)
{
    struct cid cid = {.version = 1, .codec = CODEC_RAW};
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 32, span_of(content + index * MIB, MIB), &cid.hash));
    return cid;
}

static void swap_block(const struct cid *cid, struct block_ref *block)
{
    uint8_t key[MULTIHASH_BYTES_MAX];
    struct span name = span_of(key, multihash_encode(&cid->hash, key));
    (void)pthread_mutex_lock(&store_lock);
    struct block_ref *old = table_remove(&play.store.blocks, name);
    enum err err = block == NULL ? ERR_OK : table_put(&play.store.blocks, name, block, NULL);
    (void)pthread_mutex_unlock(&store_lock);
    block_ref_unref(old);
    assert_ok(err);
}

/* The second block is shorter or longer than its parent says, or cannot be had: what comes before it may be written, and no more is. */
static void lies_and_gaps_end_it(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, 4 * MIB);
    struct cid second = leaf_of(1);
    make_file();
    for (int i = 0; i < 3; i++) {
        static const char *const wants[] = {"has another size than its parent says",
                                            "has another size than its parent says", "\"code\":\"not_found\""};
        static const size_t lens[] = {MIB - 1, MIB + 1};
        struct block_ref *lie = i < 2 ? block_ref_new(lens[i], NULL) : NULL;
        assert_true(i == 2 || lie != NULL);
        if (lie != NULL)
            memset(lie->data, 'x', lie->len);
        swap_block(&second, lie);
        stage_hand_over(stage.path, O_WRONLY);
        expect_refused(0, wants[i]);
        assert_true(read_file() <= MIB);
        assert_memory_equal(written, content, read_file());
    }
}

/* One request goes to the end as long as it does not take long. Of a slow one the client hears how far it is. */
static void a_slow_one_is_answered_on_its_way(void **state)
{
    (void)state;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 1000;
    import(&options, 200000);
    make_file();
    atomic_store(&play.allowed, 0);
    atomic_store(&play.slow, true);
    uint64_t at = get_once(play.cid, 0, WHOLE);
    assert_true(at > 0 && at < play.size);
    assert_true(read_file() >= at); /* nothing is acknowledged that is not there */
    assert_memory_equal(written, content, at);
    atomic_store(&play.slow, false);
    atomic_store(&play.allowed, UINT_MAX);
    while (at < play.size)
        at = get_once(play.cid, at, WHOLE);
    expect_written(0, play.size);
    assert_int_equal(atomic_load(&play.gets), 201);
}

static bool blocks_are_asked_for(void *arg)
{
    (void)arg;
    return atomic_load(&play.gets) > 1;
}

/* It may be answered before the end of its range: who wants what comes behind that has a reader of his own. */
static void nobody_waits_behind_it(void **state)
{
    (void)state;
    char request[1024];
    char answer[1024];
    size_t len = sizeof(answer) - 1;
    struct buf want;
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 1000;
    import(&options, 200000);
    make_file();
    atomic_store(&play.allowed, 1);
    stage_hand_over(stage.path, O_WRONLY);
    get_request(request, sizeof(request), play.cid, 0, 150000);
    assert_int_equal(nng_send(stage.socket, request, strlen(request), 0), 0);
    assert_true(runtime_await(stage.rt, blocks_are_asked_for, NULL, STAGE_WAIT_S * SECOND_NS));
    nng_socket other = stage_dial(stage.folder);
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"read\",\"args\":{\"path\":\"%s\",\"offset\":150000,\"length\":9,\"offline\":true}}",
                   play.cid);
    assert_int_equal(nng_send(other, request, strlen(request), 0), 0);
    atomic_store(&play.slow, true);
    assert_int_equal(nng_recv(other, answer, &len, 0), 0);
    answer[len] = '\0';
    buf_init(&want, 64, NULL);
    assert_ok(multibase_encode(MULTIBASE_64_URL, span_of(content + 150000, 9), &want));
    assert_ok(buf_append_byte(&want, 0));
    assert_non_null(strstr(answer, (const char *)want.data));
    buf_release(&want);
    assert_int_equal(nng_close(other), 0);
    len = sizeof(answer);
    assert_int_equal(nng_recv(stage.socket, answer, &len, 0), 0);
}

static void a_request_that_is_cancelled_ends_it(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    make_file();
    atomic_store(&play.allowed, 3);
    send_request(stage.socket, 0);
    await_first_bytes();
    stage_expect("{\"op\":\"cancel\",\"args\":{\"request\":\"x\"}}", "\"cancelled\":true");
    stage_expect_closed();
    atomic_store(&play.allowed, UINT_MAX);
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

static void a_client_that_goes_ends_it(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    make_file();
    atomic_store(&play.allowed, 3);
    nng_socket leaver = stage_dial(stage.folder);
    send_request(leaver, 0);
    await_first_bytes();
    assert_int_equal(nng_close(leaver), 0);
    stage_expect_closed();
    atomic_store(&play.allowed, UINT_MAX);
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

static void a_deadline_ends_it(void **state)
{
    (void)state;
    char request[1024];
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    make_file();
    atomic_store(&play.allowed, 3);
    stage_hand_over(stage.path, O_WRONLY);
    (void)snprintf(request, sizeof(request),
                   "{\"op\":\"get file\",\"timeout_ms\":200,\"args\":{\"path\":\"%s\",\"file\":%llu,\"offline\":true}}",
                   play.cid, (unsigned long long)stage.token);
    stage_expect(request, "\"code\":\"timeout\"");
    stage_expect_closed();
}

/* Not more: nng closes what the test before had a little later. */
static bool is_as_before(void *arg)
{
    return descriptors_open(NULL) <= *(const unsigned *)arg;
}

static void a_restart_leaks_nothing(void **state)
{
    (void)state;
    stage_expect("{\"op\":\"version\"}", "\"ok\":true");
    unsigned before = descriptors_open(NULL);
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    make_file();
    atomic_store(&play.allowed, 3);
    nng_socket other = stage_dial(stage.folder);
    send_request(other, 0);
    await_first_bytes();
    atomic_store(&stage.fail, true);
    stage_hand_over(stage.path, O_WRONLY);               /* which wakes it, unless the request does */
    stage_expect("{\"op\":\"version\"}", "\"ok\":true"); /* asked again of the next life */
    assert_false(atomic_load(&stage.fail));
    stage_expect_closed();
    assert_int_equal(nng_close(other), 0);
    assert_true(runtime_await(stage.rt, is_as_before, &before, STAGE_WAIT_S * SECOND_NS));
    atomic_store(&play.allowed, UINT_MAX);
    get(play.cid, 0, WHOLE);
    expect_written(0, play.size);
}

/* The last one is still under way when the daemon stops: end sees that its file is closed then. */
static void the_end_of_the_daemon_ends_it(void **state)
{
    (void)state;
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    make_file();
    atomic_store(&play.allowed, 3);
    send_request(stage.socket, 0);
    await_first_bytes();
}

/* More files at once than their readers have memory for, and bytes of one for another client from the same place on. */
static void several_share_the_memory(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    char path[CLIENTS][160];
    nng_socket sockets[CLIENTS];
    uint64_t at[CLIENTS] = {0};
    char request[1024];
    char answer[1024];
    import_profile(IMPORT_UNIXFS_V1_2025, BIG);
    atomic_store(&play.allowed, 0);
    for (int i = 0; i < CLIENTS; i++) {
        sockets[i] = stage_dial(stage.folder);
        (void)snprintf(path[i], sizeof(path[i]), "%s/film%d", stage.folder, i);
    }
    for (bool all = false; !all;) {
        all = true;
        for (int i = 0; i < CLIENTS; i++) {
            if (at[i] == play.size)
                continue;
            stage_hand_over(path[i], O_WRONLY | O_CREAT);
            get_request(request, sizeof(request), play.cid, at[i], WHOLE);
            assert_int_equal(nng_send(sockets[i], request, strlen(request), 0), 0);
        }
        atomic_store(&play.allowed, UINT_MAX);
        (void)snprintf(request, sizeof(request),
                       "{\"op\":\"read\",\"args\":{\"path\":\"%s\",\"length\":3,\"offline\":true}}", play.cid);
        stage_expect(request, "\"data\":\"uAAcO\""); /* the bytes 0, 7, 14 */
        for (int i = 0; i < CLIENTS; i++) {
            size_t len = sizeof(answer) - 1;
            if (at[i] == play.size)
                continue;
            assert_int_equal(nng_recv(sockets[i], answer, &len, 0), 0);
            answer[len] = '\0';
            at[i] = number_in(answer, "\"offset\":");
            all = all && at[i] == play.size;
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(nng_close(sockets[i]), 0);
        assert_int_equal(rename(path[i], stage.path), 0);
        expect_written(0, play.size);
    }
}

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* as the daemon does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_of_every_make_are_written, begin, end),
        cmocka_unit_test_setup_teardown(so_are_inlined_and_repeated_blocks, begin, end),
        cmocka_unit_test_setup_teardown(a_file_in_a_folder_is_written, begin, end),
        cmocka_unit_test_setup_teardown(ranges_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(nothing_else_is_touched, begin, end),
        cmocka_unit_test_setup_teardown(one_reader_goes_on, begin, end),
        cmocka_unit_test_setup_teardown(what_may_not_be_written_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(errors_of_the_file_are_told, begin, end),
        cmocka_unit_test_setup_teardown(lies_and_gaps_end_it, begin, end),
        cmocka_unit_test_setup_teardown(a_slow_one_is_answered_on_its_way, begin, end),
        cmocka_unit_test_setup_teardown(nobody_waits_behind_it, begin, end),
        cmocka_unit_test_setup_teardown(a_request_that_is_cancelled_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_client_that_goes_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_deadline_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_restart_leaks_nothing, begin, end),
        cmocka_unit_test_setup_teardown(the_end_of_the_daemon_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(several_share_the_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

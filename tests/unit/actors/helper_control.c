/* SPDX-License-Identifier: MIT */
#include "tests/unit/actors/helper_control.h"

#include <fcntl.h>
#include <nng/protocol/reqrep0/req.h>
#include <string.h>
#include <unistd.h>

#include "actors/tree.h"
#include "base/file_pass.h"
#include "mailbox/backend.h"
#include "schemas/messages.h"
#include "storage/disk_posix.h"
#include "tests/support/descriptors.h"

struct stage stage;

/* ---- actors that play a part ---- */

static void ignore_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

static const struct actor_class idle_class = {.name = "idle", .handle_cast = ignore_cast};

/* The real one, which a test can let fail. */
static struct actor_class control_that_fails;

static void control_info(struct ctx *ctx, void *state, const struct info *info)
{
    if (info->kind == INFO_WATCH && atomic_exchange(&stage.fail, false))
        ctx_exit(ctx, EXIT_FAILED, "the test wants it");
    else
        control_class.handle_info(ctx, state, info);
}

static const struct child_spec children[] = {
    {.id = "state", .start = ACTOR_STATE, .restart = RESTART_PERMANENT},
    {.id = "tiered_storage", .start = ACTOR_TIERED_STORAGE, .restart = RESTART_PERMANENT},
    {.id = "heat_tracker", .start = ACTOR_HEAT_TRACKER, .restart = RESTART_PERMANENT},
    {.id = "connection_manager", .start = ACTOR_CONNECTION_MANAGER, .restart = RESTART_PERMANENT},
    {.id = "discovery", .start = ACTOR_DISCOVERY, .restart = RESTART_PERMANENT},
    {.id = "bitswap", .start = ACTOR_BITSWAP, .restart = RESTART_PERMANENT},
    {.id = "control", .start = ACTOR_CONTROL, .restart = RESTART_PERMANENT},
};
const struct supervisor_spec stage_tree = {.name = "root",
                                           .strategy = STRATEGY_ONE_FOR_ONE,
                                           .intensity = 3,
                                           .period_ms = 1000,
                                           .children = children,
                                           .child_count = ARRAY_LEN(children)};
static const struct edge_spec edges[] = {{ACTOR_CONTROL, ACTOR_TIERED_STORAGE},
                                         {ACTOR_CONTROL, ACTOR_STATE},
                                         {ACTOR_CONTROL, ACTOR_CONNECTION_MANAGER},
                                         {ACTOR_CONTROL, ACTOR_BITSWAP},
                                         {ACTOR_CONTROL, ACTOR_ROOT}};
static const struct lane_spec lanes[] = {{.name = "files", .workers = 2, .queue = 16}};
static const struct actor_class *classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &idle_class,     [ACTOR_HEAT_TRACKER] = &idle_class, [ACTOR_CONNECTION_MANAGER] = &idle_class,
    [ACTOR_DISCOVERY] = &idle_class, [ACTOR_BITSWAP] = &idle_class,      [ACTOR_CONTROL] = &control_that_fails,
};

/* ---- life ---- */

nng_socket stage_dial(const char *folder)
{
    nng_socket socket;
    char url[128];
    (void)snprintf(url, sizeof(url), "ipc://%s/run/control.sock", folder);
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, STAGE_WAIT_S * 1000), 0);
    assert_int_equal(nng_dial(socket, url, NULL, 0), 0);
    return socket;
}

void stage_open(const struct actor_class *store)
{
    char why[256] = "";
    memset(&stage, 0, sizeof(stage));
    (void)snprintf(stage.folder, sizeof(stage.folder), "/tmp/hearth-control-XXXXXX");
    assert_non_null(mkdtemp(stage.folder));
    (void)snprintf(stage.path, sizeof(stage.path), "%s/film", stage.folder);
    control_that_fails = control_class;
    control_that_fails.handle_info = control_info;
    classes[ACTOR_TIERED_STORAGE] = store;
    assert_ok(config_new(stage.folder, &stage.config));
    assert_ok(budget_init(&stage.budget, 64 * MIB));
    struct runtime_config config = {
        .backend = &backend_inproc,
        .classes = classes,
        .class_count = ACTOR_COUNT,
        .tree = &stage_tree,
        .edges = edges,
        .edge_count = ARRAY_LEN(edges),
        .lanes = lanes,
        .lane_count = ARRAY_LEN(lanes),
        .schemas = &schema_messages,
        .config = stage.config,
        .budget = &stage.budget,
        .disk = disk_posix(),
    };
    if (runtime_start(&config, &stage.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    stage.socket = stage_dial(stage.folder);
}

void stage_close(void)
{
    char path[128];
    (void)nng_close(stage.socket);
    assert_int_equal(runtime_stop(&stage.rt, 5 * SECOND_NS), RUNTIME_EXIT_OK);
    assert_int_equal(descriptors_open(stage.path), 0);
    config_free(stage.config);
    (void)unlink(stage.path);
    (void)snprintf(path, sizeof(path), "%s/run/control.sock", stage.folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/run", stage.folder);
    (void)rmdir(path);
    assert_int_equal(rmdir(stage.folder), 0);
}

/* ---- use ---- */

void stage_ask(const char *request, char *answer, size_t answer_bytes)
{
    size_t len = answer_bytes - 1;
    assert_int_equal(nng_send(stage.socket, (void *)(uintptr_t)request, strlen(request), 0), 0);
    assert_int_equal(nng_recv(stage.socket, answer, &len, 0), 0);
    answer[len] = '\0';
}

void stage_expect(const char *request, const char *want)
{
    char answer[4096];
    stage_ask(request, answer, sizeof(answer));
    if (strstr(answer, want) == NULL)
        fail_msg("%s gave %s, not %s", request, answer, want);
}

void stage_hand_over(const char *path, int flags)
{
    char socket[128];
    (void)snprintf(socket, sizeof(socket), "%s/run/files.sock", stage.folder);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(file_pass_send(socket, ++stage.token, fd));
    assert_int_equal(close(fd), 0);
}

static bool file_is_closed(void *arg)
{
    (void)arg;
    return descriptors_open(stage.path) == 0;
}

void stage_expect_closed(void)
{
    assert_true(runtime_await(stage.rt, file_is_closed, NULL, STAGE_WAIT_S * SECOND_NS));
}

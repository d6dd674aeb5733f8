/* SPDX-License-Identifier: MIT */
/* `actors tree`, `stop`, `start`, `restart` over the control socket: a store that fails, hangs in its restarts, is stopped and started. */
#include "tests/unit/actors/helper_control.h"

#include <stdio.h>
#include <string.h>

#include "schemas/messages.h"

static _Atomic bool starts_fail;

static enum err init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    return atomic_load(&starts_fail) ? ctx_fail(ctx, ERR_IO, "the disk is gone") : ERR_OK;
}

static enum err answer(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    if (msg->kind == MSG_STORE_PROBE && atomic_load(&starts_fail)) {
        ctx_exit(ctx, EXIT_FAILED, "the test wants it");
        return ERR_OK;
    }
    static const struct msg_ok ok = {0};
    ctx_reply(ctx, call, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static const struct actor_class store_class = {.name = "tiered_storage", .init = init, .handle_call = answer};

static int begin(void **state)
{
    (void)state;
    atomic_store(&starts_fail, false);
    stage_open(&store_class);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_close();
    return 0;
}

static void order(const char *what, const char *name, const char *want)
{
    char request[256];
    (void)snprintf(request, sizeof(request), "{\"op\":\"actors %s\",\"args\":{\"name\":\"%s\"}}", what, name);
    stage_expect(request, want);
}

/* The state of the store in the tree. */
static bool store_is(const char *state)
{
    char answer[16 * 1024];
    char want[128];
    stage_ask("{\"op\":\"actors tree\"}", answer, sizeof(answer));
    assert_non_null(strstr(answer, "\"strategy\":\"one_for_one\""));
    const char *store = strstr(answer, "\"name\":\"tiered_storage\"");
    assert_non_null(store);
    (void)snprintf(want, sizeof(want), "\"state\":\"%s\"", state);
    const char *found = strstr(store, "\"state\":");
    return found != NULL && strncmp(found, want, strlen(want)) == 0;
}

static void an_actor_is_stopped_and_started(void **state)
{
    (void)state;
    assert_true(store_is("running"));
    order("stop", "tiered_storage", "\"state\":\"stopped\",\"callers\":[\"control\"]");
    assert_true(store_is("stopped"));
    order("stop", "tiered_storage", "\"state\":\"stopped\"");
    stage_expect("{\"op\":\"diag healthy\"}", "\"healthy\":false");
    order("start", "tiered_storage", "\"state\":\"running\",\"epoch\":2");
    order("restart", "tiered_storage", "\"state\":\"running\",\"epoch\":3");
    assert_true(store_is("running"));
}

static void what_answers_is_not_stopped(void **state)
{
    (void)state;
    order("stop", "control", "control: control answers you, and would end with it");
    order("restart", "control", "control: control answers you, and would end with it");
    order("stop", "root", "root: the root can only be stopped with the whole");
    order("stop", "nobody", "nobody: there is no such actor");
    order("start", "control", "\"state\":\"running\"");
}

/* Fails, and fails to start again and again: all is answered, and a stop ends the trying. */
static void all_is_answered_while_a_restart_keeps_failing(void **state)
{
    (void)state;
    atomic_store(&starts_fail, true);
    stage_expect("{\"op\":\"diag healthy\"}", "\"healthy\":false"); /* its probe ends it */
    order("restart", "tiered_storage", "tiered_storage did not start: the disk is gone");
    while (!store_is("restarting")) {
    }
    stage_expect("{\"op\":\"actors tree\"}", "\"reason\":\"the disk is gone\"");
    stage_expect("{\"op\":\"version\"}", "\"ok\":true");
    order("stop", "tiered_storage", "\"state\":\"stopped\"");
    order("start", "tiered_storage", "tiered_storage did not start: the disk is gone");
    assert_true(store_is("stopped"));
    atomic_store(&starts_fail, false);
    order("start", "tiered_storage", "\"state\":\"running\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_actor_is_stopped_and_started, begin, end),
        cmocka_unit_test_setup_teardown(what_answers_is_not_stopped, begin, end),
        cmocka_unit_test_setup_teardown(all_is_answered_while_a_restart_keeps_failing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

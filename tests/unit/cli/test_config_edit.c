/* SPDX-License-Identifier: MIT */
/* A list in the configuration file is changed, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/config_edit.h"

static char one[] = "/ip4/192.0.2.1/tcp/1";
static char two[] = "auto";
static char *items[] = {one, two};

static void expect_edit(const char *text, size_t count, const char *wanted)
{
    struct config_list list = {.count = count, .items = items};
    char why[CONFIG_WHY_BYTES] = "";
    struct buf out;
    buf_init(&out, 4096, NULL);
    enum err err = config_edit_list(span_text(text), "config.yaml", "Bootstrap", &list, &out, why);
    if (wanted == NULL) {
        assert_int_not_equal(err, ERR_OK);
        assert_non_null(strstr(why, "config.yaml"));
    } else {
        if (err != ERR_OK || !span_equal_text(buf_span(&out), wanted))
            fail_msg("%s became %.*s (%s)", text, (int)out.len, (const char *)out.data, why);
    }
    buf_release(&out);
}

static void the_list_is_replaced_where_it_stands(void **state)
{
    (void)state;
    expect_edit("", 2, "Bootstrap: [\"/ip4/192.0.2.1/tcp/1\", \"auto\"]\n");
    expect_edit("# only\n", 0, "# only\nBootstrap: []\n");
    expect_edit("Role: worker", 1, "Role: worker\nBootstrap: [\"/ip4/192.0.2.1/tcp/1\"]\n");
    expect_edit("Bootstrap: []\nRole: worker\n", 1, "Bootstrap: [\"/ip4/192.0.2.1/tcp/1\"]\nRole: worker\n");
    expect_edit("Bootstrap: [a,\n  b]\n\n# mine\nRole: worker\n", 0, "Bootstrap: []\n\n# mine\nRole: worker\n");
    expect_edit("Bootstrap:\n- a\n# of it\n- b\nRole: worker # yes\n", 0, "Bootstrap: []\nRole: worker # yes\n");
    expect_edit("Log:\n  Level: warn\nBootstrap: # none\nRole: worker\n", 0,
                "Log:\n  Level: warn\nBootstrap: []\nRole: worker\n");
}

static void what_cannot_be_told_apart_is_left_alone(void **state)
{
    (void)state;
    expect_edit("{Bootstrap: [a]}\n", 1, NULL);
    expect_edit("\"Bootstrap\": [a]\n", 1, NULL);
    expect_edit("---\nBootstrap: [a]\n...\n", 1, "---\nBootstrap: [\"/ip4/192.0.2.1/tcp/1\"]\n...\n");
    expect_edit("Bootstrap: [a]\nBotstrap: [b]\n", 1, NULL);
    expect_edit("Role: \"worker\n  Bootstrap: x\n", 1, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_replaced_where_it_stands),
        cmocka_unit_test(what_cannot_be_told_apart_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

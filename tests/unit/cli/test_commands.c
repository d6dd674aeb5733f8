/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/commands.h"
#include "schemas/json.h"

/* Splits at spaces and parses. */
static enum err parse(struct invocation *in, const char *line)
{
    static char copy[1024];
    char *argv[64];
    int argc = 0;
    (void)snprintf(copy, sizeof(copy), "%s", line);
    char *rest = copy;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL && argc < 64; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return invocation_parse(argc, argv, in);
}

static void expect_args(const char *line, const char *words, const char *json)
{
    struct invocation *in = calloc(1, sizeof(*in));
    struct buf text;
    buf_init(&text, 65536, NULL);
    if (parse(in, line) != ERR_OK)
        fail_msg("%s: %s", line, in->why);
    assert_non_null(in->what);
    assert_string_equal(in->what->words, words);
    assert_int_equal(json_from_msgpack(buf_span(&in->args), &text), ERR_OK);
    if (!span_equal_text(buf_span(&text), json))
        fail_msg("%s: %.*s, not %s", line, (int)text.len, (const char *)text.data, json);
    buf_release(&text);
    buf_release(&in->args);
    free(in);
}

static void expect_usage(const char *line, const char *why)
{
    struct invocation *in = calloc(1, sizeof(*in));
    assert_int_equal(parse(in, line), ERR_INVALID);
    if (strstr(in->why, why) == NULL)
        fail_msg("%s: \"%s\", not \"%s\"", line, in->why, why);
    buf_release(&in->args);
    free(in);
}

static void flags_are_read_as_people_type_them(void **state)
{
    (void)state;
    expect_args("swarm connect /ip4/1.2.3.4/tcp/1/p2p/x", "swarm connect",
                "{\"address\":\"/ip4/1.2.3.4/tcp/1/p2p/x\"}");
    expect_args("add -rQ tree", "add", "{\"recursive\":true,\"quieter\":true,\"path\":[\"tree\"]}");
    expect_args("add -s size-1000 a b", "add", "{\"chunker\":\"size-1000\",\"path\":[\"a\",\"b\"]}");
    expect_args("add --chunker=size-1000 --pin=false a", "add",
                "{\"chunker\":\"size-1000\",\"pin\":false,\"path\":[\"a\"]}");
    expect_args("add a --cid-version 1 -n", "add", "{\"cid_version\":1,\"only_hash\":true,\"path\":[\"a\"]}");
    expect_args("add --raw-leaves a", "add", "{\"raw_leaves\":\"true\",\"path\":[\"a\"]}");
    expect_args("add --raw-leaves=false a", "add", "{\"raw_leaves\":\"false\",\"path\":[\"a\"]}");
    expect_args("add -- -r", "add", "{\"path\":[\"-r\"]}");
    expect_args("add -", "add", "{\"path\":[\"-\"]}");
    expect_args("add", "add", "{}");
    expect_args("get -o out Qm", "get", "{\"output\":\"out\",\"path\":\"Qm\"}");
    expect_args("get Qm -oout", "get", "{\"output\":\"out\",\"path\":\"Qm\"}");
    expect_args("ping -n 3 x", "ping", "{\"count\":3,\"peer\":\"x\"}");
    expect_args("ping -n=3 x", "ping", "{\"count\":3,\"peer\":\"x\"}");
    expect_args("pin ls --type recursive", "pin ls", "{\"type\":\"recursive\"}");
    expect_args("swarm addrs local", "swarm addrs local", "{}");
    expect_args("swarm addrs autonat", "swarm addrs autonat", "{}");
    expect_args("--timeout 5s --enc=json id --api ipc:///x", "id", "{}");
}

static void words_that_kubo_has_besides_are_known(void **state)
{
    (void)state;
    expect_args("key ls -l", "key list", "{\"long_\":true}");
    expect_args("provide once -r bafkqaaa", "routing provide", "{\"recursive\":true,\"key\":[\"bafkqaaa\"]}");
    expect_args("stats bitswap", "bitswap stat", "{}");
    expect_args("stats repo -s", "repo stat", "{\"size_only\":true}");
    expect_args("stats provide", "provide stat", "{}");
    expect_args("stats reprovide", "provide stat", "{}");
    expect_args("swarm addrs listen", "swarm addrs local", "{}");
}

/* --offline stands before or after the words; operations that know it get it as an argument. */
static void offline_reaches_the_operation(void **state)
{
    (void)state;
    expect_args("--offline resolve bafkqaaa", "resolve", "{\"path\":\"bafkqaaa\",\"offline\":true}");
    expect_args("read bafkqaaa --offline", "read", "{\"path\":\"bafkqaaa\",\"offline\":true}");
    expect_args("resolve bafkqaaa", "resolve", "{\"path\":\"bafkqaaa\"}");
    expect_args("--offline block get bafkqaaa bafkqaba", "block get", "{\"cid\":[\"bafkqaaa\",\"bafkqaba\"]}");
    expect_args("--offline id", "id", "{}");
}

static void mistakes_are_usage_errors(void **state)
{
    (void)state;
    expect_usage("id --cid-base base1", "no multibase is named \"base1\"");
    expect_usage("key list --ipns-base base1", "no form of a name is called \"base1\"");
    expect_usage("swarm connect", "\"address\" is required");
    expect_usage("swarm peers --loud", "unknown flag --loud");
    expect_usage("add -z", "unknown flag -z");
    expect_usage("ping x -n", "-n needs a value");
    expect_usage("ping x -n many", "no whole number");
    expect_usage("ping x -n 3 -n 4", "given twice");
    expect_usage("get a b", "too many arguments, from b on");
    expect_usage("id --timeout soon", "no duration");
    expect_usage("id --enc xml", "json or text");
    expect_usage("id --timeout", "--timeout needs a value");
    expect_usage("add --pin=perhaps a", "");
    expect_usage("add --raw-leaves=perhaps a", "true or false");
}

static void unknown_words_name_no_command(void **state)
{
    (void)state;
    struct invocation *in = calloc(1, sizeof(*in));
    assert_int_equal(parse(in, "fly away"), ERR_OK);
    assert_null(in->what);
    buf_release(&in->args);
    assert_int_equal(parse(in, "add write"), ERR_OK); /* `write` is a file here, not the operation */
    assert_string_equal(in->what->words, "add");
    buf_release(&in->args);
    free(in);
}

static void further_positionals_repeat_an_operation(void **state)
{
    (void)state;
    struct invocation *in = calloc(1, sizeof(*in));
    assert_int_equal(parse(in, "pin rm a b c"), ERR_OK);
    assert_int_equal(in->more_count, 2);
    assert_string_equal(in->more[1], "c");
    buf_release(&in->args);
    free(in);
}

static void global_flags_are_kept(void **state)
{
    (void)state;
    struct invocation *in = calloc(1, sizeof(*in));
    assert_int_equal(parse(in, "id --timeout 1m30s --repo-dir=/r -D --cid-base base58btc"), ERR_OK);
    assert_int_equal(in->globals.timeout_ms, 90000);
    assert_string_equal(in->globals.repo_dir, "/r");
    assert_string_equal(in->globals.cid_base, "base58btc");
    assert_null(in->globals.ipns_base);
    assert_true(in->globals.debug);
    buf_release(&in->args);
    assert_int_equal(parse(in, "key gen --ipns-base=b58mh site"), ERR_OK);
    assert_string_equal(in->globals.ipns_base, "b58mh");
    buf_release(&in->args);
    free(in);
}

static void durations_have_units(void **state)
{
    (void)state;
    uint64_t ms = 0;
    assert_int_equal(duration_parse("500ms", &ms), ERR_OK);
    assert_int_equal(ms, 500);
    assert_int_equal(duration_parse("7", &ms), ERR_OK);
    assert_int_equal(ms, 7000);
    const char *bad[] = {"", "0", "-1s", "1x", "999999999h", "s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(duration_parse(bad[i], &ms), ERR_INVALID);
}

/* The page in the repository is the one that the declarations give. */
static void the_document_is_current(void **state)
{
    (void)state;
    struct buf made;
    buf_init(&made, 1 << 20, NULL);
    assert_int_equal(commands_document(&made), ERR_OK);
    FILE *file = fopen(HEARTH_SOURCE "/docs/commands.md", "r");
    assert_non_null(file);
    char *kept = calloc(1, made.len + 2);
    assert_non_null(kept);
    size_t len = fread(kept, 1, made.len + 1, file);
    fclose(file);
    bool same = len == made.len && memcmp(kept, made.data, len) == 0;
    free(kept);
    buf_release(&made);
    if (!same)
        fail_msg("docs/commands.md is not current: make docs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_read_as_people_type_them),
        cmocka_unit_test(words_that_kubo_has_besides_are_known),
        cmocka_unit_test(offline_reaches_the_operation),
        cmocka_unit_test(mistakes_are_usage_errors),
        cmocka_unit_test(unknown_words_name_no_command),
        cmocka_unit_test(further_positionals_repeat_an_operation),
        cmocka_unit_test(global_flags_are_kept),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(the_document_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

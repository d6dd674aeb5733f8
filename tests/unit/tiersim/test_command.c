/* SPDX-License-Identifier: MIT */
/* tier-sim as people call it: what it prints, and how it ends. */
#include "tests/unit/tiersim/helper_trace.h"

#include <stdlib.h>
#include <unistd.h>

#include "tiersim/command.h"

enum { WORDS_MAX = 12 };

struct answer {
    int status;
    char *out;
    char *err;
};

static char trace_path[] = "/tmp/hearth-tier-sim-XXXXXX";
static char svg_path[sizeof(trace_path) + 4];

static int make_trace(void **state)
{
    (void)state;
    /* letters of which the LRU of two hits two of six; 40% of three objects is one */
    static const char lines[] = "a\nb\na\nc\na\nb\n";
    int fd = mkstemp(trace_path);
    if (fd < 0 || write(fd, lines, sizeof(lines) - 1) != (ssize_t)sizeof(lines) - 1)
        return -1;
    (void)snprintf(svg_path, sizeof(svg_path), "%s.svg", trace_path);
    return close(fd);
}

static int remove_trace(void **state)
{
    (void)state;
    (void)unlink(svg_path);
    return unlink(trace_path);
}

/* Words are parted by spaces; FILE stands for the trace, SVG for the drawing. */
static struct answer run(const char *line)
{
    struct answer a = {0};
    char words[256];
    char *argv[WORDS_MAX + 1] = {0};
    int argc = 0;
    size_t out_len;
    size_t err_len;
    FILE *out = open_memstream(&a.out, &out_len);
    FILE *err = open_memstream(&a.err, &err_len);
    char *rest = NULL;
    assert_true(out != NULL && err != NULL);
    (void)snprintf(words, sizeof(words), "tier-sim %s", line);
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = strcmp(word, "FILE") == 0 ? trace_path : strcmp(word, "SVG") == 0 ? svg_path : word;
    }
    a.status = tier_sim_command(argc, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return a;
}

static void release(struct answer *a)
{
    free(a->out);
    free(a->err);
}

static void expect(const char *line, int status, const char *out, const char *err_begins)
{
    struct answer a = run(line);
    assert_int_equal(a.status, status);
    assert_string_equal(a.out, out);
    assert_int_equal(strncmp(a.err, err_begins, strlen(err_begins)), 0);
    assert_true(status != 0 || a.err[0] == '\0');
    release(&a);
}

static void one_policy_is_one_line(void **state)
{
    (void)state;
    expect("--format keys --policy lru --size 2 FILE", 0, "lru 33.33 33.33 2.0000\n", "");
    expect("--format=keys --policy=fifo --size=2 FILE", 0, "fifo 16.67 16.67 5.0000\n", "");
    expect("FILE --size 67% --policy lru --format keys", 0, "lru 33.33 33.33 2.0000\n", "");
    expect("--format keys --policy lru --size 66.6% FILE", 0, "lru 0.00 0.00 inf\n", "");
    expect("--format keys --policy opt --size 1kB FILE", 0, "opt 50.00 50.00 0.6667\n", "");
    expect("--format keys --policy lru --size 0 FILE", 0, "lru 0.00 0.00 0.0000\n", "");
}

static void wrong_usage_is_named(void **state)
{
    (void)state;
    expect("", 2, "", "Error: which trace?\nusage: ");
    expect("--format keys --policy lru --size 1% FILE FILE", 2, "", "Error: one trace at a time\n");
    expect("--policy lru --size 1% FILE", 2, "", "Error: --format is missing\n");
    expect("--format csv FILE", 2, "", "Error: no such format: csv\n");
    expect("--format keys --policy mru FILE", 2, "", "Error: no such policy (tier-sim --help lists them): mru\n");
    expect("--format keys --policy lru FILE", 2, "", "Error: either --policy and --size, or --all\n");
    expect("--format keys --policy lru --all FILE", 2, "", "Error: either --policy and --size, or --all\n");
    expect("--format keys --policy lru --size 1% --svg SVG FILE", 2, "", "Error: --svg goes with --all\n");
    expect("--fast FILE", 2, "", "Error: unknown flag, or one without its value: --fast\n");
    expect("--format keys --policy lru FILE --size", 2, "", "Error: unknown flag, or one without its value: --size\n");
    static const char *const sizes[] = {"%", "0%", "101%", "1.2.3%", "-1%", "x", "1e1%"};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char line[80];
        (void)snprintf(line, sizeof(line), "--format keys --policy lru --size %s FILE", sizes[i]);
        expect(line, 2, "", "Error: a size is like 5% or 64MiB, not: ");
    }
}

static void what_is_wrong_with_a_trace_is_named(void **state)
{
    (void)state;
    char err[200];
    (void)snprintf(err, sizeof(err), "Error: %s: line 1: expected four numbers", trace_path);
    expect("--format lis --policy lru --size 1% FILE", 1, "", err);
    (void)snprintf(err, sizeof(err), "Error: %s: record 2 at byte 8: cut off\n", trace_path);
    expect("--format be64 --policy lru --size 1% FILE", 1, "", err);
    expect("--format keys --policy lru --size 1% /nonexistent/trace", 1, "",
           "Error: /nonexistent/trace: No such file or directory\n");
    expect("--format keys --policy lru --size 1% /dev/null", 1, "", "Error: /dev/null: there is no request in it\n");
    expect("--format keys --policy lru --size 1% /", 1, "", "Error: /: ");
    struct answer a = run("--format keys --all --svg /nonexistent/plot FILE");
    assert_int_equal(a.status, 1);
    assert_string_equal(a.err, "Error: /nonexistent/plot: No such file or directory\n");
    release(&a);
}

static void help_lists_the_policies(void **state)
{
    (void)state;
    struct answer a = run("-h");
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.out, "usage: tier-sim"));
    for (size_t p = 0; p < contender_count; p++)
        assert_non_null(strstr(a.out, contenders[p]->name));
    release(&a);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

static void all_is_a_table_and_a_plot(void **state)
{
    (void)state;
    char svg[64 * 1024] = "";
    struct answer a = run("--format keys --all --svg SVG FILE");
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.out, "6 requests, 3 objects, footprint 3 slots\n"));
    assert_non_null(strstr(a.out, "\nhits of objects, tier 20%\n"));
    assert_null(strstr(a.out, "hits of bytes")); /* they are the same */
    for (size_t p = 0; p < contender_count; p++) {
        char row[40];
        (void)snprintf(row, sizeof(row), "\n%-10s", contenders[p]->name);
        assert_int_equal(count(a.out, row), 1 + 4);
    }
    release(&a);
    FILE *file = fopen(svg_path, "r");
    assert_non_null(file);
    assert_true(fread(svg, 1, sizeof(svg) - 1, file) > 0);
    (void)fclose(file);
    assert_int_equal(count(svg, "<polyline"), contender_count);
    assert_int_equal(count(svg, "</svg>"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_policy_is_one_line),
        cmocka_unit_test(wrong_usage_is_named),
        cmocka_unit_test(what_is_wrong_with_a_trace_is_named),
        cmocka_unit_test(help_lists_the_policies),
        cmocka_unit_test(all_is_a_table_and_a_plot),
    };
    return cmocka_run_group_tests(tests, make_trace, remove_trace);
}

/* SPDX-License-Identifier: MIT */
/*
 * dag stat: sizes and numbers of blocks below some roots, and what these share. The daemon pages through the blocks (`dag walk`);
 * which were seen is remembered here, 16 bytes a CID, so that its memory does not grow with the graph. Figures and text are Kubo's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/cid_set.h"

enum { PAGE = 1024, ROOTS_MAX = 1024, SEEN_MAX = 1 << 28, JSON_MAX = 1 << 20 };

struct root_stat {
    char cid[CID_TEXT_MAX];
    uint64_t size;
    uint64_t blocks;
};

struct stat_state {
    struct client *client;
    const struct invocation *in;
    bool shows; /* progress */
    struct cid_set seen;
    struct root_stat *roots;
    size_t count;
    uint64_t blocks; /* all roots together, shared ones counted for each */
    uint64_t size;
    uint64_t unique_blocks;
    uint64_t unique_size;
};

/* As go-humanize says it: powers of 1000, one digit after the point below ten. */
static void human_bytes(uint64_t bytes, char to[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1000 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1000;
        unit++;
    }
    uint64_t tenths = (uint64_t)(value * 10 + 0.5);
    if (bytes < 10)
        (void)snprintf(to, 32, "%llu B", (unsigned long long)bytes);
    else if (tenths < 100)
        (void)snprintf(to, 32, "%llu.%llu %s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
                       units[unit]);
    else
        (void)snprintf(to, 32, "%.0f %s", (double)tenths / 10, units[unit]);
}

static void show_progress(const struct stat_state *s)
{
    char human[32];
    if (!s->shows)
        return;
    human_bytes(s->size, human);
    (void)fprintf(stderr, "Fetched/Processed %llu blocks, %llu bytes (%s)\r", (unsigned long long)s->blocks,
                  (unsigned long long)s->size, human);
}

/* Counts a block for its root, unless it was seen there, and for all. */
static enum err count_block(struct stat_state *s, struct root_stat *root, struct cid_set *here, struct span row)
{
    struct cid cid;
    bool is_new;
    bool is_unique = true;
    uint64_t size = value_u64(row, "size");
    enum err err = cid_parse_text(value_text(row, "cid"), &cid);
    if (err == ERR_OK)
        err = cid_set_add(here, &cid, &is_new);
    if (err != ERR_OK || !is_new)
        return err;
    if (here != &s->seen)
        err = cid_set_add(&s->seen, &cid, &is_unique);
    if (err != ERR_OK)
        return err;
    root->blocks++;
    root->size += size;
    s->blocks++;
    s->size += size;
    s->unique_blocks += is_unique;
    s->unique_size += is_unique ? size : 0;
    return ERR_OK;
}

static struct call *ask_page(struct client *client, struct span path, uint64_t after, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_ls(&args, path, after, PAGE) == ERR_OK)
        call = ask(client, "dag walk", buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static int take_page(struct stat_state *s, struct root_stat *root, struct cid_set *here, struct span page)
{
    struct elements rows = value_elements(page, "blocks");
    struct span row;
    struct span cid = value_text(page, "cid");
    (void)snprintf(root->cid, sizeof(root->cid), "%.*s", (int)cid.len, (const char *)cid.data);
    while (elements_next(&rows, &row)) {
        enum err err = count_block(s, root, here, row);
        if (err != ERR_OK)
            return say_error("the blocks cannot be counted: %s", err_text(err));
    }
    show_progress(s);
    return EXIT_OK;
}

/* With one root what is seen there is all that is seen. */
static int count_root(struct stat_state *s, struct span path, bool only)
{
    struct cid_set own;
    struct root_stat *root = &s->roots[s->count++];
    int status = EXIT_OK;
    uint64_t after = 0;
    cid_set_init(&own, SEEN_MAX, NULL);
    for (bool more = true; more && status == EXIT_OK;) {
        struct outcome outcome;
        struct call *call = ask_page(s->client, path, after, &outcome);
        more = outcome.code == CODE_OK && value_bool(outcome.result, "more");
        status = outcome.code == CODE_OK ? take_page(s, root, only ? &s->seen : &own, outcome.result)
                                         : say_outcome_error(&outcome);
        after = outcome.code == CODE_OK ? value_u64(outcome.result, "next") : after;
        call_free(call);
    }
    cid_set_release(&own);
    return status;
}

static float ratio_of(const struct stat_state *s)
{
    return (float)s->size / (float)s->unique_size;
}

static void print_text(const struct stat_state *s)
{
    char unique[32];
    char shared[32];
    uint64_t shared_size = s->size - s->unique_size;
    human_bytes(s->unique_size, unique);
    human_bytes(shared_size, shared);
    printf("\n%-*s\t%-15s\tSize\n", (int)strlen(s->roots[0].cid), "CID", "Blocks");
    for (size_t i = 0; i < s->count; i++) {
        print_cid(stdout, &s->in->globals, span_text(s->roots[i].cid));
        printf("\t%-15llu\t%llu\n", (unsigned long long)s->roots[i].blocks, (unsigned long long)s->roots[i].size);
    }
    printf("\nSummary\nTotal Size: %llu (%s)\nUnique Blocks: %llu\nShared Size: %llu (%s)\nRatio: %f\n\n\n",
           (unsigned long long)s->unique_size, unique, (unsigned long long)s->unique_blocks,
           (unsigned long long)shared_size, shared, (double)ratio_of(s));
}

/* A number as Go writes a float32: the fewest digits that read back as the same. */
static void print_float(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    (void)fputs(text, stdout);
}

/* Figures that are 0 are left out, as Kubo does. */
static void print_figure(const char *name, uint64_t value)
{
    if (value > 0)
        printf("\"%s\":%llu,", name, (unsigned long long)value);
}

static void print_as_json(const struct stat_state *s)
{
    (void)putchar('{');
    print_figure("UniqueBlocks", s->unique_blocks);
    print_figure("TotalSize", s->unique_size);
    print_figure("SharedSize", s->size - s->unique_size);
    if (s->unique_size > 0) {
        (void)fputs("\"Ratio\":", stdout);
        print_float(ratio_of(s));
        (void)putchar(',');
    }
    (void)fputs("\"DagStats\":[", stdout);
    for (size_t i = 0; i < s->count; i++) {
        const struct root_stat *root = &s->roots[i];
        (void)fputs(i == 0 ? "{\"Cid\":\"" : ",{\"Cid\":\"", stdout);
        print_cid(stdout, &s->in->globals, span_text(root->cid));
        (void)putchar('"');
        if (root->size > 0)
            printf(",\"Size\":%llu", (unsigned long long)root->size);
        if (root->blocks > 0)
            printf(",\"NumBlocks\":%llu", (unsigned long long)root->blocks);
        (void)putchar('}');
    }
    (void)puts("]}");
}

int run_dag_stat(struct client *client, const struct invocation *in, const struct cmd_dag_stat *args)
{
    struct stat_state s = {.client = client, .in = in, .shows = args->progress && isatty(STDERR_FILENO) == 1};
    size_t position = 0;
    struct span path;
    int status = EXIT_OK;
    s.roots = calloc(args->root.count, sizeof(*s.roots));
    if (s.roots == NULL)
        return say_error("out of memory");
    cid_set_init(&s.seen, SEEN_MAX, NULL);
    while (status == EXIT_OK && schema_list_next_bytes(&args->root, &position, &path))
        status = count_root(&s, path, args->root.count == 1);
    if (s.shows)
        (void)fputs("\033[2K\r", stderr);
    if (status == EXIT_OK && in->globals.json)
        print_as_json(&s);
    else if (status == EXIT_OK)
        print_text(&s);
    cid_set_release(&s.seen);
    free(s.roots);
    return status;
}

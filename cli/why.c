/* SPDX-License-Identifier: MIT */
/*
 * why: a line for each thing that is known of a block. With --roots it is looked for below each recursive pin, by walking what is stored here, until
 * the time is over: then it says that the list is a part.
 */
#include "base/clock.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "schemas/walk.h"
#include "wire/cid.h"

enum { WHY_MS = 30000, ROOTS_MS = 60000, WALK_PAGE = 1024 };

static unsigned long long number(struct span result, const char *key)
{
    return value_u64(result, key);
}

static void print_stored(struct span result)
{
    struct span tier = value_text(result, "tier");
    (void)fputs("stored:       ", stdout);
    if (!value_bool(result, "stored")) {
        (void)puts("no");
    } else {
        printf("yes, %llu bytes, in ", number(result, "size"));
        print_escaped(stdout, tier);
        if (value_has(result, "segment"))
            printf("; segment %016llx.seg, offset %llu", number(result, "segment"), number(result, "offset"));
        (void)putchar('\n');
    }
    if (!value_has(result, "quarantine"))
        return;
    (void)fputs("quarantine:   ", stdout);
    print_escaped(stdout, value_text(result, "quarantine"));
    (void)fputs(", since ", stdout);
    print_time(value_u64(result, "quarantined_at"));
    (void)putchar('\n');
}

static void print_kept(const struct invocation *in, struct span result)
{
    struct elements pins = value_elements(result, "pins");
    struct span pin;
    bool any = false;
    for (; elements_next(&pins, &pin); any = true) {
        struct span name = value_text(pin, "name");
        (void)fputs("pinned:       ", stdout);
        print_escaped(stdout, value_text(pin, "kind"));
        (void)fputs(", ", stdout);
        print_cid(stdout, &in->globals, value_text(pin, "cid"));
        (void)fputs(name.len > 0 ? ", " : "", stdout);
        print_escaped(stdout, name);
        (void)putchar('\n');
    }
    if (!any)
        (void)puts("pinned:       not itself");
    printf("held:         %llu times, by recursive pins of it and by links of held blocks%s\n", number(result, "held"),
           value_bool(result, "counting") ? "; that is being counted" : "");
}

static void print_wish(struct span result)
{
    struct span wish;
    if (walk_find(result, "replication", &wish) == ERR_OK)
        printf(
            "wished:       in %llu to %llu places, %llu if it must not be lost; nothing acts on that in this version\n",
            number(wish, "min"), number(wish, "max"), number(wish, "critical"));
}

static void print_asked(struct span result)
{
    struct elements peers = value_elements(result, "wanted_by");
    struct span peer;
    bool any = value_bool(result, "wanted_by_us");
    printf("wanted now:   %s", any ? "by this node" : "");
    for (; elements_next(&peers, &peer); any = true) {
        (void)fputs(any ? ", " : "", stdout);
        print_escaped(stdout, element_text(peer));
    }
    (void)puts(!any ? "by nobody" : value_bool(result, "wanted_by_more") ? ", and others" : "");
    printf("asked for:    by peers %llu times", number(result, "asked"));
    if (value_has(result, "last_asked_at")) {
        (void)fputs(", last at ", stdout);
        print_time(value_u64(result, "last_asked_at"));
        (void)fputs(" by ", stdout);
        print_escaped(stdout, value_text(result, "last_asked_by"));
    }
    printf("\nused:         %llu times", number(result, "accesses"));
    if (value_has(result, "last_used_at")) {
        (void)fputs(", last at ", stdout);
        print_time(value_u64(result, "last_used_at"));
    }
    (void)putchar('\n');
}

static void print_reach(struct span result)
{
    struct elements addresses = value_elements(result, "addresses");
    struct elements silent = value_elements(result, "silent");
    struct span text;
    (void)fputs("provided:     ", stdout);
    print_escaped(stdout, value_has(result, "provided") ? value_text(result, "provided") : span_text("unknown"));
    if (value_has(result, "provided_at")) {
        (void)fputs(", last at ", stdout);
        print_time(value_u64(result, "provided_at"));
    }
    printf("\nconnections:  %llu\n", number(result, "connections"));
    while (elements_next(&addresses, &text)) {
        (void)fputs("reachable at: ", stdout);
        print_escaped(stdout, element_text(text));
        (void)putchar('\n');
    }
    while (elements_next(&silent, &text)) {
        (void)fputs("no answer of: ", stdout);
        print_escaped(stdout, element_text(text));
        (void)putchar('\n');
    }
}

static void print_why(const struct invocation *in, struct span result)
{
    print_cid(stdout, &in->globals, value_text(result, "cid"));
    (void)putchar('\n');
    print_stored(result);
    print_kept(in, result);
    print_wish(result);
    print_asked(result);
    print_reach(result);
}

/* ---- --roots ---- */

struct search {
    struct client *client;
    const struct invocation *in;
    struct cid wanted;
    uint64_t until_ns;
    bool complete;
    uint32_t found;
    struct buf roots; /* packed texts */
};

static uint64_t ms_left(const struct search *s)
{
    uint64_t now = clock_mono_ns();
    return now < s->until_ns ? (s->until_ns - now) / MS_NS : 0;
}

static bool is_wanted(const struct search *s, struct span text)
{
    struct cid cid;
    return cid_parse_text(text, &cid) == ERR_OK && cid_same_block(&cid, &s->wanted);
}

static struct call *ask_walk(const struct search *s, struct span root, uint64_t after, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 4096, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 4);
    pack_pair_span(&p, "path", root);
    pack_pair_u64(&p, "after", after);
    pack_pair_u64(&p, "limit", WALK_PAGE);
    pack_pair_bool(&p, "offline", true);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(s->client, "dag walk", buf_span(&args), MAX(ms_left(s), UINT64_C(1)), false, ret_outcome);
    buf_release(&args);
    return call;
}

/* Whether the block is at or below a root. A root whose blocks are not all here makes the search incomplete, unless it was found before. */
static bool reaches(struct search *s, struct span root)
{
    uint64_t after = 0;
    bool found = false;
    for (bool more = true; more && !found;) {
        struct outcome outcome;
        struct span block;
        struct call *call = ask_walk(s, root, after, &outcome);
        struct elements blocks = value_elements(outcome.result, "blocks");
        while (outcome.code == CODE_OK && !found && elements_next(&blocks, &block))
            found = is_wanted(s, value_text(block, "cid"));
        more = outcome.code == CODE_OK && value_bool(outcome.result, "more");
        after = value_u64(outcome.result, "next");
        s->complete = s->complete && (outcome.code == CODE_OK || found);
        call_free(call);
    }
    return found;
}

static void take_root(struct search *s, struct span root, struct span name)
{
    struct pack p = pack_begin(&s->roots);
    pack_span(&p, root);
    s->found += pack_end(&p) == ERR_OK;
    if (s->in->globals.json)
        return;
    (void)fputs("reached from: ", stdout);
    print_cid(stdout, &s->in->globals, root);
    (void)fputs(name.len > 0 ? ", " : "", stdout);
    print_escaped(stdout, name);
    (void)putchar('\n');
}

static int look_below_pins(struct search *s)
{
    char after[512] = "";
    for (bool more = true; more && ms_left(s) > 0;) {
        struct outcome outcome;
        struct span pin;
        struct call *call = ask_after(s->client, "pin ls", after, &outcome);
        struct elements pins = value_elements(outcome.result, "pins");
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            return status;
        }
        while (ms_left(s) > 0 && elements_next(&pins, &pin)) {
            struct span root = value_text(pin, "cid");
            if (value_bool(pin, "recursive") && reaches(s, root))
                take_root(s, root, value_text(pin, "name"));
        }
        struct span next = value_text(outcome.result, "next");
        (void)snprintf(after, sizeof(after), "%.*s", (int)next.len, (const char *)next.data);
        more = value_bool(outcome.result, "more") && after[0] != '\0';
        call_free(call);
    }
    s->complete = s->complete && ms_left(s) > 0;
    return EXIT_OK;
}

static void print_roots_json(const struct search *s)
{
    struct buf line;
    buf_init(&line, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&line);
    pack_map(&p, 2);
    pack_text(&p, "roots");
    pack_array(&p, s->found);
    pack_raw(&p, buf_span(&s->roots));
    pack_pair_bool(&p, "complete", s->complete);
    if (pack_end(&p) == ERR_OK)
        print_json(buf_span(&line));
    buf_release(&line);
}

static int find_roots(struct client *client, const struct invocation *in, struct span cid)
{
    struct search s = {.client = client, .in = in, .complete = true};
    s.until_ns = clock_mono_ns() + client_timeout(client, ROOTS_MS) * MS_NS;
    if (cid_parse_text(cid, &s.wanted) != ERR_OK)
        return say_error("invalid CID \"%.*s\"", (int)MIN(cid.len, (size_t)100), (const char *)cid.data);
    buf_init(&s.roots, REQUEST_BYTES_MAX / 2, NULL);
    int status = look_below_pins(&s);
    if (status == EXIT_OK && in->globals.json)
        print_roots_json(&s);
    else if (status == EXIT_OK && !s.complete)
        (void)puts("reached from: perhaps other pins too: not all could be walked to their end");
    else if (status == EXIT_OK && s.found == 0)
        (void)puts("reached from: no recursive pin");
    buf_release(&s.roots);
    return status;
}

int run_why(struct client *client, const struct invocation *in, const struct cmd_why *args)
{
    struct buf packed;
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    buf_init(&packed, PATH_TEXT_MAX + 64, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 1);
    pack_pair_span(&p, "cid", args->cid);
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "why", buf_span(&packed), client_timeout(client, WHY_MS), false, &outcome);
    buf_release(&packed);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK && in->globals.json)
        print_json(outcome.result);
    else if (status == EXIT_OK)
        print_why(in, outcome.result);
    if (status == EXIT_OK && args->roots)
        status = find_roots(client, in, value_text(outcome.result, "cid"));
    call_free(call);
    return fflush(stdout) == 0 ? status : say_error("standard output cannot be written");
}

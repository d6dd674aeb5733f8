/* SPDX-License-Identifier: MIT */
/* Commands about tiers: tier ls, tier stat, tier move, tier verify. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/run.h"
#include "schemas/pack.h"

enum { MOVE_ROOM = 256, WALK_PAGE = 256, MOVE_MS = 900000, CHECK_MS = 900000, PACK_DIGITS = 16 };

static unsigned long long number(struct span result, const char *key)
{
    return value_u64(result, key);
}

static void print_text(const char *before, struct span text)
{
    (void)fputs(before, stdout);
    print_escaped(stdout, text);
}

/* ---- tier ls ---- */

static void print_bytes(struct span row)
{
    char bytes[16];
    char most[16];
    text_size(number(row, "bytes"), bytes);
    text_size(number(row, "max_bytes"), most);
    printf("%9s %9s", bytes, number(row, "max_bytes") == 0 ? "-" : most);
}

static void print_requests(struct span row)
{
    struct elements requests = value_elements(row, "requests");
    struct span one;
    bool any = false;
    while (elements_next(&requests, &one)) {
        if (number(one, "count") == 0)
            continue;
        print_text(any ? ", " : "        requests: ", value_text(one, "kind"));
        printf(" %llu", number(one, "count"));
        any = true;
    }
    if (any)
        printf("; %llu tried again, %llu waited, %llu failed\n", number(row, "again"), number(row, "held"),
               number(row, "failed"));
}

static void print_ahead(struct span row)
{
    struct elements kinds = value_elements(row, "read_ahead");
    struct span one;
    while (elements_next(&kinds, &one)) {
        char bytes[16];
        char used[16];
        char unused[16];
        text_size(number(one, "bytes"), bytes);
        text_size(number(one, "used_bytes"), used);
        text_size(number(one, "unused_bytes"), unused);
        printf("        read ahead: %llu ", number(one, "blocks"));
        print_escaped(stdout, value_text(one, "kind"));
        printf(", %s; %s were used, %s were not%s\n", bytes, used, unused,
               value_bool(one, "off") ? "; a few are tried, as it did not pay" : "");
    }
}

static void print_tier(struct span row)
{
    struct span tier = value_text(row, "tier");
    bool cold = span_equal_text(tier, "cold");
    printf("%-7.*s", (int)tier.len, (const char *)tier.data);
    if (value_has(row, "blocks"))
        printf("%10llu ", number(row, "blocks"));
    else
        printf("%10s ", "-");
    print_bytes(row);
    printf("  %-5s", !cold ? "-" : value_bool(row, "up") ? "up" : "down");
    print_text("  ", value_text(row, "kind"));
    print_text(value_text(row, "place").len > 0 ? " " : "", value_text(row, "place"));
    (void)putchar('\n');
    if (!cold)
        return;
    if (value_text(row, "why").len > 0) {
        print_text("        ", value_text(row, "why"));
        (void)putchar('\n');
    }
    if (number(row, "retry_at") != 0)
        print_utc("        asked again: ", value_u64(row, "retry_at"));
    print_requests(row);
    print_ahead(row);
}

int run_tier_ls(struct client *client, const struct invocation *in, const struct cmd_tier_ls *args)
{
    struct outcome outcome;
    (void)args;
    struct call *call =
        ask(client, "tier ls", (struct span){0}, client_timeout(client, CLIENT_LONG_MS), false, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK && in->globals.json) {
        print_json(outcome.result);
    } else if (status == EXIT_OK) {
        struct elements rows = value_elements(outcome.result, "tiers");
        struct span row;
        printf("%-7s%10s %9s %9s  %-5s  %s\n", "TIER", "BLOCKS", "BYTES", "LIMIT", "STATE", "WHERE");
        while (elements_next(&rows, &row))
            print_tier(row);
    }
    call_free(call);
    return status;
}

/* ---- tier stat ---- */

static void print_where(const struct invocation *in, struct span result)
{
    print_cid(stdout, &in->globals, value_text(result, "cid"));
    if (!value_bool(result, "stored")) {
        (void)puts("  absent");
        return;
    }
    print_text("  ", value_text(result, "tier"));
    printf("  %llu bytes", number(result, "size"));
    if (number(result, "segment") != 0)
        printf("  segment %016llx.seg", number(result, "segment"));
    if (number(result, "pack") != 0)
        printf("  pack %016llx", number(result, "pack"));
    if (value_text(result, "pinned").len > 0)
        print_text("  pinned to ", value_text(result, "pinned"));
    printf("  used %llu times\n", number(result, "accesses"));
}

int run_tier_stat(struct client *client, const struct invocation *in, const struct cmd_tier_stat *args)
{
    size_t position = 0;
    struct span cid;
    int status = EXIT_OK;
    while (schema_list_next_bytes(&args->cid, &position, &cid)) {
        struct outcome outcome;
        struct call *call = ask_path(client, "tier stat", "cid", cid, &outcome);
        int one = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
        if (one == EXIT_OK && in->globals.json)
            print_json(outcome.result);
        else if (one == EXIT_OK)
            print_where(in, outcome.result);
        if (one == EXIT_OK && !value_bool(outcome.result, "stored"))
            one = EXIT_NOT_FOUND;
        call_free(call);
        status = MAX(status, one);
    }
    return status;
}

/* ---- tier move ---- */

struct mover {
    struct client *client;
    const struct invocation *in;
    struct span to;
    bool quiet_denied; /* below a root, what a pin needs on the disk stays there without an error */
    struct buf cids;   /* that are to be moved next */
    uint32_t count;
    uint64_t moved;
    uint64_t kept;
    int status;
};

static void take_result(struct mover *m, struct span row)
{
    struct span error;
    if (walk_find(row, "error", &error) != ERR_OK) {
        m->moved++;
        return;
    }
    enum control_code code = control_code_of(value_text(error, "code"));
    if (code == CODE_DENIED && m->quiet_denied) {
        m->kept++;
        return;
    }
    struct span cid = value_text(row, "cid");
    struct span message = value_text(error, "message");
    (void)say_error("%.*s: %.*s", (int)cid.len, (const char *)cid.data, (int)message.len, (const char *)message.data);
    int one = control_code_exit(code);
    m->status = MAX(m->status, one);
}

/* Moves what was gathered. */
static void flush(struct mover *m)
{
    struct buf args;
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (m->count == 0 || m->status != EXIT_OK)
        return;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 2);
    pack_text(&p, "cid");
    pack_array(&p, m->count);
    pack_raw(&p, buf_span(&m->cids));
    pack_pair_span(&p, "to", m->to);
    if (pack_end(&p) == ERR_OK)
        call = ask(m->client, "tier move", buf_span(&args), client_timeout(m->client, MOVE_MS), true, &outcome);
    struct elements rows = value_elements(outcome.result, "blocks");
    struct span row;
    if (outcome.code != CODE_OK)
        m->status = say_outcome_error(&outcome);
    while (outcome.code == CODE_OK && elements_next(&rows, &row))
        take_result(m, row);
    call_free(call);
    buf_release(&args);
    buf_clear(&m->cids);
    m->count = 0;
}

static void gather(struct mover *m, struct span cid)
{
    struct pack p = pack_begin(&m->cids);
    pack_span(&p, cid);
    if (pack_end(&p) != ERR_OK) {
        m->status = say_error("out of memory");
        return;
    }
    if (++m->count == MOVE_ROOM)
        flush(m);
}

/* All at and below a root, page by page; the daemon fetches nothing for it. */
static void gather_below(struct mover *m, struct span root)
{
    uint64_t after = 0;
    for (bool more = true; more && m->status == EXIT_OK;) {
        struct buf args;
        struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
        struct call *call = NULL;
        struct span block;
        buf_init(&args, PATH_TEXT_MAX + 256, NULL);
        if (pack_ls(&args, root, after, WALK_PAGE) == ERR_OK)
            call =
                ask(m->client, "dag walk", buf_span(&args), client_timeout(m->client, CLIENT_LONG_MS), false, &outcome);
        struct elements blocks = value_elements(outcome.result, "blocks");
        if (outcome.code != CODE_OK)
            m->status = say_outcome_error(&outcome);
        while (m->status == EXIT_OK && elements_next(&blocks, &block))
            gather(m, value_text(block, "cid"));
        more = outcome.code == CODE_OK && value_bool(outcome.result, "more");
        after = value_u64(outcome.result, "next");
        call_free(call);
        buf_release(&args);
    }
}

static void print_moved(const struct mover *m)
{
    if (m->in->globals.json) {
        printf("{\"moved\":%" PRIu64 ",\"kept\":%" PRIu64 "}\n", m->moved, m->kept);
        return;
    }
    printf("%" PRIu64 " blocks are in tier %.*s", m->moved, (int)m->to.len, (const char *)m->to.data);
    if (m->kept > 0)
        printf("; %" PRIu64 " stay where pins need them", m->kept);
    (void)putchar('\n');
}

int run_tier_move(struct client *client, const struct invocation *in, const struct cmd_tier_move *args)
{
    struct mover m = {.client = client, .in = in, .to = args->to, .quiet_denied = args->recursive, .status = EXIT_OK};
    size_t position = 0;
    struct span cid;
    buf_init(&m.cids, REQUEST_BYTES_MAX / 2, NULL);
    while (m.status == EXIT_OK && schema_list_next_bytes(&args->cid, &position, &cid)) {
        if (args->recursive)
            gather_below(&m, cid);
        else
            gather(&m, cid);
    }
    flush(&m);
    buf_release(&m.cids);
    if (m.moved > 0 || m.kept > 0 || m.status == EXIT_OK)
        print_moved(&m);
    return m.status;
}

/* ---- tier verify ---- */

static int say_checked(const struct invocation *in, uint64_t pack, struct span result)
{
    struct span damage = value_text(result, "damage");
    if (in->globals.json)
        printf("{\"pack\":%" PRIu64 ",\"whole\":%s,\"bytes\":%llu,\"records\":%llu,\"moved\":%llu,\"bad\":%llu}\n",
               pack, damage.len == 0 ? "true" : "false", number(result, "bytes"), number(result, "records"),
               number(result, "moved"), number(result, "bad"));
    else if (damage.len == 0)
        printf("pack %016" PRIx64 " is whole: %llu blocks, %llu bytes\n", pack, number(result, "records"),
               number(result, "bytes"));
    if (damage.len == 0)
        return EXIT_OK;
    return say_error("pack %016" PRIx64
                     " is damaged: %.*s: %llu blocks are in another pack now, %llu could not be read",
                     pack, (int)damage.len, (const char *)damage.data, number(result, "moved"), number(result, "bad"));
}

static int check_pack(struct client *client, const struct invocation *in, uint64_t pack)
{
    struct buf args;
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    buf_init(&args, 64, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_u64(&p, "pack", pack);
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "tier check", buf_span(&args), client_timeout(client, CHECK_MS), false, &outcome);
    int status = outcome.code == CODE_OK ? say_checked(in, pack, outcome.result) : control_code_exit(outcome.code);
    if (outcome.code != CODE_OK)
        (void)say_error("pack %016" PRIx64 ": %.*s", pack, (int)outcome.message.len,
                        (const char *)outcome.message.data);
    call_free(call);
    buf_release(&args);
    return status;
}

static int check_all(struct client *client, const struct invocation *in)
{
    uint64_t after = 0;
    int status = EXIT_OK;
    do {
        struct buf args;
        struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
        struct call *call = NULL;
        struct span row;
        buf_init(&args, 64, NULL);
        struct pack p = pack_begin(&args);
        pack_map(&p, 1);
        pack_pair_u64(&p, "after", after);
        if (pack_end(&p) == ERR_OK)
            call = ask(client, "tier packs", buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, &outcome);
        struct elements rows = value_elements(outcome.result, "packs");
        int one = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
        while (one == EXIT_OK && elements_next(&rows, &row)) {
            int checked = check_pack(client, in, value_u64(row, "pack"));
            status = MAX(status, checked);
        }
        after = one == EXIT_OK ? value_u64(outcome.result, "next") : 0;
        status = MAX(status, one);
        call_free(call);
        buf_release(&args);
    } while (after != 0);
    return status;
}

int run_tier_verify(struct client *client, const struct invocation *in, const struct cmd_tier_verify *args)
{
    char text[PACK_DIGITS + 1] = "";
    char *end = text;
    if (args->pack.len == 0)
        return check_all(client, in);
    if (text_copy(args->pack, text, sizeof(text)) == ERR_OK) {
        uint64_t pack = strtoull(text, &end, 16);
        if (*end == '\0' && pack != 0 && pack <= INT64_MAX)
            return check_pack(client, in, pack);
    }
    return say_error("--pack takes the hexadecimal number of a pack, as `tier stat` prints it");
}

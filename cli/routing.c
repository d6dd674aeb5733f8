/* SPDX-License-Identifier: MIT */
/* routing provide and routing put, and what the routing system's operations print. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/cid_set.h"

enum { PROVIDE_MS = 120000, WALK_BYTES_MAX = 64 * 1024 * 1024, WALK_CIDS_MAX = 1 << 24, VALUE_MAX = 10 * 1024 };

/* ---- printing ---- */

static void print_line(struct span text)
{
    print_escaped(stdout, text);
    (void)putchar('\n');
}

void print_providers(const struct invocation *in, struct span result)
{
    bool verbose = value_bool(buf_span(&in->args), "verbose");
    struct elements rows = value_elements(result, "providers");
    struct span row;
    while (elements_next(&rows, &row)) {
        struct elements addrs = value_elements(row, "addrs");
        struct span addr;
        print_line(value_text(row, "peer"));
        while (verbose && elements_next(&addrs, &addr)) {
            (void)putchar('\t');
            print_line(element_text(addr));
        }
    }
}

void print_found_peer(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements addrs = value_elements(result, "addrs");
    struct span addr;
    while (elements_next(&addrs, &addr))
        print_line(element_text(addr));
}

void print_route_value(const struct invocation *in, struct span result)
{
    (void)in;
    struct span value = value_text(result, "value");
    (void)fwrite(value.data, 1, value.len, stdout);
}

/* "12m30s ago", or never, as Kubo says it. */
static void ago(uint64_t at_ns, char to[32])
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t then = at_ns / SECOND_NS;
    uint64_t s = (uint64_t)now.tv_sec > then ? (uint64_t)now.tv_sec - then : 0;
    if (at_ns == 0)
        (void)snprintf(to, 32, "never");
    else if (s < 60)
        (void)snprintf(to, 32, "%llus ago", (unsigned long long)s);
    else if (s < 3600)
        (void)snprintf(to, 32, "%llum%llus ago", (unsigned long long)(s / 60), (unsigned long long)(s % 60));
    else
        (void)snprintf(to, 32, "%lluh%llum%llus ago", (unsigned long long)(s / 3600), (unsigned long long)(s / 60 % 60),
                       (unsigned long long)(s % 60));
}

static unsigned count_of_bucket(struct span table, uint64_t bucket)
{
    struct elements rows = value_elements(table, "peers");
    struct span row;
    unsigned count = 0;
    while (elements_next(&rows, &row))
        count += value_u64(row, "bucket") == bucket;
    return count;
}

static void print_bucket(struct span table, uint64_t bucket, const char *refreshed)
{
    struct elements rows = value_elements(table, "peers");
    struct span row;
    unsigned count = count_of_bucket(table, bucket);
    if (count == 0)
        return;
    printf("  Bucket %2llu (%u peers) - refreshed %s:\n", (unsigned long long)bucket, count, refreshed);
    printf("    %-54s %-14s %-14s\n", "Peer", "last useful", "last queried");
    while (elements_next(&rows, &row)) {
        char useful[32];
        char queried[32];
        struct span peer = value_text(row, "peer");
        if (value_u64(row, "bucket") != bucket)
            continue;
        ago(value_u64(row, "useful_at"), useful);
        ago(value_u64(row, "queried_at"), queried);
        printf("  %c %-54.*s %-14s %-14s\n", value_bool(row, "connected") ? '@' : ' ', (int)peer.len,
               (const char *)peer.data, useful, queried);
    }
    (void)putchar('\n');
}

static bool asked_for(const struct invocation *in, struct span name)
{
    struct elements names = value_elements(buf_span(&in->args), "dht");
    struct span value;
    if (names.left == 0)
        return true;
    while (elements_next(&names, &value))
        if (span_equal(element_text(value), name))
            return true;
    return false;
}

void print_dht(const struct invocation *in, struct span result)
{
    struct elements tables = value_elements(result, "tables");
    struct span table;
    while (elements_next(&tables, &table)) {
        struct span name = value_text(table, "name");
        struct elements peers = value_elements(table, "peers");
        char refreshed[32];
        if (!asked_for(in, name))
            continue;
        ago(value_u64(table, "refreshed_at"), refreshed);
        printf("DHT %.*s (%u peers):\n", (int)name.len, (const char *)name.data, peers.left);
        for (uint64_t bucket = 0; bucket <= 256; bucket++)
            print_bucket(table, bucket, refreshed);
    }
}

/* ---- provide ---- */

struct provide_walk {
    struct client *client;
    const struct invocation *in;
    const struct cmd_routing_provide *args;
    struct buf stack; /* repeated: text of a CID, its length as u16 */
    struct cid_set seen;
};

static int push(struct provide_walk *w, struct span text)
{
    struct cid cid;
    bool is_new = false;
    uint16_t len = (uint16_t)text.len;
    enum err err = cid_parse_text(text, &cid);
    if (err == ERR_OK)
        err = cid_set_add(&w->seen, &cid, &is_new);
    if (err == ERR_OK && is_new)
        err = buf_append_span(&w->stack, text);
    if (err == ERR_OK && is_new)
        err = buf_append(&w->stack, &len, sizeof(len));
    return err == ERR_OK ? EXIT_OK : say_error("%.*s: %s", (int)text.len, (const char *)text.data, err_text(err));
}

/* Of what is stored here only: a block that is missing is nobody's error but its provider's. */
static int push_links(struct provide_walk *w, struct span cid)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 2);
    pack_pair_span(&p, "path", cid);
    pack_pair_bool(&p, "offline", true);
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = ask(w->client, "refs", buf_span(&args), client_timeout(w->client, PROVIDE_MS), false, &outcome);
    buf_release(&args);
    int status = outcome.code == CODE_OK || outcome.code == CODE_NOT_FOUND ? EXIT_OK : say_outcome_error(&outcome);
    struct elements refs = value_elements(outcome.result, "refs");
    struct span ref;
    while (status == EXIT_OK && outcome.code == CODE_OK && elements_next(&refs, &ref))
        status = push(w, element_text(ref));
    call_free(call);
    return status;
}

static int provide_one(struct provide_walk *w, struct span cid, bool named)
{
    struct outcome outcome;
    struct call *call = ask_path(w->client, "routing provide", "cid", cid, &outcome);
    int status =
        outcome.code == CODE_OK || (!named && outcome.code == CODE_NOT_FOUND) ? EXIT_OK : say_outcome_error(&outcome);
    if (outcome.code == CODE_OK && w->args->verbose)
        printf("%.*s %llu\n", (int)cid.len, (const char *)cid.data,
               (unsigned long long)value_u64(outcome.result, "count"));
    if (outcome.code == CODE_OK)
        say_partial(outcome.result);
    call_free(call);
    return status;
}

static int provide_next(struct provide_walk *w, bool named)
{
    char cid[CID_TEXT_MAX];
    uint16_t len;
    memcpy(&len, w->stack.data + w->stack.len - sizeof(len), sizeof(len));
    w->stack.len -= sizeof(len) + len;
    memcpy(cid, w->stack.data + w->stack.len, MIN((size_t)len, sizeof(cid)));
    int status = provide_one(w, span_of(cid, len), named);
    return status == EXIT_OK && w->args->recursive ? push_links(w, span_of(cid, len)) : status;
}

int run_routing_provide(struct client *client, const struct invocation *in, const struct cmd_routing_provide *args)
{
    struct provide_walk w = {.client = client, .in = in, .args = args};
    size_t position = 0;
    struct span key;
    int status = EXIT_OK;
    buf_init(&w.stack, WALK_BYTES_MAX, NULL);
    cid_set_init(&w.seen, WALK_CIDS_MAX, NULL);
    while (status == EXIT_OK && schema_list_next_bytes(&args->key, &position, &key)) {
        bool named = true;
        struct span cid = key.len > 6 && memcmp(key.data, "/ipfs/", 6) == 0 ? span_skip(key, 6) : key;
        status = push(&w, cid);
        for (; status == EXIT_OK && w.stack.len > 0; named = false)
            status = provide_next(&w, named);
    }
    buf_release(&w.stack);
    cid_set_release(&w.seen);
    return status;
}

/* ---- put ---- */

/* Kubo prints the id of the node that put it. */
static int print_own_id(struct client *client)
{
    struct outcome outcome;
    struct call *call = ask(client, "id", (struct span){0}, client_timeout(client, PROVIDE_MS), false, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK)
        print_line(value_text(outcome.result, "id"));
    call_free(call);
    return status;
}

int run_routing_put(struct client *client, const struct invocation *in, const struct cmd_routing_put *args)
{
    struct buf value;
    struct buf packed;
    int status = read_input(args->value_file, VALUE_MAX, &value);
    if (status != EXIT_OK)
        return status;
    buf_init(&packed, VALUE_MAX + 8192, NULL);
    struct pack p = pack_begin(&packed);
    pack_map(&p, 2);
    pack_pair_span(&p, "key", args->key);
    pack_text(&p, "value");
    pack_bytes(&p, buf_span(&value));
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "routing put", buf_span(&packed), client_timeout(client, PROVIDE_MS), true, &outcome);
    if (outcome.code != CODE_OK)
        status = say_outcome_error(&outcome);
    else if (in->globals.json)
        print_json(outcome.result);
    else
        status = print_own_id(client);
    if (outcome.code == CODE_OK)
        say_partial(outcome.result);
    call_free(call);
    buf_release(&packed);
    buf_release(&value);
    return status;
}

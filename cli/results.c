/* SPDX-License-Identifier: MIT */
/* The text forms of results: what IPFS users know from Kubo, line for line. */
#include "base/text.h"
#include "cli/output.h"
#include "schemas/blocks_sql.h"

static void print_size(uint64_t bytes)
{
    char text[16];
    text_size(bytes, text);
    (void)fputs(text, stdout);
}

static void print_line(struct span text)
{
    print_escaped(stdout, text);
    (void)putchar('\n');
}

static void print_list(struct span result, const char *key)
{
    struct elements elements = value_elements(result, key);
    struct span value;
    while (elements_next(&elements, &value))
        print_line(element_text(value));
}

/* ---- id ---- */

static void print_json_texts(struct span result, const char *key)
{
    struct elements elements = value_elements(result, key);
    struct span value;
    bool first = true;
    for (; elements_next(&elements, &value); first = false) {
        (void)fputs(first ? "\n\t\t" : ",\n\t\t", stdout);
        print_json_text(element_text(value));
    }
    (void)fputs(first ? "" : "\n\t", stdout);
}

static void print_json_member(const char *name, struct span value)
{
    printf("\t\"%s\": ", name);
    print_json_text(value);
    (void)fputs(",\n", stdout);
}

/* Public keys are shown as Kubo shows them: padded base64 of the protobuf. */
static void print_public_key(struct span key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (void)fputs("\t\"PublicKey\": \"", stdout);
    for (size_t i = 0; i < key.len; i += 3) {
        size_t n = MIN(key.len - i, (size_t)3);
        uint32_t v = (uint32_t)key.data[i] << 16;
        v |= n > 1 ? (uint32_t)key.data[i + 1] << 8 : 0;
        v |= n > 2 ? key.data[i + 2] : 0;
        (void)putchar(digits[v >> 18]);
        (void)putchar(digits[v >> 12 & 63]);
        (void)putchar(n > 1 ? digits[v >> 6 & 63] : '=');
        (void)putchar(n > 2 ? digits[v & 63] : '=');
    }
    (void)fputs("\",\n", stdout);
}

static void print_id(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("{\n", stdout);
    print_json_member("ID", value_text(result, "id"));
    print_public_key(value_text(result, "public_key"));
    (void)fputs("\t\"Addresses\": [", stdout);
    print_json_texts(result, "addresses");
    (void)fputs("],\n", stdout);
    print_json_member("AgentVersion", value_text(result, "agent_version"));
    (void)fputs("\t\"Protocols\": [", stdout);
    print_json_texts(result, "protocols");
    (void)fputs("]\n}\n", stdout);
}

/* ---- the node ---- */

static void print_accounts(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "accounts");
    struct span row;
    printf("%-14s %12s %12s %12s %8s\n", "NAME", "LIMIT", "USED", "PEAK", "REFUSED");
    while (elements_next(&rows, &row)) {
        struct span name = value_text(row, "name");
        printf("%-14.*s %12llu %12llu %12llu %8llu\n", (int)name.len, (const char *)name.data,
               (unsigned long long)value_u64(row, "limit_bytes"), (unsigned long long)value_u64(row, "used_bytes"),
               (unsigned long long)value_u64(row, "peak_bytes"), (unsigned long long)value_u64(row, "refused"));
    }
}

static void print_events(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "events");
    struct span row;
    while (elements_next(&rows, &row)) {
        print_time(value_u64(row, "at"));
        (void)putchar(' ');
        print_escaped(stdout, value_text(row, "actor"));
        (void)putchar(' ');
        print_escaped(stdout, value_text(row, "event"));
        (void)fputs(": ", stdout);
        print_line(value_text(row, "reason"));
    }
}

static void print_crashes(const struct invocation *in, struct span result)
{
    static const char *const parts[][2] = {{" in ", "actor"},       {", thread ", "thread"}, {", handling ", "message"},
                                           {", bytes of ", "peer"}, {"; ", "verdict"},       {"\n    ", "backtrace"}};
    (void)in;
    struct elements rows = value_elements(result, "crashes");
    struct span row;
    while (elements_next(&rows, &row)) {
        print_time(value_u64(row, "at"));
        (void)putchar(' ');
        print_escaped(stdout, value_text(row, "cause"));
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
            struct span part = value_text(row, parts[i][1]);
            if (part.len > 0)
                (void)fputs(parts[i][0], stdout);
            print_escaped(stdout, part);
        }
        (void)putchar('\n');
    }
}

static void print_healthy(const struct invocation *in, struct span result)
{
    (void)in;
    struct elements rows = value_elements(result, "checks");
    struct span row;
    bool healthy = value_bool(result, "healthy");
    while (elements_next(&rows, &row)) {
        printf("%s  ", value_bool(row, "ok") ? "ok    " : "FAILED");
        print_escaped(stdout, value_text(row, "name"));
        struct span reason = value_text(row, "reason");
        (void)fputs(reason.len > 0 ? ": " : "", stdout);
        print_line(reason);
    }
    if (value_bool(result, "chaos"))
        (void)puts("the chaos switch is on: parts of this daemon may be told to fail");
    (void)puts(healthy ? "healthy" : "not healthy");
}

/* ---- the swarm ---- */

static void print_addrs(const struct invocation *in, struct span result)
{
    bool local = in->what->id == OP_SWARM_ADDRS_LOCAL;
    bool with_id = local && value_bool(buf_span(&in->args), "id");
    struct elements rows = value_elements(result, "peers");
    struct span row;
    while (elements_next(&rows, &row)) {
        struct elements addrs = value_elements(row, "addrs");
        struct span addr;
        if (!local) {
            print_escaped(stdout, value_text(row, "peer"));
            printf(" (%u)\n", addrs.left);
        }
        while (elements_next(&addrs, &addr)) {
            (void)fputs(local ? "" : "\t", stdout);
            print_escaped(stdout, element_text(addr));
            (void)fputs(with_id ? "/p2p/" : "", stdout);
            print_line(with_id ? value_text(row, "peer") : (struct span){0});
        }
    }
}

static void print_pong(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "rtt_ns");
    struct span value;
    double sum = 0;
    unsigned pongs = 0;
    (void)fputs("PING ", stdout);
    print_escaped(stdout, value_text(buf_span(&in->args), "peer"));
    (void)fputs(".\n", stdout);
    while (elements_next(&rows, &value)) {
        struct walk walk = {.left = value};
        struct walk_token token = {0};
        if (walk_next(&walk, &token) != ERR_OK || token.u64 == 0) {
            (void)puts("Ping error: no answer");
            continue;
        }
        printf("Pong received: time=%.2f ms\n", (double)token.u64 / 1e6);
        sum += (double)token.u64 / 1e6;
        pongs++;
    }
    if (pongs > 0)
        printf("Average latency: %.2fms\n", sum / pongs);
}

static void print_bandwidth(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("Bandwidth\nTotalIn: ", stdout);
    print_size(value_u64(result, "total_in"));
    (void)fputs("\nTotalOut: ", stdout);
    print_size(value_u64(result, "total_out"));
    (void)fputs("\nRateIn: ", stdout);
    print_size((uint64_t)value_f64(result, "rate_in"));
    (void)fputs("/s\nRateOut: ", stdout);
    print_size((uint64_t)value_f64(result, "rate_out"));
    (void)fputs("/s\n", stdout);
}

/* ---- blocks ---- */

static void print_bitswap(const struct invocation *in, struct span result)
{
    static const char *const rows[][2] = {
        {"blocks received", "blocks_received"},
        {"blocks sent", "blocks_sent"},
        {"data received", "bytes_received"},
        {"data sent", "bytes_sent"},
        {"dup blocks received", "dup_blocks_received"},
        {"dup data received", "dup_bytes_received"},
    };
    bool human = value_bool(buf_span(&in->args), "human");
    (void)puts("bitswap status");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        printf("\t%s: ", rows[i][0]);
        if (human && strstr(rows[i][1], "bytes") != NULL)
            print_size(value_u64(result, rows[i][1]));
        else
            printf("%llu", (unsigned long long)value_u64(result, rows[i][1]));
        (void)putchar('\n');
    }
    struct elements wants = value_elements(result, "wantlist");
    struct elements peers = value_elements(result, "peers");
    struct span value;
    printf("\twantlist [%u keys]\n", wants.left);
    while (elements_next(&wants, &value)) {
        (void)fputs("\t\t", stdout);
        print_line(element_text(value));
    }
    printf("\tpartners [%u]\n", peers.left);
    while (value_bool(buf_span(&in->args), "verbose") && elements_next(&peers, &value)) {
        (void)fputs("\t\t", stdout);
        print_line(element_text(value));
    }
}

static void print_bytes(const char *label, uint64_t bytes, bool human)
{
    (void)fputs(label, stdout);
    if (human)
        print_size(bytes);
    else
        printf("%llu", (unsigned long long)bytes);
    (void)putchar('\n');
}

/* Kubo's fields, then what it has not. */
static void print_repo(const struct invocation *in, struct span result)
{
    bool human = value_bool(buf_span(&in->args), "human");
    bool size_only = value_bool(buf_span(&in->args), "size_only");
    if (!size_only)
        printf("NumObjects: %llu\n", (unsigned long long)value_u64(result, "blocks"));
    print_bytes("RepoSize:   ", value_u64(result, "disk_bytes"), human);
    print_bytes("StorageMax: ", value_u64(result, "storage_max"), human);
    if (size_only)
        return;
    (void)fputs("RepoPath:   ", stdout);
    print_line(value_text(result, "path"));
    (void)puts("Version:    hearth@" BLOCKS_SCHEMA_VERSION_TEXT);
    print_bytes("DeadBytes:  ", value_u64(result, "dead_bytes"), human);
    printf("Quarantine: %llu\n", (unsigned long long)value_u64(result, "quarantined"));
    print_utc("LastScrub:  ", value_u64(result, "scrub_ended"));
    if (value_bool(result, "read_only"))
        (void)puts("ReadOnly:   the disk is full");
}

static void print_quarantine(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "blocks");
    struct span row;
    while (elements_next(&rows, &row)) {
        print_cid(stdout, &in->globals, value_text(row, "cid"));
        (void)putchar(' ');
        print_line(value_text(row, "reason"));
    }
}

static void print_forgotten(const struct invocation *in, struct span result)
{
    if (value_bool(buf_span(&in->args), "forget"))
        printf("forgot %llu blocks\n", (unsigned long long)value_u64(result, "count"));
}

static void print_pins(const struct invocation *in, struct span result, const char *before, const char *after)
{
    struct elements rows = value_elements(result, "pins");
    struct span value;
    bool any = false;
    for (; elements_next(&rows, &value); any = true) {
        printf("%s", before);
        print_cid(stdout, &in->globals, element_text(value));
        printf("%s\n", after);
    }
    if (any)
        return;
    printf("%s", before);
    print_escaped(stdout, value_text(buf_span(&in->args), "path"));
    printf("%s\n", after);
}

static void print_connect(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("connect ", stdout);
    print_escaped(stdout, value_text(result, "peer"));
    (void)puts(" success");
}

static void print_disconnect(const struct invocation *in, struct span result)
{
    (void)result;
    (void)fputs("disconnect ", stdout);
    print_escaped(stdout, last_part(value_text(buf_span(&in->args), "address")));
    (void)puts(" success");
}

static void print_version(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("hearth version ", stdout);
    print_line(value_text(result, "version"));
}

static void print_level(const struct invocation *in, struct span result)
{
    (void)in;
    (void)fputs("Changed log level to ", stdout);
    print_line(value_text(result, "level"));
}

static void print_pinned(const struct invocation *in, struct span result)
{
    struct span value;
    bool direct =
        walk_find(buf_span(&in->args), "recursive", &value) == ERR_OK && !value_bool(buf_span(&in->args), "recursive");
    print_pins(in, result, "pinned ", direct ? " directly" : " recursively");
}

static void print_updated(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "pins");
    struct span value;
    const char *before = "updated ";
    while (elements_next(&rows, &value)) {
        (void)fputs(before, stdout);
        print_cid(stdout, &in->globals, element_text(value));
        before = " to ";
    }
    (void)putchar('\n');
}

static void print_unpinned(const struct invocation *in, struct span result)
{
    print_pins(in, result, "unpinned ", "");
}

static void print_wantlist(const struct invocation *in, struct span result)
{
    (void)in;
    print_list(result, "cids");
}

static void print_filters(const struct invocation *in, struct span result)
{
    (void)in;
    print_list(result, "filters");
}

static void print_path(const struct invocation *in, struct span result)
{
    (void)in;
    print_line(value_text(result, "path"));
}

static void print_data(const struct invocation *in, struct span result)
{
    (void)in;
    struct span data = value_text(result, "data");
    (void)fwrite(data.data, 1, data.len, stdout);
}

static void print_record(const struct invocation *in, struct span result)
{
    (void)in;
    struct span record = value_text(result, "record");
    (void)fwrite(record.data, 1, record.len, stdout);
}

static void print_nothing(const struct invocation *in, struct span result)
{
    (void)in;
    (void)result;
}

typedef void printer(const struct invocation *in, struct span result);

static printer *const printers[OP_COUNT] = {
    [OP_ID] = print_id,
    [OP_VERSION] = print_version,
    [OP_ACTORS] = print_actors,
    [OP_ACTORS_TREE] = print_tree,
    [OP_ACTORS_STOP] = print_ordered,
    [OP_ACTORS_START] = print_ordered,
    [OP_ACTORS_RESTART] = print_ordered,
    [OP_ACCOUNTS] = print_accounts,
    [OP_EVENTS] = print_events,
    [OP_ACTORS_CRASHES] = print_crashes,
    [OP_TRACE] = print_trace,
    [OP_DIAG_HEALTHY] = print_healthy,
    [OP_SHUTDOWN] = print_nothing,
    [OP_CHAOS] = print_nothing,
    [OP_LOG_LEVEL] = print_level,
    [OP_SWARM_PEERS] = print_peers,
    [OP_SWARM_CONNECT] = print_connect,
    [OP_SWARM_DISCONNECT] = print_disconnect,
    [OP_SWARM_ADDRS] = print_addrs,
    [OP_SWARM_ADDRS_LOCAL] = print_addrs,
    [OP_SWARM_ADDRS_AUTONAT] = print_autonat,
    [OP_SWARM_RESOURCES] = print_resources,
    [OP_SWARM_FILTERS] = print_filters,
    [OP_SWARM_FILTERS_ADD] = print_filters,
    [OP_SWARM_FILTERS_RM] = print_filters,
    [OP_SWARM_PEERING_ADD] = print_peering_added,
    [OP_SWARM_PEERING_RM] = print_peering_removed,
    [OP_SWARM_PEERING_LS] = print_peerings,
    [OP_DNS] = print_path,
    [OP_PING] = print_pong,
    [OP_STATS_BW] = print_bandwidth,
    [OP_STATS_DHT] = print_dht,
    [OP_PROVIDE_STAT] = print_provide_stat,
    [OP_PROVIDE_CLEAR] = print_cleared,
    [OP_ROUTING_REPROVIDE] = print_nothing,
    [OP_ROUTING_FINDPROVS] = print_providers,
    [OP_DENYLIST_LS] = print_denylists,
    [OP_DENYLIST_CHECK] = print_verdict,
    [OP_ROUTING_FINDPEER] = print_found_peer,
    [OP_ROUTING_GET] = print_route_value,
    [OP_HEAT_TOP] = print_hottest,
    [OP_HEAT_EXPLAIN] = print_explained,
    [OP_READ] = print_data,
    [OP_PIN_ADD] = print_pinned,
    [OP_PIN_RM] = print_unpinned,
    [OP_PIN_UPDATE] = print_updated,
    [OP_BITSWAP_STAT] = print_bitswap,
    [OP_BITSWAP_WANTLIST] = print_wantlist,
    [OP_REPO_STAT] = print_repo,
    [OP_REPO_QUARANTINE] = print_quarantine,
    [OP_REPO_HEAL] = print_forgotten,
    [OP_KEY_GEN] = print_key_id,
    [OP_KEY_LIST] = print_keys,
    [OP_KEY_RM] = print_keys,
    [OP_KEY_RENAME] = print_key_renamed,
    [OP_NAME_RESOLVE] = print_path,
    [OP_NAME_GET] = print_record,
    [OP_RESOLVE] = print_path,
};

void say_partial(struct span result)
{
    if (value_bool(result, "partial"))
        (void)fprintf(stderr, "hearth: the time was over before the search had ended: there may be more\n");
}

int print_result(const struct invocation *in, struct span result)
{
    printer *print = printers[in->what->id];
    if (in->globals.json || print == NULL)
        print_json(result);
    else
        print(in, result);
    say_partial(result);
    bool ill = in->what->id == OP_DIAG_HEALTHY && !value_bool(result, "healthy");
    if (fflush(stdout) != 0)
        return say_error("standard output cannot be written");
    return ill ? EXIT_ERROR : EXIT_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * A cold tier on S3, driven by lines on stdin; one line answers each: "ok ..." or "error <name> <ms until retry> <why>". run.py writes the
 * scenes. usage: cold_probe ENDPOINT BUCKET PREFIX [--rate N] [--burst N] [--stall S] [--ca FILE] [--account BYTES]
 * Credentials are found as the daemon would find them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "net/curl_library.h"
#include "net/http_client.h"
#include "storage/cold_s3.h"
#include "storage/cold_tier.h"
#include "storage/disk_posix.h"

enum { OBJECT_MAX = 64 * 1024 * 1024, PIECE = 100 * 1000, BLOCKS_MAX = 4096, WORDS = 5 };

struct probe {
    struct http_client *http;
    struct s3_client *client;
    struct cold_tier tier;
    struct account account;
    struct cold_call call;
    uint64_t deadline_ms;
    struct cold_place places[BLOCKS_MAX];
    uint8_t *object; /* of the command under way */
};

static void say(struct probe *p, enum err err, const char *text)
{
    uint64_t now = clock_mono_ns();
    if (err == ERR_OK) {
        (void)printf("ok %s\n", text);
        return;
    }
    uint64_t wait_ms = p->call.retry_at_ns > now ? (p->call.retry_at_ns - now) / MS_NS : 0;
    (void)printf("error %s %" PRIu64 " %s\n", err_name(err), wait_ms, p->call.why);
}

/* The bytes of an object: noise of its seed. */
static struct span content(struct probe *p, uint64_t len, uint64_t seed)
{
    struct prng prng;
    if (len > OBJECT_MAX)
        abort();
    prng_init(&prng, seed);
    prng_fill(&prng, p->object, (size_t)len);
    return span_of(p->object, (size_t)len);
}

static enum err upload(struct probe *p, const char *name, uint64_t len, uint64_t seed, struct cold_upload **ret_upload)
{
    struct cold_store *store = p->tier.store;
    struct span rest = content(p, len, seed);
    enum err err = store->class->create(store, &p->call, name, ret_upload);
    if (err != ERR_OK)
        return err;
    while (err == ERR_OK && rest.len > 0) {
        err = store->class->append(*ret_upload, &p->call, span_first(rest, PIECE));
        rest = span_skip(rest, PIECE);
    }
    if (err != ERR_OK)
        store->class->abandon(*ret_upload, &p->call);
    return err;
}

static void command_put(struct probe *p, const char *name, uint64_t len, uint64_t seed)
{
    struct cold_upload *u;
    enum cold_proof proof = COLD_UNPROVED;
    enum err err = upload(p, name, len, seed, &u);
    if (err == ERR_OK)
        err = p->tier.store->class->finish(u, &p->call, &proof);
    say(p, err, proof == COLD_PROVED ? "proved" : "unproved");
}

static void command_get(struct probe *p, const char *name, uint64_t offset, uint64_t len, uint64_t seed)
{
    uint8_t *got = malloc(len == 0 ? 1 : (size_t)len);
    if (got == NULL)
        abort();
    enum err err = p->tier.store->class->read(p->tier.store, &p->call, name, offset, got, (size_t)len);
    struct span want = span_skip(content(p, offset + len, seed), (size_t)offset);
    say(p, err, err == ERR_OK && span_equal(want, span_of(got, (size_t)len)) ? "same" : "differs");
    free(got);
}

static enum err print_name(void *arg, const char *name, uint64_t bytes)
{
    struct buf *line = arg;
    return buf_appendf(line, "%s=%" PRIu64 " ", name, bytes);
}

static void command_list(struct probe *p, const char *after)
{
    struct buf line;
    bool more = false;
    buf_init(&line, 1 << 20, NULL);
    enum err err = p->tier.store->class->list(p->tier.store, &p->call, strcmp(after, "-") == 0 ? "" : after, print_name,
                                              &line, &more);
    if (err == ERR_OK)
        err = buf_append(&line, more ? "more" : "end", more ? 5 : 4);
    say(p, err, (const char *)line.data);
    buf_release(&line);
}

/* The i-th block of a pack: half of them compress. */
static struct span block_of(uint64_t seed, size_t i, uint8_t to[8192])
{
    struct prng prng;
    prng_init(&prng, seed * 1000 + i);
    size_t len = 100 + (size_t)prng_below(&prng, 8000);
    memset(to, 'x', len);
    prng_fill(&prng, to, i % 2 == 0 ? len : 32);
    return span_of(to, len);
}

static void key_of(struct span block, struct block_key *ret_key)
{
    struct multihash hash;
    if (multihash_sum(MULTIHASH_SHA2_256, 0, block, &hash) != ERR_OK || block_key_of(&hash, ret_key) != ERR_OK)
        abort();
}

static void command_pack(struct probe *p, uint64_t id, uint64_t count, uint64_t seed)
{
    struct cold_pack *pack;
    struct pack_tail tail = {0};
    uint8_t bytes[8192];
    char text[64];
    enum err err = count > BLOCKS_MAX ? ERR_INVALID : cold_pack_begin(&p->tier, &p->call, id, &pack);
    if (err != ERR_OK) {
        say(p, err, "");
        return;
    }
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        struct block_key key;
        struct span block = block_of(seed, i, bytes);
        key_of(block, &key);
        err = cold_pack_add(pack, &p->call, &key, 0x55, block, &p->places[i]);
    }
    if (err == ERR_OK)
        err = cold_pack_end(pack, &p->call, &tail);
    else
        cold_pack_abandon(pack, &p->call);
    (void)snprintf(text, sizeof(text), "%" PRIu64, tail.bytes);
    say(p, err, text);
}

static void command_block(struct probe *p, uint64_t i, uint64_t seed)
{
    struct block_ref *ref = NULL;
    uint8_t bytes[8192];
    enum err err = cold_tier_read(&p->tier, &p->call, &p->places[i % BLOCKS_MAX], &p->account, &ref);
    bool same = span_equal(block_ref_span(ref), block_of(seed, (size_t)i, bytes));
    block_ref_unref(ref);
    say(p, err, same ? "same" : "differs");
}

static void command_counters(struct probe *p)
{
    struct s3_counters c = s3_client_counters(p->client);
    (void)printf("ok ");
    for (enum s3_kind kind = S3_PUT; kind < S3_KIND_COUNT; kind++)
        (void)printf("%s=%" PRIu64 " ", s3_kind_name(kind), c.requests[kind]);
    (void)printf("again=%" PRIu64 " failed=%" PRIu64 " held=%" PRIu64 " bytes_out=%" PRIu64 " bytes_in=%" PRIu64
                 " account=%" PRIu64 "\n",
                 c.again, c.failed, c.held, c.bytes_out, c.bytes_in, account_used(&p->account));
}

static uint64_t number(const char *word)
{
    return word == NULL ? 0 : strtoull(word, NULL, 0);
}

static bool command_object(struct probe *p, const char *words[WORDS])
{
    struct cold_store *store = p->tier.store;
    struct cold_upload *u;
    char text[32];
    uint64_t value = 0;
    if (strcmp(words[0], "put") == 0)
        command_put(p, words[1], number(words[2]), number(words[3]));
    else if (strcmp(words[0], "leave") == 0) /* as a process does that is killed: nothing is ended */
        say(p, upload(p, words[1], number(words[2]), number(words[3]), &u), "");
    else if (strcmp(words[0], "abandon") == 0) {
        enum err err = upload(p, words[1], number(words[2]), number(words[3]), &u);
        if (err == ERR_OK)
            store->class->abandon(u, &p->call);
        say(p, err, "");
    } else if (strcmp(words[0], "get") == 0)
        command_get(p, words[1], number(words[2]), number(words[3]), number(words[4]));
    else if (strcmp(words[0], "size") == 0) {
        enum err err = store->class->size(store, &p->call, words[1], &value);
        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        say(p, err, text);
    } else if (strcmp(words[0], "list") == 0)
        command_list(p, words[1]);
    else if (strcmp(words[0], "remove") == 0)
        say(p, store->class->remove(store, &p->call, words[1]), "");
    else if (strcmp(words[0], "sweep") == 0) {
        enum err err = store->class->sweep(store, &p->call, cold_name_is_good, &value);
        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        say(p, err, text);
    } else
        return false;
    return true;
}

static bool command_tier(struct probe *p, const char *words[WORDS])
{
    static const uint8_t other[PACK_MARK_BYTES] = {1};
    if (strcmp(words[0], "claim") == 0)
        say(p, cold_tier_claim(p->tier.store, &p->call, strcmp(words[1], "other") == 0 ? other : p->tier.mark), "");
    else if (strcmp(words[0], "ask") == 0)
        say(p, cold_tier_ask(&p->tier, &p->call), "");
    else if (strcmp(words[0], "pack") == 0)
        command_pack(p, number(words[1]), number(words[2]), number(words[3]));
    else if (strcmp(words[0], "block") == 0)
        command_block(p, number(words[1]), number(words[2]));
    else if (strcmp(words[0], "check") == 0)
        say(p, cold_tier_check(&p->tier, &p->call, number(words[1]), NULL), "");
    else if (strcmp(words[0], "drop") == 0)
        say(p, cold_tier_remove(&p->tier, &p->call, number(words[1])), "");
    else
        return false;
    return true;
}

static void run_line(struct probe *p, char *line)
{
    const char *words[WORDS] = {"", "-", "0", "0", "0"};
    char *rest = line;
    for (size_t i = 0; i < WORDS; i++) {
        char *word = strsep(&rest, " \n");
        if (word == NULL || *word == '\0')
            break;
        words[i] = word;
    }
    p->call = (struct cold_call){.deadline_ns = clock_mono_ns() + p->deadline_ms * MS_NS};
    if (strcmp(words[0], "deadline") == 0) {
        p->deadline_ms = number(words[1]);
        say(p, ERR_OK, "");
    } else if (strcmp(words[0], "counters") == 0)
        command_counters(p);
    else if (strcmp(words[0], "loaded") == 0)
        say(p, ERR_OK, curl_library_is_loaded() ? "yes" : "no");
    else if (!command_object(p, words) && !command_tier(p, words))
        (void)printf("error invalid 0 no such command\n");
}

static const char *environment(const char *name)
{
    return getenv(name);
}

static bool open_all(struct probe *p, int argc, char **argv)
{
    char why[COLD_WHY_BYTES] = "";
    struct http_client_options http = {0};
    struct s3_options s3 = {
        .endpoint = argv[1], .region = "us-east-1", .bucket = argv[2], .prefix = argv[3], .account = &p->account};
    uint64_t limit = 64 * MIB;
    for (int i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rate") == 0)
            s3.requests_per_s = number(argv[i + 1]);
        else if (strcmp(argv[i], "--burst") == 0)
            s3.burst = number(argv[i + 1]);
        else if (strcmp(argv[i], "--stall") == 0)
            http.stall_s = (uint32_t)number(argv[i + 1]);
        else if (strcmp(argv[i], "--ca") == 0)
            s3.ca_file = argv[i + 1];
        else if (strcmp(argv[i], "--account") == 0)
            limit = number(argv[i + 1]);
    }
    account_init(&p->account, "cold", limit);
    random_fill(&s3.seed, sizeof(s3.seed));
    enum err err = s3_credentials_find(disk_posix(), environment, NULL, NULL, &s3.credentials);
    if (err == ERR_OK)
        err = http_client_new(&http, &p->http);
    if (err == ERR_OK) {
        s3.http = http_client_port(p->http);
        err = s3_client_new(&s3, &p->client, why);
    }
    if (err == ERR_OK)
        err = cold_s3_new(p->client, &p->tier.store);
    if (err != ERR_OK)
        (void)printf("error %s 0 %s\n", err_name(err), why);
    return err == ERR_OK;
}

int main(int argc, char **argv)
{
    struct probe *p = calloc(1, sizeof(*p));
    char line[512];
    if (p == NULL || argc < 4)
        return 2;
    p->object = malloc(OBJECT_MAX);
    p->deadline_ms = 20000;
    memcpy(p->tier.mark, "a mark for tests", PACK_MARK_BYTES);
    p->tier.account = &p->account;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bool opened = p->object != NULL && open_all(p, argc, argv);
    while (opened && fgets(line, sizeof(line), stdin) != NULL)
        run_line(p, line);
    if (opened)
        p->tier.store->class->free(p->tier.store);
    s3_client_free(p->client);
    http_client_free(p->http);
    free(p->object);
    free(p);
    return opened ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
/*
 * The block store by itself, on the real disk.
 *
 *      usage: bench_store has DIR COUNT BATCH              absent CIDs asked for in batches
 *             bench_store put DIR COUNT BYTES FLIGHT SALT  durable puts of blocks that no other SALT has, FLIGHT of them under way
 *             bench_store get DIR COUNT BYTES FLIGHT       what put with SALT 0 stored, warm, in a random order, no memory tier
 *             bench_store pread DIR COUNT BYTES            the same bytes by pread alone, on two threads as the store has
 *             bench_store collect DIR KEPT RATE SECONDS    p99 of gets of the KEPT first blocks of bench_kept, RATE a second: alone, and beside a
 *                                                          collection of all others
 *             bench_store memory DIR COUNT BYTES BLOCKS    gets of the first BLOCKS out of the memory tier, copied out; and memcpy alone
 *
 * Each prints one line of JSON.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/bench/store_bench.h"

enum { FLIGHT_MAX = 65536 };

/* A key that is nobody's: cheap, since the digest of an absent block is anything. */
static void absent_key(struct prng *prng, struct block_key *ret_key)
{
    *ret_key = (struct block_key){.len = 34, .bytes = {0x12, 0x20}};
    prng_fill(prng, ret_key->bytes + 2, 32);
}

/* ---- has ---- */

static void do_has(const char *dir, uint64_t count, uint64_t batch)
{
    uint64_t seed;
    struct prng prng;
    uint64_t opened = clock_mono_ns();
    struct blockstore *store = open_store(dir, true);
    uint64_t began = clock_mono_ns();
    double open_s = (double)(began - opened) / 1e9;
    struct lanes lanes; /* what the store does by itself after a start comes first */
    lanes_start(&lanes, store);
    lanes_stop(&lanes);
    struct block_key *keys = calloc((size_t)batch, sizeof(*keys));
    uint64_t *sizes = calloc((size_t)batch, sizeof(*sizes));
    check(keys != NULL && sizes != NULL, "memory");
    random_fill(&seed, sizeof(seed));
    prng_init(&prng, seed);
    uint64_t spent = 0;
    uint64_t found = 0;
    for (uint64_t done = 0; done < count; done += batch) {
        for (uint64_t i = 0; i < batch; i++)
            absent_key(&prng, &keys[i]);
        began = clock_mono_ns();
        blockstore_has_many(store, keys, (size_t)batch, false, sizes);
        spent += clock_mono_ns() - began;
        for (uint64_t i = 0; i < batch; i++)
            found += sizes[i] != 0;
    }
    struct blockstore_stats stats = blockstore_stats(store);
    check(found == 0, "an absent block was found");
    printf("{\"seconds\": %.6f, \"value\": %.1f, \"open_s\": %.6f, \"node_peak_bytes\": %llu, \"filter\": %s}\n",
           (double)spent / 1e9, (double)count * 1e9 / (double)spent, open_s, (unsigned long long)resident_peak(),
           stats.filter_complete ? "true" : "false");
    blockstore_close(store, true);
    free(keys);
    free(sizes);
}

/* ---- puts and gets with many under way ---- */

struct flight {
    struct store_op op;
    struct bench *bench;
    uint64_t number;
};

struct bench {
    uint64_t done;
    uint64_t failed;
    uint64_t bytes;
    struct flight *free[FLIGHT_MAX];
    size_t free_count;
    uint64_t again[FLIGHT_MAX]; /* the store was busy: whoever asks in earnest asks again, too */
    size_t again_count;
};

static void flight_done(struct store_op *op, enum err err)
{
    struct flight *f = CONTAINER_OF(op, struct flight, op);
    bool busy = err == ERR_BUSY || err == ERR_NOMEM;
    if (busy)
        f->bench->again[f->bench->again_count++] = f->number;
    f->bench->done += !busy;
    f->bench->failed += err != ERR_OK && !busy;
    if (err == ERR_OK && op->ref != NULL)
        f->bench->bytes += op->ref->len;
    block_ref_unref(err == ERR_OK ? op->ref : NULL);
    f->bench->free[f->bench->free_count++] = f;
}

static struct flight *take_flight(struct bench *b, const struct block_key *keys, uint64_t number)
{
    struct flight *f = b->free[--b->free_count];
    const struct block_key *key = &keys[number];
    f->number = number;
    f->op = (struct store_op){.done = flight_done, .key = *key, .codec = 0x55, .cid = {1, 0x55}};
    memcpy(f->op.cid + 2, key->bytes, key->len);
    f->op.cid_len = (uint8_t)(key->len + 2);
    return f;
}

static struct bench *bench_new(size_t flight)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct flight *flights = calloc(flight, sizeof(*flights));
    check(b != NULL && flights != NULL && flight <= FLIGHT_MAX, "memory");
    for (size_t i = 0; i < flight; i++) {
        flights[i].bench = b;
        b->free[b->free_count++] = &flights[i];
    }
    return b;
}

/* Numbers no repository made here has: above all of `make`. */
static uint64_t fresh_number(uint64_t salt, uint64_t i)
{
    return (UINT64_C(1) << 40) + (salt << 20 << 12) + i;
}

static struct block_key *keys_of(uint64_t salt, uint64_t count, size_t bytes)
{
    struct block_key *keys = calloc((size_t)count, sizeof(*keys));
    uint8_t *scratch = malloc(bytes);
    check(keys != NULL && scratch != NULL, "memory");
    for (uint64_t i = 0; i < count; i++)
        key_of(fresh_number(salt, i), bytes, scratch, &keys[i]);
    free(scratch);
    return keys;
}

static void do_put(const char *dir, uint64_t salt, uint64_t count, size_t bytes, size_t flight)
{
    struct lanes lanes;
    struct bench *b = bench_new(flight);
    struct blockstore *store = open_store(dir, true);
    struct block_key *keys = keys_of(salt, count, bytes);
    lanes_start(&lanes, store);
    uint64_t began = clock_mono_ns();
    for (uint64_t i = 0; b->done < count;) {
        size_t refused = b->again_count;
        while ((i < count || b->again_count > 0) && b->free_count > 0 && b->again_count <= refused) {
            uint64_t number = b->again_count > 0 ? b->again[--b->again_count] : i++;
            refused = b->again_count;
            struct block_ref *ref = block_ref_new(bytes, NULL);
            check(ref != NULL, "memory");
            fill_block(fresh_number(salt, number), ref->data, bytes);
            struct flight *f = take_flight(b, keys, number);
            blockstore_put(store, &f->op, ref);
            block_ref_unref(ref);
        }
        (void)lanes_turn(&lanes, true);
    }
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    lanes_stop(&lanes);
    struct blockstore_stats stats = blockstore_stats(store);
    blockstore_close(store, false);
    check(b->failed == 0, "puts failed");
    printf("{\"seconds\": %.6f, \"value\": %.1f, \"blocks\": %llu, \"node_peak_bytes\": %llu}\n", seconds,
           (double)count / seconds, (unsigned long long)stats.blocks, (unsigned long long)resident_peak());
}

static void shuffle(struct block_key *keys, uint64_t count)
{
    struct prng prng;
    prng_init(&prng, 7);
    for (uint64_t i = count; i > 1; i--) {
        uint64_t at;
        prng_fill(&prng, &at, sizeof(at));
        struct block_key other = keys[at % i];
        keys[at % i] = keys[i - 1];
        keys[i - 1] = other;
    }
}

/* Gets all once; the first round warms the page cache. */
static double get_all(struct lanes *lanes, struct bench *b, const struct block_key *keys, uint64_t count)
{
    uint64_t began = clock_mono_ns();
    b->done = 0;
    for (uint64_t i = 0; b->done < count;) {
        size_t refused = b->again_count;
        while ((i < count || b->again_count > 0) && b->free_count > 0 && b->again_count <= refused) {
            uint64_t number = b->again_count > 0 ? b->again[--b->again_count] : i++;
            refused = b->again_count;
            struct flight *f = take_flight(b, keys, number);
            blockstore_get(lanes->store, &f->op);
        }
        if (b->done < count)
            (void)lanes_turn(lanes, true);
    }
    return (double)(clock_mono_ns() - began) / 1e9;
}

static void do_get(const char *dir, uint64_t count, size_t bytes, size_t flight)
{
    struct lanes lanes;
    struct bench *b = bench_new(flight);
    struct blockstore *store = open_store(dir, false);
    struct block_key *keys = keys_of(0, count, bytes);
    shuffle(keys, count);
    lanes_start(&lanes, store);
    (void)get_all(&lanes, b, keys, count);
    double seconds = get_all(&lanes, b, keys, count);
    lanes_stop(&lanes);
    check(b->failed == 0 && b->bytes == 2 * count * bytes, "gets failed");
    blockstore_close(store, false);
    printf("{\"seconds\": %.6f}\n", seconds);
}

/* ---- the same bytes without a store ---- */

struct reader {
    const char *dir;
    const struct block_place *places;
    uint64_t count;
    uint64_t first;
    size_t bytes;
};

static void *read_half(void *arg)
{
    const struct reader *r = arg;
    int fd = -1;
    uint64_t segment = 0;
    for (uint64_t i = r->first; i < r->count; i += 2) {
        char path[4096];
        char name[SEGMENT_NAME_MAX];
        uint8_t *to = malloc(r->bytes);
        check(to != NULL, "memory");
        if (r->places[i].segment != segment) {
            segment = r->places[i].segment;
            segment_name(segment, name);
            (void)snprintf(path, sizeof(path), "%s/segments/%s", r->dir, name);
            if (fd >= 0)
                (void)close(fd);
            fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        off_t at = (off_t)(r->places[i].offset + SEGMENT_FIXED_BYTES + r->places[i].key.len);
        check(pread(fd, to, r->bytes, at) == (ssize_t)r->bytes, "pread");
        free(to);
    }
    (void)close(fd);
    return NULL;
}

static void do_pread(const char *dir, uint64_t count, size_t bytes)
{
    char path[4096];
    struct catalogue_reader *catalogue;
    struct block_key *keys = keys_of(0, count, bytes);
    struct block_place *places = calloc((size_t)count, sizeof(*places));
    check(places != NULL, "memory");
    shuffle(keys, count);
    (void)snprintf(path, sizeof(path), "%s/blocks.db", dir);
    check_err(catalogue_reader_open(&(struct catalogue_options){.path = path, .cache_kib = 1024}, &catalogue), path);
    for (uint64_t i = 0; i < count; i++)
        check_err(catalogue_find(catalogue, &keys[i], &places[i]), "a block that fill stored");
    catalogue_reader_close(catalogue);
    double seconds = 0;
    for (int round = 0; round < 2; round++) {
        uint64_t began = clock_mono_ns();
        pthread_t threads[2];
        struct reader readers[2];
        for (size_t i = 0; i < 2; i++) {
            readers[i] = (struct reader){.dir = dir, .places = places, .count = count, .first = i, .bytes = bytes};
            check(pthread_create(&threads[i], NULL, read_half, &readers[i]) == 0, "threads");
        }
        for (size_t i = 0; i < 2; i++)
            (void)pthread_join(threads[i], NULL);
        seconds = (double)(clock_mono_ns() - began) / 1e9;
    }
    printf("{\"seconds\": %.6f}\n", seconds);
}

/* ---- from memory ---- */

struct copier {
    struct store_op op;
    uint8_t *to;
    bool hit;
};

static void copy_out(struct store_op *op, enum err err)
{
    struct copier *c = CONTAINER_OF(op, struct copier, op);
    c->hit = err == ERR_OK;
    if (err == ERR_OK)
        memcpy(c->to, op->ref->data, op->ref->len);
    block_ref_unref(err == ERR_OK ? op->ref : NULL);
}

static void do_memory(const char *dir, uint64_t count, size_t bytes, uint64_t blocks)
{
    struct lanes lanes;
    struct blockstore *store = open_store(dir, true);
    struct block_key *keys = keys_of(0, blocks, bytes);
    uint8_t *to = malloc(bytes);
    uint8_t *from = malloc(blocks * bytes);
    check(to != NULL && from != NULL, "memory");
    memset(from, 1, blocks * bytes);
    lanes_start(&lanes, store);
    struct bench *b = bench_new(64);
    (void)get_all(&lanes, b, keys, blocks);
    uint64_t began = clock_mono_ns();
    for (uint64_t i = 0; i < count; i++) {
        struct copier c = {.op = {.done = copy_out, .key = keys[i % blocks]}, .to = to};
        blockstore_get(store, &c.op);
        check(c.hit, "not in the memory tier");
    }
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    began = clock_mono_ns();
    for (uint64_t i = 0; i < count; i++) {
        memcpy(to, from + i % blocks * bytes, bytes);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    double plain = (double)(clock_mono_ns() - began) / 1e9;
    lanes_stop(&lanes);
    blockstore_close(store, true);
    printf("{\"seconds\": %.6f, \"memcpy_s\": %.6f}\n", seconds, plain);
}

/* ---- a collection beside steady gets ---- */

struct timed_get {
    struct store_op op;
    uint64_t due_ns;
    uint64_t *took; /* where the time goes */
    struct steady *steady;
};

struct steady {
    struct lanes lanes;
    uint64_t rate;
    uint64_t kept;
    uint64_t next_ns;
    uint64_t *took;
    size_t count;
    size_t under_way;
    struct prng prng;
    struct store_collect_op collect;
    bool collecting;
    bool collected;
    uint64_t gone;
};

static void timed_done(struct store_op *op, enum err err)
{
    struct timed_get *g = CONTAINER_OF(op, struct timed_get, op);
    check_err(err, "get");
    *g->took = clock_mono_ns() - g->due_ns;
    g->steady->under_way--;
    block_ref_unref(op->ref);
    free(g);
}

static void page_done(struct store_collect_op *op, enum err err)
{
    struct steady *s = CONTAINER_OF(op, struct steady, collect);
    check_err(err, "collect");
    s->gone += op->gone_count;
    s->collecting = false;
    s->collected = op->after.len == 0;
}

/* Gets that were due, whether or not those before were answered. */
static void ask_due(struct steady *s, size_t max)
{
    for (uint64_t now = clock_mono_ns(); s->next_ns <= now && s->count < max; s->next_ns += SECOND_NS / s->rate) {
        struct timed_get *g = calloc(1, sizeof(*g));
        uint8_t scratch[8];
        check(g != NULL, "memory");
        *g = (struct timed_get){
            .op = {.done = timed_done}, .due_ns = s->next_ns, .took = &s->took[s->count++], .steady = s};
        key_of(prng_below(&s->prng, s->kept), sizeof(scratch), scratch, &g->op.key);
        s->under_way++;
        blockstore_get(s->lanes.store, &g->op);
    }
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Milliseconds that one get of a hundred took longer than; collects meanwhile if asked to. */
static double steady_run(struct steady *s, uint64_t seconds, bool collect, double *ret_seconds)
{
    size_t max = (size_t)(seconds * s->rate);
    uint64_t began = clock_mono_ns();
    s->count = 0;
    s->next_ns = began;
    s->took = calloc(max, sizeof(*s->took));
    check(s->took != NULL, "memory");
    s->collect = (struct store_collect_op){.done = page_done};
    while (s->count < max && !(collect && s->collected)) {
        ask_due(s, max);
        if (collect && !s->collecting) {
            s->collecting = true;
            blockstore_collect(s->lanes.store, &s->collect);
        }
        if (!lanes_turn_until(&s->lanes, s->next_ns) && clock_mono_ns() < s->next_ns)
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(s->next_ns - clock_mono_ns()) % 1000000}, NULL);
    }
    *ret_seconds = (double)(clock_mono_ns() - began) / 1e9;
    while (s->under_way > 0 || s->collecting)
        (void)lanes_turn(&s->lanes, true);
    qsort(s->took, s->count, sizeof(*s->took), by_time);
    double p99 = s->count == 0 ? 0 : (double)s->took[s->count * 99 / 100] / 1e6;
    free(s->took);
    return p99;
}

static void do_collect(const char *dir, uint64_t kept, uint64_t rate, uint64_t seconds)
{
    static struct steady s;
    double alone_s;
    double beside_s;
    struct blockstore *store = open_store(dir, false);
    s.rate = rate;
    s.kept = kept;
    prng_init(&s.prng, 1);
    lanes_start(&s.lanes, store);
    while (lanes_turn(&s.lanes, true)) /* what pins hold is counted first */
        ;
    (void)steady_run(&s, 2, false, &alone_s);
    double alone = steady_run(&s, seconds, false, &alone_s);
    double beside = steady_run(&s, seconds * 100, true, &beside_s);
    lanes_stop(&s.lanes);
    blockstore_close(store, false);
    printf("{\"seconds\": %.3f, \"value\": %.3f, \"alone_p99_ms\": %.3f, \"beside_p99_ms\": %.3f, \"gone\": %llu}\n",
           beside_s, beside, alone, beside, (unsigned long long)s.gone);
}

int main(int argc, char **argv)
{
    take_budget();
    const char *what = argc > 3 ? argv[1] : "";
    if (strcmp(what, "has") == 0 && argc == 5)
        do_has(argv[2], number_of(argv[3]), number_of(argv[4]));
    else if (strcmp(what, "put") == 0 && argc == 7)
        do_put(argv[2], number_of(argv[6]), number_of(argv[3]), (size_t)number_of(argv[4]), (size_t)number_of(argv[5]));
    else if (strcmp(what, "get") == 0 && argc == 6)
        do_get(argv[2], number_of(argv[3]), (size_t)number_of(argv[4]), (size_t)number_of(argv[5]));
    else if (strcmp(what, "pread") == 0 && argc == 5)
        do_pread(argv[2], number_of(argv[3]), (size_t)number_of(argv[4]));
    else if (strcmp(what, "collect") == 0 && argc == 6)
        do_collect(argv[2], number_of(argv[3]), number_of(argv[4]), number_of(argv[5]));
    else if (strcmp(what, "memory") == 0 && argc == 6)
        do_memory(argv[2], number_of(argv[3]), (size_t)number_of(argv[4]), number_of(argv[5]));
    else
        check(false, "usage is at the top of the file");
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A synthetic repository of many small blocks, made by the store's own writers: segments from front to back, rows in the order of their keys,
 * so that ten million take a minute.
 *
 *      usage: bench_kept DIR BLOCKS PINS          BLOCKS of 8 bytes, the first PINS of them pinned
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/bench/store_bench.h"

enum { COMMIT_ROWS = 65536, SEGMENT_BYTES = 256 * 1024 * 1024, WRITE_BYTES = 4 * 1024 * 1024 };

struct place_of {
    uint64_t digest; /* the first bytes of the digest, big-endian: the order of the keys */
    uint32_t number;
    uint32_t record; /* of its segment */
};

static int by_digest(const void *a, const void *b)
{
    const struct place_of *x = a;
    const struct place_of *y = b;
    return x->digest < y->digest ? -1 : x->digest > y->digest;
}

enum { SMALL = 8, RECORD_BYTES = 72, PER_SEGMENT = SEGMENT_BYTES / RECORD_BYTES };

static void place_of_number(uint64_t number, struct block_place *ret_place)
{
    uint8_t scratch[SMALL];
    *ret_place = (struct block_place){.codec = 0x55, .size = SMALL};
    key_of(number, SMALL, scratch, &ret_place->key);
    ret_place->segment = number / PER_SEGMENT + 1;
    ret_place->offset = number % PER_SEGMENT * RECORD_BYTES;
}

static void write_segment(const char *dir, uint64_t first, uint64_t count)
{
    char path[4096];
    char name[SEGMENT_NAME_MAX];
    uint8_t *buffer = calloc(1, WRITE_BYTES);
    size_t used = 0;
    segment_name(first / PER_SEGMENT + 1, name);
    (void)snprintf(path, sizeof(path), "%s/segments/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(fd >= 0 && buffer != NULL, path);
    for (uint64_t i = 0; i < count; i++) {
        struct block_place place;
        uint8_t payload[SMALL];
        place_of_number(first + i, &place);
        fill_block(first + i, payload, SMALL);
        size_t head = segment_encode(&place, span_of(payload, SMALL), buffer + used);
        memcpy(buffer + used + head, payload, SMALL);
        memset(buffer + used + head + SMALL, 0, RECORD_BYTES - head - SMALL);
        used += RECORD_BYTES;
        if (used + RECORD_BYTES > WRITE_BYTES || i + 1 == count) {
            check(write(fd, buffer, used) == (ssize_t)used, "write");
            used = 0;
        }
    }
    check(fdatasync(fd) == 0 && close(fd) == 0, "sync");
    free(buffer);
}

static void commit(struct catalogue *catalogue, struct catalogue_batch *batch)
{
    batch->real_now_ns = clock_real_ns();
    check_err(catalogue_commit(catalogue, batch, NULL), "commit");
    *batch = (struct catalogue_batch){.places = batch->places};
}

static void make_rows(struct catalogue *catalogue, uint64_t blocks)
{
    struct place_of *order = malloc((size_t)blocks * sizeof(*order));
    struct catalogue_batch batch = {.places = malloc(COMMIT_ROWS * sizeof(*batch.places))};
    check(order != NULL && batch.places != NULL, "memory");
    for (uint64_t i = 0; i < blocks; i++) {
        struct block_place place;
        place_of_number(i, &place);
        order[i] = (struct place_of){.number = (uint32_t)i};
        for (size_t b = 0; b < 8; b++)
            order[i].digest = order[i].digest << 8 | place.key.bytes[2 + b];
    }
    qsort(order, (size_t)blocks, sizeof(*order), by_digest);
    for (uint64_t i = 0; i < blocks; i++) {
        place_of_number(order[i].number, &batch.places[batch.place_count++]);
        if (batch.place_count == COMMIT_ROWS || i + 1 == blocks)
            commit(catalogue, &batch);
    }
    free(batch.places);
    free(order);
}

static void make_checkpoints(struct catalogue *catalogue, uint64_t blocks)
{
    for (uint64_t first = 0; first < blocks; first += PER_SEGMENT) {
        struct segment_checkpoint checkpoint = {.segment = first / PER_SEGMENT + 1, .state = SEGMENT_SEALED};
        checkpoint.offset = MIN(blocks - first, (uint64_t)PER_SEGMENT) * RECORD_BYTES;
        struct catalogue_batch batch = {.checkpoints = &checkpoint, .checkpoint_count = 1};
        commit(catalogue, &batch);
    }
}

static void make_pins(struct catalogue *catalogue, uint64_t pins)
{
    enum { PINS_EACH = 4096 };
    struct catalogue_change *changes = calloc(PINS_EACH, sizeof(*changes));
    check(changes != NULL, "memory");
    for (uint64_t at = 0; at < pins; at += PINS_EACH) {
        size_t count = (size_t)MIN(pins - at, (uint64_t)PINS_EACH);
        struct catalogue_batch batch = {.changes = changes};
        for (size_t i = 0; i < count; i++) {
            struct block_place place;
            place_of_number(at + i, &place);
            changes[i] = (struct catalogue_change){.kind = CHANGE_PIN_ADD, .key = place.key, .recursive = true};
            changes[i].cid[0] = 1;
            changes[i].cid[1] = 0x55;
            memcpy(changes[i].cid + 2, place.key.bytes, place.key.len);
            changes[i].cid_len = (uint8_t)(place.key.len + 2);
            changes[i].next = i + 1 < count ? &changes[i + 1] : NULL;
        }
        commit(catalogue, &batch);
        check_err(changes[0].err, "pin");
    }
    free(changes);
}

static void do_make(const char *dir, uint64_t blocks, uint64_t pins)
{
    char path[4096];
    uint64_t seed;
    uint64_t began = clock_mono_ns();
    struct catalogue *catalogue;
    const struct disk_port *port = disk_posix();
    (void)port->make_dir(port->self, dir);
    (void)snprintf(path, sizeof(path), "%s/segments", dir);
    (void)port->make_dir(port->self, path);
    for (uint64_t first = 0; first < blocks; first += PER_SEGMENT)
        write_segment(dir, first, MIN(blocks - first, (uint64_t)PER_SEGMENT));
    (void)snprintf(path, sizeof(path), "%s/blocks.db", dir);
    random_fill(&seed, sizeof(seed));
    check_err(catalogue_open(&(struct catalogue_options){.path = path, .cache_kib = 256 * 1024, .seed = seed},
                             &catalogue, NULL),
              path);
    make_rows(catalogue, blocks);
    make_checkpoints(catalogue, blocks);
    make_pins(catalogue, pins);
    catalogue_close(catalogue);
    struct lanes lanes; /* once through the store: its filter is built and kept */
    struct blockstore *store = open_store(dir, false);
    lanes_start(&lanes, store);
    lanes_stop(&lanes);
    struct blockstore_stats stats = blockstore_stats(store);
    blockstore_close(store, false);
    printf("{\"seconds\": %.3f, \"blocks\": %llu, \"pins\": %llu, \"filter\": %s}\n",
           (double)(clock_mono_ns() - began) / 1e9, (unsigned long long)stats.blocks, (unsigned long long)stats.pins,
           stats.filter_complete ? "true" : "false");
}

int main(int argc, char **argv)
{
    take_budget();
    check(argc == 4, "usage: bench_kept DIR BLOCKS PINS");
    do_make(argv[1], number_of(argv[2]), number_of(argv[3]));
    return 0;
}

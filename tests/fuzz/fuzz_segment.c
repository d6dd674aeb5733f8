/* SPDX-License-Identifier: MIT */
/* Whatever a disk gives back: as a segment, scanned in both ways, and as a filter file. */
#include <stdlib.h>

#include "base/attr.h"
#include "sim/disk.h"
#include "storage/filter.h"
#include "storage/segment.h"
#include "tests/fuzz/cap.h"

/* The bytes are those of our own disk: two scans, each with a buffer for the largest record, and a simulated disk below. */
const size_t fuzz_free_bytes = 16 << 20;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a scan reports must be at its place, within the file, and hash to its key. */
static enum err check_record(void *arg, const struct block_place *place, struct span payload)
{
    const size_t *size = arg;
    if (place->offset + segment_record_bytes(place->key.len, place->size) > *size + SEGMENT_ALIGN ||
        block_key_verify(&place->key, payload) == ERR_CORRUPT)
        abort();
    return ERR_OK;
}

static void scan(const struct disk_port *port, size_t size)
{
    struct disk_file *file;
    uint64_t end = 0;
    if (port->open(port->self, "file", DISK_READ, &file) != ERR_OK)
        return;
    for (int mode = SCAN_TAIL; mode <= SCAN_SALVAGE; mode++) {
        enum err err = segment_scan(port, file, 1, 0, (enum segment_scan_mode)mode, check_record, &size, &end);
        if (err != ERR_OK || end > size + SEGMENT_ALIGN)
            abort();
    }
    port->close(file);
}

static void load_filter(const struct disk_port *port)
{
    static const struct catalogue_info info = {.generation = 1};
    struct filter *filter = NULL;
    if (filter_load(port, "file", &info, NULL, &filter) == ERR_OK)
        filter_free(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block_place place;
    struct span payload;
    if (segment_decode(span_of(data, size), 1, &place, &payload) == ERR_OK && payload.len != place.size)
        abort();
    struct sim_disk *disk = sim_disk_new(1, 64 * MIB);
    struct disk_file *file;
    if (disk == NULL)
        return 0;
    const struct disk_port *port = sim_disk_port(disk);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    if (port->open(port->self, "file", DISK_WRITE | DISK_CREATE, &file) == ERR_OK) {
        if (port->pwritev(file, &iov, 1, 0) == ERR_OK) {
            scan(port, size);
            load_filter(port);
        }
        port->close(file);
    }
    sim_disk_free(disk);
    return 0;
}

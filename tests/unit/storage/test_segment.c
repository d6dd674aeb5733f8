/* SPDX-License-Identifier: MIT */
/* Records: the checksum's published values, the layout byte by byte, and scans of torn, stale and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "sim/disk.h"
#include "storage/crc32c.h"
#include "storage/segment.h"
#include "tests/support/storage.h"

static void crc32c_has_the_published_values(void **state)
{
    (void)state;
    /* RFC 3720, B.4 */
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void both_ways_of_crc32c_agree(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    struct prng prng;
    prng_init(&prng, 3);
    prng_fill(&prng, bytes, sizeof(bytes));
    for (size_t i = 0; i < 200; i++) {
        size_t from = (size_t)prng_below(&prng, 64);
        size_t len = (size_t)prng_below(&prng, sizeof(bytes) - from);
        size_t cut = (size_t)prng_below(&prng, len + 1);
        uint32_t whole = crc32c_table(0, bytes + from, len);
        assert_int_equal(crc32c(0, bytes + from, len), whole);
        assert_int_equal(crc32c(crc32c(0, bytes + from, cut), bytes + from + cut, len - cut), whole);
    }
}

static void a_record_has_the_layout_of_the_picture(void **state)
{
    (void)state;
    struct block_place place = {.codec = 0x55, .segment = 0x0102030405060708};
    uint8_t header[SEGMENT_HEADER_MAX];
    struct span payload = span_text("hello");
    test_key(payload, &place.key);
    place.size = 5;
    assert_int_equal(segment_encode(&place, payload, header), 28 + 34);
    assert_memory_equal(header, "HRB1", 4);
    assert_memory_equal(header + 8, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_memory_equal(header + 16, "\x05\x00\x00\x00\x55\x00\x00\x00\x22\x00\x00\x00\x12\x20", 14);
    assert_int_equal(segment_record_bytes(34, 5), 72);
}

static void damaged_records_do_not_parse(void **state)
{
    (void)state;
    uint8_t record[256];
    size_t len = test_record(7, span_text("some payload"), record);
    struct block_place place;
    struct span payload;
    assert_int_equal(segment_decode(span_of(record, len), 7, &place, &payload), ERR_OK);
    assert_true(span_equal_text(payload, "some payload"));
    assert_int_equal(segment_decode(span_of(record, len), 8, &place, &payload), ERR_CORRUPT);
    size_t content = SEGMENT_FIXED_BYTES + 34 + 12;
    for (size_t i = 0; i < content; i++) {
        assert_int_not_equal(segment_decode(span_of(record, i), 7, &place, &payload), ERR_OK);
        for (int bit = 0; bit < 8; bit++) {
            record[i] ^= (uint8_t)(1 << bit);
            assert_int_not_equal(segment_decode(span_of(record, len), 7, &place, &payload), ERR_OK);
            record[i] ^= (uint8_t)(1 << bit);
        }
    }
}

static void names_go_there_and_back(void **state)
{
    (void)state;
    char name[SEGMENT_NAME_MAX];
    uint64_t id = 0;
    segment_name(0xabc, name);
    assert_string_equal(name, "0000000000000abc.seg");
    assert_true(segment_parse_name(name, &id));
    assert_int_equal(id, 0xabc);
    assert_false(segment_parse_name("0000000000000ABC.seg", &id));
    assert_false(segment_parse_name("0000000000000abc.tmp", &id));
    assert_false(segment_parse_name("abc.seg", &id));
}

struct seen {
    size_t count;
    uint64_t last;
};

static enum err count_record(void *arg, const struct block_place *place, struct span payload)
{
    struct seen *seen = arg;
    assert_int_equal(payload.len, place->size);
    seen->count++;
    seen->last = place->offset;
    return ERR_OK;
}

/* Writes count records of segment 5 from offset on; returns where they end. */
static uint64_t write_records(const struct disk_port *port, struct disk_file *file, uint64_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t record[512];
        uint8_t payload[300];
        memset(payload, (int)i + 1, sizeof(payload));
        size_t len = test_record(5, span_of(payload, 100 + i), record);
        struct iovec iov = {.iov_base = record, .iov_len = len};
        assert_int_equal(port->pwritev(file, &iov, 1, offset), ERR_OK);
        offset += len;
    }
    return offset;
}

static void a_scan_goes_on_at_the_next_aligned_place(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "s", DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    assert_in_range(write_records(port, file, 0, 3), 1, DISK_DIRECT_ALIGN);
    (void)write_records(port, file, DISK_DIRECT_ALIGN, 2);
    uint64_t end = write_records(port, file, (uint64_t)DISK_DIRECT_ALIGN * 2, 2);
    assert_int_equal(port->allocate(file, end, (uint64_t)DISK_DIRECT_ALIGN * 4), ERR_OK);
    (void)write_records(port, file, (uint64_t)DISK_DIRECT_ALIGN * 4, 1); /* behind a whole gap: not of this tail */
    struct seen seen = {0};
    uint64_t found = 0;
    assert_int_equal(segment_scan(port, file, 5, 0, SCAN_TAIL, count_record, &seen, &found), ERR_OK);
    assert_int_equal(seen.count, 7);
    assert_int_equal(found, end);
    port->close(file);
    sim_disk_free(disk);
}

static void a_scan_stops_at_the_torn_tail_and_salvage_looks_past_it(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "s", DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    uint64_t end = write_records(port, file, 0, 10);
    assert_int_equal(port->allocate(file, end, 4096), ERR_OK);
    struct seen seen = {0};
    uint64_t found = 0;
    assert_int_equal(segment_scan(port, file, 5, 0, SCAN_TAIL, count_record, &seen, &found), ERR_OK);
    assert_int_equal(seen.count, 10);
    assert_int_equal(found, end);
    assert_int_equal(segment_scan(port, file, 6, 0, SCAN_TAIL, count_record, &seen, &found), ERR_OK);
    assert_int_equal(found, 0);
    assert_int_equal(sim_disk_damage(disk, "s", 700, 0x10), ERR_OK); /* in the fourth record */
    seen = (struct seen){0};
    assert_int_equal(segment_scan(port, file, 5, 0, SCAN_TAIL, count_record, &seen, &found), ERR_OK);
    assert_in_range(seen.count, 1, 9);
    seen = (struct seen){0};
    assert_int_equal(segment_scan(port, file, 5, 0, SCAN_SALVAGE, count_record, &seen, &found), ERR_OK);
    assert_int_equal(seen.count, 9);
    assert_int_equal(found, end);
    port->close(file);
    sim_disk_free(disk);
}

/* A record inside another's payload must not be taken for one with bytes that do not hash to its key. */
static void salvage_does_not_believe_a_planted_record(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1, MIB);
    const struct disk_port *port = sim_disk_port(disk);
    struct disk_file *file;
    assert_int_equal(port->open(port->self, "s", DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    struct block_place planted = {.segment = 5, .size = 4};
    test_key(span_text("true"), &planted.key);
    uint8_t bytes[256] = {0};
    size_t head = segment_encode(&planted, span_text("lies"), bytes + 8);
    memcpy(bytes + 8 + head, "lies", 4);
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    assert_int_equal(port->pwritev(file, &iov, 1, 0), ERR_OK);
    struct seen seen = {0};
    uint64_t found = 0;
    assert_int_equal(segment_scan(port, file, 5, 0, SCAN_SALVAGE, count_record, &seen, &found), ERR_OK);
    assert_int_equal(seen.count, 0);
    port->close(file);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_has_the_published_values),
        cmocka_unit_test(both_ways_of_crc32c_agree),
        cmocka_unit_test(a_record_has_the_layout_of_the_picture),
        cmocka_unit_test(damaged_records_do_not_parse),
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(a_scan_goes_on_at_the_next_aligned_place),
        cmocka_unit_test(a_scan_stops_at_the_torn_tail_and_salvage_looks_past_it),
        cmocka_unit_test(salvage_does_not_believe_a_planted_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The bytes of a simulated file beside a plain buffer: writes, both ways of resizing, copies that go their own ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "sim/sparse.h"

enum { MOST = 5 * SPARSE_PIECE + 77, ROUNDS = 3000, FILES = 3 };

struct model {
    struct sparse file;
    uint8_t bytes[MOST];
    size_t len;
};

static void expect_same(const struct model *m)
{
    static uint8_t got[MOST];
    assert_int_equal(m->file.len, m->len);
    sparse_read(&m->file, got, m->len, 0);
    assert_memory_equal(got, m->bytes, m->len);
}

static void write_some(struct model *m, struct prng *prng)
{
    static uint8_t data[2 * SPARSE_PIECE];
    size_t offset = (size_t)prng_below(prng, MOST);
    size_t len = (size_t)prng_below(prng, MIN(sizeof(data), MOST - offset) + 1);
    memset(data, (int)prng_below(prng, 256), len);
    assert_true(sparse_write(&m->file, data, len, offset));
    memcpy(m->bytes + offset, data, len);
    if (len > 0)
        m->len = MAX(m->len, offset + len);
}

static void resize(struct model *m, struct prng *prng)
{
    size_t len = (size_t)prng_below(prng, MOST + 1);
    assert_true(sparse_resize(&m->file, len));
    if (len < m->len)
        memset(m->bytes + len, 0, m->len - len);
    m->len = len;
}

static void a_file_is_its_bytes(void **state)
{
    static struct model files[FILES];
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        struct model *m = &files[prng_below(&prng, FILES)];
        struct model *other = &files[prng_below(&prng, FILES)];
        uint64_t what = prng_below(&prng, 8);
        if (what < 5) {
            write_some(m, &prng);
        } else if (what < 7) {
            resize(m, &prng);
        } else if (m != other) {
            assert_true(sparse_copy(&m->file, &other->file));
            memcpy(m->bytes, other->bytes, sizeof(m->bytes));
            m->len = other->len;
        }
        for (size_t i = 0; i < FILES; i++)
            expect_same(&files[i]);
    }
    for (size_t i = 0; i < FILES; i++)
        sparse_release(&files[i].file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_is_its_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The allocation cap of every fuzz target: while one input is read, no more is allocated, in all and not at once, than 64 times its
 * size and fuzz_free_bytes. Linked into each target; the linker puts it between libFuzzer and the target.
 *
 * An input over the cap is read once more before it counts: keys, tables and libraries that are set up once are not its fault.
 */
#include "tests/fuzz/cap.h"

#include <sanitizer/allocator_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { FACTOR = 64 };

__attribute__((weak)) const size_t fuzz_free_bytes = 1 << 20;

int __real_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Of the thread that reads: what others allocate is not caused by the input alone. */
static _Thread_local bool counting;
static _Thread_local size_t allocated;

static void on_malloc(const volatile void *p, size_t size)
{
    (void)p;
    if (counting)
        allocated += size;
}

static void on_free(const volatile void *p)
{
    (void)p;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) == 0;
}

static int run(const uint8_t *data, size_t size)
{
    allocated = 0;
    counting = true;
    int result = __real_LLVMFuzzerTestOneInput(data, size);
    counting = false;
    return result;
}

int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t most = FACTOR * size + fuzz_free_bytes;
    int result = run(data, size);
    if (allocated > most)
        result = run(data, size);
    if (allocated <= most)
        return result;
    (void)fprintf(stderr, "allocation cap: %zu bytes allocated, %zu allowed\n", allocated, most);
    abort();
}

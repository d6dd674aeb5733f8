/* SPDX-License-Identifier: MIT */
/*
 * Which backend a benchmark's actors run on. On ipc each actor's process is the benchmark again, with the same arguments: it comes as far as
 * bench_start, becomes its actor there and does not return. What they count stands in memory that all of them share.
 *
 *      bench_x [--backend=inproc|ipc] ...      an actor's process: ... --memory=FD --actor=PLACE
 */
#ifndef HEARTH_TESTS_BENCH_BENCH_BACKEND_H
#define HEARTH_TESTS_BENCH_BENCH_BACKEND_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mailbox/backend.h"
#include "mailbox/backend_ipc.h"
#include "mailbox/runtime.h"

static inline void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "%s failed\n", what);
    exit(1);
}

enum { BENCH_WORDS_MAX = 8 };

static struct {
    bool ipc;
    int memory_fd;
    const char *place; /* of an actor's process */
    const char *command[BENCH_WORDS_MAX + 2];
    struct ipc_options options;
} bench;

/*
 * Takes the backend out of the arguments and maps so much common memory, which is all zero in the beginning. Runs under SCHED_BATCH from
 * there on, as the daemon does.
 */
static inline void *bench_open(int *argc, char **argv, size_t bytes)
{
    const struct sched_param none = {.sched_priority = 0};
    static char memory[32];
    int words = 1;
    int count = 1;
    check(sched_setscheduler(0, SCHED_BATCH, &none) == 0, "sched_setscheduler");
    check(*argc <= BENCH_WORDS_MAX, "reading so many arguments");
    bench.memory_fd = -1;
    bench.command[0] = argv[0];
    for (int i = 1; i < *argc; i++) {
        bool told = sscanf(argv[i], "--memory=%d", &bench.memory_fd) == 1;
        if (strncmp(argv[i], "--actor=", 8) == 0)
            bench.place = argv[i] + 8;
        else if (!told)
            bench.command[words++] = argv[i];
        bench.ipc = bench.ipc || strcmp(argv[i], "--backend=ipc") == 0;
        if (strncmp(argv[i], "--", 2) != 0)
            argv[count++] = argv[i];
    }
    *argc = count;
    if (bench.memory_fd < 0) {
        bench.memory_fd = memfd_create("bench", MFD_CLOEXEC);
        check(bench.memory_fd >= 0 && ftruncate(bench.memory_fd, (off_t)bytes) == 0, "memfd_create");
    }
    (void)snprintf(memory, sizeof(memory), "--memory=%d", bench.memory_fd);
    bench.command[words] = memory;
    bench.options =
        (struct ipc_options){.command = bench.command, .descriptors = &bench.memory_fd, .descriptor_count = 1};
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bench.memory_fd, 0);
    check(mapped != MAP_FAILED, "mmap");
    return mapped;
}

/* runtime_start on the backend that was asked for. */
static inline struct runtime *bench_start(struct runtime_config *config)
{
    struct runtime *rt = NULL;
    char why[256];
    config->backend = bench.ipc ? &backend_ipc : &backend_inproc;
    config->backend_arg = bench.ipc && bench.place == NULL ? &bench.options : NULL;
    if (bench.place != NULL)
        _exit(runtime_play(config, bench.place) == ERR_OK ? 0 : 1);
    check(runtime_start(config, &rt, why, sizeof(why)) == ERR_OK, why);
    return rt;
}

#endif

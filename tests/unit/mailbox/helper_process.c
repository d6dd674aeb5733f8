/* SPDX-License-Identifier: MIT */
#include "helper_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mailbox/ctx.h"

static struct scene_memory *memory;
static int memory_fd = -1;
static const char *place; /* of --actor= */
static unsigned test_index;
static unsigned scene_wanted; /* of the test */
static unsigned scene_seen;

struct scene_memory *scene_memory(void)
{
    if (memory != NULL)
        return memory;
    if (memory_fd < 0) {
        memory_fd = memfd_create("scene", MFD_CLOEXEC);
        if (memory_fd < 0 || ftruncate(memory_fd, sizeof(*memory)) != 0)
            abort();
    }
    void *mapped = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    memory = mapped;
    return memory;
}

bool scene_process_argument(const char *argument)
{
    if (strncmp(argument, "--actor=", 8) == 0)
        place = argument + 8;
    else
        return sscanf(argument, "--scene=%d:%u:%u", &memory_fd, &test_index, &scene_wanted) == 3;
    return true;
}

bool scene_is_process(void)
{
    return place != NULL;
}

size_t scene_process_test(void)
{
    return test_index;
}

bool scene_process_here(void)
{
    return ++scene_seen == scene_wanted;
}

const struct ipc_options *scene_process_options(size_t test)
{
    static char argument[64];
    static const char *command[] = {"/proc/self/exe", "--backend=ipc", argument, NULL};
    static struct ipc_options options = {.command = command, .descriptors = &memory_fd, .descriptor_count = 1};
    if (test != test_index)
        scene_seen = 0;
    test_index = (unsigned)test;
    (void)snprintf(argument, sizeof(argument), "--scene=%d:%u:%u", memory_fd, test_index, ++scene_seen);
    return &options;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* What a sanitizer finds in an actor's process fails the test: its end alone could pass for one that is followed by another life. */
static void note_report(void)
{
    if (scene_is_process())
        scene_failed(__FILE__, __LINE__, "a sanitizer has nothing to report");
}

/* The sanitizers' own names for who is told of a report. */
void __asan_on_error(void);
void __ubsan_on_report(void);
void __tsan_on_report(void *report);

void __asan_on_error(void)
{
    note_report();
}

void __ubsan_on_report(void)
{
    note_report();
}

void __tsan_on_report(void *report UNUSED)
{
    note_report();
}
#endif

static bool note_runtime(void *arg, struct ctx *c)
{
    (void)arg;
    scene.rt = c->rt;
    return true;
}

void scene_process_play(const struct runtime_config *config)
{
    static const struct ipc_options options = {.started = note_runtime};
    struct runtime_config own = *config;
    own.backend = &backend_ipc;
    own.backend_arg = (void *)(uintptr_t)&options;
    enum err err = runtime_play(&own, place);
    if (err != ERR_OK)
        (void)fprintf(stderr, "an actor's process could not begin: %s\n", err_text(err));
    _exit(err == ERR_OK ? 0 : 97);
}

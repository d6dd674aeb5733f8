/* SPDX-License-Identifier: MIT */
/*
 * Scenes on backend ipc: each actor's process is this test program again, told which test it is part of and which scene of it. It runs that
 * test's function up to the scene, whose scene_start then never returns: the process becomes the actor. What a test counts is memory that all
 * of them share; its other variables are each process's own.
 */
#ifndef HEARTH_TESTS_UNIT_MAILBOX_HELPER_PROCESS_H
#define HEARTH_TESTS_UNIT_MAILBOX_HELPER_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper_scene.h"
#include "mailbox/backend_ipc.h"

enum { SCENE_NUMBERS = 32 };

struct scene_memory {
    _Atomic uint64_t n[SCENE_NUMBERS];
    _Atomic bool done;
    _Atomic bool booted; /* all actors run */
    _Atomic int failures;
    _Alignas(64) uint8_t page[SCENE_PAGE_BYTES];
};

/* Made by the first call, or what was inherited. */
struct scene_memory *scene_memory(void);
/* Takes --actor= and --scene= from the arguments; true when this is an actor's process. */
bool scene_process_argument(const char *argument);
bool scene_is_process(void);
/* Of which test it is part. */
size_t scene_process_test(void);
/* A scene begins to be played: true when it is the one that this process belongs to. */
bool scene_process_here(void);
/* Of a scene that is to be played with processes. */
const struct ipc_options *scene_process_options(size_t test);
/* Becomes the actor; does not return. */
_Noreturn void scene_process_play(const struct runtime_config *config);

#endif

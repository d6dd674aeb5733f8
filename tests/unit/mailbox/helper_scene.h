/* SPDX-License-Identifier: MIT */
/*
 * A scene: a few actors whose handlers a test sets, run on any backend.
 *
 *      scene_begin();  scene.on_info[A] = ...;  scene_play(timeout);  checks on scene.n[...]
 *
 * Actors A to E have the ids 1 to 5; A may call all others and root, B may call C, C may call D. An INFO_TIMER with tag START reaches every
 * actor with an on_info after its init, in its first life once all run. Handlers run on other threads than the test (inproc), so they use CHECK, which
 * notes a failure for scene_play to report, and the atomics of the scene. scene_main runs the tests with --backend=inproc,
 * --backend=ipc (helper_process.h), --backend=sim (twice, with one trace) or, without an argument, all of them.
 */
#ifndef HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCENE_H
#define HEARTH_TESTS_UNIT_MAILBOX_HELPER_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mailbox/actor.h"
#include "mailbox/runtime.h"
#include "mailbox/supervisor.h"

struct sim;

enum { A = 1, B, C, D, E, SCENE_ACTORS };
enum { START = 0xfffffff, SCENE_PAGE_BYTES = 8192 };

/* Under a sanitizer everything takes longer, a process's beginning and end most: deadlines and the bounds of turns are as much longer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SCENE_SLOWER = 8 };
#else
enum { SCENE_SLOWER = 1 };
#endif
enum { SCENE_SLOW_MS = 100 * SCENE_SLOWER, SCENE_STUCK_MS = 300 * SCENE_SLOWER };

/* All messages are a number and some bytes. */
struct note {
    uint64_t n;
    struct span pad;
};
enum { ASK = 0x10, ANSWER, TELL, LATEST, HINT, URGENT, GRANTED };

struct scene {
    enum err (*on_init[SCENE_ACTORS])(struct ctx *);
    enum err (*on_call[SCENE_ACTORS])(struct ctx *, const struct msg *, struct reply_to);
    void (*on_cast[SCENE_ACTORS])(struct ctx *, const struct msg *);
    void (*on_info[SCENE_ACTORS])(struct ctx *, const struct info *);
    void (*on_end[SCENE_ACTORS])(struct ctx *, enum exit_reason);
    struct runtime_config config; /* may be changed before scene_play */
    uint32_t mailbox_records[SCENE_ACTORS];
    uint32_t mailbox_bytes[SCENE_ACTORS];
    uint32_t ports[SCENE_ACTORS]; /* beside PORT_JOBS and PORT_WATCH */
    struct sim *sim;              /* NULL on inproc and ipc */
    struct runtime *rt;
    enum runtime_exit exit;
    bool is_sim;
    bool is_ipc;
    _Atomic uint64_t *n; /* 32 for the test; all processes count in them */
    void *page;          /* SCENE_PAGE_BYTES, zeroed, for what one actor leaves to the test; all processes have it */
};
extern struct scene scene;

/* Everything back to defaults: a one_for_one tree of A to E, permanent, intensity 10 in 10 s; lanes work (2, 8) and one (1, 2). */
void scene_begin(void);
/* Starts, waits until scene_done or the tree's own end, stops. Fails the test on a failed CHECK or after timeout_s, times SCENE_SLOWER. */
void scene_play(uint64_t timeout_s);
/* A handler that hangs is found soon: all turns, root's too, are held to SCENE_SLOW_MS and SCENE_STUCK_MS. */
void scene_watch(void);
/* In parts. */
enum err scene_start(char *why, size_t why_bytes);
bool scene_wait(uint64_t timeout_s);
void scene_stop(void);
void scene_done(void);
bool scene_is_done(void);
/* The actor of the running handler as a letter, for messages. */
void scene_failed(const char *file, int line, const char *what);
#define CHECK(cond) ((cond) ? (void)0 : scene_failed(__FILE__, __LINE__, #cond))

static inline void count(int i)
{
    atomic_fetch_add(&scene.n[i], 1);
}
static inline uint64_t counted(int i)
{
    return atomic_load(&scene.n[i]);
}

/* In the test, behind scene_begin: it uses what processes do not share, and says what. */
#define SCENE_ONE_PROCESS(why)                                                                                         \
    do {                                                                                                               \
        if (scene.is_ipc)                                                                                              \
            skip();                                                                                                    \
    } while (0)

/* Short forms. */
enum err scene_call(struct ctx *c, actor_id to, uint64_t n, uint64_t timeout_ns, uint64_t tag);
enum err scene_cast(struct ctx *c, actor_id to, uint16_t kind, uint64_t n);
void scene_reply(struct ctx *c, struct reply_to call, uint64_t n);
const struct note *note_of(const struct msg *msg);
static inline bool is_start(const struct info *info)
{
    return info->kind == INFO_TIMER && info->tag == START;
}

int scene_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);
#define SCENE_MAIN(tests) scene_main(argc, argv, tests, ARRAY_LEN(tests))

#endif

/* SPDX-License-Identifier: MIT */
#include "helper_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "helper_process.h"
#include "mailbox/backend.h"
#include "schemas/messages.h"
#include "schemas/schema.h"
#include "sim/sim.h"

struct scene scene;

enum on { ON_INPROC, ON_IPC, ON_SIM };
static const char *const backend_names[] = {"inproc", "ipc", "sim"};

static enum on on;
static size_t test_now; /* of the tests of this program */
static uint64_t seed = 1;
static uint64_t traces; /* of all scenes of a run */
static struct sim *sim;

/* ---- messages ---- */

static const struct field note_fields[] = {
    {.name = "n",
     .type = FIELD_U64,
     .required = true,
     .offset = offsetof(struct note, n),
     .max = UINT64_MAX,
     .doc = ""},
    {.name = "pad", .type = FIELD_BYTES, .offset = offsetof(struct note, pad), .max = 1 << 20, .doc = ""},
};

#define NOTE(id, text, class, control)                                                                                 \
    {                                                                                                                  \
        .name = text, .kind = id, .overflow = class, .control_lane = control, .struct_bytes = sizeof(struct note),     \
        .fields = note_fields, .field_count = 2, .doc = ""                                                             \
    }

static const struct schema notes[] = {
    NOTE(ASK, "ask", OVERFLOW_PUSH_BACK, false),        NOTE(ANSWER, "answer", OVERFLOW_RESERVED, false),
    NOTE(TELL, "tell", OVERFLOW_PUSH_BACK, false),      NOTE(LATEST, "latest", OVERFLOW_DROP_OLDEST, false),
    NOTE(HINT, "hint", OVERFLOW_REFUSE, false),         NOTE(URGENT, "urgent", OVERFLOW_PUSH_BACK, true),
    NOTE(GRANTED, "granted", OVERFLOW_RESERVED, false),
};

/* The notes, and what root is asked and answers. */
static struct schema schemas[ARRAY_LEN(notes) + 8];
static struct schema_set schema_set = {.schemas = schemas};

static void fill_schemas(void)
{
    enum { ROOT_KINDS = 0xc0, ROOT_KINDS_END = 0xd0 };
    memcpy(schemas, notes, sizeof(notes));
    schema_set.count = ARRAY_LEN(notes);
    for (size_t i = 0; i < schema_messages.count && schema_set.count < ARRAY_LEN(schemas); i++) {
        uint16_t kind = schema_messages.schemas[i].kind;
        if (kind >= ROOT_KINDS && kind < ROOT_KINDS_END)
            schemas[schema_set.count++] = schema_messages.schemas[i];
    }
}

const struct note *note_of(const struct msg *msg)
{
    return msg->fields;
}

enum err scene_call(struct ctx *c, actor_id to, uint64_t n, uint64_t timeout_ns, uint64_t tag)
{
    struct note note = {.n = n};
    struct msg msg = {.kind = ASK, .fields = &note};
    return ctx_call(c, to, &msg, (struct call_opts){.timeout_ns = timeout_ns}, tag);
}

enum err scene_cast(struct ctx *c, actor_id to, uint16_t kind, uint64_t n)
{
    struct note note = {.n = n};
    struct msg msg = {.kind = kind, .fields = &note};
    return ctx_cast(c, to, &msg);
}

void scene_reply(struct ctx *c, struct reply_to call, uint64_t n)
{
    struct note note = {.n = n};
    struct msg msg = {.kind = ANSWER, .fields = &note};
    ctx_reply(c, call, &msg);
}

/* ---- actors ---- */

static enum err init(struct ctx *c, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    actor_id id = ctx_self(c);
    if (scene.on_info[id] != NULL)
        (void)ctx_timer(c, ctx_now(c), START);
    return scene.on_init[id] == NULL ? ERR_OK : scene.on_init[id](c);
}

static enum err handle_call(struct ctx *c, void *state, const struct msg *msg, struct reply_to call)
{
    (void)state;
    return scene.on_call[ctx_self(c)] == NULL ? ERR_UNSUPPORTED : scene.on_call[ctx_self(c)](c, msg, call);
}

static void handle_cast(struct ctx *c, void *state, const struct msg *msg)
{
    (void)state;
    if (scene.on_cast[ctx_self(c)] != NULL)
        scene.on_cast[ctx_self(c)](c, msg);
}

static void handle_info(struct ctx *c, void *state, const struct info *info)
{
    (void)state;
    if (is_start(info) && !atomic_load(&scene_memory()->booted))
        (void)ctx_timer(c, ctx_now(c) + MS_NS, START);
    else if (scene.on_info[ctx_self(c)] != NULL)
        scene.on_info[ctx_self(c)](c, info);
}

static void terminate(struct ctx *c, void *state, enum exit_reason reason)
{
    (void)state;
    if (scene.on_end[ctx_self(c)] != NULL)
        scene.on_end[ctx_self(c)](c, reason);
}

static struct actor_class classes[SCENE_ACTORS];
static const struct actor_class *class_list[SCENE_ACTORS];
static const char *const letters[] = {"", "a", "b", "c", "d", "e"};

static const struct edge_spec edges[] = {{A, B}, {A, C}, {A, D}, {A, E}, {A, 0}, {B, C}, {C, D}};
static const struct lane_spec lanes[] = {{"work", 2, 8}, {"one", 1, 2}};
static const struct child_spec children[] = {
    {.id = "a", .start = A}, {.id = "b", .start = B}, {.id = "c", .start = C},
    {.id = "d", .start = D}, {.id = "e", .start = E},
};
static const struct supervisor_spec tree = {.name = "root",
                                            .strategy = STRATEGY_ONE_FOR_ONE,
                                            .intensity = 10,
                                            .period_ms = 10000,
                                            .children = children,
                                            .child_count = ARRAY_LEN(children)};

static void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    fprintf(stderr, "%d %s: %s\n", (int)level, actor, text);
}

/* ---- playing ---- */

void scene_begin(void)
{
    static _Atomic uint64_t
        apart[SCENE_NUMBERS]; /* what a test sets before it plays was set when the first process did */
    struct scene_memory *memory = scene_memory();
    memset(&scene, 0, sizeof(scene));
    scene.n = scene_is_process() ? apart : memory->n;
    scene.page = memory->page;
    fill_schemas();
    scene.is_sim = on == ON_SIM;
    scene.is_ipc = on == ON_IPC;
    scene.config = (struct runtime_config){.name = "scene",
                                           .tree = &tree,
                                           .edges = edges,
                                           .edge_count = ARRAY_LEN(edges),
                                           .lanes = lanes,
                                           .lane_count = ARRAY_LEN(lanes),
                                           .schemas = &schema_set};
    if (getenv("SCENE_LOG") != NULL) {
        scene.config.log = print_log;
        scene.config.log_level = LOG_DEBUG;
    }
    if (scene_is_process())
        return;
    memset(memory, 0, sizeof(*memory));
}

void scene_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    atomic_fetch_add(&scene_memory()->failures, 1);
    scene_done();
}

void scene_done(void)
{
    atomic_store(&scene_memory()->done, true);
    if (atomic_load(&scene_memory()->booted) && scene.rt != NULL) /* before, the driver may be about to set it */
        runtime_notify(scene.rt);
}

bool scene_is_done(void)
{
    return atomic_load(&scene_memory()->done);
}

static void choose_backend(void)
{
    switch (on) {
    case ON_INPROC:
        scene.config.backend = &backend_inproc;
        break;
    case ON_IPC:
        scene.config.backend = &backend_ipc;
        scene.config.backend_arg = (void *)(uintptr_t)scene_process_options(test_now);
        break;
    case ON_SIM:
        sim = scene.sim = sim_new(seed);
        scene.config.backend = &backend_sim;
        scene.config.backend_arg = sim;
        break;
    }
}

void scene_watch(void)
{
    scene.config.slow_ms = SCENE_SLOW_MS;
    scene.config.stuck_ms = SCENE_STUCK_MS;
}

enum err scene_start(char *why, size_t why_bytes)
{
    for (int i = A; i < SCENE_ACTORS; i++) {
        classes[i] = (struct actor_class){.name = letters[i],
                                          .state_bytes = 8,
                                          .ports = PORT_JOBS | PORT_WATCH | scene.ports[i],
                                          .mailbox_records = scene.mailbox_records[i],
                                          .mailbox_bytes = scene.mailbox_bytes[i],
                                          .init = init,
                                          .handle_call = handle_call,
                                          .handle_cast = handle_cast,
                                          .handle_info = handle_info,
                                          .terminate = terminate};
        class_list[i] = &classes[i];
    }
    scene.config.classes = class_list;
    scene.config.class_count = SCENE_ACTORS;
    if (scene_is_process() && scene_process_here()) {
        scene.n = scene_memory()->n;
        scene_process_play(&scene.config);
    }
    if (scene_is_process())
        return ERR_OK; /* the test's scenes before the one that this process is part of */
    choose_backend();
    atomic_store(&scene_memory()->booted, false);
    struct runtime *rt = NULL;
    enum err err = runtime_start(&scene.config, &rt, why, why_bytes);
    scene.rt = rt;
    atomic_store(&scene_memory()->booted, true);
    return err;
}

static bool is_done(void *arg)
{
    (void)arg;
    enum runtime_exit code;
    return scene_is_done() || runtime_wait(scene.rt, 0, &code);
}

bool scene_wait(uint64_t timeout_s)
{
    return runtime_await(scene.rt, is_done, NULL, timeout_s * SCENE_SLOWER * SECOND_NS);
}

void scene_stop(void)
{
    if (scene.rt != NULL)
        scene.exit = runtime_stop(&scene.rt, 20 * SCENE_SLOWER * SECOND_NS);
    if (sim != NULL) {
        traces = traces * 31 + sim_trace(sim);
        sim_free(sim);
    }
    sim = NULL;
}

void scene_play(uint64_t timeout_s)
{
    char why[256];
    if (scene_start(why, sizeof(why)) != ERR_OK)
        fail_msg("start: %s", why);
    if (scene_is_process())
        return;
    bool done = scene_wait(timeout_s);
    scene_stop();
    assert_int_equal(atomic_load(&scene_memory()->failures), 0);
    assert_true(done);
}

/* ---- running ---- */

static int run_on(enum on where, const struct CMUnitTest *tests, size_t count)
{
    int failed = 0;
    on = where;
    traces = 0;
    if (where != ON_IPC)
        return _cmocka_run_group_tests(backend_names[where], tests, count, NULL, NULL);
    for (test_now = 0; test_now < count; test_now++) /* each actor's process must know of which it is part */
        failed += _cmocka_run_group_tests(tests[test_now].name, tests + test_now, 1, NULL, NULL);
    return failed;
}

static int run_process(const struct CMUnitTest *tests, size_t count)
{
    void *state = NULL;
    on = ON_IPC;
    if (scene_process_test() < count)
        tests[scene_process_test()].test_func(&state);
    return 98; /* its scene was not played */
}

/* The trace that another process prints for the same tests: its addresses differ, its run must not. */
static bool trace_elsewhere(const char *program, const char *filter, uint64_t *ret_trace)
{
    char command[512];
    char line[512];
    bool found = false;
    (void)snprintf(command, sizeof(command), "'%s' --backend=sim --once --seed=%llu %s 2>/dev/null", program,
                   (unsigned long long)seed, filter);
    FILE *pipe = popen(command, "r");
    while (pipe != NULL && fgets(line, sizeof(line), pipe) != NULL) {
        unsigned long long trace;
        if (sscanf(line, "seed %*u trace %llx", &trace) == 1) {
            *ret_trace = trace;
            found = true;
        }
    }
    return pipe != NULL && pclose(pipe) == 0 && found;
}

static int run_sim(const struct CMUnitTest *tests, size_t test_count, const char *program, const char *filter,
                   bool once)
{
    int failed = run_on(ON_SIM, tests, test_count);
    printf("seed %llu trace %016llx\n", (unsigned long long)seed, (unsigned long long)traces);
    (void)fflush(stdout);
    uint64_t other;
    if (once || failed > 0)
        return failed;
    if (!trace_elsewhere(program, filter, &other) || other != traces) {
        fprintf(stderr, "the second run, in another process, took another way\n");
        failed++;
    }
    return failed;
}

int scene_main(int argc, char **argv, const struct CMUnitTest *tests, size_t test_count)
{
    bool wanted[] = {true, true, true};
    bool once = false;
    const char *filter = "";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--backend=", 10) == 0)
            for (size_t k = 0; k < ARRAY_LEN(wanted); k++)
                wanted[k] = strcmp(argv[i] + 10, backend_names[k]) == 0;
        else if (scene_process_argument(argv[i]))
            continue;
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            seed = strtoull(argv[i] + 7, NULL, 10);
        else if (strcmp(argv[i], "--once") == 0)
            once = true;
        else
            cmocka_set_test_filter(filter = argv[i]);
    }
    if (scene_is_process())
        return run_process(tests, test_count);
    int failed = wanted[ON_INPROC] ? run_on(ON_INPROC, tests, test_count) : 0;
    failed += wanted[ON_IPC] ? run_on(ON_IPC, tests, test_count) : 0;
    return failed + (wanted[ON_SIM] ? run_sim(tests, test_count, argv[0], filter, once) : 0);
}

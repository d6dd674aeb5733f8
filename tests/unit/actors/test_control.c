/* SPDX-License-Identifier: MIT */
/*
 * control, and state beside it, among actors that only play their parts: a store that is a table, a bitswap that asks the store, a
 * connection_manager that never answers about its peers. The same scripts run on both backends; the socket on inproc only.
 */
#include "tests/unit/actors/helper_control.h"

#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "actors/tree.h"
#include "base/table.h"
#include "mailbox/backend.h"
#include "schemas/messages.h"
#include "sim/sim.h"
#include "storage/disk_posix.h"
#include "wire/cid.h"

/* The driver sits where nobody else is asked for anything. */
enum { DRIVER = ACTOR_HEAT_TRACKER, STEPS_MAX = 64, WAIT_S = STAGE_WAIT_S };

/* 75 zero bytes and 600 of them, base64url */
#define BYTES_75  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BYTES_600 BYTES_75 BYTES_75 BYTES_75 BYTES_75 BYTES_75 BYTES_75 BYTES_75 BYTES_75
#define ABSENT    "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
/* Of "hello\n" as a raw block. */
#define HELLO "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"
/* Of "a" as a raw block. */
#define LETTER "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm"
/* Four times the ten digits, in the CID itself. */
#define INLINED "bafkqakbqgezdgnbvgy3tqojqgezdgnbvgy3tqojqgezdgnbvgy3tqojqgezdgnbvgy3tqoi"

struct step {
    const char *request;
    const char *expect;
    uint32_t client;
};

static struct {
    struct step steps[STEPS_MAX];
    size_t count;
    size_t sent;
    bool together; /* all at once instead of one after the other */
    size_t answered;
    char failure[2048];
    _Atomic bool done;
    _Atomic unsigned cancels; /* that the silent actor heard */
    char folder[64];
    struct config *config;
    struct runtime *rt;
    struct sim *sim;
    const char *allowed_uids; /* NULL = none */
    struct budget budget;
} play;

/* ---- actors that play a part ---- */

struct store_state {
    struct table blocks;
    unsigned pins;
    unsigned puts;
};

static enum err store_begin(struct ctx *ctx, void *state, const struct config *config)
{
    (void)ctx;
    (void)config;
    table_init(&((struct store_state *)state)->blocks, 1000, NULL);
    return ERR_OK;
}

static struct span key_of(struct span cid_bytes, uint8_t to[MULTIHASH_BYTES_MAX])
{
    struct cid cid;
    if (cid_parse(cid_bytes, &cid) != ERR_OK)
        return (struct span){0};
    return span_of(to, multihash_encode(&cid.hash, to));
}

static enum err store_put(struct ctx *ctx, struct store_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_put *m = msg->fields;
    uint8_t key[MULTIHASH_BYTES_MAX];
    void *old = NULL;
    enum err err = table_put(&s->blocks, key_of(m->cid, key), block_ref_ref(msg->tail), &old);
    struct msg_block_put_ok ok = {.existed = old != NULL};
    block_ref_unref(old);
    if (err == ERR_OK)
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_PUT_OK, .fields = &ok});
    return err;
}

static enum err store_has(struct ctx *ctx, struct store_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_has *m = msg->fields;
    size_t position = 0;
    struct span cid;
    struct buf sizes;
    enum err err = ERR_OK;
    buf_init(&sizes, 10000, NULL);
    while (err == ERR_OK && schema_list_next_bytes(&m->cids, &position, &cid)) {
        uint8_t key[MULTIHASH_BYTES_MAX];
        const struct block_ref *block = table_get(&s->blocks, key_of(cid, key));
        err = schema_list_add_u64(&sizes, block == NULL ? 0 : block->len + 1);
    }
    struct msg_block_have have = {.sizes = schema_list_of(&sizes, m->cids.count)};
    if (err == ERR_OK)
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_HAVE, .fields = &have});
    buf_release(&sizes);
    return err;
}

static enum err store_stat(struct ctx *ctx, struct store_state *s, const struct msg *msg, struct reply_to to)
{
    uint8_t key[MULTIHASH_BYTES_MAX];
    const struct block_ref *block =
        table_get(&s->blocks, key_of(((const struct msg_block_stat *)msg->fields)->cid, key));
    if (block == NULL)
        return ERR_NOT_FOUND;
    struct msg_block_stat_ok ok = {.size = block->len, .tier = span_text("disk")};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK_STAT_OK, .fields = &ok});
    return ERR_OK;
}

static enum err store_rm(struct ctx *ctx, struct store_state *s, const struct msg *msg, struct reply_to to)
{
    const struct msg_block_rm *m = msg->fields;
    static const struct msg_ok ok = {0};
    uint8_t key[MULTIHASH_BYTES_MAX];
    struct block_ref *block = table_remove(&s->blocks, key_of(m->cid, key));
    if (block == NULL && !m->force)
        return ERR_NOT_FOUND;
    block_ref_unref(block);
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static enum err store_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct store_state *s = state;
    static const struct msg_ok ok = {0};
    if (msg->kind == MSG_BLOCK_PUT && s->puts++ % 2 == 0)
        return ERR_BUSY; /* whoever asks again is served */
    if (msg->kind == MSG_BLOCK_PUT)
        return store_put(ctx, s, msg, to);
    if (msg->kind == MSG_BLOCK_GET) {
        const struct msg_block_get *m = msg->fields;
        uint8_t key[MULTIHASH_BYTES_MAX];
        struct block_ref *block = table_get(&s->blocks, key_of(m->cid, key));
        if (block == NULL)
            return ERR_NOT_FOUND;
        struct msg_block fields = {.cid = m->cid, .size = block->len};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_BLOCK, .fields = &fields, .tail = block});
        return ERR_OK;
    }
    if (msg->kind == MSG_REPO_STAT) {
        struct msg_repo_stat_ok fields = {.blocks = table_len(&s->blocks), .pins = s->pins};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_REPO_STAT_OK, .fields = &fields});
        return ERR_OK;
    }
    if (msg->kind == MSG_BLOCK_STAT)
        return store_stat(ctx, s, msg, to);
    if (msg->kind == MSG_BLOCK_HAS)
        return store_has(ctx, s, msg, to);
    if (msg->kind == MSG_BLOCK_RM)
        return store_rm(ctx, s, msg, to);
    if (msg->kind == MSG_LEASE)
        return ERR_OK; /* lasts */
    if (msg->kind == MSG_PIN_RM)
        return ERR_NOT_FOUND;
    if (msg->kind == MSG_PIN_FIND) {
        struct msg_pin_found fields = {0};
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_PIN_FOUND, .fields = &fields});
        return ERR_OK;
    }
    s->pins += msg->kind == MSG_PIN_ADD;
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    return ERR_OK;
}

static void store_end(struct ctx *ctx, void *state, enum exit_reason reason)
{
    (void)ctx;
    (void)reason;
    struct store_state *s = state;
    size_t position = 0;
    struct block_ref *block;
    while ((block = table_next(&s->blocks, &position, NULL)) != NULL)
        block_ref_unref(block);
    table_release(&s->blocks);
}

static const struct actor_class store_class = {.name = "tiered_storage",
                                               .state_bytes = sizeof(struct store_state),
                                               .init = store_begin,
                                               .handle_call = store_call,
                                               .terminate = store_end};

struct forward_state {
    struct reply_to waiting[256];
    uint64_t next;
};

static enum err forward_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct forward_state *s = state;
    static const struct msg_ok ok = {0};
    if (msg->kind != MSG_FETCH) {
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
        return ERR_OK;
    }
    const struct msg_fetch *m = msg->fields;
    struct msg_block_get get = {.cid = m->cid};
    uint64_t tag = s->next++ % 256;
    if (tag % 2 == 0)
        return ERR_BUSY; /* whoever asks again is served */
    s->waiting[tag] = to;
    return ctx_call(ctx, ACTOR_TIERED_STORAGE, &(struct msg){.kind = MSG_BLOCK_GET, .fields = &get},
                    (struct call_opts){0}, tag);
}

static void forward_info(struct ctx *ctx, void *state, const struct info *info)
{
    struct forward_state *s = state;
    if (info->kind != INFO_REPLY)
        return;
    if (info->err == ERR_OK)
        ctx_reply(ctx, s->waiting[info->tag],
                  &(struct msg){.kind = MSG_BLOCK, .fields = info->msg->fields, .tail = info->msg->tail});
    else
        ctx_reply_err(ctx, s->waiting[info->tag], info->err, "nobody has it");
}

static const struct actor_class forward_class = {.name = "bitswap",
                                                 .state_bytes = sizeof(struct forward_state),
                                                 .handle_call = forward_call,
                                                 .handle_info = forward_info};

/* A filter as long as this life lasts; swarm_resources ends it. */
struct silent_state {
    bool filters;
};

static void reply_filters(struct ctx *ctx, bool any, struct reply_to to)
{
    struct buf items;
    buf_init(&items, 256, NULL);
    if (any && schema_list_add_text(&items, span_text("/ip4/192.0.2.0/ipcidr/24")) != ERR_OK)
        abort();
    struct msg_swarm_filters_ok fields = {.filters = schema_list_of(&items, any ? 1 : 0)};
    ctx_reply(ctx, to, &(struct msg){.kind = MSG_SWARM_FILTERS_OK, .fields = &fields});
    buf_release(&items);
}

static void silent_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    if (msg->kind == MSG_SWARM_FILTERS_CHANGE)
        ((struct silent_state *)state)->filters = true;
}

/* Answers probes, node_id and what is about filters, and lets all else wait for ever. */
static enum err silent_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    struct silent_state *s = state;
    static const struct msg_ok ok = {0};
    if (msg->kind == MSG_SWARM_FILTERS_CHANGE)
        s->filters = !((const struct msg_swarm_filters_change *)msg->fields)->remove;
    if (msg->kind == MSG_SWARM_FILTERS || msg->kind == MSG_SWARM_FILTERS_CHANGE)
        reply_filters(ctx, s->filters || msg->kind == MSG_SWARM_FILTERS_CHANGE, to);
    if (msg->kind == MSG_SWARM_RESOURCES)
        ctx_exit(ctx, EXIT_FAILED, "as the test wants it");
    if (msg->kind == MSG_PROBE)
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_OK, .fields = &ok});
    if (msg->kind == MSG_NODE_ID)
        return ERR_UNAVAILABLE;
    return ERR_OK;
}

static void silent_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)ctx;
    (void)state;
    if (info->kind == INFO_CANCEL)
        atomic_fetch_add(&play.cancels, 1);
}

static const struct actor_class silent_class = {.name = "connection_manager",
                                                .state_bytes = sizeof(struct silent_state),
                                                .handle_call = silent_call,
                                                .handle_cast = silent_cast,
                                                .handle_info = silent_info};
static const struct actor_class idle_class = {.name = "idle"};

/* ---- the driver ---- */

#define KNOCK_NS (50 * MS_NS)

static bool with_chaos; /* the chaos switch is on */

/* False: control is not up, it is knocked at again. */
static bool send_step(struct ctx *ctx, size_t i)
{
    struct block_ref *tail = block_ref_copy(span_text(play.steps[i].request), NULL);
    struct msg_control_request m = {.client = play.steps[i].client == 0 ? 1 : play.steps[i].client};
    enum err err = ctx_call(ctx, ACTOR_CONTROL, &(struct msg){.kind = MSG_CONTROL_REQUEST, .fields = &m, .tail = tail},
                            (struct call_opts){.timeout_ns = 3000 * SECOND_NS, .reply_bytes_max = 4096}, i);
    block_ref_unref(tail);
    if (err == ERR_UNAVAILABLE && (i == 0 || with_chaos)) {
        (void)ctx_timer(ctx, ctx_now(ctx) + KNOCK_NS, 1);
        return false;
    }
    if (err != ERR_OK)
        (void)snprintf(play.failure, sizeof(play.failure), "step %zu: %s", i, err_name(err));
    return true;
}

static enum err driver_init(struct ctx *ctx, void *state, const struct config *config)
{
    (void)state;
    (void)config;
    (void)ctx_timer(ctx, ctx_now(ctx) + KNOCK_NS, 1);
    return ERR_OK;
}

static void check_answer(const struct info *info)
{
    const struct step *step = &play.steps[info->tag];
    struct span got = info->err == ERR_OK ? block_ref_span(info->msg->tail) : span_text(err_name(info->err));
    if (memmem(got.data, got.len, step->expect, strlen(step->expect)) == NULL && play.failure[0] == '\0')
        (void)snprintf(play.failure, sizeof(play.failure), "%.400s\n gave %.*s\n not %s", step->request,
                       (int)MIN(got.len, (size_t)1000), (const char *)got.data, step->expect);
}

static void driver_info(struct ctx *ctx, void *state, const struct info *info)
{
    (void)state;
    if (info->kind == INFO_REPLY) {
        check_answer(info);
        play.answered++;
    }
    if (play.answered == play.count || play.failure[0] != '\0') {
        atomic_store(&play.done, true);
        return;
    }
    bool first = info->kind == INFO_TIMER;
    while (play.sent < play.count && (play.together ? first : play.sent == play.answered) && send_step(ctx, play.sent))
        play.sent++;
}

static const struct actor_class driver_class = {.name = "driver", .init = driver_init, .handle_info = driver_info};

/* ---- the stage ---- */

static const struct edge_spec edges[] = {
    {ACTOR_CONTROL, ACTOR_BITSWAP}, {ACTOR_CONTROL, ACTOR_CONNECTION_MANAGER}, {ACTOR_CONTROL, ACTOR_TIERED_STORAGE},
    {ACTOR_CONTROL, ACTOR_STATE},   {ACTOR_CONTROL, ACTOR_DISCOVERY},          {ACTOR_BITSWAP, ACTOR_TIERED_STORAGE},
    {DRIVER, ACTOR_CONTROL},
};
static const struct lane_spec lanes[] = {{.name = "state", .workers = 1, .queue = 16}};
static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &state_class,     [ACTOR_TIERED_STORAGE] = &store_class,
    [DRIVER] = &driver_class,         [ACTOR_CONNECTION_MANAGER] = &silent_class,
    [ACTOR_DISCOVERY] = &idle_class,  [ACTOR_BITSWAP] = &forward_class,
    [ACTOR_CONTROL] = &control_class,
};

static void start(bool sim)
{
    char why[CONFIG_WHY_BYTES] = "";
    (void)snprintf(play.folder, sizeof(play.folder), "/tmp/hearth-control-XXXXXX");
    assert_non_null(mkdtemp(play.folder));
    assert_int_equal(config_new(play.folder, &play.config), ERR_OK);
    assert_int_equal(budget_init(&play.budget, 64 * MIB), ERR_OK);
    if (play.allowed_uids != NULL)
        assert_int_equal(config_set(play.config, "Control.AllowedUIDs", span_text(play.allowed_uids), why), ERR_OK);
    play.sim = sim ? sim_new(7) : NULL;
    struct runtime_config config = {
        .backend = sim ? &backend_sim : &backend_inproc,
        .backend_arg = play.sim,
        .classes = classes,
        .class_count = ACTOR_COUNT,
        .tree = &stage_tree,
        .edges = edges,
        .edge_count = ARRAY_LEN(edges),
        .lanes = lanes,
        .lane_count = ARRAY_LEN(lanes),
        .schemas = &schema_messages,
        .config = play.config,
        .budget = &play.budget,
        .disk = disk_posix(),
        .chaos = with_chaos,
        .unbounded_restarts = with_chaos,
    };
    if (runtime_start(&config, &play.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
}

static void remove_each(void *arg, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
    (void)unlink(path);
}

static void stop(void)
{
    char run[96];
    assert_int_equal(runtime_stop(&play.rt, 5 * SECOND_NS), RUNTIME_EXIT_OK);
    sim_free(play.sim);
    config_free(play.config);
    (void)snprintf(run, sizeof(run), "%s/run", play.folder);
    (void)disk_posix()->list(disk_posix()->self, run, remove_each, run);
    (void)rmdir(run);
    (void)disk_posix()->list(disk_posix()->self, play.folder, remove_each, play.folder);
    assert_int_equal(rmdir(play.folder), 0);
}

static bool is_done(void *arg)
{
    (void)arg;
    return atomic_load(&play.done);
}

static void run_steps(const struct step *steps, size_t count, bool together, int first)
{
    for (int sim = first; sim < 2; sim++) {
        memset(&play, 0, sizeof(play));
        memcpy(play.steps, steps, count * sizeof(*steps));
        play.count = count;
        play.together = together;
        start(sim == 1);
        bool done = runtime_await(play.rt, is_done, NULL, (first == 1 ? 1000 : WAIT_S) * SECOND_NS);
        unsigned cancels = atomic_load(&play.cancels);
        stop();
        atomic_store(&play.cancels, cancels);
        if (play.failure[0] != '\0')
            fail_msg("%s: %s", sim ? "sim" : "inproc", play.failure);
        assert_true(done);
    }
}
#define RUN(steps, together) run_steps(steps, ARRAY_LEN(steps), together, 0)
#define RUN_SIM_ONLY(steps)  run_steps(steps, ARRAY_LEN(steps), false, 1)

#define RUN_WITH_CHAOS(steps)                                                                                          \
    with_chaos = true;                                                                                                 \
    run_steps(steps, ARRAY_LEN(steps), false, 1);                                                                      \
    with_chaos = false

/* ---- scripts ---- */

/* The requests of a trace that the client named are told together; the others have one each. */
static void what_a_request_caused_is_told(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"version\"}", "\"trace\":1", 0},
        {"{\"op\":\"block stat\",\"trace\":3000000000,\"args\":{\"cid\":\"bafkqaaa\"}}", "\"trace\":3000000000", 0},
        {"{\"op\":\"repo stat\",\"trace\":3000000000}", "\"blocks\":0", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":3000000000}}", "\"what\":\"request\",\"name\":\"block stat\"", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":3000000000}}",
         "\"depth\":1,\"what\":\"call\",\"name\":\"repo_stat\",\"from\":\"control\",\"to\":\"tiered_storage\"", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":1}}", "\"whole\":true,\"hops\":[{\"depth\":0", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":4000000000}}", "\"code\":\"not_found\"", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":100}}", "no request had trace 100 yet: the last was", 0},
        {"{\"op\":\"trace\",\"args\":{\"trace\":0}}", "\"code\":\"usage\"", 0},
    };
    RUN(steps, false);
}

static void requests_are_answered_or_refused(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"version\"}", "\"version\":\"" HEARTH_VERSION "\"", 0},
        {"{\"op\":\"version\",\"id\":\"abc\"}", "\"id\":\"abc\"", 0},
        {"{\"op\":", "\"code\":\"usage\"", 0},
        {"{\"op\":\"fly\"}", "no operation is named \\\"fly\\\"", 0},
        {"{\"op\":\"version\",\"args\":{\"x\":1}}", "no field is named x", 0},
        {"{\"op\":\"ping\",\"args\":{\"peer\":\"x\",\"count\":99}}", "count: 1 to 40 is allowed", 0},
        {"{\"op\":\"ping\",\"args\":{\"peer\":\"x\"}}", "\"code\":\"invalid\"", 0},
        {"{\"op\":\"block get\",\"args\":{\"cid\":\"nonsense\"}}", "invalid CID", 0},
        {"\x81\xa2op\xa7version", "\xa2ok\xc3", 0},
        {"\xc1", "\xa2ok\xc2", 0},
        {"{\"op\":\"help\",\"args\":{\"op\":\"add write\"}}", "\"required\":true", 0},
        {"{\"op\":\"actors\"}", "\"name\":\"control\"", 0},
        {"{\"op\":\"accounts\"}", "\"limit_bytes\":", 0},
        {"{\"op\":\"config show\"}", "StorageMax", 0},
        {"{\"op\":\"log level\",\"args\":{\"level\":\"loud\"}}", "\"code\":\"invalid\"", 0},
        {"{\"op\":\"diag healthy\"}", "\"healthy\":true", 0},
        {"{\"op\":\"chaos\",\"args\":{\"actor\":\"state\",\"order\":\"fail\"}}", "\"code\":\"denied\"", 0},
        {"{\"op\":\"repo stat\"}", "\"blocks\":0", 0},
    };
    RUN(steps, false);
}

/* What was shut out stays out when connection_manager fails: control tells it again; what was taken away it does not. */
static void filters_outlive_connection_manager(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"swarm filters add\",\"args\":{\"address\":[\"/ip4/192.0.2.0/ipcidr/24\"]}}", "192.0.2.0", 0},
        {"{\"op\":\"swarm filters\"}", "192.0.2.0", 0},
        {"{\"op\":\"swarm resources\"}", "\"ok\":false", 0},
        {"{\"op\":\"stats bw\",\"timeout_ms\":11000}", "\"code\":\"timeout\"", 0}, /* it is back, and not new */
        {"{\"op\":\"ping\",\"args\":{\"peer\":\"x\"}}", "\"code\":\"invalid\"", 0},
        {"{\"op\":\"swarm filters\"}", "192.0.2.0", 0},
        {"{\"op\":\"swarm filters rm\",\"args\":{\"address\":[\"/ip4/192.0.2.0/ipcidr/24\"]}}", "192.0.2.0", 0},
        {"{\"op\":\"swarm resources\"}", "\"ok\":false", 0},
        {"{\"op\":\"stats bw\",\"timeout_ms\":2000}", "\"code\":\"timeout\"", 0},
        {"{\"op\":\"swarm filters\"}", "\"filters\":[]", 0},
    };
    RUN_SIM_ONLY(steps);
}

static void files_go_in_and_come_out(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "\"}}", "\"code\":\"not_found\"", 0},
        {"{\"op\":\"add open\",\"args\":{\"name\":\"h\"}}", "\"upload\":", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":2,\"offset\":0,\"data\":\"uaGVs\"}}", "\"offset\":3", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":2,\"offset\":0,\"data\":\"uaGVs\"}}", "\"offset\":3", 0},
        /* Of a file that nobody handed over. */
        {"{\"op\":\"add file\",\"args\":{\"upload\":2,\"offset\":3,\"file\":7,\"from\":3,\"length\":3}}",
         "\"code\":\"not_found\"", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":2,\"offset\":3,\"data\":\"ubG8K\"}}", "\"offset\":6", 0},
        {"{\"op\":\"add close\",\"args\":{\"upload\":2,\"size\":6}}", "\"cid\":\"" HELLO "\"", 0},
        {"{\"op\":\"add close\",\"args\":{\"upload\":2,\"size\":6}}", "\"code\":\"not_found\"", 0},
        {"{\"op\":\"repo stat\"}", "\"pins\":1", 0},
        {"{\"op\":\"read\",\"args\":{\"path\":\"/ipfs/" HELLO "\"}}", "\"data\":\"uaGVsbG8K\",\"size\":6", 0},
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "\",\"offset\":3}}", "\"data\":\"ubG8K\"", 0},
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "\",\"offset\":6}}", "\"data\":\"u\"", 0},
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "/x\"}}", "\"ok\":false", 0},
        {"{\"op\":\"ls\",\"args\":{\"path\":\"" HELLO "\"}}", "\"kind\":\"file\",\"size\":6", 0},
        {"{\"op\":\"resolve\",\"args\":{\"path\":\"" HELLO "\"}}", "\"path\":\"/ipfs/" HELLO "\"", 0},
        {"{\"op\":\"block get\",\"args\":{\"cid\":\"" HELLO "\"}}", "\"data\":\"uaGVsbG8K\"", 0},
        {"{\"op\":\"block stat\",\"args\":{\"cid\":\"" HELLO "\"}}", "\"size\":6", 0},
        {"{\"op\":\"block get\",\"args\":{\"cid\":\"" HELLO "\",\"offline\":true}}", "\"data\":\"uaGVsbG8K\"", 0},
        {"{\"op\":\"block stat\",\"args\":{\"cid\":\"" ABSENT "\"}}", "nobody has it", 0},
        {"{\"op\":\"block stat\",\"args\":{\"cid\":\"" ABSENT "\",\"offline\":true}}",
         "\"message\":\"" ABSENT ": not found\"", 0},
        {"{\"op\":\"block put\",\"args\":{\"data\":\"uaGVsbG8K\"}}", "\"cid\":\"" HELLO "\"", 0},
        {"{\"op\":\"refs\",\"args\":{\"path\":\"" HELLO "\"}}", "\"refs\":[]", 0},
        {"{\"op\":\"pin add\",\"args\":{\"path\":\"" HELLO "\"}}", "\"pins\":[\"" HELLO "\"]", 0},
        {"{\"op\":\"repo stat\"}", "\"pins\":2", 0},
        /* the tree stream of a file: FILE, a name of 59 bytes; then DATA and END; nothing follows it */
        {"{\"op\":\"get\",\"args\":{\"path\":\"" HELLO "\"}}", "\"data\":\"uAwA7AAAAAAB", 0},
        {"{\"op\":\"get\",\"args\":{\"path\":\"" HELLO "\"}}", "\"end\":true", 0},
        {"{\"op\":\"get\",\"args\":{\"path\":\"" HELLO "\",\"offset\":67,\"length\":8}}",
         "\"data\":\"uBAAAAAYAAAA\",\"end\":false", 0},
        {"{\"op\":\"get\",\"args\":{\"path\":\"" HELLO "\",\"offset\":1000}}", "\"data\":\"u\",\"end\":true", 0},
        {"{\"op\":\"dag walk\",\"args\":{\"path\":\"" HELLO "\"}}",
         "\"blocks\":[{\"cid\":\"" HELLO "\",\"size\":6}],\"more\":false", 0},
        /* an identity CID carries its block: there is nothing to fetch before it is pinned */
        {"{\"op\":\"pin add\",\"args\":{\"path\":\"bafkqaaa\"}}", "\"pins\":[\"bafkqaaa\"]", 0},
        {"{\"op\":\"pin rm\",\"args\":{\"path\":\"" HELLO "\"}}", "\"code\":\"not_found\"", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":99,\"offset\":0,\"data\":\"u\"}}", "no upload 99", 0},
    };
    RUN(steps, false);
}

#define CHAOS(actor, order, value)                                                                                     \
    {                                                                                                                  \
        "{\"op\":\"chaos\",\"args\":{\"actor\":\"" actor "\",\"order\":\"" order "\",\"value\":" value "}}",           \
            "\"ok\":true", 0                                                                                           \
    }

/* Who asks hears nothing of parts that are down for some hundred milliseconds. */
static void short_failures_are_waited_out(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"add open\",\"args\":{\"name\":\"h\"}}", "\"upload\":1", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":1,\"offset\":0,\"data\":\"uaGVsbG8K\"}}", "\"offset\":6", 0},
        CHAOS("tiered_storage", "start-fails", "2"),
        {"{\"op\":\"add close\",\"args\":{\"upload\":1,\"size\":6}}", "\"cid\":\"" HELLO "\"", 0},
        CHAOS("bitswap", "start-fails", "2"),
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "\"}}", "\"data\":\"uaGVsbG8K\"", 0},
        CHAOS("bitswap", "start-fails", "1"),
        {"{\"op\":\"block get\",\"args\":{\"cid\":\"" HELLO "\"}}", "\"data\":\"uaGVsbG8K\"", 0},
        CHAOS("tiered_storage", "start-fails",
              "3"), /* bitswap says so, each time at once; the next store here is empty */
        {"{\"op\":\"read\",\"args\":{\"path\":\"" HELLO "\"}}", "\"code\":\"not_found\"", 0},
        CHAOS("tiered_storage", "start-fails", "1"),
        {"{\"op\":\"repo stat\"}", "\"ok\":true", 0},
        CHAOS("tiered_storage", "start-fails", "1000"),
        {"{\"op\":\"repo stat\"}", "\"code\":\"unavailable\"", 0}, /* at last */
    };
    RUN_WITH_CHAOS(steps);
}

/* Whoever still names an upload of an earlier life must not write into another client's. */
static void numbers_of_an_earlier_life_are_nobodys(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"add open\",\"args\":{\"name\":\"h\"}}", "\"upload\":1}", 0},
        CHAOS("control", "fail", "0"),
        {"{\"op\":\"add open\",\"args\":{\"name\":\"another\"}}", "\"upload\":", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":1,\"offset\":0,\"data\":\"uaGVsbG8K\"}}", "no upload 1", 0},
    };
    RUN_WITH_CHAOS(steps);
}

/* Each block of a batch has its own result, in the order of the request, whatever becomes of the others. */
static void batches_answer_for_each_block(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"block put many\",\"args\":{\"data\":[\"uaGVsbG8K\",\"uYQ\",\"uaGVsbG8K\"]}}",
         "{\"blocks\":[{\"cid\":\"" HELLO "\",\"size\":6,\"existed\":false},{\"cid\":\"" LETTER
         "\",\"size\":1,\"existed\":false},{\"cid\":\"" HELLO "\",\"size\":6,\"existed\":true}],\"more\":false}",
         0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[\"uYg\",\"uYQ\",\"uYQ\"],\"cid\":[\"" LETTER "\",\"" LETTER
         "\",\"x\"]}}",
         "[{\"cid\":\"" LETTER
         "\",\"error\":{\"code\":\"corrupt\",\"message\":\"the block does not hash to it\"}},{\"cid\":\"" LETTER
         "\",\"size\":1,\"existed\":true},{\"cid\":\"x\",\"error\":{\"code\":\"invalid\"",
         0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[\"uYQ\",\"uYQ\"],\"cid\":[\"" LETTER "\"]}}",
         "one for each, or none", 0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[\"uYQ\"],\"cid_codec\":\"tar\"}}", "unknown codec", 0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[\"YQ\"]}}", "multibase base64url", 0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[7]}}", "data: an item is not bytes", 0},
        {"{\"op\":\"block put many\",\"args\":{\"data\":[]}}", "\"code\":\"usage\"", 0},
        {"{\"op\":\"block has\",\"args\":{\"cid\":[\"" ABSENT "\",\"x\",\"" HELLO "\"]}}",
         "{\"blocks\":[{\"cid\":\"" ABSENT
         "\",\"stored\":false},{\"cid\":\"x\",\"error\":{\"code\":\"invalid\",\"message\":"
         "\"invalid CID \\\"x\\\": invalid value\"}},{\"cid\":\"" HELLO "\",\"stored\":true,\"size\":6}]}",
         0},
        {"{\"op\":\"block has\",\"args\":{\"cid\":[\"x\"]}}", "\"code\":\"invalid\"", 0},
        {"{\"op\":\"block get many\",\"args\":{\"cid\":[\"" LETTER "\",\"" ABSENT "\",\"" HELLO "\"]}}",
         "[{\"cid\":\"" LETTER "\",\"data\":\"uYQ\"},{\"cid\":\"" ABSENT
         "\",\"error\":{\"code\":\"not_found\",\"message\":\"nobody has it\"}},{\"cid\":\"" HELLO
         "\",\"data\":\"uaGVsbG8K\"}],\"more\":false",
         0},
        {"{\"op\":\"block stat many\",\"args\":{\"cid\":[\"" LETTER "\",\"" ABSENT "\"],\"offline\":true}}",
         "[{\"cid\":\"" LETTER "\",\"size\":1},{\"cid\":\"" ABSENT "\",\"error\":{\"code\":\"not_found\"", 0},
        {"{\"op\":\"block rm many\",\"args\":{\"cid\":[\"" LETTER "\",\"" LETTER "\"]}}",
         "[{\"cid\":\"" LETTER "\"},{\"cid\":\"" LETTER "\",\"error\":{\"code\":\"not_found\"", 0},
        {"{\"op\":\"block rm many\",\"args\":{\"cid\":[\"" LETTER "\"],\"force\":true}}", "[{\"cid\":\"" LETTER "\"}]",
         0},
        {"{\"op\":\"repo stat\"}", "\"blocks\":1", 0},
    };
    RUN(steps, false);
}

/* More blocks in one piece than the window holds, and no store to acknowledge them. */
static void hashing_alone_waits_for_nobody(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"add open\",\"args\":{\"only_hash\":true,\"chunk_bytes\":1}}", "\"upload\":1", 0},
        {"{\"op\":\"add write\",\"args\":{\"upload\":1,\"offset\":0,\"data\":\"u" BYTES_600 "\"}}", "\"offset\":600",
         0},
        {"{\"op\":\"add close\",\"args\":{\"upload\":1,\"size\":600}}", "\"cid\":\"", 0},
        {"{\"op\":\"repo stat\"}", "\"blocks\":0", 0},
    };
    RUN(steps, false);
}

static void a_mutation_with_an_id_happens_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"add open\",\"id\":\"a\"}", "\"upload\":1", 0},
        {"{\"op\":\"add open\",\"id\":\"a\"}", "\"upload\":1", 0},
        {"{\"op\":\"add open\",\"id\":\"b\"}", "\"upload\":2", 0},
        {"{\"op\":\"add open\"}", "\"upload\":3", 0},
    };
    RUN(steps, false);
}

static void deadlines_and_cancels_reach_the_callee(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"swarm peers\",\"timeout_ms\":100}", "\"code\":\"timeout\"", 0},
        {"{\"op\":\"swarm peers\",\"id\":\"x\",\"timeout_ms\":60000}", "\"code\":\"cancelled\"", 0},
        {"{\"op\":\"cancel\",\"args\":{\"request\":\"x\"}}", "\"cancelled\":true", 0},
        {"{\"op\":\"cancel\",\"args\":{\"request\":\"x\"}}", "\"cancelled\":false", 2},
    };
    RUN(steps, true);
    assert_true(atomic_load(&play.cancels) >= 1);
}

/* 16 of one client wait; the 17th hears busy at once, urgent ones and other clients are answered. */
static void admission_is_bounded_per_client(void **state)
{
    (void)state;
    static struct step steps[24];
    for (size_t i = 0; i < 16; i++)
        steps[i] = (struct step){"{\"op\":\"swarm peers\",\"timeout_ms\":2000}", "\"code\":\"timeout\"", 1};
    steps[16] = (struct step){"{\"op\":\"swarm peers\",\"timeout_ms\":2000}", "\"code\":\"busy\"", 1};
    steps[17] = (struct step){"{\"op\":\"version\"}", "\"ok\":true", 1};
    steps[18] = (struct step){"{\"op\":\"diag healthy\"}", "\"ok\":true", 1};
    for (size_t i = 19; i < 24; i++)
        steps[i] = (struct step){"{\"op\":\"actors\"}", "\"ok\":true", 2};
    RUN(steps, true);
}

/* In virtual time: a minute of real waiting is not needed. */
static void a_long_request_becomes_a_job(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"{\"op\":\"swarm peers\",\"timeout_ms\":55000}", "\"result\":{\"job\":1}", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":1}}", "\"state\":\"running\"", 0},
        {"{\"op\":\"ping\",\"timeout_ms\":20000,\"args\":{\"peer\":"
         "\"12D3KooWSPtoFWUSz9VkREKH2PN4VVwzUatatzNt13eYTmLM13SM\"}}",
         "\"code\":\"timeout\"", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":1}}", "\"state\":\"failed\",\"error\":{\"code\":\"timeout\"", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":1}}", "\"code\":\"not_found\"", 0},
        {"{\"op\":\"swarm peers\",\"timeout_ms\":200000}", "\"result\":{\"job\":2}", 0},
        {"{\"op\":\"job cancel\",\"args\":{\"job\":2}}", "\"ok\":true", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":2}}", "\"code\":\"not_found\"", 0},
    };
    RUN_SIM_ONLY(steps);
}

/* A client that was killed asks no more: its job ends, and the answer of one that is fetched by nobody goes. */
static void a_job_that_nobody_asks_about_is_given_up(void **state)
{
    (void)state;
#define WAIT_55_S                                                                                                      \
    "{\"op\":\"ping\",\"timeout_ms\":55000,\"args\":{\"peer\":"                                                        \
    "\"12D3KooWSPtoFWUSz9VkREKH2PN4VVwzUatatzNt13eYTmLM13SM\"}}"
    static const struct step steps[] = {
        {"{\"op\":\"swarm peers\",\"timeout_ms\":2000000}", "\"result\":{\"job\":1}", 0},
        {WAIT_55_S, "\"result\":{\"job\":2}", 0},
        {WAIT_55_S, "\"result\":{\"job\":3}", 0},
        {WAIT_55_S, "\"result\":{\"job\":4}", 0},
        {WAIT_55_S, "\"result\":{\"job\":5}", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":1}}", "\"state\":\"running\"", 0},
        {WAIT_55_S, "\"result\":{\"job\":6}", 0},
        {WAIT_55_S, "\"result\":{\"job\":7}", 0},
        {WAIT_55_S, "\"result\":{\"job\":8}", 0},
        {WAIT_55_S, "\"result\":{\"job\":9}", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":2}}", "\"code\":\"not_found\"", 0},
        {WAIT_55_S, "\"result\":{\"job\":10}", 0},
        {WAIT_55_S, "\"result\":{\"job\":11}", 0},
        {WAIT_55_S, "\"result\":{\"job\":12}", 0},
        {"{\"op\":\"job status\",\"args\":{\"job\":1}}", "\"state\":\"failed\",\"error\":{\"code\":\"cancelled\"", 0},
    };
    RUN_SIM_ONLY(steps);
#undef WAIT_55_S
    assert_true(atomic_load(&play.cancels) >= 1);
}

/* ---- the socket ---- */

static void send_text(nng_socket socket, const char *text)
{
    assert_int_equal(nng_send(socket, (void *)(uintptr_t)text, strlen(text), 0), 0);
}

static void expect_answer(nng_socket socket, const char *request, const char *expect)
{
    char *answer = NULL;
    size_t len = 0;
    send_text(socket, request);
    assert_int_equal(nng_recv(socket, &answer, &len, NNG_FLAG_ALLOC), 0);
    if (memmem(answer, len, expect, strlen(expect)) == NULL)
        fail_msg("%s gave %.*s", request, (int)len, answer);
    nng_free(answer, len);
}

static bool was_cancelled(void *arg)
{
    (void)arg;
    return atomic_load(&play.cancels) > 0;
}

static void expect_mode(const char *suffix, mode_t mode)
{
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s%s", play.folder, suffix);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
}

static void the_socket_answers_and_is_private(void **state)
{
    (void)state;
    memset(&play, 0, sizeof(play));
    play.count = 1; /* the driver has nothing to do */
    play.answered = 1;
    mode_t old = umask(0);
    start(false);
    (void)umask(old);
    expect_mode("/run", 0700);
    expect_mode("/run/control.sock", 0600);
    nng_socket socket = stage_dial(play.folder);
    expect_answer(socket, "{\"op\":\"version\"}", "\"ok\":true");
    expect_answer(socket, "x",
                  "\xa4"
                  "code\xa5usage");
    expect_answer(socket, "{\"op\":\"id\"}", "\"agent_version\":\"hearth/");
    /* The first of two requests on one socket is given up by the second, as REQ does; a client that goes cancels the last. */
    nng_socket leaver = stage_dial(play.folder);
    send_text(leaver, "{\"op\":\"swarm peers\",\"timeout_ms\":600000}");
    for (int i = 0; i < 20; i++)
        expect_answer(socket, "{\"op\":\"version\"}", "\"ok\":true");
    assert_int_equal(nng_close(leaver), 0);
    assert_true(runtime_await(play.rt, was_cancelled, NULL, WAIT_S * SECOND_NS));
    expect_answer(socket, "{\"op\":\"version\"}", "\"ok\":true");
    assert_int_equal(nng_close(socket), 0);
    stop();
}

/* With further uids the way to the socket is open; whose uid is not listed is still refused, which needs a second user to see. */
static void a_shared_socket_can_be_reached(void **state)
{
    (void)state;
    memset(&play, 0, sizeof(play));
    play.count = 1;
    play.answered = 1;
    play.allowed_uids = "54321";
    mode_t old = umask(077);
    start(false);
    (void)umask(old);
    expect_mode("", 0711);
    expect_mode("/run", 0711);
    expect_mode("/run/control.sock", 0666);
    nng_socket socket = stage_dial(play.folder);
    expect_answer(socket, "{\"op\":\"version\"}", "\"ok\":true"); /* our own uid always may */
    assert_int_equal(nng_close(socket), 0);
    stop();
}

/* A client's end must not be taken for the end of the next one that is served in the same slot. */
static void short_lived_clients_are_all_answered(void **state)
{
    (void)state;
    enum { CLIENTS = 400 };
    memset(&play, 0, sizeof(play));
    play.count = 1;
    play.answered = 1;
    start(false);
    for (int i = 0; i < CLIENTS; i++) {
        nng_socket socket = stage_dial(play.folder);
        expect_answer(socket, "{\"op\":\"repo stat\"}", "\"ok\":true");
        assert_int_equal(nng_close(socket), 0);
    }
    stop();
}

/* More requests that may take long than an actor may have timers, all within the time after which they would become jobs. */
static void requests_leave_no_timers_behind(void **state)
{
    (void)state;
    enum { REQUESTS = 4200 };
    memset(&play, 0, sizeof(play));
    play.count = 1;
    play.answered = 1;
    start(false);
    nng_socket socket = stage_dial(play.folder);
    for (int i = 0; i < REQUESTS; i++)
        expect_answer(socket, "{\"op\":\"repo stat\",\"timeout_ms\":120000}", "\"ok\":true");
    assert_int_equal(nng_close(socket), 0);
    stop();
}

/* A raw socket, greeted as a REQ socket: nng's own, closed while a message is half sent, may wait for ever in nng_close. */
static int connect_raw(const char *folder)
{
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    uint8_t theirs[sizeof(greeting)];
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    (void)snprintf(where.sun_path, sizeof(where.sun_path), "%s/run/control.sock", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(write(fd, greeting, sizeof(greeting)), sizeof(greeting));
    assert_int_equal(recv(fd, theirs, sizeof(theirs), MSG_WAITALL), sizeof(theirs));
    return fd;
}

/* A message over the limit ends its connection as soon as it says its length; the listener goes on. */
static void a_request_over_4_mib_is_refused(void **state)
{
    (void)state;
    static const uint8_t head[] = {1, 0, 0, 0, 0, 0, 0x50, 0, 0}; /* 5 MiB follow */
    memset(&play, 0, sizeof(play));
    play.count = 1;
    play.answered = 1;
    start(false);
    int fd = connect_raw(play.folder);
    assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    uint8_t byte;
    assert_int_equal(poll(&poller, 1, 10000), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    assert_int_equal(close(fd), 0);
    nng_socket socket = stage_dial(play.folder);
    expect_answer(socket, "{\"op\":\"version\"}", "\"ok\":true");
    assert_int_equal(nng_close(socket), 0);
    stop();
}

/* ---- state.db as the actor writes it ---- */

struct wanted_row {
    const char *sql;
    const char *want;
};

static bool has_row(void *arg)
{
    const struct wanted_row *row = arg;
    char path[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool found = false;
    (void)snprintf(path, sizeof(path), "%s/state.db", play.folder);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, row->sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        const char *got = (const char *)sqlite3_column_text(statement, 0);
        found = got != NULL && strcmp(got, row->want) == 0;
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return found;
}

/* The first three pieces come in the wrong order: one reader goes on, none is left behind it. */
static void reads_that_overtake_each_other_leave_no_readers(void **state)
{
    (void)state;
#define READ_10(offset) "{\"op\":\"read\",\"args\":{\"path\":\"" INLINED "\",\"offset\":" offset ",\"length\":10}}"
    static const struct step steps[] = {
        {READ_10("20"), "\"data\":\"uMDEyMzQ1Njc4OQ\"", 0},
        {READ_10("10"), "\"data\":\"uMDEyMzQ1Njc4OQ\"", 0},
        {READ_10("0"), "\"data\":\"uMDEyMzQ1Njc4OQ\"", 0},
    };
#undef READ_10
    struct wanted_row one = {"SELECT count(*) FROM transfers", "1"};
    memset(&play, 0, sizeof(play));
    memcpy(play.steps, steps, sizeof(steps));
    play.count = ARRAY_LEN(steps);
    play.together = true;
    start(true);
    assert_true(runtime_await(play.rt, is_done, NULL, WAIT_S * SECOND_NS));
    assert_string_equal(play.failure, "");
    assert_true(runtime_await(play.rt, has_row, &one, 10 * SECOND_NS)); /* long before a lease ends */
    stop();
}

static void state_shows_all_actors(void **state)
{
    (void)state;
    for (int sim = 0; sim < 2; sim++) {
        memset(&play, 0, sizeof(play));
        play.count = 1;
        play.answered = 1;
        start(sim == 1);
        struct wanted_row actors = {"SELECT state FROM actors WHERE name='control'", "running"};
        struct wanted_row accounts = {"SELECT count(*)>4 FROM accounts", "1"};
        assert_true(runtime_await(play.rt, has_row, &actors, 2 * SECOND_NS));
        assert_true(runtime_await(play.rt, has_row, &accounts, SECOND_NS));
        struct wanted_row stopped = {"SELECT count(*) FROM meta WHERE key='stopped_at'", "0"};
        assert_true(has_row(&stopped));
        char folder[sizeof(play.folder)];
        memcpy(folder, play.folder, sizeof(folder));
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_or_refused),
        cmocka_unit_test(what_a_request_caused_is_told),
        cmocka_unit_test(filters_outlive_connection_manager),
        cmocka_unit_test(files_go_in_and_come_out),
        cmocka_unit_test(short_failures_are_waited_out),
        cmocka_unit_test(numbers_of_an_earlier_life_are_nobodys),
        cmocka_unit_test(batches_answer_for_each_block),
        cmocka_unit_test(hashing_alone_waits_for_nobody),
        cmocka_unit_test(a_mutation_with_an_id_happens_once),
        cmocka_unit_test(deadlines_and_cancels_reach_the_callee),
        cmocka_unit_test(admission_is_bounded_per_client),
        cmocka_unit_test(a_long_request_becomes_a_job),
        cmocka_unit_test(a_job_that_nobody_asks_about_is_given_up),
        cmocka_unit_test(the_socket_answers_and_is_private),
        cmocka_unit_test(a_shared_socket_can_be_reached),
        cmocka_unit_test(short_lived_clients_are_all_answered),
        cmocka_unit_test(requests_leave_no_timers_behind),
        cmocka_unit_test(a_request_over_4_mib_is_refused),
        cmocka_unit_test(reads_that_overtake_each_other_leave_no_readers),
        cmocka_unit_test(state_shows_all_actors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

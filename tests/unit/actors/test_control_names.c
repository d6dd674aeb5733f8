/* SPDX-License-Identifier: MIT */
/*
 * Names through the control socket: the real control and state beside a discovery that plays the network, with one record and one domain in it,
 * and a store that has nothing.
 */
#include "tests/unit/actors/helper_control.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "actors/tree.h"
#include "base/clock.h"
#include "mailbox/backend.h"
#include "schemas/messages.h"
#include "storage/disk_posix.h"
#include "tests/support/denylist_image.h"
#include "wire/ipns.h"
#include "wire/signing_key.h"

#define VALUE "/ipfs/bafkqaddwgevxmmraojswg33smq"
#define OTHER "/ipfs/bafkqahtwgevxmmrao5uxi2bamjzg623fnyqhg2lhnzqxi5lsmuqhmmi"

/* What the network knows. The test changes it while no request is under way. */
static struct {
    struct buf record;          /* of whatever name is asked for */
    char link[256];             /* where every domain leads; "" = nowhere */
    struct block_ref *denylist; /* told to control when it asks for a record */
    _Atomic unsigned gets;
    _Atomic unsigned puts;
    unsigned takers;
} network;

static void ignore_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    (void)ctx;
    (void)state;
    (void)msg;
}

static enum err discovery_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    (void)state;
    struct msg_route_value value = {.value = buf_span(&network.record)};
    struct msg_route_put_ok taken = {.count = network.takers};
    struct msg_dns_link_ok link = {.path = span_text(network.link)};
    if (msg->kind == MSG_ROUTE_GET) {
        static const struct msg_denylist told = {0};
        (void)atomic_fetch_add(&network.gets, 1);
        if (network.denylist != NULL &&
            ctx_cast(ctx, ACTOR_CONTROL,
                     &(struct msg){.kind = MSG_DENYLIST, .fields = &told, .tail = network.denylist}) != ERR_OK)
            abort();
        if (network.record.len == 0)
            return ERR_NOT_FOUND;
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_ROUTE_VALUE, .fields = &value});
    } else if (msg->kind == MSG_ROUTE_PUT) {
        (void)atomic_fetch_add(&network.puts, 1);
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_ROUTE_PUT_OK, .fields = &taken});
    } else if (msg->kind == MSG_DNS_LINK && network.link[0] != '\0') {
        ctx_reply(ctx, to, &(struct msg){.kind = MSG_DNS_LINK_OK, .fields = &link});
    } else {
        return ERR_NOT_FOUND;
    }
    return ERR_OK;
}

static enum err store_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to to)
{
    (void)ctx;
    (void)state;
    (void)msg;
    (void)to;
    return ERR_NOT_FOUND;
}

static const struct actor_class idle_class = {.name = "idle", .handle_cast = ignore_cast};
static const struct actor_class store_class = {.name = "store", .handle_call = store_call, .handle_cast = ignore_cast};
static const struct actor_class network_class = {
    .name = "network", .handle_call = discovery_call, .handle_cast = ignore_cast};
static const struct actor_class *const classes[ACTOR_COUNT] = {
    [ACTOR_STATE] = &state_class,       [ACTOR_TIERED_STORAGE] = &store_class,
    [ACTOR_HEAT_TRACKER] = &idle_class, [ACTOR_CONNECTION_MANAGER] = &idle_class,
    [ACTOR_DISCOVERY] = &network_class, [ACTOR_BITSWAP] = &idle_class,
    [ACTOR_CONTROL] = &control_class,
};
static const struct edge_spec edges[] = {
    {ACTOR_CONTROL, ACTOR_TIERED_STORAGE}, {ACTOR_CONTROL, ACTOR_STATE}, {ACTOR_CONTROL, ACTOR_DISCOVERY}};
static const struct lane_spec lanes[] = {{.name = "state", .workers = 1, .queue = 16},
                                         {.name = "files", .workers = 2, .queue = 16}};

static struct key_pair *self;

static int open_node(void **state)
{
    (void)state;
    char why[256] = "";
    memset(&stage, 0, sizeof(stage));
    memset(&network, 0, sizeof(network));
    buf_init(&network.record, IPNS_RECORD_BYTES_MAX, NULL);
    (void)snprintf(stage.folder, sizeof(stage.folder), "/tmp/hearth-names-XXXXXX");
    assert_non_null(mkdtemp(stage.folder));
    assert_ok(config_new(stage.folder, &stage.config));
    assert_ok(key_pair_generate(&self));
    stage.config->identity = self;
    assert_ok(budget_init(&stage.budget, 64 * MIB));
    struct runtime_config config = {
        .backend = &backend_inproc,
        .classes = classes,
        .class_count = ACTOR_COUNT,
        .tree = &stage_tree,
        .edges = edges,
        .edge_count = ARRAY_LEN(edges),
        .lanes = lanes,
        .lane_count = ARRAY_LEN(lanes),
        .schemas = &schema_messages,
        .config = stage.config,
        .budget = &stage.budget,
        .disk = disk_posix(),
    };
    if (runtime_start(&config, &stage.rt, why, sizeof(why)) != ERR_OK)
        fail_msg("%s", why);
    stage.socket = stage_dial(stage.folder);
    return 0;
}

static int close_node(void **state)
{
    (void)state;
    char command[128];
    (void)nng_close(stage.socket);
    assert_int_equal(runtime_stop(&stage.rt, 5 * SECOND_NS), RUNTIME_EXIT_OK);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++)
        if (i == ACCOUNT_TABLES)
            assert_int_equal(account_used(&stage.budget.accounts[i]), 0);
    config_free(stage.config);
    key_pair_free(self);
    buf_release(&network.record);
    (void)snprintf(command, sizeof(command), "rm -r %s", stage.folder);
    assert_int_equal(system(command), 0);
    return 0;
}

/* Puts a record of a new key in the network; the name is written to `name`. */
static void strangers_record(const char *value, uint64_t sequence, int64_t seconds_left, struct signing_key **key,
                             char name[PEER_ID_TEXT_MAX])
{
    if (*key == NULL)
        assert_ok(signing_key_generate(KEY_ED25519, 0, key));
    struct peer_id id = signing_key_peer_id(*key);
    struct ipns_claim claim = {.value = span_text(value),
                               .eol_ns = clock_real_ns() + (uint64_t)(seconds_left * (int64_t)SECOND_NS),
                               .sequence = sequence,
                               .ttl_ns = 60 * SECOND_NS};
    buf_clear(&network.record);
    assert_ok(ipns_record_seal(*key, &claim, &network.record));
    peer_id_text_cid(&id, name);
}

static void expect(const char *want, const char *before, const char *after, const char *argument)
{
    char request[1024];
    (void)snprintf(request, sizeof(request), "%s%s%s", before, argument, after);
    stage_expect(request, want);
}

/* What stands before and behind the argument. */
#define RESOLVE "{\"op\":\"name resolve\",\"args\":{\"name\":\"", "\"}}"
#define NOCACHE "{\"op\":\"name resolve\",\"args\":{\"nocache\":true,\"name\":\"", "\"}}"
#define PIN_RM  "{\"op\":\"pin rm\",\"args\":{\"path\":\"", "\"}}"
#define PUBLISH "{\"op\":\"name publish\",\"args\":{\"path\":\"", "\"}}"
#define AS_42   "{\"op\":\"name publish\",\"args\":{\"sequence\":42,\"path\":\"", "\"}}"

static void what_is_published_is_resolved(void **state)
{
    (void)state;
    network.takers = 0;
    expect("no peer took it", PUBLISH, VALUE);
    network.takers = 3;
    expect("\"sequence\":0,\"peers\":3", PUBLISH, VALUE);
    expect("\"sequence\":1,\"peers\":3", PUBLISH, OTHER);
    assert_int_equal(network.puts, 3);
    unsigned gets = network.gets; /* the first publish asked whether the key was used elsewhere */
    assert_int_equal(gets, 1);
    expect("\"path\":\"" OTHER "\"", RESOLVE, "");
    assert_int_equal(network.gets, gets);
    expect("\"path\":\"" OTHER "\"", NOCACHE, "");
    assert_int_equal(network.gets, gets + 1);
}

static void strangers_names_are_remembered_for_their_ttl(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    strangers_record(VALUE, 7, 600, &key, name);
    expect("\"path\":\"" VALUE "\"", RESOLVE, name);
    strangers_record(OTHER, 8, 600, &key, name);
    expect("\"path\":\"" VALUE "\"", RESOLVE, name);
    assert_int_equal(network.gets, 1);
    expect("\"path\":\"" OTHER "\"", NOCACHE, name);
    expect("\"path\":\"" OTHER "\"", RESOLVE, name);
    assert_int_equal(network.gets, 2);
    signing_key_free(key);
}

static void records_that_are_not_the_names_are_not_believed(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    struct signing_key *other = NULL;
    char name[PEER_ID_TEXT_MAX];
    char other_name[PEER_ID_TEXT_MAX];
    strangers_record(VALUE, 7, 600, &key, name);
    network.record.data[network.record.len - 1] ^= 1;
    expect("no record of the name", RESOLVE, name);
    strangers_record(VALUE, 7, 600, &other, other_name);
    expect("no record of the name", RESOLVE, name);
    strangers_record(VALUE, 7, -5, &key, name);
    expect("no record of the name", RESOLVE, name);
    buf_clear(&network.record);
    expect("no record of the name", RESOLVE, name);
    expect("neither a name nor a domain", RESOLVE, "word");
    signing_key_free(key);
    signing_key_free(other);
}

static void paths_of_operations_may_begin_with_names(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    char path[256];
    strangers_record(VALUE, 7, 600, &key, name);
    (void)snprintf(path, sizeof(path), "/ipns/%s", name);
    expect(VALUE ": not found", PIN_RM, path); /* the store was asked for the CID */
    (void)snprintf(path, sizeof(path), "ipns://%s/a/b", name);
    expect("invalid CID \\\"" VALUE "/a/b\\\"", PIN_RM, path);
    expect("begins neither with a name", PIN_RM, "/ipns/word/a");
    network.takers = 1;
    expect("\"ok\":true", PUBLISH, "/ipns/k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w");
    signing_key_free(key);
}

static void names_that_lead_in_circles_are_given_up(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    char path[256];
    strangers_record(VALUE, 7, 600, &key, name);
    (void)snprintf(path, sizeof(path), "/ipns/%s", name);
    strangers_record(path, 8, 600, &key, name);
    expect("32 times", RESOLVE, name);
    strangers_record("not a path", 9, 600, &key, name);
    expect("is no path", NOCACHE, name);
    signing_key_free(key);
}

/* A denied name is not followed, nor is one that is allowed followed to what is denied: from the network, from the cache, from a domain. */
static void denied_names_lead_nowhere(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    struct signing_key *bad = NULL;
    char name[PEER_ID_TEXT_MAX];
    char denied[PEER_ID_TEXT_MAX];
    char list[256];
    strangers_record(OTHER, 1, 600, &bad, denied);
    expect("\"path\":\"" OTHER "\"", RESOLVE, denied);
    (void)snprintf(list, sizeof(list), "/ipns/%s\n" VALUE "\n", denied);
    network.denylist = denylist_image(list);
    strangers_record(VALUE, 1, 600, &key, name);
    expect("\"code\":\"denied\"", RESOLVE, name);
    unsigned gets = network.gets;
    expect("\"code\":\"denied\"", RESOLVE, denied); /* the cache knows it */
    expect("\"code\":\"denied\"", NOCACHE, denied);
    (void)snprintf(network.link, sizeof(network.link), "/ipns/%s", denied);
    expect("\"code\":\"denied\"", RESOLVE, "example.org");
    assert_int_equal(network.gets, gets); /* and nobody is asked for its record */
    block_ref_unref(network.denylist);
    signing_key_free(key);
    signing_key_free(bad);
}

static void domains_are_given_to_dnslink(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    strangers_record(VALUE, 7, 600, &key, name);
    expect("\"ok\":false", RESOLVE, "example.com");
    (void)snprintf(network.link, sizeof(network.link), "/ipns/%s", name);
    expect("\"path\":\"" VALUE "\"", RESOLVE, "example.com");
    (void)snprintf(network.link, sizeof(network.link), VALUE "/a");
    expect("invalid CID \\\"" VALUE "/a\\\"", PIN_RM, "/ipns/example.com/a");
    signing_key_free(key);
}

/* The key was used on another machine before, up to the sequence 41. */
static void a_key_that_was_used_elsewhere_goes_on(void **state)
{
    (void)state;
    uint8_t secret[ED25519_PRIVATE_KEY_BYTES];
    struct signing_key *key = NULL;
    char name[PEER_ID_TEXT_MAX];
    network.takers = 1;
    key_pair_encode(self, secret);
    assert_ok(signing_key_decode(span_of(secret, sizeof(secret)), &key));
    strangers_record(VALUE, 41, 600, &key, name);
    expect("\"sequence\":42", PUBLISH, OTHER);
    expect("must be higher", AS_42, VALUE);
    expect("\"path\":\"" OTHER "\"", NOCACHE, name); /* newer than what the network still has */
    signing_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_published_is_resolved, open_node, close_node),
        cmocka_unit_test_setup_teardown(strangers_names_are_remembered_for_their_ttl, open_node, close_node),
        cmocka_unit_test_setup_teardown(records_that_are_not_the_names_are_not_believed, open_node, close_node),
        cmocka_unit_test_setup_teardown(paths_of_operations_may_begin_with_names, open_node, close_node),
        cmocka_unit_test_setup_teardown(names_that_lead_in_circles_are_given_up, open_node, close_node),
        cmocka_unit_test_setup_teardown(denied_names_lead_nowhere, open_node, close_node),
        cmocka_unit_test_setup_teardown(domains_are_given_to_dnslink, open_node, close_node),
        cmocka_unit_test_setup_teardown(a_key_that_was_used_elsewhere_goes_on, open_node, close_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

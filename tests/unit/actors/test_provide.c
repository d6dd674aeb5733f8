/* SPDX-License-Identifier: MIT */
/* What whole nodes store is provided without anybody asking for it: found by the others, region by region, as far as the strategy goes. */
#include "helper_nodes.h"

#include <string.h>

#include "dht/kad_key.h"
#include "dht/provide_sweep.h"
#include "mailbox/ctx.h"
#include "wire/ipns.h"

enum { MIDDLE = 0, SOURCE = 1, SEEKER = 2, FEW = 3, SOME = 5, BLOCKS = 60 };

static const char *strategy;
static const char *interval;
static uint8_t payload[8];

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

/* ---- the source's state: the real one, and what it is told of what is provided ---- */

static struct actor_class noting_state;
static struct kad_key first_provided;
static unsigned provided;
static unsigned hot_rows;

static void noting_cast(struct ctx *ctx, void *state, const struct msg *msg)
{
    if (msg->kind == MSG_STATE_PROVIDE) {
        const struct msg_state_provide *m = msg->fields;
        hot_rows += m->class == PROVIDE_HOT ? m->rows.count : 0;
    } else if (msg->kind == MSG_STATE_PROVIDED) {
        const struct msg_state_provided *m = msg->fields;
        struct span key;
        size_t position = 0;
        if (provided == 0 && m->at != 0 && schema_list_next_bytes(&m->keys, &position, &key))
            memcpy(first_provided.bytes, key.data, key.len);
        provided += m->at != 0 ? m->keys.count : 0;
    }
    state_class.handle_cast(ctx, state, msg);
}

static void whole_on_lan(struct node *n)
{
    noting_state = state_class;
    noting_state.handle_cast = noting_cast;
    n->state = n->index == SOURCE ? &noting_state : NULL;
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
    set(n, "Provide.Strategy", n->index == SOURCE ? strategy : "off");
    set(n, "Provide.DHT.Interval", interval);
    set(n, "Ipns.RepublishPeriod", "2h");
}

static struct span block_of(unsigned number)
{
    memset(payload, 0, sizeof(payload));
    memcpy(payload, &number, sizeof(number));
    return span_of(payload, sizeof(payload));
}

static void begin_apart(uint64_t seed, unsigned count, const char *provides, const char *each)
{
    strategy = provides;
    interval = each;
    provided = hot_rows = 0;
    nodes_whole = true;
    nodes_begin(count, SIM, seed, whole_on_lan);
}

static void begin(uint64_t seed, unsigned count, const char *provides, const char *each)
{
    begin_apart(seed, count, provides, each);
    for (unsigned i = 1; i < count; i++)
        assert_int_equal(node_connect(i, MIDDLE), ERR_OK);
    nodes_pass_ms(10000);
}

static void put(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PUT, .payload = block_of(i)}), ERR_OK);
}

static unsigned found(unsigned first, unsigned count)
{
    unsigned blocks = 0;
    for (unsigned i = first; i < first + count; i++) {
        assert_int_equal(node_do(SEEKER, (struct command){.kind = CMD_PROVIDERS, .payload = block_of(i), .count = 5}),
                         ERR_OK);
        blocks += nodes[SEEKER].rows == 1 && nodes[SEEKER].found == 1U << SOURCE;
    }
    return blocks;
}

static void stored_blocks_are_provided(void **state)
{
    (void)state;
    begin(81, SOME, "all", "22h");
    put(0, BLOCKS);
    nodes_pass_ms(15000);
    assert_int_equal(found(0, BLOCKS), BLOCKS);
    assert_int_equal(found(BLOCKS, 5), 0);
    put(BLOCKS, 5);
    nodes_pass_ms(15000);
    assert_int_equal(found(BLOCKS, 5), 5);
    nodes_end();
}

/* What state had no room for. */
static void blocks_whose_rows_were_refused_are_provided_soon(void **state)
{
    (void)state;
    begin(84, FEW, "all", "22h");
    struct box *box = &nodes[SOURCE].rt->actors[ACTOR_STATE].shared->box;
    uint64_t room = box->records_max;
    put(0, 3);
    box->records_max = 0;
    put(3, 7);
    nodes_pass_ms(1000);
    box->records_max = room;
    nodes_pass_ms(30000);
    assert_int_equal(found(0, 10), 10);
    nodes_end();
}

static void use(unsigned number)
{
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_HAS, .payload = block_of(number)}), ERR_OK);
}

static struct kad_key key_of(unsigned number)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    struct cid cid = nodes_cid_of(block_of(number));
    return kad_key_of(span_of(bytes, multihash_encode(&cid.hash, bytes)));
}

/* Of blocks that wait for their first time, as there was nobody to tell. */
static void hot_blocks_are_provided_first(void **state)
{
    (void)state;
    for (unsigned hot = 7; hot < 10; hot++) { /* one of them may come first by chance */
        begin_apart(84 + hot, FEW, "all", "22h");
        put(0, BLOCKS);
        use(hot);
        nodes_pass_ms(40000);
        assert_int_equal(provided, 0);
        assert_in_range(hot_rows, 1, 100);
        for (unsigned i = 1; i < FEW; i++)
            assert_int_equal(node_connect(i, MIDDLE), ERR_OK);
        nodes_pass_ms(60000);
        struct kad_key key = key_of(hot);
        assert_memory_equal(first_provided.bytes, key.bytes, sizeof(key.bytes));
        assert_true(provided >= BLOCKS);
        assert_int_equal(found(0, BLOCKS), BLOCKS);
        nodes_end();
    }
}

static void heat_provides_nothing_by_itself(void **state)
{
    (void)state;
    begin(82, FEW, "roots", "22h");
    put(0, 5);
    use(3);
    nodes_pass_ms(30000);
    assert_int_equal(hot_rows, 0);
    assert_int_equal(found(0, 5), 0);
    nodes_end();
}

static void what_is_not_wanted_is_not_provided(void **state)
{
    (void)state;
    begin(82, FEW, "roots", "22h");
    put(0, 5);
    nodes_pass_ms(30000);
    assert_int_equal(found(0, 5), 0);
    nodes_end();
}

/* After two days the records of the first time are at their end: the sweep has told them again meanwhile. */
static void what_is_stored_stays_provided(void **state)
{
    (void)state;
    begin(83, FEW, "all", "12h");
    put(0, 10);
    nodes_pass_ms(15000);
    assert_int_equal(found(0, 10), 10);
    for (unsigned hour = 0; hour < 49; hour++)
        nodes_pass_ms(3600 * 1000);
    assert_int_equal(found(0, 10), 10);
    nodes_end();
}

/* ---- names ---- */

static uint64_t ends_ns; /* of the record that was found */

static void note_record(struct node *n, const struct msg *answer)
{
    struct ipns_record record;
    const struct msg_route_value *fields = answer->fields;
    (void)n;
    if (answer->kind == MSG_ROUTE_VALUE && ipns_record_decode(fields->value, &record) == ERR_OK)
        ends_ns = record.eol_ns;
}

static enum err ask(unsigned n, actor_id actor, uint16_t kind, const void *fields)
{
    const struct msg msg = {.kind = kind, .fields = fields};
    return node_do(n, (struct command){.kind = CMD_ASK, .to = actor, .msg = &msg, .take = note_record});
}

static enum err find_name(unsigned n)
{
    uint8_t key[IPNS_KEY_BYTES_MAX];
    size_t len = ipns_key_of_name(&nodes[SOURCE].id, key);
    struct msg_route_get get = {.key = span_of(key, len)};
    return ask(n, ACTOR_DISCOVERY, MSG_ROUTE_GET, &get);
}

/* Peers forget a record after two days, and it ends: a name lives on as long as its node does. */
static void names_are_published_again(void **state)
{
    (void)state;
    begin(95, FEW, "off", "22h");
    struct msg_ipns_sign sign = {
        .key = span_text("self"), .value = span_text("/ipfs/x"), .lifetime_ns = 48 * 3600 * SECOND_NS};
    assert_int_equal(ask(SOURCE, ACTOR_STATE, MSG_IPNS_SIGN, &sign), ERR_OK);
    nodes_pass_ms(5000);
    assert_int_equal(find_name(SEEKER), ERR_NOT_FOUND);
    nodes_pass_ms(60000);
    assert_int_equal(find_name(SEEKER), ERR_OK);
    uint64_t first_ns = ends_ns;
    nodes_pass_ms(3600 * 1000);
    assert_int_equal(find_name(SEEKER), ERR_OK);
    assert_true(ends_ns == first_ns); /* not without need */
    nodes_pass_ms(3600 * 1000 + 600 * 1000);
    assert_int_equal(find_name(SEEKER), ERR_OK);
    assert_true(ends_ns >= first_ns + 3600 * SECOND_NS);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_blocks_are_provided),
        cmocka_unit_test(blocks_whose_rows_were_refused_are_provided_soon),
        cmocka_unit_test(hot_blocks_are_provided_first),
        cmocka_unit_test(heat_provides_nothing_by_itself),
        cmocka_unit_test(what_is_not_wanted_is_not_provided),
        cmocka_unit_test(what_is_stored_stays_provided),
        cmocka_unit_test(names_are_published_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

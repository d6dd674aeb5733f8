/* SPDX-License-Identifier: MIT */
/*
 * Cold blocks are read before they are asked for: the children of a node that is served, and what stands behind a block in it; switched off, none are. In sim,
 * with the real tiered_storage, heat_tracker and cold_store.
 */
#include "tests/unit/actors/helper_tiers.h"

#include "schemas/messages.h"
#include "sim/bucket.h"
#include "sim/disk.h"
#include "sim/sim.h"
#include "storage/prefetcher.h"
#include "wire/dag_pb.h"

enum { CHILDREN = 10, NODE = CHILDREN, BLOCK_BYTES = 64 * 1024, STORAGE_MAX = 64 * 1024 * 1024, NODE_BYTES = 4096 };

/* The children, and the node that links them in order. */
static struct block_ref *block_of(unsigned n, struct cid *ret_cid)
{
    struct dag_pb_link links[CHILDREN];
    uint8_t cids[CHILDREN][CID_BYTES_MAX];
    struct multihash hash;
    struct buf bytes;
    if (n < CHILDREN)
        return tiers_block(n, BLOCK_BYTES, ret_cid);
    for (unsigned i = 0; i < CHILDREN; i++) {
        struct cid cid;
        block_ref_unref(tiers_block(i, BLOCK_BYTES, &cid));
        links[i] = (struct dag_pb_link){.cid = span_of(cids[i], cid_encode(&cid, cids[i]))};
    }
    buf_init(&bytes, NODE_BYTES, NULL);
    assert_int_equal(dag_pb_append(&bytes, links, CHILDREN, NULL), ERR_OK);
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, buf_span(&bytes), &hash), ERR_OK);
    *ret_cid = cid_v1(CODEC_DAG_PB, &hash);
    struct block_ref *ref = block_ref_new(bytes.len, NULL);
    assert_non_null(ref);
    memcpy(ref->data, bytes.data, bytes.len);
    buf_release(&bytes);
    return ref;
}

static const struct actor_class nobody = {.name = "state", .state_bytes = 8};

static void live(struct sim_disk *disk, struct sim_bucket *bucket, const char *prefetch, const struct tiers_step *steps)
{
    struct sim *sim = sim_new(7);
    struct config *config = tiers_bucket_config("/node", "blocks", STORAGE_MAX);
    struct tiers_play on = {.state = &nobody, .disk = sim_disk_port(disk), .sim = sim, .bucket = bucket};
    assert_non_null(sim);
    sim_bucket_follow(bucket, sim);
    tiers_set(config, "Tiers.Prefetch", prefetch);
    tiers_set(config, "Tiers.Policy", "lru");
    tiers_follow(&on, config, steps, block_of);
    sim_free(sim);
}

/* ---- what is looked at ---- */

static struct item_read_ahead kinds[PREFETCH_KINDS];

static bool has_kinds(const struct info *info)
{
    const struct msg_tier_stat_ok *m = info->msg->fields;
    size_t position = 0;
    return m->ahead.count == PREFETCH_KINDS &&
           schema_list_next_map(&m->ahead, &schema_item_read_ahead, &position, &kinds[PREFETCH_CHILDREN]) &&
           schema_list_next_map(&m->ahead, &schema_item_read_ahead, &position, &kinds[PREFETCH_SIBLINGS]);
}

static bool is(enum prefetch_kind kind, uint64_t blocks, uint64_t used, uint64_t unused)
{
    const struct item_read_ahead *of = &kinds[kind];
    return of->blocks == blocks && of->bytes == blocks * BLOCK_BYTES && of->used_bytes == used * BLOCK_BYTES &&
           of->unused_bytes == unused * BLOCK_BYTES && !of->off;
}

static bool children_are_here(const struct info *info)
{
    return has_kinds(info) && is(PREFETCH_CHILDREN, PREFETCH_AHEAD, 0, 0) && is(PREFETCH_SIBLINGS, 0, 0, 0);
}

static bool children_were_used(const struct info *info)
{
    return has_kinds(info) && is(PREFETCH_CHILDREN, PREFETCH_AHEAD, PREFETCH_AHEAD, 0) &&
           is(PREFETCH_SIBLINGS, PREFETCH_AHEAD, 0, 0);
}

static bool siblings_were_not(const struct info *info)
{
    return has_kinds(info) && is(PREFETCH_CHILDREN, PREFETCH_AHEAD, PREFETCH_AHEAD, 0) &&
           is(PREFETCH_SIBLINGS, PREFETCH_AHEAD, 0, PREFETCH_AHEAD);
}

static bool nothing_is_read_ahead(const struct info *info)
{
    return ((const struct msg_tier_stat_ok *)info->msg->fields)->ahead.count == 0;
}

static void children_and_siblings_of_what_is_used(void **state)
{
    static const struct tiers_step stored[] = {{"store", MSG_BLOCK_PUT, 0, NODE + 1, NULL, NULL},
                                               {"have them leave the disk", MSG_TIER_MOVE, 0, NODE + 1, NULL, NULL},
                                               {0}};
    static const struct tiers_step off[] = {{"use the node", MSG_BLOCK_GET, NODE, NODE + 1, NULL, NULL},
                                            {.what = "a while", .ask = TIERS_WAIT, .from = 5},
                                            {"nothing", MSG_TIER_STAT, 0, 1, nothing_is_read_ahead, NULL},
                                            {0}};
    static const struct tiers_step on[] = {{"use the node", MSG_BLOCK_GET, NODE, NODE + 1, NULL, NULL},
                                           {.what = "a while", .ask = TIERS_WAIT, .from = 5},
                                           {"children", MSG_TIER_STAT, 0, 1, children_are_here, NULL},
                                           {"use them", MSG_BLOCK_GET, 0, PREFETCH_AHEAD, NULL, NULL},
                                           {.what = "a while", .ask = TIERS_WAIT, .from = 5},
                                           {"used", MSG_TIER_STAT, 0, 1, children_were_used, NULL},
                                           {.what = "their time", .ask = TIERS_WAIT, .from = 40},
                                           {"unused", MSG_TIER_STAT, 0, 1, siblings_were_not, NULL},
                                           {0}};
    struct sim_disk *disk = sim_disk_new(1, 256 * MIB);
    struct sim_bucket *bucket = sim_bucket_new("blocks", 20 * MS_NS);
    (void)state;
    assert_true(disk != NULL && bucket != NULL);
    live(disk, bucket, "true", stored);
    live(disk, bucket, "false", off);
    live(disk, bucket, "true", on);
    sim_bucket_free(bucket);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_and_siblings_of_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

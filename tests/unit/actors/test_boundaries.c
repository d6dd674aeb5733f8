/* SPDX-License-Identifier: MIT */
/*
 * A request is given up, or its client dies, at each boundary between messages: at the end nothing of it is left, and the same request
 * works. All boundaries of an add and of a fetch with `--all` (make boundaries), else some that the seed chooses.
 *
 * The reference is a run that nobody disturbs: it tells how many boundaries there are, and what a node holds that has done
 * its work. A disturbed run may hold no more, neither before the request is made again nor after.
 */
#include "helper_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "schemas/walk.h"
#include "wire/cid.h"
#include "wire/multihash.h"

enum {
    CONTENT = 200 * 1000,
    CHUNK = 64 * 1024,
    PIECE = 100 * 1000,
    SOON_S = 5,    /* state.db is written each second */
    QUIET_S = 150, /* leases of uploads and readers end, streams at rest are closed */
    SAMPLES = 6,   /* of each scene and blow */
    ROUNDS = 4,    /* of a run, each with a file of its own: what is left of each adds up */
};

static bool all;
static uint64_t seed = 1;
/* The first is to begin with, so that what grows once has grown. */
static uint8_t files[1 + ROUNDS][CONTENT];
static const uint8_t *content;
static char roots[1 + ROUNDS][128];
static char *root; /* of content; empty when it was not added yet */

static struct span packed(struct buf *to, struct pack *p)
{
    assert_int_equal(pack_end(p), ERR_OK);
    return buf_span(to);
}

/* ---- requests: false when the blow fell in them ---- */

static bool add_open(unsigned node, uint64_t *ret_upload)
{
    struct answer answer;
    struct buf args;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_u64(&p, "chunk_bytes", CHUNK);
    bool answered = pair_ask(node, "add open", packed(&args, &p), &answer);
    buf_release(&args);
    if (answered)
        assert_int_equal(walk_find_u64(answer.result, "upload", ret_upload), ERR_OK);
    return answered;
}

static bool add_write(unsigned node, uint64_t upload, uint64_t offset, uint64_t *ret_offset)
{
    struct answer answer;
    struct buf args;
    buf_init(&args, PIECE + 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_u64(&p, "upload", upload);
    pack_pair_u64(&p, "offset", offset);
    pack_text(&p, "data");
    pack_bytes(&p, span_of(content + offset, MIN((size_t)PIECE, CONTENT - offset)));
    bool answered = pair_ask(node, "add write", packed(&args, &p), &answer);
    buf_release(&args);
    if (answered)
        assert_int_equal(walk_find_u64(answer.result, "offset", ret_offset), ERR_OK);
    return answered;
}

static bool add_close(unsigned node, uint64_t upload)
{
    struct answer answer;
    struct buf args;
    struct span cid;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 2);
    pack_pair_u64(&p, "upload", upload);
    pack_pair_u64(&p, "size", CONTENT);
    bool answered = pair_ask(node, "add close", packed(&args, &p), &answer);
    buf_release(&args);
    if (!answered)
        return false;
    assert_int_equal(walk_find_text(answer.result, "cid", &cid), ERR_OK);
    assert_true(root[0] == '\0' || span_equal_text(cid, root));
    (void)snprintf(root, sizeof(roots[0]), "%.*s", (int)cid.len, (const char *)cid.data);
    return true;
}

static bool add(unsigned node)
{
    uint64_t upload;
    if (!add_open(node, &upload))
        return false;
    for (uint64_t offset = 0; offset < CONTENT;)
        if (!add_write(node, upload, offset, &offset))
            return false;
    return add_close(node, upload);
}

static bool ask_text(unsigned node, const char *op, const char *key, const char *text, struct answer *ret_answer)
{
    struct buf args;
    buf_init(&args, 512, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_text(&p, key, text);
    bool answered = pair_ask(node, op, packed(&args, &p), ret_answer);
    buf_release(&args);
    return answered;
}

static bool fetch(unsigned node)
{
    struct answer answer;
    struct span data;
    struct walk_token token;
    if (!ask_text(node, "read", "path", root, &answer))
        return false;
    if (!answer.ok)
        fail_msg("read: %.*s", (int)answer.message.len, (const char *)answer.message.data);
    assert_int_equal(walk_find(answer.result, "data", &data), ERR_OK);
    struct walk walk = {.left = data};
    assert_int_equal(walk_next(&walk, &token), ERR_OK);
    assert_true(span_equal(token.bytes, span_of(content, CONTENT)));
    return true;
}

/* Of a block that nobody has: it is wanted until the deadline. */
static bool want(unsigned node)
{
    struct answer answer;
    struct multihash hash;
    char text[CID_TEXT_MAX];
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, SHA256_BYTES, span_of(content, CONTENT), &hash), ERR_OK);
    struct cid cid = cid_v1(CODEC_RAW, &hash);
    cid_text(&cid, text);
    if (!ask_text(node, "block get", "cid", text, &answer))
        return false;
    if (answer.ok || answer.code != CODE_TIMEOUT)
        fail_msg("block get: %s, %.*s", control_code_name(answer.code), (int)answer.message.len,
                 (const char *)answer.message.data);
    return true;
}

/* ---- scenes ---- */

struct scene {
    const char *name;
    void (*warm)(void); /* with the first file */
    void (*prepare)(void);
    bool (*request)(unsigned node);
    bool ends_at_once; /* given up, nothing is wanted any more */
};

static void choose(size_t file)
{
    content = files[file];
    root = roots[file];
}

static void connect_them(void)
{
    struct answer answer;
    assert_true(ask_text(PAIR_VICTIM, "swarm connect", "address", pair_addr(0), &answer) && answer.ok);
}

static void prepare_add(void)
{
    assert_true(add(PAIR_VICTIM));
}

static void prepare_fetch(void)
{
    assert_true(add(0) && fetch(PAIR_VICTIM));
}

static void put_there(void)
{
    assert_true(add(0));
}

static void nothing(void)
{
}

static const struct scene scenes[] = {
    {.name = "add", .warm = prepare_add, .prepare = nothing, .request = add},
    {.name = "fetch", .warm = prepare_fetch, .prepare = put_there, .request = fetch},
    {.name = "want", .warm = prepare_fetch, .prepare = nothing, .request = want, .ends_at_once = true},
};

struct outcome {
    uint64_t boundaries;
    struct pair_measure quiet;
    struct pair_measure again; /* after the request was made once more */
};

static void play(const struct scene *scene, enum pair_blow blow, uint64_t at, struct outcome *ret_outcome)
{
    pair_begin(seed);
    memset(roots, 0, sizeof(roots));
    ret_outcome->boundaries = UINT64_MAX;
    connect_them();
    choose(0);
    scene->warm();
    for (size_t round = 1; round <= ROUNDS; round++) {
        choose(round);
        scene->prepare();
        pair_pass_s(1);
        pair_strike(blow, at);
        bool answered = scene->request(PAIR_VICTIM);
        uint64_t boundaries = pair_boundaries();
        assert_true(answered || boundaries >= at);
        ret_outcome->boundaries = MIN(ret_outcome->boundaries, boundaries);
        pair_pass_s(SOON_S);
        if (scene->ends_at_once)
            assert_int_equal(pair_rows(), 0);
        pair_pass_s(QUIET_S);
    }
    pair_measure(&ret_outcome->quiet);
    assert_true(scene->request(PAIR_VICTIM));
    pair_pass_s(QUIET_S);
    pair_measure(&ret_outcome->again);
    pair_end();
}

static void play_at(const struct scene *scene, enum pair_blow blow, uint64_t at, const struct outcome *reference)
{
    static struct outcome outcome;
    char what[128];
    (void)snprintf(what, sizeof(what), "%s, %s at %llu of %llu, seed %llu", scene->name,
                   blow == BLOW_CANCEL ? "given up" : "its client died", (unsigned long long)at,
                   (unsigned long long)reference->boundaries, (unsigned long long)seed);
    if (getenv("BOUNDARIES_LOG") != NULL)
        (void)fprintf(stderr, "%s\n", what);
    play(scene, blow, at, &outcome);
    pair_expect_no_more(&outcome.quiet, &reference->quiet, what);
    strncat(what, ", then asked for again", sizeof(what) - strlen(what) - 1);
    pair_expect_no_more(&outcome.again, &reference->again, what);
}

static void play_scene(const struct scene *scene)
{
    static struct outcome reference;
    struct prng prng;
    play(scene, BLOW_CANCEL, PAIR_NEVER, &reference);
    assert_in_range(reference.boundaries, 10, 5000);
    for (unsigned i = 0; i < PAIR_NODES; i++)
        assert_int_equal(reference.quiet.node[i].rows, 0);
    for (int blow = BLOW_CANCEL; blow <= BLOW_CLIENT_DIES; blow++) {
        prng_init(&prng, seed * 2 + (uint64_t)blow);
        for (uint64_t i = 1; all && i <= reference.boundaries; i++)
            play_at(scene, (enum pair_blow)blow, i, &reference);
        for (int i = 0; !all && i < SAMPLES; i++)
            play_at(scene, (enum pair_blow)blow, 1 + prng_next(&prng) % reference.boundaries, &reference);
    }
}

static void an_add_is_given_up_anywhere(void **state)
{
    (void)state;
    play_scene(&scenes[0]);
}

static void a_fetch_is_given_up_anywhere(void **state)
{
    (void)state;
    play_scene(&scenes[1]);
}

static void a_want_is_given_up_anywhere(void **state)
{
    (void)state;
    play_scene(&scenes[2]);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            all = true;
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            seed = strtoull(argv[i] + 7, NULL, 10);
        else if (strncmp(argv[i], "--test=", 7) == 0)
            cmocka_set_test_filter(argv[i] + 7);
    }
    struct prng prng;
    prng_init(&prng, 7);
    prng_fill(&prng, files, sizeof(files));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_add_is_given_up_anywhere),
        cmocka_unit_test(a_fetch_is_given_up_anywhere),
        cmocka_unit_test(a_want_is_given_up_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

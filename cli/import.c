/* SPDX-License-Identifier: MIT */
/*
 * hearth import --from-kubo: another node's blocks and pins.
 *
 *      pins --> walk from each root: nodes and leaves, under the CIDs that link to them
 *      files of blocks/ --> those the walk did not meet, as raw blocks: a file's name tells a multihash and no codec
 *      pins --> pin add, offline: a pin that is not complete is told
 *
 * What the daemon has is asked before anything is read or sent, so that an import that was broken off goes on where it was. The blocks' hashes
 * are checked by the daemon; nodes are checked here too before their links are followed. Memory is bounded: the set of nodes seen has 16
 * bytes for each, and at most SEEN_MAX of them; what lies below further ones comes with the files.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/block_sender.h"
#include "cli/kubo_pins.h"
#include "cli/kubo_repository.h"
#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/cid_set.h"
#include "wire/dag_links.h"

enum { SEEN_MAX = 1 << 22, STACK_BYTES_MAX = 512 << 20, PIN_MS = 3600 * 1000, SAID_MAX = 20 };

struct import {
    struct client *client;
    const struct invocation *in;
    struct kubo_repository from;
    struct kubo_pins *pins;
    struct block_sender sender;
    struct progress progress;
    struct cid_set seen; /* nodes with links */
    struct buf stack;    /* struct cid after struct cid: to be looked at */
    struct buf block;    /* the file being read */
    struct cid *asked;   /* BATCH_BLOCKS_MAX of them: read once it is known that they are absent */
    size_t asked_count;
    uint64_t files;   /* blocks in the repository */
    uint64_t missing; /* blocks that a pin needs and the repository does not have */
    uint64_t pinned;
    uint64_t unpinned; /* pins that could not be made */
    struct call *pin_calls[CLIENT_IN_FLIGHT];
    size_t pin_head;
    size_t pin_count;
};

static void take_bytes(void *arg, uint64_t bytes)
{
    progress_add(&((struct import *)arg)->progress, bytes);
}

static void say_block(struct import *s, const struct cid *cid, const char *what)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    progress_end(&s->progress);
    if (s->missing + s->sender.failed <= SAID_MAX)
        (void)say_error("%s: %s", text, what);
}

/* ---- blocks ---- */

/* Reads a block's file; ERR_NOT_FOUND and ERR_TOO_LARGE are told and counted, and the import goes on. */
static enum err read_block(struct import *s, const struct cid *cid)
{
    enum err err = kubo_repository_read(&s->from, &cid->hash, &s->block);
    if (err == ERR_NOT_FOUND) {
        s->missing++;
        say_block(s, cid, "is pinned or linked to, and not in the repository");
    } else if (err == ERR_TOO_LARGE) {
        s->sender.failed++;
        say_block(s, cid, "larger than 2 MiB, which no peer exchanges");
    } else if (err != ERR_OK) {
        s->sender.failed++;
        say_block(s, cid, err_text(err));
    }
    return err;
}

/* Reads and sends those of the blocks asked about that the daemon does not have. */
static int send_absent(struct import *s)
{
    bool absent[BATCH_BLOCKS_MAX] = {false};
    size_t count = s->asked_count;
    s->asked_count = 0;
    int status = count == 0 ? EXIT_OK : block_sender_absent(s->client, s->asked, count, absent);
    for (size_t i = 0; i < count && status == EXIT_OK; i++) {
        if (absent[i] && read_block(s, &s->asked[i]) == ERR_OK)
            status = block_sender_add(&s->sender, &s->asked[i], buf_span(&s->block));
    }
    return status;
}

static int ask_about(struct import *s, const struct cid *cid)
{
    s->asked[s->asked_count++] = *cid;
    return s->asked_count == BATCH_BLOCKS_MAX ? send_absent(s) : EXIT_OK;
}

/* ---- the walk ---- */

/* A block that is none of its codec is kept as it is, and its links are not followed. */
static int push_links(struct import *s, uint32_t codec, struct span node)
{
    struct dag_links links;
    struct cid cid;
    struct span name;
    if (dag_links_open(codec, node, &links) != ERR_OK)
        return EXIT_OK;
    while (dag_links_next(&links, &cid, &name)) {
        if (buf_append(&s->stack, &cid, sizeof(cid)) != ERR_OK)
            return say_error("out of memory");
    }
    return EXIT_OK;
}

/* A node whose bytes are wrong is sent all the same: the daemon refuses it and says so. */
static int look_at_node(struct import *s, const struct cid *cid)
{
    bool is_new = false;
    enum err err = cid_set_add(&s->seen, cid, &is_new);
    if (err == ERR_NOMEM)
        return say_error("out of memory");
    if (err == ERR_BUSY || !is_new)
        return EXIT_OK;
    if (read_block(s, cid) != ERR_OK)
        return EXIT_OK;
    int status = block_sender_add(&s->sender, cid, buf_span(&s->block));
    if (status == EXIT_OK && multihash_verify(&cid->hash, buf_span(&s->block)) == ERR_OK)
        status = push_links(s, cid->codec, buf_span(&s->block));
    return status;
}

static int look_at(struct import *s, const struct cid *cid)
{
    if (cid->hash.code == MULTIHASH_IDENTITY)
        return push_links(s, cid->codec, span_of(cid->hash.digest, cid->hash.len));
    return cid->codec == CODEC_RAW ? ask_about(s, cid) : look_at_node(s, cid);
}

static int walk_pin(void *arg, const struct kubo_pin *pin)
{
    struct import *s = arg;
    int status = EXIT_OK;
    if (!pin->recursive)
        return pin->cid.hash.code == MULTIHASH_IDENTITY ? EXIT_OK : ask_about(s, &pin->cid);
    if (buf_append(&s->stack, &pin->cid, sizeof(pin->cid)) != ERR_OK)
        return say_error("out of memory");
    while (status == EXIT_OK && s->stack.len > 0) {
        struct cid cid;
        s->stack.len -= sizeof(cid);
        memcpy(&cid, s->stack.data + s->stack.len, sizeof(cid));
        status = look_at(s, &cid);
    }
    return status;
}

static int take_file(void *arg, const struct multihash *hash)
{
    struct import *s = arg;
    struct cid cid = cid_v1(CODEC_RAW, hash);
    s->files++;
    return ask_about(s, &cid);
}

static int import_blocks(struct import *s)
{
    uint64_t unreadable = 0;
    int status = kubo_pins_each(s->pins, walk_pin, s, &unreadable);
    s->unpinned += unreadable;
    if (status == EXIT_OK)
        status = send_absent(s);
    if (status == EXIT_OK)
        status = block_sender_finish(&s->sender);
    if (status == EXIT_OK)
        status = kubo_repository_each(&s->from, take_file, s);
    if (status == EXIT_OK)
        status = send_absent(s);
    if (status == EXIT_OK)
        status = block_sender_finish(&s->sender);
    return status < 0 ? say_error("%s: %s", s->from.blocks, strerror(errno)) : status;
}

/* ---- pins ---- */

static int settle_pin(struct import *s)
{
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = s->pin_calls[s->pin_head];
    s->pin_head = (s->pin_head + 1) % CLIENT_IN_FLIGHT;
    s->pin_count--;
    if (call != NULL)
        call_wait(call, &outcome);
    bool over = outcome.code == CODE_NOT_RUNNING;
    s->pinned += outcome.code == CODE_OK;
    s->unpinned += outcome.code != CODE_OK;
    if (outcome.code != CODE_OK && (over || s->unpinned <= SAID_MAX))
        (void)say_outcome_error(&outcome);
    call_free(call);
    return over ? EXIT_NOT_RUNNING : EXIT_OK;
}

static int add_pin(void *arg, const struct kubo_pin *pin)
{
    struct import *s = arg;
    char text[CID_TEXT_MAX];
    struct buf args;
    cid_text(&pin->cid, text);
    buf_init(&args, 4096, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 4);
    pack_pair_text(&p, "path", text);
    pack_pair_bool(&p, "recursive", pin->recursive);
    pack_pair_text(&p, "name", pin->name);
    pack_pair_bool(&p, "offline", true);
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = call_start(s->client, "pin add", buf_span(&args), client_timeout(s->client, PIN_MS), true);
    buf_release(&args);
    s->pin_calls[(s->pin_head + s->pin_count++) % CLIENT_IN_FLIGHT] = call;
    return s->pin_count == CLIENT_IN_FLIGHT ? settle_pin(s) : EXIT_OK;
}

static int import_pins(struct import *s)
{
    uint64_t unreadable = 0;
    int status = kubo_pins_each(s->pins, add_pin, s, &unreadable);
    while (s->pin_count > 0) {
        int one = settle_pin(s);
        status = MAX(status, one);
    }
    return status;
}

/* ---- all of it ---- */

static int open_source(struct import *s, const struct cmd_import *args)
{
    char path[PATH_TEXT_MAX + 1];
    char pins[PATH_TEXT_MAX + 1];
    char why[KUBO_WHY_BYTES] = "";
    bool from_file = args->pins.len > 0;
    if (text_copy(args->from_kubo, path, sizeof(path)) != ERR_OK || text_copy(args->pins, pins, sizeof(pins)) != ERR_OK)
        return say_error("a path has a zero byte in it");
    enum err err = kubo_repository_open(path, &s->from, why);
    if (err == ERR_OK && s->from.running && !from_file)
        return say_error(
            "%s: a node runs on it: stop it, or give --pins FILE with the lines of `ipfs pin ls --names`; its blocks "
            "can be read while it runs, its pins cannot",
            path);
    if (err == ERR_OK && s->from.datastore[0] == '\0' && !from_file)
        return say_error(
            "%s: its pins are in a datastore of type \"%s\", which cannot be read: give --pins FILE with the lines of "
            "`ipfs pin ls --names`",
            path, s->from.datastore_type);
    if (err == ERR_OK)
        err = kubo_pins_open(&s->from, from_file ? pins : NULL, &s->pins, why);
    return err == ERR_OK ? EXIT_OK : say_error("%s", why[0] != '\0' ? why : err_text(err));
}

static void print_summary(const struct import *s)
{
    unsigned long long stored = s->sender.stored;
    unsigned long long bytes = s->sender.stored_bytes;
    unsigned long long failed = s->sender.failed;
    unsigned long long existed = s->files - MIN(s->files, s->sender.stored + s->sender.failed);
    unsigned long long missing = s->missing;
    unsigned long long pinned = s->pinned;
    unsigned long long unpinned = s->unpinned;
    if (s->in->globals.json)
        printf("{\"stored\":%llu,\"bytes\":%llu,\"existed\":%llu,\"failed\":%llu,\"missing\":%llu,\"pinned\":%llu,"
               "\"unpinned\":%llu}\n",
               stored, bytes, existed, failed, missing, pinned, unpinned);
    else
        printf("imported %llu blocks of %llu bytes, %llu were here; %llu pins\n", stored, bytes, existed, pinned);
    if (!s->in->globals.json && failed + missing + unpinned > 0)
        printf("left out: %llu blocks that are wrong, %llu that are missing, %llu pins\n", failed, missing, unpinned);
}

int run_import(struct client *client, const struct invocation *in, const struct cmd_import *args)
{
    struct import s = {.client = client, .in = in};
    block_sender_init(&s.sender, client);
    s.sender.taken = take_bytes;
    s.sender.arg = &s;
    cid_set_init(&s.seen, SEEN_MAX, NULL);
    buf_init(&s.stack, STACK_BYTES_MAX, NULL);
    buf_init(&s.block, BLOCK_DATA_MAX + 1, NULL);
    s.asked = calloc(BATCH_BLOCKS_MAX, sizeof(*s.asked));
    /* Held until the pins are there. When it is refused, a pin whose blocks were collected meanwhile is told as incomplete. */
    struct call *lease = call_start(client, "lease", (struct span){0}, CLIENT_LONG_MS, true);
    int status = s.asked == NULL ? say_error("out of memory") : open_source(&s, args);
    progress_begin(&s.progress, "importing", 0, args->progress);
    if (status == EXIT_OK)
        status = import_blocks(&s);
    progress_end(&s.progress);
    if (status == EXIT_OK)
        status = import_pins(&s);
    if (status == EXIT_OK) {
        print_summary(&s);
        status = s.sender.failed + s.missing + s.unpinned > 0 ? EXIT_ERROR : EXIT_OK;
    }
    call_free(lease);
    kubo_pins_close(s.pins);
    block_sender_release(&s.sender);
    cid_set_release(&s.seen);
    buf_release(&s.stack);
    buf_release(&s.block);
    free(s.asked);
    return status;
}

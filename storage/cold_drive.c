/* SPDX-License-Identifier: MIT */
#include "storage/cold_drive.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "storage/cold_directory.h"
#include "storage/cold_s3.h"

enum { ADDRESS_MAX = 256, PLACE_MAX = 2048 };

struct cold_drive {
    _Atomic uint32_t refs;
    struct cold_drive_options options;
    const char *kind;
    char place[PLACE_MAX];
    char path[COLD_DIRECTORY_PATH_MAX];
    char endpoint[ADDRESS_MAX];
    char region[ADDRESS_MAX];
    char bucket[ADDRESS_MAX];
    char prefix[ADDRESS_MAX];
    char ca_file[S3_TEXT_MAX];
    char access_key[S3_KEY_ID_MAX];
    char secret_key[S3_SECRET_MAX];

    /* Of operations that run one at a time. */
    struct cold_tier pack_tier;
    struct cold_pack *pack; /* under way; NULL: none is */
    uint64_t pack_id;

    pthread_mutex_t lock;     /* of what follows */
    struct cold_store *store; /* made with the first operation */
    struct s3_client *client;
    bool claimed;
    uint8_t mark[PACK_MARK_BYTES];
    bool up;
    uint64_t retry_at_ns;
    char why[COLD_WHY_BYTES];
    uint64_t bytes_in; /* of a folder; a client counts its own */
    uint64_t bytes_out;
};

static bool is_s3(const struct cold_drive *m)
{
    return strcmp(m->kind, "s3") == 0;
}

/* ---- life ---- */

static enum err copy(const char *from, char *to, size_t bytes)
{
    return text_copy(span_text(from == NULL ? "" : from), to, bytes);
}

static enum err copy_texts(struct cold_drive *m, const struct cold_drive_options *o)
{
    if (strcmp(m->kind, "directory") == 0) {
        (void)snprintf(m->place, sizeof(m->place), "%s", o->path);
        return copy(o->path, m->path, sizeof(m->path));
    }
    enum err err = copy(o->region, m->region, sizeof(m->region));
    if (err == ERR_OK)
        err = copy(o->endpoint, m->endpoint, sizeof(m->endpoint));
    if (err == ERR_OK)
        err = copy(o->bucket, m->bucket, sizeof(m->bucket));
    if (err == ERR_OK)
        err = copy(o->prefix, m->prefix, sizeof(m->prefix));
    if (err == ERR_OK)
        err = copy(o->ca_file, m->ca_file, sizeof(m->ca_file));
    if (err == ERR_OK)
        err = copy(o->access_key, m->access_key, sizeof(m->access_key));
    if (err == ERR_OK)
        err = copy(o->secret_key, m->secret_key, sizeof(m->secret_key));
    if (m->endpoint[0] == '\0')
        (void)snprintf(m->endpoint, sizeof(m->endpoint), "https://s3.%.200s.amazonaws.com", m->region);
    (void)snprintf(m->place, sizeof(m->place), "%s/%s/%s", m->endpoint, m->bucket, m->prefix);
    return err;
}

static void free_drive(struct cold_drive *m)
{
    struct cold_call call = {.deadline_ns = 0}; /* it has passed: nobody is asked, and a sweep does the rest */
    cold_pack_abandon(m->pack, &call);
    if (m->store != NULL)
        m->store->class->free(m->store);
    s3_client_free(m->client);
    sodium_memzero(m->secret_key, sizeof(m->secret_key));
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
}

enum err cold_drive_new(const struct cold_drive_options *options, struct cold_drive **ret_drive)
{
    bool folder = strcmp(options->kind, "directory") == 0;
    if (!folder && strcmp(options->kind, "s3") != 0)
        return ERR_INVALID;
    struct cold_drive *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NOMEM;
    m->refs = 1;
    m->options = *options;
    m->kind = folder ? "directory" : "s3";
    (void)snprintf(m->why, sizeof(m->why), "it was not asked yet");
    (void)pthread_mutex_init(&m->lock, NULL);
    enum err err = copy_texts(m, options);
    if (err != ERR_OK) {
        free_drive(m);
        return err;
    }
    *ret_drive = m;
    return ERR_OK;
}

struct cold_drive *cold_drive_ref(struct cold_drive *drive)
{
    (void)atomic_fetch_add_explicit(&drive->refs, 1, memory_order_relaxed);
    return drive;
}

void cold_drive_unref(struct cold_drive *drive)
{
    if (drive != NULL && atomic_fetch_sub_explicit(&drive->refs, 1, memory_order_acq_rel) == 1)
        free_drive(drive);
}

/* ---- before and after an operation ---- */

static enum err open_s3(struct cold_drive *m, struct cold_call *call)
{
    const struct cold_drive_options *o = &m->options;
    struct s3_options s3 = {.http = o->http,
                            .endpoint = m->endpoint,
                            .region = m->region,
                            .bucket = m->bucket,
                            .prefix = m->prefix,
                            .ca_file = m->ca_file,
                            .requests_per_s = o->requests_per_s,
                            .burst = o->burst,
                            .seed = o->seed,
                            .account = o->packs};
    enum err err = o->http == NULL
                       ? ERR_UNSUPPORTED
                       : s3_credentials_find(o->disk, o->environment, m->access_key, m->secret_key, &s3.credentials);
    if (err != ERR_OK)
        return cold_fail(
            call, ERR_DENIED,
            "there are no credentials for %s (%s): give Tiers.Cold.AccessKey and SecretKey, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY",
            m->endpoint, err_text(err));
    if (m->client == NULL)
        err = s3_client_new(&s3, &m->client, call->why);
    s3_credentials_wipe(&s3.credentials);
    if (err == ERR_OK)
        err = cold_s3_new(m->client, &m->store);
    return err == ERR_INVALID ? ERR_DENIED : err;
}

static enum err open_store(struct cold_drive *m, struct cold_call *call)
{
    if (m->store != NULL)
        return ERR_OK;
    if (is_s3(m))
        return open_s3(m, call);
    /* Without a clock: the owner cancels what has run into its deadline. */
    struct cold_directory_options options = {.port = m->options.disk, .folder = m->path};
    return cold_directory_new(&options, &m->store);
}

/* What the operation works on. */
static enum err enter(struct cold_drive *m, struct cold_call *call, bool is_claim, struct cold_tier *ret_tier)
{
    if (cold_cancelled(call))
        return ERR_CANCELLED;
    (void)pthread_mutex_lock(&m->lock);
    enum err err = open_store(m, call);
    if (err == ERR_OK && !is_claim && !m->claimed)
        err = cold_fail(call, ERR_UNAVAILABLE, "%s", m->why[0] == '\0' ? "it is not known to be ours" : m->why);
    *ret_tier = (struct cold_tier){.store = m->store, .pack_bytes = m->options.pack_bytes, .account = m->options.packs};
    memcpy(ret_tier->mark, m->mark, PACK_MARK_BYTES);
    (void)pthread_mutex_unlock(&m->lock);
    return err;
}

/* What an operation's end says of the medium; `asked`: it has been asked for certain. */
static void leave(struct cold_drive *m, const struct cold_call *call, enum err err, bool is_claim, bool asked)
{
    bool down = err == ERR_DENIED || (is_claim && (err == ERR_NOT_FOUND || err == ERR_CORRUPT)) ||
                (err == ERR_UNAVAILABLE && (!is_s3(m) || call->retry_at_ns != 0)); /* else the time was too short */
    bool answered = (err == ERR_OK && asked) || err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_NO_SPACE;
    (void)pthread_mutex_lock(&m->lock);
    if (down || answered) {
        m->up = !down && m->claimed;
        m->retry_at_ns = call->retry_at_ns;
        (void)snprintf(m->why, sizeof(m->why), "%s", down || err == ERR_NO_SPACE ? call->why : "");
    }
    (void)pthread_mutex_unlock(&m->lock);
}

static void count(struct cold_drive *m, uint64_t bytes_in, uint64_t bytes_out)
{
    (void)pthread_mutex_lock(&m->lock);
    m->bytes_in += bytes_in;
    m->bytes_out += bytes_out;
    (void)pthread_mutex_unlock(&m->lock);
}

/* ---- the operations ---- */

static void give_up_pack(struct cold_drive *m, struct cold_call *call)
{
    struct cold_call removal = {.deadline_ns = call->deadline_ns}; /* also when this call is cancelled */
    cold_pack_abandon(m->pack, &removal);
    m->pack = NULL;
}

static enum err claim(struct cold_drive *m, const struct cold_tier *tier, struct cold_call *call, struct store_cold *op)
{
    uint8_t found[PACK_MARK_BYTES];
    enum err err;
    if (op->adopt) {
        err = cold_tier_find(tier->store, call, found);
        if (err == ERR_NOT_FOUND)
            (void)cold_fail(call, err, "%s lacks " COLD_MARK_NAME ", the mark of the cold tier: is it mounted?",
                            m->place);
        if (err == ERR_OK && memcmp(found, op->mark, PACK_MARK_BYTES) != 0)
            err = cold_fail(call, ERR_DENIED, "%s has the mark of another store", m->place);
    } else {
        err = cold_tier_claim(tier->store, call, op->mark);
    }
    (void)pthread_mutex_lock(&m->lock);
    if (err == ERR_OK)
        memcpy(m->mark, op->mark, PACK_MARK_BYTES);
    m->claimed = err == ERR_OK || (m->claimed && memcmp(m->mark, op->mark, PACK_MARK_BYTES) == 0);
    (void)pthread_mutex_unlock(&m->lock);
    (void)snprintf(op->kind_name, sizeof(op->kind_name), "%s", m->kind);
    (void)snprintf(op->place_name, sizeof(op->place_name), "%.*s", (int)sizeof(op->place_name) - 1, m->place);
    return err;
}

static enum err begin(struct cold_drive *m, const struct cold_tier *tier, struct cold_call *call, uint64_t pack)
{
    give_up_pack(m, call);
    m->pack_tier = *tier; /* it stays where it is while the pack is written */
    m->pack_id = pack;
    return cold_pack_begin(&m->pack_tier, call, pack, &m->pack);
}

static bool is_under_way(const struct cold_drive *m, struct cold_call *call, uint64_t pack)
{
    if (m->pack != NULL && m->pack_id == pack)
        return true;
    (void)cold_fail(call, ERR_CLOSED, "the pack is not being written any more");
    return false;
}

static enum err add(struct cold_drive *m, struct cold_call *call, struct store_cold *op)
{
    if (!is_under_way(m, call, op->pack))
        return ERR_CLOSED;
    struct cold_place place = {.pack = op->pack};
    enum err err = cold_pack_add(m->pack, call, &op->place.key, op->place.codec, block_ref_span(op->ref), &place);
    if (err == ERR_OK)
        op->place = place;
    if (err != ERR_OK && err != ERR_BUSY && err != ERR_TOO_LARGE)
        give_up_pack(m, call);
    return err;
}

static enum err end(struct cold_drive *m, struct cold_call *call, struct store_cold *op)
{
    struct pack_tail tail;
    if (!is_under_way(m, call, op->pack))
        return ERR_CLOSED;
    struct cold_pack *pack = m->pack;
    m->pack = NULL;
    enum err err = cold_pack_end(pack, call, &tail);
    if (err != ERR_OK)
        return err;
    op->bytes = tail.bytes;
    op->records = tail.records;
    count(m, 0, tail.bytes);
    return ERR_OK;
}

struct index_page {
    struct store_cold *op;
    uint32_t at; /* number of the next record */
};

static enum err one_of_index(void *arg, const struct cold_place *place)
{
    struct index_page *page = arg;
    struct store_cold *op = page->op;
    uint32_t number = page->at++;
    if (number < op->from)
        return ERR_OK;
    if (op->count == STORE_COLD_PAGE)
        op->next = op->next == 0 ? number : op->next;
    else
        op->places[op->count++] = *place;
    return ERR_OK;
}

static enum err one_of_packs(void *arg, uint64_t pack, uint64_t bytes)
{
    struct store_cold *op = arg;
    if (op->count == STORE_COLD_PAGE)
        return ERR_TOO_LARGE; /* a listing has a thousand at most */
    op->packs[op->count++] = (struct store_pack){.pack = pack, .bytes = bytes};
    return ERR_OK;
}

static enum err read_block(struct cold_drive *m, struct cold_tier *tier, struct cold_call *call, struct store_cold *op)
{
    enum err err = cold_tier_read(tier, call, &op->place, m->options.reads, &op->ref);
    count(m, err == ERR_OK ? pack_record_bytes(&op->place) : 0, 0);
    return err;
}

static enum err check(struct cold_drive *m, struct cold_tier *tier, struct cold_call *call, struct store_cold *op)
{
    struct pack_tail tail;
    enum err err = cold_tier_check(tier, call, op->pack, &tail);
    if (err != ERR_OK)
        return err;
    op->bytes = tail.bytes;
    op->records = tail.records;
    count(m, tail.bytes, 0);
    return ERR_OK;
}

static enum err carry_out(struct cold_drive *m, struct cold_tier *tier, struct cold_call *call, struct store_cold *op)
{
    struct index_page page = {.op = op};
    uint64_t swept = 0;
    op->count = 0;
    op->next = 0;
    switch (op->kind) {
    case STORE_COLD_READ:
        return read_block(m, tier, call, op);
    case STORE_COLD_BEGIN:
        return begin(m, tier, call, op->pack);
    case STORE_COLD_ADD:
        return add(m, call, op);
    case STORE_COLD_END:
        return end(m, call, op);
    case STORE_COLD_ABANDON:
        break; /* not here */
    case STORE_COLD_REMOVE:
        return cold_tier_remove(tier, call, op->pack);
    case STORE_COLD_SWEEP:
        give_up_pack(m, call);
        return cold_tier_sweep(tier, call, &swept);
    case STORE_COLD_INDEX:
        return cold_tier_index(tier, call, op->pack, one_of_index, &page);
    case STORE_COLD_PACKS:
        return cold_tier_packs(tier, call, op->pack, one_of_packs, op, &op->next);
    case STORE_COLD_CHECK:
        return check(m, tier, call, op);
    case STORE_COLD_CLAIM:
        return claim(m, tier, call, op);
    }
    return ERR_INTERNAL;
}

enum err cold_drive_run(struct cold_drive *drive, struct store_cold *op, const _Atomic bool *cancelled)
{
    struct cold_call call = {.deadline_ns = op->deadline_ns, .cancelled = cancelled};
    struct cold_tier tier;
    bool is_claim = op->kind == STORE_COLD_CLAIM;
    if (op->kind == STORE_COLD_ABANDON) {
        if (drive->pack != NULL && drive->pack_id == op->pack)
            give_up_pack(drive, &call);
        return ERR_OK;
    }
    enum err err = enter(drive, &call, is_claim, &tier);
    bool entered = err == ERR_OK;
    if (entered)
        err = carry_out(drive, &tier, &call, op);
    /* A pack that begins or grows may be in memory still. */
    bool asked = entered && op->kind != STORE_COLD_BEGIN && op->kind != STORE_COLD_ADD;
    leave(drive, &call, err, is_claim, asked);
    (void)snprintf(op->why, sizeof(op->why), "%s", call.why);
    return err;
}

void cold_drive_facts(struct cold_drive *drive, struct cold_facts *ret_facts)
{
    (void)pthread_mutex_lock(&drive->lock);
    *ret_facts = (struct cold_facts){.kind = drive->kind,
                                     .place = drive->place,
                                     .up = drive->up,
                                     .retry_at_ns = drive->retry_at_ns,
                                     .is_counted = is_s3(drive),
                                     .requests = {.bytes_in = drive->bytes_in, .bytes_out = drive->bytes_out}};
    memcpy(ret_facts->why, drive->why, sizeof(drive->why));
    if (drive->client != NULL) {
        char trouble[COLD_WHY_BYTES]; /* of a request that may go on for long */
        s3_client_trouble(drive->client, trouble);
        ret_facts->requests = s3_client_counters(drive->client);
        if (!drive->up && trouble[0] != '\0')
            memcpy(ret_facts->why, trouble, sizeof(trouble));
    }
    (void)pthread_mutex_unlock(&drive->lock);
}

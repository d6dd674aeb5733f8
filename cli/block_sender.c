/* SPDX-License-Identifier: MIT */
#include "cli/block_sender.h"

#include "cli/run.h"
#include "schemas/pack.h"

enum { SEND_MS = 120000, CID_ITEM_MAX = CID_TEXT_MAX + 8 };

void block_sender_init(struct block_sender *s, struct client *client)
{
    *s = (struct block_sender){.client = client};
    for (size_t i = 0; i < SENDER_IN_FLIGHT; i++) {
        buf_init(&s->batches[i].blocks, REQUEST_BYTES_MAX, NULL);
        buf_init(&s->batches[i].cids, (size_t)BATCH_BLOCKS_MAX * CID_ITEM_MAX, NULL);
    }
}

void block_sender_release(struct block_sender *s)
{
    for (size_t i = 0; i < SENDER_IN_FLIGHT; i++) {
        call_free(s->batches[i].call);
        buf_release(&s->batches[i].blocks);
        buf_release(&s->batches[i].cids);
    }
}

static int say_unreadable(void)
{
    return say_error("the daemon's answer cannot be read");
}

static bool add_cid(struct buf *to, const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    return schema_list_add_text(to, span_text(text)) == ERR_OK;
}

/* ---- which are stored ---- */

static int ask_has(struct client *client, const struct schema_list *cids, bool *ret_absent)
{
    struct buf args;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_text(&p, "cid");
    pack_array(&p, cids->count);
    pack_raw(&p, cids->raw);
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "block has", buf_span(&args), client_timeout(client, SEND_MS), false, &outcome);
    buf_release(&args);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    struct elements rows = value_elements(outcome.result, "blocks");
    struct span row;
    if (status == EXIT_OK && rows.left != cids->count)
        status = say_unreadable();
    for (size_t i = 0; status == EXIT_OK && elements_next(&rows, &row); i++)
        ret_absent[i] = !value_bool(row, "stored");
    call_free(call);
    return status;
}

int block_sender_absent(struct client *client, const struct cid *cids, size_t count, bool *ret_absent)
{
    struct buf list;
    bool good = true;
    buf_init(&list, (size_t)BATCH_BLOCKS_MAX * CID_ITEM_MAX, NULL);
    for (size_t i = 0; i < count && good; i++)
        good = add_cid(&list, &cids[i]);
    struct schema_list items = schema_list_of(&list, (uint32_t)count);
    int status = good ? ask_has(client, &items, ret_absent) : say_error("out of memory");
    buf_release(&list);
    return status;
}

/* ---- requests ---- */

static struct sender_batch *gathering(struct block_sender *s)
{
    return &s->batches[(s->head + s->count) % SENDER_IN_FLIGHT];
}

static void clear(struct sender_batch *b)
{
    call_free(b->call);
    b->call = NULL;
    b->count = 0;
    buf_clear(&b->blocks);
    buf_clear(&b->cids);
}

/* Leaves out of a batch what the daemon has. */
static int drop_stored(struct block_sender *s, struct sender_batch *b)
{
    bool absent[BATCH_BLOCKS_MAX] = {false};
    struct schema_list blocks = schema_list_of(&b->blocks, b->count);
    struct schema_list cids = schema_list_of(&b->cids, b->count);
    size_t block_position = 0;
    size_t cid_position = 0;
    struct buf kept;
    struct buf kept_cids;
    int status = ask_has(s->client, &cids, absent);
    if (status != EXIT_OK)
        return status;
    buf_init(&kept, REQUEST_BYTES_MAX, NULL);
    buf_init(&kept_cids, (size_t)BATCH_BLOCKS_MAX * CID_ITEM_MAX, NULL);
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count && status == EXIT_OK; i++) {
        size_t block_from = block_position;
        size_t cid_from = cid_position;
        struct span item;
        (void)schema_list_next_bytes(&blocks, &block_position, &item);
        (void)schema_list_next_bytes(&cids, &cid_position, &item);
        if (!absent[i])
            continue;
        count++;
        if (buf_append_span(&kept, span_first(span_skip(blocks.raw, block_from), block_position - block_from)) !=
                ERR_OK ||
            buf_append_span(&kept_cids, span_first(span_skip(cids.raw, cid_from), cid_position - cid_from)) != ERR_OK)
            status = say_error("out of memory");
    }
    buf_release(&b->blocks);
    buf_release(&b->cids);
    b->blocks = kept;
    b->cids = kept_cids;
    b->count = count;
    return status;
}

/* Sends the blocks from a position of both lists on. */
static bool transmit(struct block_sender *s, struct sender_batch *b, size_t block_position, size_t cid_position)
{
    struct buf args;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 2);
    pack_text(&p, "data");
    pack_array(&p, b->count);
    pack_raw(&p, span_skip(buf_span(&b->blocks), block_position));
    pack_text(&p, "cid");
    pack_array(&p, b->count);
    pack_raw(&p, span_skip(buf_span(&b->cids), cid_position));
    call_free(b->call);
    b->call = NULL;
    if (pack_end(&p) == ERR_OK)
        b->call = call_start(s->client, "block put many", buf_span(&args), client_timeout(s->client, SEND_MS), true);
    buf_release(&args);
    return b->call != NULL;
}

/* A block that is wrong is told and left out; a store that takes no more ends it. */
static int take_row(struct block_sender *s, struct span row, size_t bytes)
{
    struct span error;
    if (walk_find(row, "error", &error) != ERR_OK) {
        bool existed = value_bool(row, "existed");
        s->stored += !existed;
        s->stored_bytes += existed ? 0 : bytes;
        if (s->taken != NULL)
            s->taken(s->arg, bytes);
        return EXIT_OK;
    }
    struct span cid = value_text(row, "cid");
    struct span message = value_text(error, "message");
    enum control_code code = control_code_of(value_text(error, "code"));
    s->failed++;
    (void)say_error("%.*s: %.*s", (int)cid.len, (const char *)cid.data, (int)message.len, (const char *)message.data);
    bool its_own = code == CODE_CORRUPT || code == CODE_UNSUPPORTED || code == CODE_TOO_LARGE || code == CODE_INVALID;
    return its_own ? EXIT_OK : control_code_exit(code);
}

/* Takes the answer to the oldest; blocks that it leaves out are sent again. */
static int settle(struct block_sender *s)
{
    struct sender_batch *b = &s->batches[s->head];
    struct schema_list blocks = schema_list_of(&b->blocks, b->count);
    struct schema_list cids = schema_list_of(&b->cids, b->count);
    size_t block_position = 0;
    size_t cid_position = 0;
    int status = EXIT_OK;
    while (b->count > 0 && status == EXIT_OK) {
        struct outcome outcome;
        struct span row;
        struct span item;
        call_wait(b->call, &outcome);
        struct elements rows = value_elements(outcome.result, "blocks");
        if (outcome.code != CODE_OK)
            status = say_outcome_error(&outcome);
        else if (rows.left == 0 || rows.left > b->count)
            status = say_unreadable();
        while (status == EXIT_OK && elements_next(&rows, &row)) {
            (void)schema_list_next_bytes(&cids, &cid_position, &item);
            (void)schema_list_next_bytes(&blocks, &block_position, &item);
            b->count--;
            status = take_row(s, row, item.len);
        }
        if (status == EXIT_OK && b->count > 0 && !transmit(s, b, block_position, cid_position))
            status = say_error("out of memory");
    }
    clear(b);
    s->head = (s->head + 1) % SENDER_IN_FLIGHT;
    s->count--;
    return status;
}

static int send_gathered(struct block_sender *s)
{
    struct sender_batch *b = gathering(s);
    int status = b->count == 0 ? EXIT_OK : drop_stored(s, b);
    if (status != EXIT_OK || b->count == 0) {
        clear(b);
        return status;
    }
    if (!transmit(s, b, 0, 0))
        return say_error("out of memory");
    s->count++;
    return s->count == SENDER_IN_FLIGHT ? settle(s) : EXIT_OK;
}

int block_sender_add(struct block_sender *s, const struct cid *cid, struct span block)
{
    struct sender_batch *b = gathering(s);
    int status = EXIT_OK;
    if (b->count == BATCH_BLOCKS_MAX || (b->count > 0 && b->blocks.len + block.len > SENDER_BYTES))
        status = send_gathered(s);
    if (status != EXIT_OK)
        return status;
    b = gathering(s);
    if (schema_list_add_bytes(&b->blocks, block) != ERR_OK || !add_cid(&b->cids, cid))
        return say_error("out of memory");
    b->count++;
    return EXIT_OK;
}

int block_sender_finish(struct block_sender *s)
{
    int status = send_gathered(s);
    while (status == EXIT_OK && s->count > 0)
        status = settle(s);
    return status;
}

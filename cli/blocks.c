/* SPDX-License-Identifier: MIT */
/* Commands about blocks, many in one request: block get, block stat, block has, block rm, block put. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/run.h"
#include "schemas/pack.h"

enum { PUT_ROOM_BYTES = 3 * 1024 * 1024, READ_BYTES = 64 * 1024, PUT_MS = 30000 };

/* Prints one block's result; returns the exit status that it means. */
typedef int row_printer(const struct invocation *in, struct span row);

/* The error of one block, which names it. */
static int say_row_error(struct span row, struct span error)
{
    struct span cid = value_text(row, "cid");
    struct span message = value_text(error, "message");
    bool named = memmem(message.data, message.len, cid.data, cid.len) != NULL;
    (void)say_error("%.*s%s%.*s", named ? 0 : (int)cid.len, (const char *)cid.data, named ? "" : ": ", (int)message.len,
                    (const char *)message.data);
    return control_code_exit(control_code_of(value_text(error, "code")));
}

/* The results of an answer; the worst status. */
static int print_rows(const struct invocation *in, struct span result, row_printer *print)
{
    struct elements rows = value_elements(result, "blocks");
    struct span row;
    struct span error;
    int status = EXIT_OK;
    while (elements_next(&rows, &row)) {
        bool failed = walk_find(row, "error", &error) == ERR_OK;
        int one = failed ? say_row_error(row, error) : print(in, row);
        status = MAX(status, one);
    }
    return status;
}

/* ---- block get, stat, has, rm: by their CIDs ---- */

static struct call *ask_about(struct client *client, const char *op, const struct schema_list *cids, size_t position,
                              bool force, struct outcome *ret_outcome)
{
    struct buf args;
    struct span cid;
    uint32_t count = 0;
    bool mutates = operation_find(span_text(op))->mutates;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, mutates ? 2 : 1);
    pack_text(&p, "cid");
    size_t where = pack_array_open(&p);
    for (; schema_list_next_bytes(cids, &position, &cid); count++)
        pack_span(&p, cid);
    pack_count(&p, where, count);
    if (mutates)
        pack_pair_bool(&p, "force", force);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, op, buf_span(&args), client_timeout(client, CLIENT_LONG_MS), mutates, ret_outcome);
    buf_release(&args);
    return call;
}

/* Asks again for those at the end that an answer leaves out. */
static int run_many(struct client *client, const struct invocation *in, const char *op, const struct schema_list *cids,
                    bool force, row_printer *print)
{
    size_t position = 0;
    struct span cid;
    int status = EXIT_OK;
    for (uint32_t left = cids->count; left > 0;) {
        struct outcome outcome;
        struct call *call = ask_about(client, op, cids, position, force, &outcome);
        uint32_t answered = value_elements(outcome.result, "blocks").left;
        int one = outcome.code == CODE_OK ? print_rows(in, outcome.result, print) : say_outcome_error(&outcome);
        if (outcome.code == CODE_OK && (answered == 0 || answered > left))
            one = say_error("the daemon's answer cannot be read");
        call_free(call);
        status = MAX(status, one);
        if (answered == 0 || answered > left)
            return MAX(status, EXIT_ERROR);
        for (left -= answered; answered > 0; answered--)
            (void)schema_list_next_bytes(cids, &position, &cid);
    }
    return fflush(stdout) == 0 ? status : say_error("standard output cannot be written");
}

static int print_block(const struct invocation *in, struct span row)
{
    struct span data = value_text(row, "data");
    if (in->globals.json)
        print_json(row);
    else
        (void)fwrite(data.data, 1, data.len, stdout);
    return EXIT_OK;
}

int run_block_get(struct client *client, const struct invocation *in, const struct cmd_block_get *args)
{
    return run_many(client, in, "block get many", &args->cid, false, print_block);
}

static int print_stat(const struct invocation *in, struct span row)
{
    if (in->globals.json) {
        print_json(row);
        return EXIT_OK;
    }
    (void)fputs("Key: ", stdout);
    print_cid(stdout, &in->globals, value_text(row, "cid"));
    printf("\nSize: %llu\n", (unsigned long long)value_u64(row, "size"));
    return EXIT_OK;
}

int run_block_stat(struct client *client, const struct invocation *in, const struct cmd_block_stat *args)
{
    return run_many(client, in, "block stat many", &args->cid, false, print_stat);
}

static int print_has(const struct invocation *in, struct span row)
{
    bool stored = value_bool(row, "stored");
    if (in->globals.json) {
        print_json(row);
    } else {
        print_cid(stdout, &in->globals, value_text(row, "cid"));
        printf(stored ? " %llu\n" : " absent\n", (unsigned long long)value_u64(row, "size"));
    }
    return stored ? EXIT_OK : EXIT_NOT_FOUND;
}

int run_block_has(struct client *client, const struct invocation *in, const struct cmd_block_has *args)
{
    return run_many(client, in, "block has", &args->cid, false, print_has);
}

static int print_removed(const struct invocation *in, struct span row)
{
    if (in->globals.json) {
        print_json(row);
        return EXIT_OK;
    }
    (void)fputs("removed ", stdout);
    print_cid(stdout, &in->globals, value_text(row, "cid"));
    (void)putchar('\n');
    return EXIT_OK;
}

static int print_nothing(const struct invocation *in, struct span row)
{
    (void)in;
    (void)row;
    return EXIT_OK;
}

int run_block_rm(struct client *client, const struct invocation *in, const struct cmd_block_rm *args)
{
    return run_many(client, in, "block rm many", &args->cid, args->force, args->quiet ? print_nothing : print_removed);
}

/* ---- block put ---- */

/* Blocks that were read and not sent yet. */
struct put_state {
    struct client *client;
    const struct invocation *in;
    const struct cmd_block_put *args;
    struct buf blocks; /* items of a schema_list */
    uint32_t count;
};

static int print_put(const struct invocation *in, struct span row)
{
    if (in->globals.json) {
        print_json(row);
        return EXIT_OK;
    }
    print_cid(stdout, &in->globals, value_text(row, "cid"));
    (void)putchar('\n');
    return EXIT_OK;
}

static struct call *ask_put(const struct put_state *s, struct span blocks, uint32_t count, struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_text(&p, "data");
    pack_array(&p, count);
    pack_raw(&p, blocks);
    pack_pair_span(&p, "cid_codec", s->args->cid_codec);
    pack_pair_span(&p, "mhtype", s->args->mhtype);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(s->client, "block put many", buf_span(&args), client_timeout(s->client, PUT_MS), true, ret_outcome);
    buf_release(&args);
    return call;
}

/* Sends what was read; those at the end that found no room are sent again. */
static int send_blocks(struct put_state *s)
{
    struct schema_list list = schema_list_of(&s->blocks, s->count);
    size_t position = 0;
    struct span block;
    int status = EXIT_OK;
    while (s->count > 0 && status == EXIT_OK) {
        struct outcome outcome;
        struct call *call = ask_put(s, span_skip(list.raw, position), s->count, &outcome);
        uint32_t answered = value_elements(outcome.result, "blocks").left;
        status = outcome.code == CODE_OK ? print_rows(s->in, outcome.result, print_put) : say_outcome_error(&outcome);
        if (status == EXIT_OK && (answered == 0 || answered > s->count))
            status = say_error("the daemon's answer cannot be read");
        for (s->count -= MIN(answered, s->count); answered > 0; answered--)
            (void)schema_list_next_bytes(&list, &position, &block);
        call_free(call);
    }
    buf_clear(&s->blocks);
    s->count = 0;
    return status;
}

static int read_whole(int fd, size_t most, struct buf *to)
{
    for (;;) {
        uint8_t *at = buf_reserve(to, READ_BYTES);
        if (at == NULL)
            return say_error("at most %zu bytes are taken", most);
        ssize_t n = read(fd, at, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return say_error("reading failed: %s", strerror(errno));
        if (n == 0)
            return to->len <= most ? EXIT_OK : say_error("at most %zu bytes are taken", most);
        buf_commit(to, (size_t)n);
    }
}

int read_input(struct span path, size_t most, struct buf *to)
{
    char name[PATH_TEXT_MAX + 1];
    memcpy(name, path.data, path.len);
    name[path.len] = '\0';
    bool standard_input = strcmp(name, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say_error("%s: %s", name, strerror(errno));
    buf_init(to, most + READ_BYTES, NULL);
    int status = read_whole(fd, most, to);
    if (!standard_input)
        (void)close(fd);
    return status;
}

struct call *ask_block_put(struct client *client, struct span data, struct span codec, struct span hash, bool pin,
                           struct outcome *ret_outcome)
{
    struct buf args;
    struct call *call = NULL;
    buf_init(&args, REQUEST_BYTES_MAX, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 4);
    pack_text(&p, "data");
    pack_bytes(&p, data);
    pack_pair_span(&p, "cid_codec", codec);
    pack_pair_span(&p, "mhtype", hash);
    pack_pair_bool(&p, "pin", pin);
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "block put", buf_span(&args), client_timeout(client, PUT_MS), true, ret_outcome);
    buf_release(&args);
    return call;
}

/* With a pin: one by one, since a pin is asked for with its block. */
static int put_pinned(const struct put_state *s, struct span data)
{
    struct outcome outcome;
    struct call *call = ask_block_put(s->client, data, s->args->cid_codec, s->args->mhtype, true, &outcome);
    int status = outcome.code == CODE_OK ? print_put(s->in, outcome.result) : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

static int take_block(struct put_state *s, struct span data)
{
    if (s->args->pin)
        return put_pinned(s, data);
    int status = EXIT_OK;
    if (s->count == BATCH_BLOCKS_MAX || s->blocks.len + data.len > PUT_ROOM_BYTES)
        status = send_blocks(s);
    if (status == EXIT_OK && schema_list_add_bytes(&s->blocks, data) != ERR_OK)
        status = say_error("out of memory");
    s->count += status == EXIT_OK;
    return status;
}

static int put_path(struct put_state *s, struct span path)
{
    struct buf data = {0};
    int status = read_input(path, BLOCK_DATA_MAX, &data);
    if (status == EXIT_OK)
        status = take_block(s, buf_span(&data));
    buf_release(&data);
    return status;
}

int run_block_put(struct client *client, const struct invocation *in, const struct cmd_block_put *args)
{
    struct put_state s = {.client = client, .in = in, .args = args};
    size_t position = 0;
    struct span text;
    buf_init(&s.blocks, REQUEST_BYTES_MAX, NULL);
    int status = args->path.count == 0 ? put_path(&s, span_text("-")) : EXIT_OK;
    while (status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &text))
        status = put_path(&s, text);
    int sent = send_blocks(&s); /* what was read before an error is stored and named */
    buf_release(&s.blocks);
    return MAX(status, sent);
}

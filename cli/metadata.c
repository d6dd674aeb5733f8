/* SPDX-License-Identifier: MIT */
/* Commands about metadata: put and update with key=value on the line, query in pages. */
#include "cli/run.h"
#include "schemas/json.h"
#include "schemas/pack.h"

enum { VALUES_BYTES = 64 * 1024, ASK_MS = 30000 };

/* A value as JSON, where it is any; else as text. */
static void pack_value(struct pack *p, struct span text)
{
    struct buf packed;
    buf_init(&packed, VALUES_BYTES, NULL);
    if (json_to_msgpack(text, &packed, NULL) == ERR_OK)
        pack_raw(p, buf_span(&packed));
    else
        pack_span(p, text);
    buf_release(&packed);
}

static size_t equals_at(struct span word)
{
    const uint8_t *at = memchr(word.data, '=', word.len);
    return at == NULL ? word.len : (size_t)(at - word.data);
}

/* {cid, metadata: those with a =, remove: those without}. ret_bare: how many those are. */
static enum err pack_words(const struct schema_list *words, struct buf *to, uint32_t *ret_bare)
{
    size_t position = 0;
    struct span word;
    uint32_t pairs = 0;
    struct pack p = pack_begin(to);
    pack_map(&p, 3);
    (void)schema_list_next_bytes(words, &position, &word);
    size_t first = position;
    pack_pair_span(&p, "cid", word);
    pack_text(&p, "metadata");
    size_t where = pack_map_open(&p);
    while (schema_list_next_bytes(words, &position, &word)) {
        size_t equals = equals_at(word);
        if (equals == word.len)
            continue;
        pack_span(&p, span_first(word, equals));
        pack_value(&p, span_skip(word, equals + 1));
        pairs++;
    }
    pack_count(&p, where, pairs);
    pack_text(&p, "remove");
    where = pack_array_open(&p);
    *ret_bare = 0;
    for (position = first; schema_list_next_bytes(words, &position, &word);) {
        if (equals_at(word) < word.len)
            continue;
        pack_span(&p, word);
        (*ret_bare)++;
    }
    pack_count(&p, where, *ret_bare);
    return pack_end(&p);
}

static int send(struct client *client, const struct invocation *in, const char *op, struct span args)
{
    struct outcome outcome;
    struct call *call = ask(client, op, args, client_timeout(client, ASK_MS), true, &outcome);
    int status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (status == EXIT_OK && in->globals.json)
        print_json(outcome.result);
    call_free(call);
    return status;
}

/* Without removals: the operation has no such argument. */
static enum err drop_remove(struct span packed, struct buf *to)
{
    struct span cid;
    struct span metadata;
    if (walk_find(packed, "cid", &cid) != ERR_OK || walk_find(packed, "metadata", &metadata) != ERR_OK)
        return ERR_INVALID;
    struct pack p = pack_begin(to);
    pack_map(&p, 2);
    pack_text(&p, "cid");
    pack_raw(&p, cid);
    pack_text(&p, "metadata");
    pack_raw(&p, metadata);
    return pack_end(&p);
}

int run_metadata_put(struct client *client, const struct invocation *in, const struct cmd_metadata_put *args)
{
    struct buf packed;
    struct buf kept;
    uint32_t bare = 0;
    buf_init(&packed, REQUEST_BYTES_MAX, NULL);
    buf_init(&kept, REQUEST_BYTES_MAX, NULL);
    int status = EXIT_OK;
    if (pack_words(&args->word, &packed, &bare) != ERR_OK || drop_remove(buf_span(&packed), &kept) != ERR_OK)
        status = say_error("out of memory");
    else if (bare > 0)
        status = say_error("after the CID come key=value; `metadata update` removes keys") + EXIT_USAGE - EXIT_ERROR;
    if (status == EXIT_OK)
        status = send(client, in, "metadata put", buf_span(&kept));
    buf_release(&packed);
    buf_release(&kept);
    return status;
}

int run_metadata_update(struct client *client, const struct invocation *in, const struct cmd_metadata_update *args)
{
    struct buf packed;
    uint32_t bare = 0;
    buf_init(&packed, REQUEST_BYTES_MAX, NULL);
    int status = pack_words(&args->word, &packed, &bare) == ERR_OK ? EXIT_OK : say_error("out of memory");
    if (status == EXIT_OK)
        status = send(client, in, "metadata update", buf_span(&packed));
    buf_release(&packed);
    return status;
}

/* ---- query ---- */

static struct call *ask_query(struct client *client, const struct cmd_metadata_query *a, const char *after,
                              struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, VALUES_BYTES, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 4);
    pack_pair_span(&p, "key", a->key);
    pack_pair_span(&p, "value", a->value);
    pack_pair_span(&p, "prefix", a->prefix);
    pack_pair_text(&p, "after", after);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, "metadata query", buf_span(&args), client_timeout(client, ASK_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static void print_entry(const struct invocation *in, struct span entry)
{
    struct span metadata;
    if (in->globals.json || walk_find(entry, "metadata", &metadata) != ERR_OK) {
        print_json(entry);
        return;
    }
    print_cid(stdout, &in->globals, value_text(entry, "cid"));
    (void)fputs(value_bool(entry, "stored") ? " " : " (absent) ", stdout);
    print_json(metadata);
}

int run_metadata_query(struct client *client, const struct invocation *in, const struct cmd_metadata_query *args)
{
    char after[512] = "";
    int status = EXIT_OK;
    for (bool more = true; more && status == EXIT_OK;) {
        struct outcome outcome;
        struct call *call = ask_query(client, args, after, &outcome);
        status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
        more = status == EXIT_OK && value_bool(outcome.result, "more");
        struct elements entries = value_elements(outcome.result, "entries");
        struct span entry;
        while (status == EXIT_OK && elements_next(&entries, &entry))
            print_entry(in, entry);
        struct span next = value_text(outcome.result, "next");
        (void)snprintf(after, sizeof(after), "%.*s", (int)next.len, (const char *)next.data);
        call_free(call);
    }
    return fflush(stdout) == 0 ? status : say_error("standard output cannot be written");
}

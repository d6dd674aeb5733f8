/* SPDX-License-Identifier: MIT */
/*
 * refs: the links of a graph, as the daemon tells them block by block, in depth-first order.
 *
 *      stack of links still to be printed:   src dst name {lengths, depth} | src dst name {lengths, depth} | ...
 *
 * A block that many link to is printed for each link but entered once, so that a graph of a million paths ends; with --max-depth it
 * is entered each time, since it may be reached again from higher up. Raw blocks link to nothing and are not asked for.
 */
#include <stdlib.h>

#include "cli/run.h"
#include "schemas/pack.h"
#include "storage/cid_set.h"

enum { REFS_MAX = 1 << 28, FORMAT_MAX = 1024 };

struct link_head {
    uint32_t src_len;
    uint32_t dst_len;
    uint32_t name_len;
    uint32_t depth;
};

struct link {
    struct span src;
    struct span dst;
    struct span name;
    uint64_t depth; /* 1 = of the root */
};

struct refs_walk {
    struct client *client;
    const struct invocation *in;
    const struct cmd_refs *args;
    char format[FORMAT_MAX];
    struct buf stack;
    struct cid_set seen;
};

/* ---- the stack ---- */

static enum err push(struct buf *stack, const struct link *link)
{
    struct link_head head = {.src_len = (uint32_t)link->src.len,
                             .dst_len = (uint32_t)link->dst.len,
                             .name_len = (uint32_t)link->name.len,
                             .depth = (uint32_t)link->depth};
    enum err err = buf_append_span(stack, link->src);
    if (err == ERR_OK)
        err = buf_append_span(stack, link->dst);
    if (err == ERR_OK)
        err = buf_append_span(stack, link->name);
    return err == ERR_OK ? buf_append(stack, &head, sizeof(head)) : err;
}

/* The link's bytes stay where they are until the next push. */
static struct link pop(struct buf *stack)
{
    struct link_head head;
    memcpy(&head, stack->data + stack->len - sizeof(head), sizeof(head));
    stack->len -= sizeof(head) + head.src_len + head.dst_len + head.name_len;
    const uint8_t *at = stack->data + stack->len;
    return (struct link){.src = span_of(at, head.src_len),
                         .dst = span_of(at + head.src_len, head.dst_len),
                         .name = span_of(at + head.src_len + head.dst_len, head.name_len),
                         .depth = head.depth};
}

/* ---- asking ---- */

struct call *ask_path(struct client *client, const char *op, const char *key, struct span path,
                      struct outcome *ret_outcome)
{
    struct buf args;
    buf_init(&args, 8192, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_span(&p, key, path);
    struct call *call = NULL;
    *ret_outcome = (struct outcome){.code = CODE_INTERNAL, .message = span_text("out of memory")};
    if (pack_end(&p) == ERR_OK)
        call = ask(client, op, buf_span(&args), client_timeout(client, CLIENT_LONG_MS), false, ret_outcome);
    buf_release(&args);
    return call;
}

static void reverse(struct link *links, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct link swap = links[i];
        links[i] = links[count - 1 - i];
        links[count - 1 - i] = swap;
    }
}

static int push_links(struct refs_walk *w, struct span src, struct span result, uint64_t depth)
{
    struct elements refs = value_elements(result, "refs");
    struct elements names = value_elements(result, "names");
    struct link *links = calloc((size_t)refs.left + 1, sizeof(*links));
    struct span ref;
    struct span name;
    size_t count = 0;
    if (links == NULL)
        return say_error("out of memory");
    while (elements_next(&refs, &ref)) {
        struct span text = elements_next(&names, &name) ? element_text(name) : (struct span){0};
        links[count++] = (struct link){.src = src, .dst = element_text(ref), .name = text, .depth = depth};
    }
    reverse(links, count); /* the first is to be popped first */
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = push(&w->stack, &links[i]);
    free(links);
    return err == ERR_OK ? EXIT_OK : say_error("too many links");
}

static int enter(struct refs_walk *w, struct span cid, uint64_t depth)
{
    struct outcome outcome;
    struct call *call = ask_path(w->client, "refs", "path", cid, &outcome);
    int status = outcome.code == CODE_OK ? push_links(w, cid, outcome.result, depth + 1) : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

/* ---- printing ---- */

static bool takes(const char **at, const char *token)
{
    size_t len = strlen(token);
    if (strncmp(*at, token, len) != 0)
        return false;
    *at += len;
    return true;
}

static void print_link(struct refs_walk *w, const struct link *link)
{
    FILE *to = stdout;
    for (const char *at = w->format; *at != '\0';) {
        if (takes(&at, "<src>"))
            print_cid(to, &w->in->globals, link->src);
        else if (takes(&at, "<dst>"))
            print_cid(to, &w->in->globals, link->dst);
        else if (takes(&at, "<linkname>"))
            print_escaped(to, link->name);
        else if (takes(&at, "\\n"))
            (void)fputc('\n', to);
        else if (takes(&at, "\\t"))
            (void)fputc('\t', to);
        else
            (void)fputc(*at++, to);
    }
    (void)fputc('\n', to);
}

/* ---- the walk ---- */

static int visit(struct refs_walk *w, const struct link *link)
{
    struct cid parsed;
    bool is_new = true;
    enum err err = cid_parse_text(link->dst, &parsed);
    if (err == ERR_OK && (w->args->unique || w->args->recursive))
        err = cid_set_add(&w->seen, &parsed, &is_new);
    if (err != ERR_OK)
        return say_error("the CIDs cannot be told apart: %s", err_text(err));
    bool printed = !w->args->unique || is_new;
    if (printed && w->in->globals.json) {
        (void)fputs("{\"Ref\":", stdout);
        print_json_text(link->dst);
        (void)puts(",\"Err\":\"\"}");
    } else if (printed) {
        print_link(w, link);
    }
    bool limited = w->args->max_depth < UINT32_MAX;
    bool enters = w->args->recursive && (is_new || limited) && link->depth < w->args->max_depth;
    if (!enters || parsed.codec == CODEC_RAW)
        return EXIT_OK;
    char cid[CID_TEXT_MAX];
    size_t len = MIN(link->dst.len, sizeof(cid));
    memcpy(cid, link->dst.data, len); /* what the stack holds moves when links are pushed */
    return enter(w, span_of(cid, len), link->depth);
}

/* The CID that a path of more than one component names. */
static int begin(struct refs_walk *w, struct span path)
{
    static const char *const prefixes[] = {"/ipfs/", "ipfs://"};
    struct span rest = path;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i]);
        if (path.len > len && memcmp(path.data, prefixes[i], len) == 0)
            rest = span_skip(path, len);
    }
    if (memchr(rest.data, '/', rest.len) == NULL)
        return enter(w, rest, 0);
    struct outcome outcome;
    struct call *call = ask_path(w->client, "resolve", "path", path, &outcome);
    int status = outcome.code == CODE_OK ? enter(w, value_text(outcome.result, "cid"), 0) : say_outcome_error(&outcome);
    call_free(call);
    return status;
}

static int choose_format(struct refs_walk *w)
{
    const struct cmd_refs *args = w->args;
    if (args->edges && args->format.len > 0)
        return say_error("--edges is a format itself: give one of --edges and --format");
    struct span format = args->format.len > 0 ? args->format : span_text(args->edges ? "<src> -> <dst>" : "<dst>");
    (void)snprintf(w->format, sizeof(w->format), "%.*s", (int)format.len, (const char *)format.data);
    return EXIT_OK;
}

int run_refs(struct client *client, const struct invocation *in, const struct cmd_refs *args)
{
    struct refs_walk w = {.client = client, .in = in, .args = args};
    buf_init(&w.stack, 256 * MIB, NULL);
    cid_set_init(&w.seen, REFS_MAX, NULL);
    size_t position = 0;
    struct span path;
    int status = choose_format(&w);
    while (status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &path)) {
        status = begin(&w, path);
        while (status == EXIT_OK && w.stack.len > 0) {
            struct link link = pop(&w.stack);
            status = visit(&w, &link);
        }
    }
    buf_release(&w.stack);
    cid_set_release(&w.seen);
    return status;
}

/* SPDX-License-Identifier: MIT */
/* What is told about the operations: `help` and docs/control.md, from the same declarations that validate requests. */
#include <stdio.h>

#include "schemas/operations.h"
#include "schemas/pack.h"

static const char *type_name(const struct field *f)
{
    switch (f->type) {
    case FIELD_BOOL:
        return "bool";
    case FIELD_U64:
    case FIELD_I64:
        return "int";
    case FIELD_F64:
        return "number";
    case FIELD_TEXT:
        return "text";
    case FIELD_BYTES:
        return "bytes";
    case FIELD_LIST:
        return f->item == FIELD_BYTES ? "list of bytes" : "list of text";
    case FIELD_MAP:
        return "map";
    }
    return "value";
}

static void help_argument(struct pack *p, const struct field *f, const struct argument *more)
{
    pack_map(p, more->fallback != NULL ? 5 : 4);
    pack_pair_text(p, "name", f->name);
    pack_pair_text(p, "type", type_name(f));
    pack_pair_bool(p, "required", f->required);
    if (more->fallback != NULL)
        pack_pair_text(p, "default", more->fallback);
    pack_pair_text(p, "doc", f->doc);
}

static void help_operation(struct pack *p, const struct operation *op)
{
    pack_map(p, 4);
    pack_pair_text(p, "op", op->words);
    pack_pair_text(p, "doc", op->args.doc);
    pack_pair_text(p, "result", op->result);
    pack_text(p, "args");
    pack_array(p, (uint32_t)op->args.field_count);
    for (size_t i = 0; i < op->args.field_count; i++)
        help_argument(p, &op->args.fields[i], &op->arguments[i]);
}

enum err operations_help(const struct operation *only, struct buf *to)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 1);
    pack_text(&p, "operations");
    pack_array(&p, only != NULL ? 1 : OP_COUNT);
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (only == NULL || only == &operations[i])
            help_operation(&p, &operations[i]);
    }
    return pack_end(&p);
}

static const char preamble[] =
    "# The control socket\n"
    "\n"
    "Made from `schemas/operations.def` by `hearth-document`; CI fails when it is not current.\n"
    "\n"
    "A request is one nng REQ message to `ipc://$HEARTH_PATH/run/control.sock`: a map `{op, args, timeout_ms, id, "
    "trace}` in\n"
    "msgpack or JSON (the first byte tells), at most 4 MiB. The answer comes in the same encoding: `{ok: true, "
    "result}` or\n"
    "`{ok: false, error: {code, message, hint}}`. Without `timeout_ms` a request has 30 s. Bytes in JSON are text in\n"
    "multibase base64url. A request with an `id` that changes something is executed once: asked again, it gets the "
    "first\n"
    "answer. A client that goes away cancels what it asked; a job that nobody asks about for 5 minutes is given up.\n"
    "Each answer has a `trace`, the number by which the operation `trace` tells what the request did; requests that "
    "carry one of their\n"
    "own (2147483648 to 4294967295), all those of a command for instance, are told together.\n"
    "\n"
    "```\n"
    "nngcat --req --dial ipc://$HEARTH_PATH/run/control.sock --data '{\"op\":\"id\"}' --ascii\n"
    "```\n"
    "\n"
    "[examples/control.py](examples/control.py) is a client in Python with pynng and msgpack. What the node knows can "
    "also be\n"
    "read from its databases: [sqlite.md](sqlite.md).\n"
    "\n"
    "Beside it is `run/files.sock`, a datagram socket for the open files of `add file`: 16 bytes, `hrhf`, the version "
    "1 in "
    "4 and a\n"
    "token in 8, little-endian, with one descriptor (`SCM_RIGHTS`). The daemon opens no path of a client's.\n"
    "\n"
    "Operations marked *urgent* are answered while all others hear `busy`.\n"
    "\n"
    "## Error codes\n"
    "\n"
    "| code | exit status | means |\n"
    "|---|---|---|\n";

static enum err document_argument(const struct field *f, const struct argument *more, struct buf *to)
{
    enum err err = buf_appendf(to, "- `%s` (%s%s", f->name, type_name(f), f->required ? ", required" : "");
    if (err == ERR_OK && more->fallback != NULL)
        err = buf_appendf(to, ", else %s", more->fallback);
    return err == ERR_OK ? buf_appendf(to, "): %s\n", f->doc) : err;
}

static enum err document_operation(const struct operation *op, struct buf *to)
{
    enum err err = buf_appendf(to, "\n### %s\n\n%s%s%s\n\n", op->words, op->args.doc,
                               op->mutates ? " Changes something." : "", op->urgent ? " *Urgent.*" : "");
    for (size_t i = 0; i < op->args.field_count && err == ERR_OK; i++)
        err = document_argument(&op->args.fields[i], &op->arguments[i], to);
    return err == ERR_OK ? buf_appendf(to, "%sResult: %s.\n", op->args.field_count > 0 ? "\n" : "", op->result) : err;
}

enum err operations_document(struct buf *to)
{
    static const char *const texts[] = {
#define CONTROL_CODE(upper, lower, status, text) text,
        CONTROL_CODES(CONTROL_CODE)
#undef CONTROL_CODE
    };
    enum err err = buf_append_text(to, preamble);
    for (unsigned i = 1; i < CODE_COUNT && err == ERR_OK; i++)
        err = buf_appendf(to, "| `%s` | %d | %s |\n", control_code_name((enum control_code)i),
                          control_code_exit((enum control_code)i), texts[i]);
    if (err == ERR_OK)
        err = buf_append_text(to, "\n## Operations\n");
    for (size_t i = 0; i < OP_COUNT && err == ERR_OK; i++)
        err = document_operation(&operations[i], to);
    return err;
}

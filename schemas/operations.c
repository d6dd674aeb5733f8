/* SPDX-License-Identifier: MIT */
#include "schemas/operations.h"

#include "schemas/pack.h"
#include "schemas/walk.h"

enum { READS = false, MUTATES = true, ADMITTED = false, URGENT = true };

#define OPERATION(upper, lower, words, mutates, urgent, text, result, ...) ARGUMENT_TABLES(op_##lower, __VA_ARGS__)
#include "schemas/operations.def"
#undef OPERATION

const struct operation operations[] = {
#define OPERATION(upper, lower, words, mutates, urgent, text, result, ...)                                             \
    ARGUMENT_OPERATION(op_##lower, OP_##upper, words, mutates, urgent, text, result)
#include "schemas/operations.def"
#undef OPERATION
};

static const struct {
    const char *name;
    int status;
    const char *text;
} codes[] = {
#define CONTROL_CODE(upper, lower, exit_status, sentence) {.name = #lower, .status = (exit_status), .text = (sentence)},
    CONTROL_CODES(CONTROL_CODE)
#undef CONTROL_CODE
};

const char *control_code_name(enum control_code code)
{
    return (unsigned)code < CODE_COUNT ? codes[code].name : "internal";
}

int control_code_exit(enum control_code code)
{
    return (unsigned)code < CODE_COUNT ? codes[code].status : 1;
}

enum control_code control_code_of(struct span name)
{
    for (unsigned i = 0; i < CODE_COUNT; i++) {
        if (span_equal_text(name, codes[i].name))
            return (enum control_code)i;
    }
    return CODE_INTERNAL;
}

enum control_code control_code_from_err(enum err err)
{
    static const enum control_code map[ERR_COUNT] = {
        [ERR_OK] = CODE_OK,
        [ERR_AGAIN] = CODE_BUSY,
        [ERR_NOMEM] = CODE_BUSY,
        [ERR_INVALID] = CODE_INVALID,
        [ERR_TRUNCATED] = CODE_INVALID,
        [ERR_TOO_LARGE] = CODE_TOO_LARGE,
        [ERR_UNSUPPORTED] = CODE_UNSUPPORTED,
        [ERR_NOT_FOUND] = CODE_NOT_FOUND,
        [ERR_EXISTS] = CODE_EXISTS,
        [ERR_TIMEOUT] = CODE_TIMEOUT,
        [ERR_CANCELLED] = CODE_CANCELLED,
        [ERR_UNAVAILABLE] = CODE_UNAVAILABLE,
        [ERR_BUSY] = CODE_BUSY,
        [ERR_DENIED] = CODE_DENIED,
        [ERR_CORRUPT] = CODE_CORRUPT,
        [ERR_IO] = CODE_INTERNAL,
        [ERR_NO_SPACE] = CODE_NO_SPACE,
        [ERR_READ_ONLY] = CODE_READ_ONLY,
        [ERR_PROTOCOL] = CODE_UNREACHABLE,
        [ERR_AUTH] = CODE_UNREACHABLE,
        [ERR_MISMATCH] = CODE_CORRUPT,
        [ERR_CLOSED] = CODE_UNREACHABLE,
        [ERR_RESET] = CODE_UNREACHABLE,
        [ERR_REFUSED] = CODE_UNREACHABLE,
        [ERR_UNREACHABLE] = CODE_UNREACHABLE,
        [ERR_INTERNAL] = CODE_INTERNAL,
    };
    return (unsigned)err < ERR_COUNT ? map[err] : CODE_INTERNAL;
}

bool operation_repeatable(const struct operation *op)
{
    static const int repeatable[] = {OP_BLOCK_PUT,     OP_BLOCK_PUT_MANY, OP_PIN_ADD,        OP_ADD_OPEN,
                                     OP_SWARM_CONNECT, OP_LOG_LEVEL,      OP_METADATA_PUT,   OP_METADATA_RM,
                                     OP_REPLICATE_SET, OP_REPLICATE_RM,   OP_ROUTING_PROVIDE};
    bool found = !op->mutates;
    for (size_t i = 0; i < ARRAY_LEN(repeatable); i++)
        found = found || op->id == repeatable[i];
    return found;
}

const struct operation *operation_find(struct span words)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (span_equal_text(words, operations[i].words))
            return &operations[i];
    }
    return NULL;
}

/* ---- the frame ---- */

static const struct field request_fields[] = {
    {.name = "op", .type = FIELD_TEXT, .required = true, .offset = offsetof(struct request, op), .min = 1, .max = 64},
    {.name = "args", .type = FIELD_MAP, .offset = offsetof(struct request, args)},
    {.name = "timeout_ms",
     .type = FIELD_U64,
     .offset = offsetof(struct request, timeout_ms),
     .max = REQUEST_TIMEOUT_MAX_MS},
    {.name = "id", .type = FIELD_TEXT, .offset = offsetof(struct request, id), .max = REQUEST_ID_MAX},
    {.name = "trace", .type = FIELD_U64, .offset = offsetof(struct request, trace), .max = UINT32_MAX},
};

static const struct schema request_schema = {.name = "request",
                                             .struct_bytes = sizeof(struct request),
                                             .fields = request_fields,
                                             .field_count = ARRAY_LEN(request_fields)};

enum err request_unpack(struct span from, struct request *ret_request, char *ret_why, size_t why_bytes)
{
    struct request request;
    enum err err = schema_unpack(&request_schema, SCHEMA_MAP, from, &request, ret_why, why_bytes);
    if (err != ERR_OK)
        return err;
    if (request.timeout_ms == 0)
        request.timeout_ms = REQUEST_TIMEOUT_DEFAULT_MS;
    *ret_request = request;
    return ERR_OK;
}

enum err request_pack(const struct request *request, struct buf *to)
{
    return schema_pack(&request_schema, SCHEMA_MAP, request, to);
}

/* What the frame of an answer has beside ok and its result. */
static uint32_t count_more(struct span id, uint32_t trace)
{
    return (uint32_t)(id.len > 0) + (uint32_t)(trace != 0);
}

static enum err pack_more(struct pack *p, struct span id, uint32_t trace)
{
    if (id.len > 0)
        pack_pair_span(p, "id", id);
    if (trace != 0)
        pack_pair_u64(p, "trace", trace);
    return pack_end(p);
}

enum err answer_pack(struct span result, struct span id, uint32_t trace, struct buf *to)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 2 + count_more(id, trace));
    pack_pair_bool(&p, "ok", true);
    pack_text(&p, "result");
    if (result.len > 0)
        pack_raw(&p, result);
    else
        pack_map(&p, 0);
    return pack_more(&p, id, trace);
}

enum err answer_pack_error(enum control_code code, const char *message, const char *hint, struct span id,
                           uint32_t trace, struct buf *to)
{
    struct pack p = pack_begin(to);
    pack_map(&p, 2 + count_more(id, trace));
    pack_pair_bool(&p, "ok", false);
    pack_text(&p, "error");
    pack_map(&p, hint != NULL && hint[0] != '\0' ? 3 : 2);
    pack_pair_text(&p, "code", control_code_name(code));
    pack_pair_text(&p, "message", message);
    if (hint != NULL && hint[0] != '\0')
        pack_pair_text(&p, "hint", hint);
    return pack_more(&p, id, trace);
}

static struct span text_or_empty(struct span map, const char *key)
{
    struct span text;
    return walk_find_text(map, key, &text) == ERR_OK ? text : (struct span){0};
}

enum err answer_unpack(struct span from, struct answer *ret_answer)
{
    struct answer answer = {0};
    struct span ok = {0};
    struct span error = {0};
    struct span code = {0};
    enum err err = walk_find(from, "ok", &ok);
    if (err != ERR_OK || ok.len != 1)
        return ERR_INVALID;
    answer.ok = ok.data[0] == 0xc3;
    answer.id = text_or_empty(from, "id");
    if (answer.ok) {
        err = walk_find(from, "result", &answer.result);
        if (err == ERR_OK)
            *ret_answer = answer;
        return err;
    }
    if (walk_find(from, "error", &error) != ERR_OK || walk_find_text(error, "code", &code) != ERR_OK ||
        walk_find_text(error, "message", &answer.message) != ERR_OK)
        return ERR_INVALID;
    answer.hint = text_or_empty(error, "hint");
    answer.code = control_code_of(code);
    *ret_answer = answer;
    return ERR_OK;
}

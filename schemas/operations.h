/* SPDX-License-Identifier: MIT */
/*
 * The operations of the control socket and the frame around them.
 *
 *      request   {op, args?, timeout_ms?, id?, trace?}
 *      answer    {ok: true, result, id?, trace?} or {ok: false, error: {code, message, hint?}, id?, trace?}
 *
 * in msgpack or JSON (schemas/json.h): the first byte tells, the answer comes in the same. operations.def declares the operations.
 */
#ifndef HEARTH_SCHEMAS_OPERATIONS_H
#define HEARTH_SCHEMAS_OPERATIONS_H

#include "schemas/arguments.h"

enum {
    REQUEST_BYTES_MAX = 4 * 1024 * 1024,
    REQUEST_TIMEOUT_DEFAULT_MS = 30 * 1000,
    REQUEST_TIMEOUT_MAX_MS = 24 * 3600 * 1000,
    REQUEST_ID_MAX = 64,
};

/* The closed set of codes in error.code, with the exit status of the command. */
#define CONTROL_CODES(X)                                                                                               \
    X(OK, ok, 0, "success")                                                                                            \
    X(USAGE, usage, 2, "the request itself is wrong: unknown operation, missing or malformed argument")                \
    X(INVALID, invalid, 1, "a value was understood but makes no sense: a malformed CID, path or address")              \
    X(NOT_FOUND, not_found, 4, "no such block, path, pin, peer or job")                                                \
    X(EXISTS, exists, 1, "it is there already")                                                                        \
    X(TIMEOUT, timeout, 124, "the deadline of the request passed")                                                     \
    X(CANCELLED, cancelled, 1, "given up by the client")                                                               \
    X(BUSY, busy, 1, "too many requests at the moment: try again")                                                     \
    X(UNAVAILABLE, unavailable, 1, "the part that would answer is down or not in this node")                           \
    X(DENIED, denied, 1, "not allowed")                                                                                \
    X(TOO_LARGE, too_large, 1, "over a limit")                                                                         \
    X(NO_SPACE, no_space, 1, "the disk or Datastore.StorageMax is full")                                               \
    X(READ_ONLY, read_only, 1, "the store takes no writes at the moment")                                              \
    X(CORRUPT, corrupt, 1, "bytes do not match their hash")                                                            \
    X(UNREACHABLE, unreachable, 1, "no connection to the peer")                                                        \
    X(UNSUPPORTED, unsupported, 1, "a codec, hash or protocol that hearth does not speak")                             \
    X(INTERNAL, internal, 1, "a fault of hearth: its log says more")                                                   \
    X(NOT_RUNNING, not_running, 3, "the daemon is not reachable (said by the command only)")

/* The message, with `unavailable`, to whoever asked an actor that ends. */
#define CONTROL_STOPS_TEXT "the control actor stops"

enum control_code {
#define CONTROL_CODE(upper, lower, status, text) CODE_##upper,
    CONTROL_CODES(CONTROL_CODE)
#undef CONTROL_CODE
        CODE_COUNT
};

const char *control_code_name(enum control_code code);
int control_code_exit(enum control_code code);
/* CODE_INTERNAL for a name that is not in the set. */
enum control_code control_code_of(struct span name);
enum control_code control_code_from_err(enum err err);

enum operation_id {
#define OPERATION(upper, ...) OP_##upper,
#include "schemas/operations.def"
#undef OPERATION
    OP_COUNT
};

#define OPERATION(upper, lower, words, mutates, urgent, text, result, ...) ARGUMENT_STRUCT(op_##lower, __VA_ARGS__)
#include "schemas/operations.def"
#undef OPERATION

/* OP_COUNT rows, indexed by enum operation_id. */
extern const struct operation operations[];

/*
 * Whether it may be executed again when nobody knows whether it was: twice leaves what once leaves, and the answer is the same. All that only
 * reads, and some of the rest.
 */
bool operation_repeatable(const struct operation *op);

/* By words, or NULL. */
const struct operation *operation_find(struct span words);

/* The outer request; spans borrow. */
struct request {
    struct span op;
    struct span args; /* msgpack map, empty when absent */
    uint64_t timeout_ms;
    struct span id; /* of the client's choice, empty when absent */
    uint64_t trace; /* the number under which `trace` tells what it did; 0 = the daemon chooses one */
};

/* Numbers that clients choose are of the upper half, so that they meet none of the daemon's. */
enum { REQUEST_TRACE_BIT = 31 };

/* Unpacks the frame of a msgpack request. Errors and ret_why as schema_unpack. */
enum err request_unpack(struct span from, struct request *ret_request, char *ret_why, size_t why_bytes) MUST_CHECK;

enum err request_pack(const struct request *request, struct buf *to) MUST_CHECK;

/* Packs answers; result is one packed value, empty = the empty map. hint may be empty; trace 0: it was refused before it had one. */
enum err answer_pack(struct span result, struct span id, uint32_t trace, struct buf *to) MUST_CHECK;
enum err answer_pack_error(enum control_code code, const char *message, const char *hint, struct span id,
                           uint32_t trace, struct buf *to) MUST_CHECK;

struct answer {
    bool ok;
    struct span result; /* packed value */
    enum control_code code;
    struct span message;
    struct span hint;
    struct span id;
};

/* Unpacks a msgpack answer (the client's side; the daemon is trusted no further than any other bytes). */
enum err answer_unpack(struct span from, struct answer *ret_answer) MUST_CHECK;

/* Writes `help` as a packed value; only may be NULL = all. */
enum err operations_help(const struct operation *only, struct buf *to) MUST_CHECK;

/* Writes docs/control.md. */
enum err operations_document(struct buf *to) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/* Requests of the control socket, in both encodings, through the frame and the arguments of each operation. */
#include <stdlib.h>

#include "base/limits.h"
#include "schemas/json.h"
#include "schemas/operations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(struct span packed, struct account *account)
{
    struct request request;
    char why[160];
    uint64_t args[64];
    struct buf scratch;
    if (request_unpack(packed, &request, why, sizeof(why)) != ERR_OK)
        return;
    const struct operation *op = operation_find(request.op);
    if (op == NULL || op->args.struct_bytes > sizeof(args))
        return;
    buf_init(&scratch, REQUEST_BYTES_MAX, account);
    if (arguments_unpack(op, request.args, &scratch, args, why, sizeof(why)) != ERR_OK && why[0] == '\0')
        abort(); /* a refusal says why */
    buf_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account account;
    struct buf packed;
    struct buf text;
    account_init(&account, "fuzz", 64 * (uint64_t)size + MIB);
    buf_init(&packed, 16 * MIB, &account);
    buf_init(&text, 64 * MIB, &account);
    unpack(span_of(data, size), &account);
    if (json_to_msgpack(span_of(data, size), &packed, NULL) == ERR_OK) {
        if (json_from_msgpack(buf_span(&packed), &text) != ERR_OK)
            abort(); /* what was read can be written */
        unpack(buf_span(&packed), &account);
    }
    buf_clear(&text);
    (void)!json_from_msgpack(span_of(data, size), &text);
    buf_release(&packed);
    buf_release(&text);
    return 0;
}

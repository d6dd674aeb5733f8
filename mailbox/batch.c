/* SPDX-License-Identifier: MIT */
#include "mailbox/batch.h"

#include <nng/nng.h>
#include <string.h>

#include "mailbox/envelope.h"

/* Offsets within the batch header (envelope.h). */
enum { AT_MAGIC = 0, AT_COUNT = 4, AT_CHARGED = 8, AT_FROM = 12, AT_TO = 14 };

static nng_msg *msg_of(struct batch *batch)
{
    return (nng_msg *)batch;
}

static void put32(struct batch *batch, size_t at, uint32_t value)
{
    memcpy(batch_body(batch) + at, &value, sizeof(value));
}

static uint32_t get32(struct batch *batch, size_t at)
{
    uint32_t value;
    memcpy(&value, batch_body(batch) + at, sizeof(value));
    return value;
}

struct batch *batch_new(uint16_t from, uint16_t to, struct account *account, bool force)
{
    bool charged = account != NULL && account_take(account, BATCH_FIRST_BYTES);
    if (account != NULL && !charged && !force)
        return NULL;
    nng_msg *msg;
    if (nng_msg_alloc(&msg, BATCH_FIRST_BYTES) != 0) {
        if (charged)
            account_give(account, BATCH_FIRST_BYTES);
        return NULL;
    }
    struct batch *batch = (struct batch *)msg;
    put32(batch, AT_MAGIC, ENVELOPE_MAGIC);
    put32(batch, AT_COUNT, 0);
    put32(batch, AT_CHARGED, charged ? BATCH_FIRST_BYTES : 0);
    memcpy(batch_body(batch) + AT_FROM, &from, sizeof(from));
    memcpy(batch_body(batch) + AT_TO, &to, sizeof(to));
    return batch;
}

void batch_free(struct batch *batch, struct account *account)
{
    if (batch == NULL)
        return;
    if (account != NULL)
        account_give(account, get32(batch, AT_CHARGED));
    nng_msg_free(msg_of(batch));
}

uint8_t *batch_reserve(struct batch *batch, size_t used, size_t len, struct account *account, bool force)
{
    size_t cap = batch_capacity(batch);
    if (len <= cap - used)
        return batch_body(batch) + used;
    size_t wanted = cap;
    while (wanted - used < len) {
        if (wanted >= BATCH_BYTES_MAX)
            return NULL;
        wanted *= 2;
    }
    bool charged = account != NULL && account_take(account, wanted - cap);
    if (account != NULL && !charged && !force)
        return NULL;
    if (nng_msg_realloc(msg_of(batch), wanted) != 0) {
        if (charged)
            account_give(account, wanted - cap);
        return NULL;
    }
    if (charged)
        put32(batch, AT_CHARGED, get32(batch, AT_CHARGED) + (uint32_t)(wanted - cap));
    return batch_body(batch) + used;
}

uint8_t *batch_body(struct batch *batch)
{
    return nng_msg_body(msg_of(batch));
}

size_t batch_capacity(struct batch *batch)
{
    return nng_msg_len(msg_of(batch));
}

uint32_t batch_count(struct batch *batch)
{
    return get32(batch, AT_COUNT);
}

void batch_seal(struct batch *batch, uint32_t count)
{
    put32(batch, AT_COUNT, count);
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "actors/state/record.h"
#include "actors/state/store.h"

struct state_batch *state_batch_new(void)
{
    struct state_batch *batch = calloc(1, sizeof(*batch));
    if (batch != NULL)
        buf_init(&batch->records, STATE_BATCH_BYTES_MAX, NULL);
    return batch;
}

void state_batch_free(struct state_batch *batch)
{
    if (batch == NULL)
        return;
    buf_release(&batch->records);
    free(batch);
}

void state_batch_clear(struct state_batch *batch)
{
    buf_clear(&batch->records);
    batch->actor_count = 0;
    batch->account_count = 0;
    batch->crashes = 0;
    batch->stopping = false;
}

bool state_batch_is_empty(const struct state_batch *batch)
{
    return batch->records.len == 0 && batch->actor_count == 0 && batch->account_count == 0 && !batch->stopping;
}

enum err state_batch_add(struct state_batch *batch, uint16_t kind, uint64_t at, const void *fields)
{
    const struct schema *schema = schema_find(&schema_messages, kind);
    if (schema == NULL)
        return ERR_INVALID;
    size_t start = batch->records.len;
    struct state_record record = {.at = at, .kind = kind};
    enum err err = buf_append(&batch->records, &record, sizeof(record));
    if (err == ERR_OK)
        err = schema_pack(schema, SCHEMA_ARRAY, fields, &batch->records);
    if (err != ERR_OK) {
        batch->records.len = start;
        return err;
    }
    record.bytes = (uint32_t)(batch->records.len - start - sizeof(record));
    memcpy(batch->records.data + start, &record, sizeof(record));
    return ERR_OK;
}

bool state_record_next(struct span *records, struct state_record *ret_record, struct span *ret_packed)
{
    if (records->len < sizeof(*ret_record))
        return false;
    memcpy(ret_record, records->data, sizeof(*ret_record));
    *records = span_skip(*records, sizeof(*ret_record));
    *ret_packed = span_first(*records, ret_record->bytes);
    *records = span_skip(*records, ret_record->bytes);
    return true;
}

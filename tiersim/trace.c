/* SPDX-License-Identifier: MIT */
#include "tiersim/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum { FIRST_REQUESTS = 1024 };

/* What is needed only while a trace is read. */
struct loading {
    struct trace trace;
    size_t request_cap;
    size_t object_cap;
    uint64_t *last_bytes; /* of each object */
    struct table numbers; /* id -> number of the object + 1 */
};

/* pointer: that of the array, of whatever type, hence the copying. */
static bool widen(void *pointer, size_t cap, size_t width)
{
    void *array;
    memcpy(&array, pointer, sizeof(array));
    void *wider = realloc(array, cap * width);
    if (wider != NULL)
        memcpy(pointer, &wider, sizeof(wider));
    return wider != NULL;
}

static bool widen_requests(struct loading *l, bool sized)
{
    struct trace *t = &l->trace;
    if (t->requests < l->request_cap)
        return true;
    l->request_cap = MAX(l->request_cap * 2, (size_t)FIRST_REQUESTS);
    return widen(&t->objects, l->request_cap, sizeof(*t->objects)) &&
           (!sized || (widen(&t->bytes, l->request_cap, sizeof(*t->bytes)) &&
                       widen(&t->times_s, l->request_cap, sizeof(*t->times_s))));
}

static bool widen_objects(struct loading *l)
{
    struct trace *t = &l->trace;
    if (t->object_count < l->object_cap)
        return true;
    l->object_cap = MAX(l->object_cap * 2, (size_t)FIRST_REQUESTS);
    return widen(&t->ids, l->object_cap, sizeof(*t->ids)) &&
           widen(&l->last_bytes, l->object_cap, sizeof(*l->last_bytes));
}

static enum err number_of(struct loading *l, uint64_t id, uint32_t *ret_number)
{
    struct trace *t = &l->trace;
    void *known = table_get(&l->numbers, table_key_u64(&id));
    if (known != NULL) {
        *ret_number = (uint32_t)((uintptr_t)known - 1);
        return ERR_OK;
    }
    if (!widen_objects(l))
        return ERR_NOMEM;
    enum err err = table_put(&l->numbers, table_key_u64(&id), (void *)((uintptr_t)t->object_count + 1), NULL);
    if (err != ERR_OK)
        return err == ERR_BUSY ? ERR_TOO_LARGE : err;
    t->ids[t->object_count] = id;
    *ret_number = t->object_count++;
    return ERR_OK;
}

static enum err add(struct loading *l, const struct trace_record *record, bool sized)
{
    struct trace *t = &l->trace;
    uint32_t object;
    if (t->requests == TRACE_REQUESTS_MAX || record->bytes > TRACE_BYTES_MAX - t->requested_bytes)
        return ERR_TOO_LARGE;
    if (!widen_requests(l, sized))
        return ERR_NOMEM;
    enum err err = number_of(l, record->id, &object);
    if (err != ERR_OK)
        return err;
    if (sized) {
        t->bytes[t->requests] = record->bytes;
        t->times_s[t->requests] = record->time_s;
    }
    l->last_bytes[object] = record->bytes;
    t->requested_bytes += record->bytes;
    t->objects[t->requests++] = object;
    return ERR_OK;
}

static enum err read_all(struct loading *l, struct trace_reader *reader)
{
    bool sized = trace_reader_sized(reader);
    struct trace_record record;
    enum err err;
    while ((err = trace_reader_next(reader, &record)) == ERR_OK) {
        err = add(l, &record, sized);
        if (err != ERR_OK)
            return err;
    }
    if (err != ERR_CLOSED)
        return err;
    return l->trace.requests == 0 ? ERR_NOT_FOUND : ERR_OK;
}

enum err trace_load(struct trace_reader *reader, struct trace *ret_trace)
{
    struct loading l = {0};
    table_init(&l.numbers, TRACE_OBJECTS_MAX, NULL);
    enum err err = read_all(&l, reader);
    for (uint32_t i = 0; err == ERR_OK && i < l.trace.object_count; i++)
        l.trace.footprint_bytes += l.last_bytes[i];
    table_release(&l.numbers);
    free(l.last_bytes);
    if (err != ERR_OK)
        trace_release(&l.trace);
    else
        *ret_trace = l.trace;
    return err;
}

void trace_release(struct trace *trace)
{
    free(trace->objects);
    free(trace->bytes);
    free(trace->times_s);
    free(trace->ids);
    *trace = (struct trace){0};
}

struct tier_request trace_request(const struct trace *trace, size_t i)
{
    uint32_t object = trace->objects[i];
    return (struct tier_request){.index = i,
                                 .time_s = trace->times_s == NULL ? (double)i / 1000 : trace->times_s[i],
                                 .id = trace->ids[object],
                                 .bytes = trace->bytes == NULL ? 1 : trace->bytes[i],
                                 .next_use = TIER_NEVER,
                                 .object = object};
}

uint32_t *trace_next_uses(const struct trace *trace)
{
    uint32_t *next_uses = malloc(trace->requests * sizeof(*next_uses));
    uint32_t *first_seen = malloc(trace->object_count * sizeof(*first_seen));
    if (next_uses != NULL && first_seen != NULL) {
        memset(first_seen, 0xff, trace->object_count * sizeof(*first_seen));
        for (size_t i = trace->requests; i-- > 0;) {
            next_uses[i] = first_seen[trace->objects[i]];
            first_seen[trace->objects[i]] = (uint32_t)i;
        }
    } else {
        free(next_uses);
        next_uses = NULL;
    }
    free(first_seen);
    return next_uses;
}

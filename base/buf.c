/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/pool.h"

enum { BUF_FIRST_CAP = 64 };

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = span_skip(s, 1);
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool span_equal_text(struct span a, const char *text)
{
    return span_equal(a, span_text(text));
}

int span_compare(struct span a, struct span b)
{
    size_t common = MIN(a.len, b.len);
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

void buf_init(struct buf *b, size_t max_bytes, struct account *account)
{
    *b = (struct buf){.max = max_bytes, .account = account};
}

static void free_data(uint8_t *data, size_t cap)
{
    if (cap >= POOL_BUFFER_MIN)
        pool_give(data, cap);
    else
        free(data);
}

void buf_release(struct buf *b)
{
    free_data(b->data, b->cap);
    if (b->account != NULL)
        account_give(b->account, b->cap);
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

/* Small ones double; large ones take what the pool has for them. */
static size_t next_cap(const struct buf *b, size_t need)
{
    size_t cap = b->cap == 0 ? BUF_FIRST_CAP : b->cap;
    while (cap < need && cap < POOL_BUFFER_MIN)
        cap *= 2;
    if (cap >= POOL_BUFFER_MIN)
        cap = pool_bytes(MAX(need, b->cap > SIZE_MAX / 2 ? need : b->cap * 2));
    return MIN(cap, b->max);
}

static uint8_t *resized(const struct buf *b, size_t cap)
{
    if (cap < POOL_BUFFER_MIN)
        return realloc(b->data, cap);
    uint8_t *data = pool_take(cap);
    if (data == NULL)
        return NULL;
    if (b->data != NULL)
        memcpy(data, b->data, b->len);
    free_data(b->data, b->cap);
    return data;
}

/* Up to max; the account pays for the difference before the memory is asked for. */
static bool grow(struct buf *b, size_t need)
{
    size_t cap = next_cap(b, need);
    if (b->account != NULL && !account_take(b->account, cap - b->cap))
        return false;
    uint8_t *data = resized(b, cap);
    if (data == NULL) {
        if (b->account != NULL)
            account_give(b->account, cap - b->cap);
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

uint8_t *buf_reserve(struct buf *b, size_t extra_bytes)
{
    if (extra_bytes > b->max - b->len)
        return NULL;
    size_t need = b->len + extra_bytes;
    if ((need > b->cap || b->data == NULL) && !grow(b, MAX(need, 1)))
        return NULL;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

enum err buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return ERR_OK;
    if (len > b->max - b->len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(b, len);
    if (to == NULL)
        return ERR_NOMEM;
    memcpy(to, data, len);
    b->len += len;
    return ERR_OK;
}

enum err buf_append_span(struct buf *b, struct span s)
{
    return buf_append(b, s.data, s.len);
}

enum err buf_append_text(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

enum err buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, &byte, 1);
}

enum err buf_appendf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (need < 0)
        return ERR_INVALID;
    if ((size_t)need + 1 > b->max - b->len)
        return ERR_TOO_LARGE;
    uint8_t *to = buf_reserve(b, (size_t)need + 1);
    if (to == NULL)
        return ERR_NOMEM;
    va_start(args, fmt);
    (void)vsnprintf((char *)to, (size_t)need + 1, fmt, args);
    va_end(args);
    b->len += (size_t)need;
    return ERR_OK;
}

void buf_drop(struct buf *b, size_t n)
{
    assert(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0)
        memmove(b->data, b->data + n, b->len);
}

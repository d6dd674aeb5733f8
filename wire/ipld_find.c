/* SPDX-License-Identifier: MIT */
#include "wire/ipld_find.h"

#include "base/text.h"

void ipld_find_init(struct ipld_find *find, struct span path, ipld_sink *sink, void *arg)
{
    *find = (struct ipld_find){.path = path, .sink = sink, .arg = arg, .candidate = true};
}

static struct span component(struct span path)
{
    const uint8_t *slash = path.len == 0 ? NULL : memchr(path.data, '/', path.len);
    return slash == NULL ? path : span_first(path, (size_t)(slash - path.data));
}

/* The component at the front names the next value. */
static void use_component(struct ipld_find *f, size_t len)
{
    size_t used = MIN(len + 1, f->path.len);
    f->path = span_skip(f->path, used);
    f->used += used;
    f->candidate = true;
}

static bool is_index(struct span text, uint64_t index)
{
    uint64_t number;
    bool shortest = text.len == 1 || (text.len > 1 && text.data[0] != '0');
    return shortest && text_parse_u64(text, &number) == ERR_OK && number == index;
}

static bool opens(const struct ipld_event *event)
{
    return event->kind == IPLD_LIST || event->kind == IPLD_MAP;
}

static enum err forward(struct ipld_find *f, const struct ipld_event *event)
{
    return f->sink == NULL ? ERR_OK : f->sink(f->arg, event);
}

/* The path so far names this value. */
static enum err take_candidate(struct ipld_find *f, const struct ipld_event *event)
{
    f->candidate = false;
    if (event->kind == IPLD_LINK && f->used + f->path.len > 0) {
        f->where = IPLD_LINKED;
        f->link = event->link;
        f->over = true;
        return ERR_OK;
    }
    if (f->path.len == 0) {
        f->where = IPLD_HERE;
        f->forwards = opens(event);
        f->searched = f->depth;
        f->over = !f->forwards;
        return forward(f, event);
    }
    f->over = !opens(event);
    f->in_map = event->kind == IPLD_MAP;
    f->searched = f->depth;
    f->index = 0;
    return ERR_OK;
}

/* An item of the list that is searched begins. */
static void compare_item(struct ipld_find *f)
{
    struct span name = component(f->path);
    if (is_index(name, f->index++))
        use_component(f, name.len);
}

static enum err take_value(struct ipld_find *f, const struct ipld_event *event)
{
    bool is_entry = f->searched > 0 && f->depth == f->searched;
    if (is_entry && !f->forwards && !f->in_map && !f->candidate)
        compare_item(f);
    f->depth += opens(event);
    if (f->forwards)
        return forward(f, event);
    return f->candidate ? take_candidate(f, event) : ERR_OK;
}

static enum err take_key(struct ipld_find *f, const struct ipld_event *event)
{
    struct span name = component(f->path);
    if (f->forwards)
        return forward(f, event);
    if (f->in_map && f->depth == f->searched && span_equal(name, event->bytes))
        use_component(f, name.len);
    return ERR_OK;
}

/* What is searched, or handed on, may be over with it. */
static enum err take_end(struct ipld_find *f, const struct ipld_event *event)
{
    f->over = f->depth-- == f->searched;
    return f->forwards ? forward(f, event) : ERR_OK;
}

enum err ipld_find_event(void *arg, const struct ipld_event *event)
{
    struct ipld_find *f = arg;
    if (f->over)
        return ERR_OK;
    if (event->kind == IPLD_KEY)
        return take_key(f, event);
    return event->kind == IPLD_END ? take_end(f, event) : take_value(f, event);
}

/* SPDX-License-Identifier: MIT */
#include "wire/denylist_header.h"

#include <yaml.h>

#include "base/text.h"

/* Where in the document an event stands. */
struct place {
    int depth;
    bool is_key;   /* of the outermost map */
    bool in_hints; /* directly in the map "hints" */
    bool hint_key; /* there */
    char key[16];  /* the outermost map's, "" for one that is not known */
};

static void keep(struct span value, char to[DENYLIST_TITLE_MAX])
{
    struct buf escaped;
    buf_init(&escaped, DENYLIST_TITLE_MAX * 4, NULL);
    struct span cut = span_first(value, DENYLIST_TITLE_MAX - 1);
    if (text_append_escaped(&escaped, cut) == ERR_OK)
        (void)!text_copy(span_first(buf_span(&escaped), DENYLIST_TITLE_MAX - 1), to, DENYLIST_TITLE_MAX);
    buf_release(&escaped);
}

static enum err set_value(struct denylist_header *h, const char *key, struct span value)
{
    uint64_t version = 0;
    if (strcmp(key, "name") == 0)
        keep(value, h->name);
    else if (strcmp(key, "description") == 0)
        keep(value, h->description);
    else if (strcmp(key, "author") == 0)
        keep(value, h->author);
    else if (strcmp(key, "version") == 0) {
        if (text_parse_u64(value, &version) != ERR_OK)
            return ERR_INVALID;
        if (version > DENYLIST_VERSION) /* 0 is what was left out */
            return ERR_UNSUPPORTED;
    }
    return ERR_OK;
}

static enum err on_scalar(struct denylist_header *h, struct place *p, struct span value)
{
    if (p->depth == 0)
        return ERR_INVALID;
    if (p->depth == 2 && p->in_hints) {
        h->hints += (size_t)p->hint_key;
        p->hint_key = !p->hint_key;
        return ERR_OK;
    }
    if (p->depth > 1)
        return ERR_OK;
    enum err err = ERR_OK;
    if (p->is_key) {
        if (text_copy(value, p->key, sizeof(p->key)) != ERR_OK)
            p->key[0] = '\0';
    } else {
        err = set_value(h, p->key, value);
    }
    p->is_key = !p->is_key;
    return err;
}

static enum err on_begin(struct place *p, bool map)
{
    if (p->depth == DENYLIST_DEPTH_MAX || (p->depth == 0 && !map))
        return ERR_INVALID;
    if (p->depth == 0)
        p->is_key = true;
    else if (p->depth == 1 && p->is_key)
        return ERR_INVALID; /* a map as a name */
    if (p->depth == 1) {
        p->in_hints = map && strcmp(p->key, "hints") == 0;
        p->hint_key = true;
    }
    p->depth++;
    return ERR_OK;
}

static enum err on_end(struct place *p)
{
    p->depth--;
    if (p->depth == 1) {
        p->is_key = true;
        p->in_hints = false;
    } else if (p->depth == 2 && p->in_hints) {
        p->hint_key = true; /* the value of a hint was no text */
    }
    return ERR_OK;
}

static enum err on_event(struct denylist_header *h, struct place *p, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(h, p, span_of(event->data.scalar.value, event->data.scalar.length));
    case YAML_ALIAS_EVENT:
        return on_scalar(h, p, span_text(""));
    case YAML_MAPPING_START_EVENT:
        return on_begin(p, true);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(p, false);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_end(p);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return ERR_OK;
}

enum err denylist_header_parse(struct span yaml, struct denylist_header *ret_header)
{
    struct denylist_header header = {.version = DENYLIST_VERSION};
    struct place place = {0};
    yaml_parser_t parser;
    enum err err = ERR_OK;
    if (yaml_parser_initialize(&parser) == 0)
        return ERR_NOMEM;
    yaml_parser_set_input_string(&parser, yaml.len == 0 ? (const uint8_t *)"" : yaml.data, yaml.len);
    for (bool end = false; !end && err == ERR_OK;) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            err = parser.error == YAML_MEMORY_ERROR ? ERR_NOMEM : ERR_INVALID;
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        err = on_event(&header, &place, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (err == ERR_OK)
        *ret_header = header;
    return err;
}

/* SPDX-License-Identifier: MIT */
/* The configuration as YAML text: what `hearth config show` prints and what a new repository's file holds. */
#include "schemas/config.h"

#include <inttypes.h>
#include <string.h>

static const void *const_field_of(const struct config *config, const struct config_key *key)
{
    return (const char *)config + key->offset;
}

/* Double quotes make any value one YAML scalar. */
static enum err print_quoted(struct buf *to, const char *text)
{
    enum err err = buf_append_byte(to, '"');
    for (; *text != '\0' && err == ERR_OK; text++) {
        if (*text == '"' || *text == '\\')
            err = buf_append_byte(to, '\\');
        if (err == ERR_OK)
            err = buf_append_byte(to, (uint8_t)*text);
    }
    return err == ERR_OK ? buf_append_byte(to, '"') : err;
}

static enum err print_list(struct buf *to, const struct config_list *list)
{
    enum err err = buf_append_text(to, "[");
    for (size_t i = 0; i < list->count && err == ERR_OK; i++) {
        if (i > 0)
            err = buf_append_text(to, ", ");
        if (err == ERR_OK)
            err = print_quoted(to, list->items[i]);
    }
    return err == ERR_OK ? buf_append_text(to, "]") : err;
}

static enum err print_value(struct buf *to, const struct config *config, const struct config_key *key)
{
    const void *field = const_field_of(config, key);
    switch (key->type) {
    case CONFIG_LIST:
        return print_list(to, field);
    case CONFIG_BOOL:
        return buf_append_text(to, *(const bool *)field ? "true" : "false");
    case CONFIG_U64:
    case CONFIG_SIZE:
        return buf_appendf(to, "%" PRIu64, *(const uint64_t *)field);
    case CONFIG_DURATION:
        return buf_appendf(to, "%" PRIu64 "ms", *(const uint64_t *)field / MS_NS);
    case CONFIG_TEXT:
    case CONFIG_CHOICE:
        return print_quoted(to, *(char *const *)field);
    case CONFIG_SECRET:
        return buf_append_text(to, **(char *const *)field == '\0' ? "\"\"" : "\"\" # is set, and not shown");
    }
    return ERR_INTERNAL;
}

static bool is_changed(const struct config *config, const struct config *defaults, const struct config_key *key)
{
    struct buf a;
    struct buf b;
    buf_init(&a, 64 * KIB, NULL);
    buf_init(&b, 64 * KIB, NULL);
    bool same = print_value(&a, config, key) == ERR_OK && print_value(&b, defaults, key) == ERR_OK &&
                span_equal(buf_span(&a), buf_span(&b));
    buf_release(&a);
    buf_release(&b);
    return !same;
}

/* Prints the section headers that key has and the key printed before it had not. */
static enum err print_sections(struct buf *to, const char *previous, const char *key, int *ret_depth)
{
    size_t common = 0;
    for (size_t i = 0; key[i] != '\0' && key[i] == previous[i]; i++) {
        if (key[i] == '.')
            common = i + 1;
    }
    int depth = 0;
    enum err err = ERR_OK;
    for (size_t start = 0; err == ERR_OK;) {
        size_t len = strcspn(key + start, ".");
        if (key[start + len] == '\0')
            break;
        if (start + len >= common)
            err = buf_appendf(to, "%*s%.*s:\n", depth * 2, "", (int)len, key + start);
        depth++;
        start += len + 1;
    }
    *ret_depth = depth;
    return err;
}

static enum err print_key(struct buf *to, const struct config *config, const struct config_key *key,
                          const char *previous, bool comments)
{
    int depth = 0;
    enum err err = print_sections(to, previous, key->key, &depth);
    const char *dot = strrchr(key->key, '.');
    const char *last = dot == NULL ? key->key : dot + 1;
    if (err == ERR_OK && comments)
        err = buf_appendf(to, "%*s# %s\n", depth * 2, "", key->doc);
    if (err == ERR_OK)
        err = buf_appendf(to, "%*s%s: ", depth * 2, "", last);
    if (err == ERR_OK)
        err = print_value(to, config, key);
    return err == ERR_OK ? buf_append_byte(to, '\n') : err;
}

enum err config_print(const struct config *config, bool comments, bool changed_only, struct buf *to)
{
    struct config *defaults = NULL;
    enum err err = config_new(config->path, &defaults);
    const char *previous = "";
    size_t count = 0;
    const struct config_key *keys = config_keys(&count);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        if (changed_only && !is_changed(config, defaults, &keys[i]))
            continue;
        err = print_key(to, config, &keys[i], previous, comments);
        previous = keys[i].key;
    }
    config_free(defaults);
    return err;
}

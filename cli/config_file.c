/* SPDX-License-Identifier: MIT */
#include "cli/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

enum { KEY_BYTES = 128 };

struct walk {
    struct config *config;
    yaml_document_t *document;
    const char *name;
    char *why;
};

/* Puts "file:line: " before what is already in why. */
static void locate(const struct walk *w, const yaml_node_t *node)
{
    char text[CONFIG_WHY_BYTES];
    (void)snprintf(text, sizeof(text), "%s", w->why);
    (void)snprintf(w->why, CONFIG_WHY_BYTES, "%.120s:%zu: %.300s", w->name, node->start_mark.line + 1, text);
}

static struct span scalar_of(const yaml_node_t *node)
{
    return span_of(node->data.scalar.value, node->data.scalar.length);
}

static bool is_null(const yaml_node_t *node)
{
    struct span text = scalar_of(node);
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text.len == 0 || span_equal_text(text, "null") || span_equal_text(text, "~"));
}

static enum err set_scalar(const struct walk *w, const yaml_node_t *node, const char *key)
{
    struct span value = is_null(node) ? span_text("") : scalar_of(node);
    if (is_null(node) && config_is_section(key))
        return ERR_OK; /* all of its keys are comments */
    enum err err = config_set(w->config, key, value, w->why);
    if (err != ERR_OK)
        locate(w, node);
    return err;
}

static enum err set_sequence(const struct walk *w, const yaml_node_t *node, const char *key)
{
    enum err err = config_clear_list(w->config, key, w->why);
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; err == ERR_OK && item < node->data.sequence.items.top; item++) {
        const yaml_node_t *value = yaml_document_get_node(w->document, *item);
        if (value == NULL || value->type != YAML_SCALAR_NODE) {
            (void)snprintf(w->why, CONFIG_WHY_BYTES, "%s: each item must be one value", key);
            err = ERR_INVALID;
        } else {
            err = config_append(w->config, key, scalar_of(value), w->why);
        }
    }
    if (err != ERR_OK)
        locate(w, node);
    return err;
}

static enum err set_node(const struct walk *w, const yaml_node_t *node, const char *key);

/* YAML forbids a key twice in one mapping; libyaml does not look. */
static bool is_repeated(const struct walk *w, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
    const yaml_node_t *name = yaml_document_get_node(w->document, pair->key);
    for (const yaml_node_pair_t *at = mapping->data.mapping.pairs.start; at < pair; at++) {
        const yaml_node_t *other = yaml_document_get_node(w->document, at->key);
        if (other->type == YAML_SCALAR_NODE && span_equal(scalar_of(other), scalar_of(name)))
            return true;
    }
    return false;
}

/* Goes no deeper than there are sections, so an alias that contains itself ends too. */
static enum err set_mapping(const struct walk *w, const yaml_node_t *node, const char *prefix)
{
    enum err err = prefix[0] == '\0' ? ERR_OK : config_check_section(prefix, w->why);
    if (err != ERR_OK)
        locate(w, node);
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; err == ERR_OK && pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(w->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);
        char key[KEY_BYTES];
        int len = -1;
        if (name != NULL && value != NULL && name->type == YAML_SCALAR_NODE)
            len = snprintf(key, sizeof(key), "%s%s%.*s", prefix, prefix[0] == '\0' ? "" : ".",
                           (int)MIN(name->data.scalar.length, KEY_BYTES), (const char *)name->data.scalar.value);
        if (len < 0 || (size_t)len >= sizeof(key)) {
            (void)snprintf(w->why, CONFIG_WHY_BYTES, "a key under \"%s\" is not a short text", prefix);
            locate(w, node);
            return ERR_INVALID;
        }
        if (is_repeated(w, node, pair)) {
            (void)snprintf(w->why, CONFIG_WHY_BYTES, "%s is there twice", key);
            locate(w, name);
            return ERR_INVALID;
        }
        err = set_node(w, value, key);
    }
    return err;
}

static enum err set_node(const struct walk *w, const yaml_node_t *node, const char *key)
{
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return set_scalar(w, node, key);
    case YAML_SEQUENCE_NODE:
        return set_sequence(w, node, key);
    case YAML_MAPPING_NODE:
        return set_mapping(w, node, key);
    case YAML_NO_NODE:
        break;
    }
    return ERR_INVALID;
}

static enum err set_document(const struct walk *w)
{
    const yaml_node_t *root = yaml_document_get_root_node(w->document);
    if (root == NULL || (root->type == YAML_SCALAR_NODE && is_null(root)))
        return ERR_OK; /* an empty file configures nothing */
    if (root->type == YAML_MAPPING_NODE)
        return set_mapping(w, root, "");
    (void)snprintf(w->why, CONFIG_WHY_BYTES, "%.120s: must be a mapping such as \"Addresses:\"", w->name);
    return ERR_INVALID;
}

enum err config_file_parse(struct config *config, const char *name, struct span yaml, char why[CONFIG_WHY_BYTES])
{
    if (yaml.len > CONFIG_FILE_BYTES_MAX) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.120s: larger than %d bytes", name, CONFIG_FILE_BYTES_MAX);
        return ERR_TOO_LARGE;
    }
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0)
        return ERR_NOMEM;
    yaml_parser_set_input_string(&parser, yaml.len == 0 ? (const uint8_t *)"" : yaml.data, yaml.len);
    yaml_document_t document;
    enum err err = ERR_INVALID;
    if (yaml_parser_load(&parser, &document) == 0) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.120s:%zu: not YAML: %.120s", name, parser.problem_mark.line + 1,
                       parser.problem == NULL ? "unreadable" : parser.problem);
    } else {
        const struct walk w = {.config = config, .document = &document, .name = name, .why = why};
        err = set_document(&w);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return err;
}

static enum err read_all(const char *path, struct buf *to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    enum err err = ERR_OK;
    for (;;) {
        uint8_t *at = buf_reserve(to, MIN((size_t)4096, to->max - to->len));
        if (at == NULL || to->len == to->max) {
            err = ERR_TOO_LARGE;
            break;
        }
        ssize_t got = read(fd, at, MIN((size_t)4096, to->max - to->len));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = err_from_errno(errno);
        if (got <= 0)
            break;
        buf_commit(to, (size_t)got);
    }
    (void)close(fd);
    return err;
}

enum err config_file_read(const char *path, struct buf *to, char why[CONFIG_WHY_BYTES])
{
    enum err err = read_all(path, to);
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot read %.300s: %s", path, err_text(err));
    return err;
}

enum err config_file_load(struct config *config, const char *path, char why[CONFIG_WHY_BYTES])
{
    struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES_MAX + 1, NULL);
    enum err err = config_file_read(path, &text, why);
    if (err == ERR_OK)
        err = config_file_parse(config, path, buf_span(&text), why);
    buf_release(&text);
    return err;
}

/* SPDX-License-Identifier: MIT */
#include "cli/config_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config_file.h"
#include "storage/disk_posix.h"
#include "storage/durable.h"

enum { PRINT_BYTES_MAX = 1 << 20 };

/* The line at the front of text, its end of line included. */
static struct span first_line(struct span text)
{
    const uint8_t *end = text.len == 0 ? NULL : memchr(text.data, '\n', text.len);
    return span_first(text, end == NULL ? text.len : (size_t)(end - text.data) + 1);
}

static bool begins_key(struct span line, const char *key)
{
    size_t len = strlen(key);
    return line.len > len && span_equal_text(span_first(line, len), key) && line.data[len] == ':';
}

/* Indented, or an item of a sequence that is not: what belongs to the key above. */
static bool goes_on(struct span line)
{
    return line.len > 0 && (line.data[0] == ' ' || line.data[0] == '\t' || line.data[0] == '-');
}

static bool is_blank(struct span line)
{
    return line.len == 0 || line.data[0] == '\n' || line.data[0] == '\r' || line.data[0] == '#';
}

/* How many bytes the value takes, from its key's line on. Blank lines and comments behind it are the next key's. */
static size_t value_bytes(struct span text)
{
    size_t at = first_line(text).len;
    size_t end = at;
    while (at < text.len) {
        struct span line = first_line(span_skip(text, at));
        if (!goes_on(line) && !is_blank(line))
            break;
        at += line.len;
        if (goes_on(line))
            end = at;
    }
    return end;
}

static enum err append_list(struct buf *to, const char *key, const struct config_list *list)
{
    enum err err = buf_appendf(to, "%s: [", key);
    for (size_t i = 0; i < list->count && err == ERR_OK; i++)
        err = buf_appendf(to, "%s\"%s\"", i == 0 ? "" : ", ", list->items[i]);
    return err == ERR_OK ? buf_append_text(to, "]\n") : err;
}

static enum err replace(struct span text, const char *key, const struct config_list *list, struct buf *to)
{
    struct span rest = text;
    while (rest.len > 0 && !begins_key(rest, key))
        rest = span_skip(rest, first_line(rest).len);
    struct span before = span_first(text, text.len - rest.len);
    enum err err = before.len == 0 ? ERR_OK : buf_append_span(to, before);
    if (err == ERR_OK && before.len > 0 && before.data[before.len - 1] != '\n')
        err = buf_append_byte(to, '\n');
    if (err == ERR_OK)
        err = append_list(to, key, list);
    struct span after = rest.len == 0 ? rest : span_skip(rest, value_bytes(rest));
    return err == ERR_OK && after.len > 0 ? buf_append_span(to, after) : err;
}

/* All keys in one text, so that two configurations can be compared. */
static enum err print_parsed(struct span text, const char *name, const char *key, const struct config_list *list,
                             struct buf *to, char why[CONFIG_WHY_BYTES])
{
    struct config *config = NULL;
    enum err err = config_new("/", &config);
    if (err == ERR_OK)
        err = config_file_parse(config, name, text, why);
    if (err == ERR_OK && list != NULL)
        err = config_clear_list(config, key, why);
    for (size_t i = 0; err == ERR_OK && list != NULL && i < list->count; i++)
        err = config_append(config, key, span_text(list->items[i]), why);
    if (err == ERR_OK)
        err = config_print(config, false, false, to);
    config_free(config);
    return err;
}

static enum err check(struct span old, struct span new, const char *name, const char *key,
                      const struct config_list *list, char why[CONFIG_WHY_BYTES])
{
    char other[CONFIG_WHY_BYTES] = "";
    struct buf wanted;
    struct buf got;
    buf_init(&wanted, PRINT_BYTES_MAX, NULL);
    buf_init(&got, PRINT_BYTES_MAX, NULL);
    enum err err = print_parsed(old, name, key, list, &wanted, why);
    if (err == ERR_OK &&
        (print_parsed(new, name, key, NULL, &got, other) != ERR_OK || !span_equal(buf_span(&wanted), buf_span(&got)))) {
        err = ERR_UNSUPPORTED;
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.300s: %s is not written on lines of its own: change it by hand", name,
                       key);
    }
    buf_release(&wanted);
    buf_release(&got);
    return err;
}

enum err config_edit_list(struct span text, const char *name, const char *key, const struct config_list *list,
                          struct buf *to, char why[CONFIG_WHY_BYTES])
{
    size_t start = to->len;
    enum err err = replace(text, key, list, to);
    if (err != ERR_OK) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.300s: %s", name, err_text(err));
        return err;
    }
    return check(text, span_skip(buf_span(to), start), name, key, list, why);
}

static enum err write_back(const char *path, struct span text, char why[CONFIG_WHY_BYTES])
{
    char folder[DURABLE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? snprintf(folder, sizeof(folder), ".")
                            : snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    enum err err = len < 0 || len >= (int)sizeof(folder)
                       ? ERR_TOO_LARGE
                       : durable_write(disk_posix(), len == 0 ? "/" : folder, slash == NULL ? path : slash + 1, text);
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot write %.300s: %s", path, err_text(err));
    return err;
}

enum err config_edit_file(const char *path, const char *key, const struct config_list *list, char why[CONFIG_WHY_BYTES])
{
    struct buf old;
    struct buf new;
    buf_init(&old, CONFIG_FILE_BYTES_MAX + 1, NULL);
    buf_init(&new, CONFIG_FILE_BYTES_MAX + 1, NULL);
    enum err err = config_file_read(path, &old, why);
    if (err == ERR_NOT_FOUND)
        err = ERR_OK;
    if (err == ERR_OK)
        err = config_edit_list(buf_span(&old), path, key, list, &new, why);
    if (err == ERR_OK)
        err = write_back(path, buf_span(&new), why);
    buf_release(&old);
    buf_release(&new);
    return err;
}

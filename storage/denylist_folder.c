/* SPDX-License-Identifier: MIT */
#include "storage/denylist_folder.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "storage/denylist_builder.h"

enum { PIECE_BYTES = 64 * 1024, RULE_BYTES_GUESS = 64 };

/* What reads one file after the other: the sink gets every rule of all of them. */
struct scan {
    struct denylist_load *load;
    denylist_sink *sink;
    void *arg;
    struct denylist_file *file; /* the one being read */
    struct denylist_reader reader;
    uint8_t piece[PIECE_BYTES];
};

/* ---- the folder ---- */

struct listing {
    struct denylist_folder *folder;
    bool too_many;
};

static void list_one(void *arg, const char *name)
{
    struct listing *l = arg;
    size_t len = strlen(name);
    if (len <= 5 || strcmp(name + len - 5, ".deny") != 0 || len > DENYLIST_FILE_NAME_MAX)
        return;
    if (l->folder->count == DENYLIST_FILES_MAX) {
        l->too_many = true;
        return;
    }
    struct denylist_file *f = &l->folder->files[l->folder->count++];
    *f = (struct denylist_file){.invalid_why = ""};
    memcpy(f->name, name, len + 1);
}

static enum err fail(struct denylist_load *load, enum err err, const char *file, const char *what)
{
    (void)snprintf(load->why, sizeof(load->why), "%s%s%s", file, file[0] != '\0' ? ": " : "", what);
    return err;
}

static enum err open_file(const struct denylist_load *load, const struct denylist_file *f, struct disk_file **ret_file)
{
    char path[DENYLIST_FOLDER_PATH_MAX + DENYLIST_FILE_NAME_MAX + 2];
    (void)snprintf(path, sizeof(path), "%s/%s", load->path, f->name);
    return load->disk->open(load->disk->self, path, DISK_READ, ret_file);
}

static enum err list_files(struct denylist_load *load)
{
    struct listing l = {.folder = &load->folder};
    load->folder.count = 0;
    enum err err = load->disk->list(load->disk->self, load->path, list_one, &l);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err != ERR_OK)
        return fail(load, err, "", err_text(err));
    return l.too_many ? fail(load, ERR_TOO_LARGE, "", "more than 64 files") : ERR_OK;
}

/* Sizes first: both rounds read the same bytes of a file that grows meanwhile. */
static enum err size_files(struct denylist_load *load, uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    for (size_t i = 0; i < load->folder.count; i++) {
        struct denylist_file *f = &load->folder.files[i];
        struct disk_file *file = NULL;
        enum err err = open_file(load, f, &file);
        if (err == ERR_OK) {
            err = load->disk->size(file, &f->bytes);
            load->disk->close(file);
        }
        if (err != ERR_OK)
            return fail(load, err, f->name, err_text(err));
        *ret_bytes += f->bytes;
    }
    return ERR_OK;
}

/* ---- one file ---- */

static enum err read_piece(struct scan *s, struct disk_file *file, uint64_t at, struct span *ret_piece)
{
    size_t len = 0;
    size_t most = (size_t)MIN(s->file->bytes - at, (uint64_t)PIECE_BYTES);
    if (s->load->cancelled != NULL && *s->load->cancelled)
        return ERR_CANCELLED;
    enum err err = s->load->disk->pread(file, s->piece, most, at, &len);
    *ret_piece = span_of(s->piece, len);
    return err == ERR_OK && len < most ? ERR_TRUNCATED : err; /* it was cut meanwhile */
}

static enum err find_header(struct scan *s, struct disk_file *file, struct denylist_header_end *ret_end)
{
    struct denylist_header_end end = {0};
    struct span piece = {0};
    enum err err = ERR_OK;
    bool more = true;
    for (uint64_t at = 0; more && at < s->file->bytes && err == ERR_OK; at += piece.len) {
        err = read_piece(s, file, at, &piece);
        if (err == ERR_OK)
            more = denylist_header_end_feed(&end, piece);
    }
    *ret_end = end;
    return err;
}

static enum err read_header(struct scan *s, struct disk_file *file, uint64_t bytes)
{
    struct denylist_header header;
    size_t len = 0;
    uint8_t *yaml = malloc((size_t)bytes + 1);
    if (yaml == NULL)
        return ERR_NOMEM;
    enum err err = s->load->disk->pread(file, yaml, (size_t)bytes, 0, &len);
    if (err == ERR_OK)
        err = denylist_header_parse(span_of(yaml, len), &header);
    if (err == ERR_OK)
        memcpy(s->file->title, header.name, sizeof(header.name));
    free(yaml);
    return err;
}

static enum err read_rules(struct scan *s, struct disk_file *file, uint64_t from, uint64_t lines)
{
    struct span piece = {0};
    enum err err = ERR_OK;
    denylist_reader_init(&s->reader, lines);
    for (uint64_t at = from; at < s->file->bytes && err == ERR_OK; at += piece.len) {
        err = read_piece(s, file, at, &piece);
        if (err == ERR_OK)
            err = denylist_reader_feed(&s->reader, piece, s->sink, s->arg);
    }
    if (err == ERR_OK)
        denylist_reader_end(&s->reader, s->sink, s->arg);
    s->file->rules = s->reader.rules;
    s->file->invalid = s->reader.invalid;
    s->file->invalid_line = s->reader.invalid_line;
    s->file->invalid_why = s->reader.invalid_why;
    return err;
}

static enum err read_file(struct scan *s)
{
    struct disk_file *file = NULL;
    struct denylist_header_end end = {0};
    enum err err = open_file(s->load, s->file, &file);
    if (err != ERR_OK)
        return fail(s->load, err, s->file->name, err_text(err));
    err = find_header(s, file, &end);
    if (err == ERR_OK && end.found) {
        err = read_header(s, file, end.at >= 4 ? end.at - 4 : 0);
        if (err == ERR_INVALID || err == ERR_UNSUPPORTED)
            (void)fail(s->load, err, s->file->name,
                       err == ERR_INVALID ? "its header is no YAML map"
                                          : "a version of denylists that is not known here");
    }
    if (err == ERR_OK)
        err = read_rules(s, file, end.found ? end.at : 0, end.found ? end.lines : 0);
    s->load->disk->close(file);
    if (err != ERR_OK && s->load->why[0] == '\0')
        (void)fail(s->load, err, s->file->name, err == ERR_TOO_LARGE ? "a line over 2 MiB" : err_text(err));
    return err;
}

static enum err read_all(struct denylist_load *load, denylist_sink *sink, void *arg, struct denylist_file **ret_current)
{
    enum err err = ERR_OK;
    struct scan *s = malloc(sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    *s = (struct scan){.load = load, .sink = sink, .arg = arg};
    for (size_t i = 0; i < load->folder.count && err == ERR_OK; i++) {
        s->file = &load->folder.files[i];
        if (ret_current != NULL)
            *ret_current = s->file;
        err = read_file(s);
    }
    free(s);
    return err;
}

/* ---- the image ---- */

static void build_one(void *arg, const struct denylist_rule *rule)
{
    denylist_builder_add(arg, rule);
}

static enum err build(struct denylist_load *load, uint64_t bytes)
{
    struct denylist_builder b;
    enum err err = denylist_builder_init(&b, load->account, bytes / RULE_BYTES_GUESS, load->key);
    if (err == ERR_OK)
        err = read_all(load, build_one, &b, NULL);
    bool any = b.head.rules > 0;
    if (err == ERR_OK && load->bytes_max > 0 &&
        denylist_rules_offset(b.head.bits) + b.head.rules * sizeof(uint64_t) > load->bytes_max)
        err = ERR_NOMEM;
    if (err == ERR_OK && any)
        err = denylist_builder_turn(&b);
    if (err == ERR_OK && any)
        err = read_all(load, build_one, &b, NULL);
    if (err == ERR_OK && any)
        err = denylist_builder_take(&b, &load->image);
    if (err == ERR_NOMEM)
        (void)snprintf(load->why, sizeof(load->why), "%llu rules need more memory than there is: raise Memory.Budget",
                       (unsigned long long)b.head.rules);
    else if (err == ERR_TOO_LARGE && load->why[0] == '\0')
        (void)fail(load, err, "", "denying and allowing rules alternate too often, or too many hash functions");
    denylist_builder_release(&b);
    return err;
}

enum err denylist_folder_read(struct denylist_load *load)
{
    uint64_t bytes = 0;
    enum err err = ERR_OK;
    for (int tries = 0; tries < 3; tries++) {
        load->image = NULL;
        load->why[0] = '\0';
        err = list_files(load);
        if (err == ERR_OK)
            err = size_files(load, &bytes);
        if (err == ERR_OK && bytes > 0)
            err = build(load, bytes);
        if (err != ERR_AGAIN && err != ERR_TRUNCATED && err != ERR_NOT_FOUND)
            break; /* else somebody writes there just now */
    }
    if (err != ERR_OK && load->why[0] == '\0')
        (void)fail(load, err, "", err_text(err));
    return err;
}

/* ---- which rule ---- */

struct search {
    struct span text;
    struct denylist_file *current;
    struct denylist_match *match;
    const uint8_t *key;
    union {
        struct denylist list; /* an image of one rule */
        uint8_t bytes[sizeof(struct denylist) + 32];
        uint64_t aligned;
    } one;
};

static void try_one(void *arg, const struct denylist_rule *rule)
{
    struct search *s = arg;
    struct denylist *l = &s->one.list;
    memset(&s->one, 0, sizeof(s->one));
    memcpy(l->key, s->key, DENYLIST_KEY_BYTES);
    uint64_t entry = denylist_print(0, denylist_hash(l->key, rule)) | (rule->allow ? 1 : 0);
    const uint32_t directory[2] = {0, 1};
    l->rules = 1;
    l->prefix_count = rule->prefix;
    l->prefixes[0] = (uint16_t)rule->path.len;
    l->function_count = rule->kind == DENYLIST_DOUBLE;
    l->functions[0] = rule->hash.code;
    memcpy(s->one.bytes + offsetof(struct denylist, directory), directory, sizeof(directory));
    memcpy(s->one.bytes + denylist_rules_offset(0), &entry, sizeof(entry));
    enum denylist_answer answer = denylist_ask_text(l, s->text);
    if (answer == DENYLIST_UNKNOWN)
        return;
    *s->match = (struct denylist_match){.answer = answer, .line = rule->line};
    memcpy(s->match->file, s->current->name, sizeof(s->match->file));
}

enum err denylist_folder_find(struct denylist_load *load, struct span text, struct denylist_match *ret_match)
{
    uint64_t bytes = 0;
    struct denylist_match match = {.answer = DENYLIST_UNKNOWN};
    struct search search = {.text = text, .match = &match, .key = load->key};
    load->why[0] = '\0';
    enum err err = list_files(load);
    if (err == ERR_OK)
        err = size_files(load, &bytes);
    if (err == ERR_OK)
        err = read_all(load, try_one, &search, &search.current);
    if (err == ERR_OK && match.answer == DENYLIST_UNKNOWN)
        err = ERR_NOT_FOUND;
    if (err == ERR_OK)
        *ret_match = match;
    return err;
}

/* SPDX-License-Identifier: MIT */
#include "tiersim/trace_reader.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/le.h"
#include "base/text.h"
#include "tiersim/trace_file.h"

enum { WHY_BYTES = 160, ORACLE_BYTES = 24, FRACTION_DIGITS = 9 };

struct trace_reader {
    struct trace_file *file;
    enum trace_format format;
    uint64_t count;     /* lines or records so far */
    uint64_t next_page; /* lis: what is left of a line */
    uint64_t pages_left;
    char why[WHY_BYTES];
};

/* ---- what is wrong ---- */

static bool is_text(enum trace_format format)
{
    return format == TRACE_LIS || format == TRACE_KEYS || format == TRACE_TSV;
}

PRINTF_LIKE(2, 3)
static void explain(struct trace_reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
}

/* An error of the file: of its packing, or a piece that does not end. */
static enum err file_error(struct trace_reader *r, enum err err)
{
    uint64_t offset = trace_file_offset(r->file);
    if (err == ERR_CLOSED)
        return err;
    if (trace_file_broken(r->file))
        explain(r, "after %" PRIu64 " unpacked bytes (%s): %s", offset, trace_file_packing(r->file), err_text(err));
    else if (is_text(r->format))
        explain(r, "line %" PRIu64 ": longer than %d bytes", r->count + 1, TRACE_LINE_MAX);
    else
        explain(r, "record %" PRIu64 " at byte %" PRIu64 ": cut off", r->count + 1, offset);
    return err;
}

static enum err line_error(struct trace_reader *r, const char *expected)
{
    explain(r, "line %" PRIu64 ": expected %s", r->count, expected);
    return ERR_INVALID;
}

/* ---- pieces ---- */

/* The next line that is not empty, without the spaces around it. */
static enum err next_line(struct trace_reader *r, struct span *ret_line)
{
    struct span line = {0};
    while (line.len == 0) {
        enum err err = trace_file_line(r->file, &line);
        if (err != ERR_OK)
            return file_error(r, err);
        r->count++;
        line = span_trim(line);
    }
    *ret_line = line;
    return ERR_OK;
}

static enum err next_bytes(struct trace_reader *r, size_t bytes, struct span *ret_record)
{
    enum err err = trace_file_record(r->file, bytes, ret_record);
    if (err != ERR_OK)
        return file_error(r, err);
    r->count++;
    return ERR_OK;
}

/* Takes the first word off the line; empty at its end. */
static struct span take_word(struct span *line)
{
    size_t len = 0;
    *line = span_trim(*line);
    while (len < line->len && line->data[len] != ' ' && line->data[len] != '\t')
        len++;
    struct span word = span_first(*line, len);
    *line = span_skip(*line, len);
    return word;
}

/* The same in each run, so that a figure can be repeated. */
static uint64_t hash_of(struct span word)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, word.data, word.len, key);
    return hash;
}

/* "12", "12.5": digits after the ninth are read and count for nothing. */
static enum err parse_seconds(struct span word, double *ret_seconds)
{
    const uint8_t *point = word.len == 0 ? NULL : memchr(word.data, '.', word.len);
    size_t whole_len = point == NULL ? word.len : (size_t)(point - word.data);
    uint64_t whole;
    enum err err = text_parse_u64(span_first(word, whole_len), &whole);
    if (err != ERR_OK)
        return err;
    double seconds = (double)whole;
    double unit = 1;
    for (size_t i = whole_len + 1; i < word.len; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return ERR_INVALID;
        unit /= 10;
        if (i - whole_len <= FRACTION_DIGITS)
            seconds += unit * (word.data[i] - '0');
    }
    *ret_seconds = seconds;
    return ERR_OK;
}

/* ---- formats ---- */

static enum err next_oracle(struct trace_reader *r, struct trace_record *ret_record)
{
    struct span bytes;
    enum err err = next_bytes(r, ORACLE_BYTES, &bytes);
    if (err != ERR_OK)
        return err;
    ret_record->time_s = (double)le_get(bytes.data, 4);
    ret_record->id = le_get(bytes.data + 4, 8);
    ret_record->bytes = le_get(bytes.data + 12, 4);
    return ERR_OK;
}

static enum err next_big_endian(struct trace_reader *r, size_t width, struct trace_record *ret_record)
{
    struct span bytes;
    uint64_t id = 0;
    enum err err = next_bytes(r, width, &bytes);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < width; i++)
        id = id << 8 | bytes.data[i];
    ret_record->id = id;
    return ERR_OK;
}

static enum err next_keys(struct trace_reader *r, struct trace_record *ret_record)
{
    struct span line;
    do {
        enum err err = next_line(r, &line);
        if (err != ERR_OK)
            return err;
    } while (span_equal_text(line, "*"));
    ret_record->id = hash_of(line);
    return ERR_OK;
}

static enum err next_run(struct trace_reader *r)
{
    struct span line;
    uint64_t numbers[4];
    enum err err = next_line(r, &line);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (text_parse_u64(take_word(&line), &numbers[i]) != ERR_OK)
            return line_error(r, "four numbers, `start blocks 0 number`");
    }
    if (line.len > 0)
        return line_error(r, "four numbers and nothing more");
    if (numbers[1] > LIS_BLOCKS_MAX || numbers[0] > UINT64_MAX - numbers[1])
        return line_error(r, "at most 1048576 blocks below 2^64");
    r->next_page = numbers[0];
    r->pages_left = numbers[1];
    return ERR_OK;
}

static enum err next_lis(struct trace_reader *r, struct trace_record *ret_record)
{
    while (r->pages_left == 0) {
        enum err err = next_run(r);
        if (err != ERR_OK)
            return err;
    }
    r->pages_left--;
    ret_record->id = r->next_page++;
    return ERR_OK;
}

static enum err next_tsv(struct trace_reader *r, struct trace_record *ret_record)
{
    struct span line;
    enum err err = next_line(r, &line);
    if (err != ERR_OK)
        return err;
    if (parse_seconds(take_word(&line), &ret_record->time_s) != ERR_OK)
        return line_error(r, "`time id size`, the time in seconds");
    struct span id = take_word(&line);
    if (text_parse_u64(take_word(&line), &ret_record->bytes) != ERR_OK)
        return line_error(r, "`time id size`, the size in bytes");
    if (line.len > 0)
        return line_error(r, "`time id size` and nothing more");
    ret_record->id = hash_of(id);
    return ERR_OK;
}

static const struct {
    const char *name;
    bool sized;
} formats[] = {
    [TRACE_ORACLE_GENERAL] = {"oracleGeneral", true},
    [TRACE_LIS] = {"lis", false},
    [TRACE_KEYS] = {"keys", false},
    [TRACE_BE32] = {"be32", false},
    [TRACE_BE64] = {"be64", false},
    [TRACE_TSV] = {"tsv", true},
};

bool trace_format_parse(const char *name, enum trace_format *ret_format)
{
    for (enum trace_format f = 0; f < ARRAY_LEN(formats); f++) {
        if (strcmp(formats[f].name, name) == 0) {
            *ret_format = f;
            return true;
        }
    }
    return false;
}

bool trace_format_sized(enum trace_format format)
{
    return formats[format].sized;
}

/* ---- the reader ---- */

enum err trace_reader_new(FILE *file, enum trace_format format, uint64_t unpack_memory_max,
                          struct trace_reader **ret_reader)
{
    struct trace_reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->format = format;
    enum err err = trace_file_new(file, unpack_memory_max, &r->file);
    if (err != ERR_OK) {
        free(r);
        return err;
    }
    *ret_reader = r;
    return ERR_OK;
}

void trace_reader_free(struct trace_reader *r)
{
    if (r == NULL)
        return;
    trace_file_free(r->file);
    free(r);
}

enum err trace_reader_next(struct trace_reader *r, struct trace_record *ret_record)
{
    *ret_record = (struct trace_record){.bytes = 1};
    switch (r->format) {
    case TRACE_ORACLE_GENERAL:
        return next_oracle(r, ret_record);
    case TRACE_LIS:
        return next_lis(r, ret_record);
    case TRACE_KEYS:
        return next_keys(r, ret_record);
    case TRACE_BE32:
        return next_big_endian(r, 4, ret_record);
    case TRACE_BE64:
        return next_big_endian(r, 8, ret_record);
    case TRACE_TSV:
        return next_tsv(r, ret_record);
    }
    return ERR_INTERNAL;
}

const char *trace_reader_why(const struct trace_reader *r)
{
    return r->why;
}

bool trace_reader_sized(const struct trace_reader *r)
{
    return formats[r->format].sized;
}

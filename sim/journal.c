/* SPDX-License-Identifier: MIT */
#include "sim/journal.h"

#include <stdlib.h>
#include <string.h>

#include "sim/journal_text.h"

struct kept {
    struct journal_row row;
    char text[JOURNAL_TEXT_MAX];
};

struct journal {
    uint64_t began_ns;
    FILE *file;
    bool failed;
    uint64_t count;
    struct kept kept[JOURNAL_KEPT];
};

static const char magic[] = "hearth-journal 1\n";

struct journal *journal_new(uint64_t began_ns)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j != NULL)
        j->began_ns = began_ns;
    return j;
}

bool journal_free(struct journal *j)
{
    bool good = j == NULL || j->file == NULL || (fclose(j->file) == 0 && !j->failed);
    free(j);
    return good;
}

enum err journal_open_file(struct journal *j, const char *path)
{
    j->file = fopen(path, "wb");
    if (j->file == NULL)
        return ERR_IO;
    bool good =
        fwrite(magic, sizeof(magic) - 1, 1, j->file) == 1 && fwrite(&j->began_ns, sizeof(j->began_ns), 1, j->file) == 1;
    return good ? ERR_OK : ERR_IO;
}

void journal_note(struct journal *j, const struct journal_row *row, const char *text)
{
    struct kept *k = &j->kept[j->count++ % JOURNAL_KEPT];
    size_t len = text == NULL ? 0 : strnlen(text, JOURNAL_TEXT_MAX);
    k->row = *row;
    k->row.text_len = (uint8_t)len;
    if (len > 0)
        memcpy(k->text, text, len);
    if (j->file == NULL)
        return;
    bool good = fwrite(&k->row, sizeof(k->row), 1, j->file) == 1 && (len == 0 || fwrite(k->text, len, 1, j->file) == 1);
    j->failed = j->failed || !good;
}

/* ---- reading ---- */

static bool is_wanted(const struct journal_filter *f, const struct journal_row *row, uint64_t began_ns)
{
    uint64_t at = row->at_ns - began_ns;
    if (at < f->from_ns || (f->until_ns != 0 && at > f->until_ns))
        return false;
    if (row->type == JOURNAL_PHASE)
        return true;
    if ((f->node >= 0 && row->node != f->node) || (f->actor >= 0 && row->actor != f->actor))
        return false;
    return !f->important || journal_is_important(row);
}

void journal_print(const struct journal *j, const struct journal_filter *filter, size_t rows, FILE *to)
{
    uint64_t first = j->count > JOURNAL_KEPT ? j->count - JOURNAL_KEPT : 0;
    uint64_t at = j->count;
    size_t found = 0;
    while (at > first && found < rows)
        found += is_wanted(filter, &j->kept[--at % JOURNAL_KEPT].row, j->began_ns) ? 1 : 0;
    for (; at < j->count; at++) {
        const struct kept *k = &j->kept[at % JOURNAL_KEPT];
        if (is_wanted(filter, &k->row, j->began_ns))
            journal_print_row(&k->row, k->text, j->began_ns, to);
    }
}

enum err journal_print_file(const char *path, const struct journal_filter *filter, FILE *to)
{
    char first[sizeof(magic) - 1];
    uint64_t began_ns;
    struct journal_row row;
    char text[UINT8_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return ERR_IO;
    bool good = fread(first, sizeof(first), 1, file) == 1 && memcmp(first, magic, sizeof(first)) == 0 &&
                fread(&began_ns, sizeof(began_ns), 1, file) == 1;
    while (good && fread(&row, sizeof(row), 1, file) == 1) {
        good = row.type < JOURNAL_TYPES && (row.text_len == 0 || fread(text, row.text_len, 1, file) == 1);
        if (good && is_wanted(filter, &row, began_ns))
            journal_print_row(&row, text, began_ns, to);
    }
    (void)fclose(file);
    return good ? ERR_OK : ERR_INVALID;
}

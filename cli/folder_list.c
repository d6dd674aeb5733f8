/* SPDX-License-Identifier: MIT */
#include "cli/folder_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "wire/hamt.h"

enum { LIST_BYTES_MAX = 2000 * 1024 * 1024 };

struct place {
    uint64_t hash;
    uint32_t at;
};

static const struct place *places(const struct folder_list *list)
{
    return (const struct place *)(const void *)list->entries.data;
}

const char *folder_list_name(const struct folder_list *list, size_t i)
{
    return (const char *)list->names.data + places(list)[i].at;
}

static int by_name(const void *a, const void *b, void *arg)
{
    const struct place *left = a;
    const struct place *right = b;
    const char *names = arg;
    return strcmp(names + left->at, names + right->at);
}

static int by_hash(const void *a, const void *b, void *arg)
{
    const struct place *left = a;
    const struct place *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return by_name(a, b, arg);
}

static enum err take(struct folder_list *list, const char *name)
{
    struct span text = span_text(name);
    struct place place = {.hash = hamt_hash(text), .at = (uint32_t)list->names.len};
    enum err err = buf_append(&list->names, name, text.len + 1);
    if (err == ERR_OK)
        err = buf_append(&list->entries, &place, sizeof(place));
    list->count += err == ERR_OK;
    return err;
}

static enum err read_names(struct folder_list *list, DIR *dir, bool hidden)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? ERR_OK : ERR_IO;
        const char *name = entry->d_name;
        bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
        if (dots || (name[0] == '.' && !hidden))
            continue;
        enum err err = take(list, name);
        if (err != ERR_OK)
            return err;
    }
}

enum err folder_list_read(struct folder_list *list, int folder, bool hidden)
{
    *list = (struct folder_list){0};
    buf_init(&list->names, LIST_BYTES_MAX, NULL);
    buf_init(&list->entries, LIST_BYTES_MAX, NULL);
    int fd = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return ERR_IO;
    enum err err = read_names(list, dir, hidden);
    int number = errno;
    (void)closedir(dir);
    errno = number;
    list->by_hash = list->names.len + list->count * FOLDER_LINK_BYTES > FOLDER_BY_HASH_BYTES;
    if (err == ERR_OK && list->count > 1)
        qsort_r(list->entries.data, list->count, sizeof(struct place), list->by_hash ? by_hash : by_name,
                list->names.data);
    return err;
}

void folder_list_release(struct folder_list *list)
{
    buf_release(&list->names);
    buf_release(&list->entries);
}

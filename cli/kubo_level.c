/* SPDX-License-Identifier: MIT */
#include "cli/kubo_level.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libleveldb.so.1d"

/* What is called of the library; the types are its header's. */
#define FUNCTIONS(X)                                                                                                   \
    X(options_create)                                                                                                  \
    X(options_destroy)                                                                                                 \
    X(readoptions_create)                                                                                              \
    X(readoptions_destroy)                                                                                             \
    X(open)                                                                                                            \
    X(close)                                                                                                           \
    X(create_iterator)                                                                                                 \
    X(iter_destroy)                                                                                                    \
    X(iter_seek)                                                                                                       \
    X(iter_valid)                                                                                                      \
    X(iter_next)                                                                                                       \
    X(iter_key)                                                                                                        \
    X(iter_value)                                                                                                      \
    X(iter_get_error)                                                                                                  \
    X(free)

struct api {
#define MEMBER(name) __typeof__(leveldb_##name) *(name);
    FUNCTIONS(MEMBER)
#undef MEMBER
};

struct kubo_level {
    void *library;
    struct api api;
    leveldb_t *db;
    char folder[KUBO_PATH_MAX]; /* "" when there is none */
};

static enum err load(struct kubo_level *l, char why[KUBO_WHY_BYTES])
{
    l->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool whole = l->library != NULL;
#define LOOK_UP(name)                                                                                                  \
    if (whole) {                                                                                                       \
        void *at = dlsym(l->library, "leveldb_" #name);                                                                \
        memcpy(&l->api.name, &at, sizeof(at)); /* ISO C has no cast from an object to a function */                    \
        whole = at != NULL;                                                                                            \
    }
    FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (whole)
        return ERR_OK;
    (void)snprintf(
        why, KUBO_WHY_BYTES,
        "%s cannot be loaded, which the pins are read with: install libleveldb1d, or give --pins FILE with the "
        "lines of `ipfs pin ls --names`",
        LIBRARY);
    return ERR_UNSUPPORTED;
}

/* ---- the copy ---- */

static enum err copy_file(int from_folder, const char *name, int to_folder)
{
    char buffer[64 * 1024];
    int from = openat(from_folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int to = openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n = from < 0 || to < 0 ? -1 : 1;
    while (n > 0) {
        n = read(from, buffer, sizeof(buffer));
        for (ssize_t at = 0; n > 0 && at < n;) {
            ssize_t put = write(to, buffer + at, (size_t)(n - at));
            if (put < 0)
                n = -1;
            at += put;
        }
    }
    enum err err = n < 0 ? err_from_errno(errno) : ERR_OK;
    if (from >= 0)
        (void)close(from);
    if (to >= 0)
        (void)close(to);
    return err;
}

/* Logs for people and the lock are of the node that runs it. */
static bool is_data(int folder, const char *name)
{
    struct stat st;
    return strcmp(name, "LOCK") != 0 && strncmp(name, "LOG", 3) != 0 &&
           fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static enum err copy_files(DIR *from, const char *to)
{
    const struct dirent *entry;
    int folder = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = folder < 0 ? err_from_errno(errno) : ERR_OK;
    while (err == ERR_OK && (entry = readdir(from)) != NULL) {
        if (is_data(dirfd(from), entry->d_name))
            err = copy_file(dirfd(from), entry->d_name, folder);
    }
    if (folder >= 0)
        (void)close(folder);
    return err;
}

static enum err make_copy(struct kubo_level *l, const char *path, char why[KUBO_WHY_BYTES])
{
    const char *base = getenv("TMPDIR");
    char folder[KUBO_PATH_MAX];
    int len =
        snprintf(folder, sizeof(folder), "%s/hearth-import-XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base);
    if (len < 0 || (size_t)len >= sizeof(folder) || mkdtemp(folder) == NULL) {
        (void)snprintf(why, KUBO_WHY_BYTES, "%s: %s", folder, strerror(errno));
        return ERR_IO;
    }
    memcpy(l->folder, folder, sizeof(folder));
    DIR *from = opendir(path);
    enum err err = from == NULL ? err_from_errno(errno) : copy_files(from, folder);
    if (from != NULL)
        (void)closedir(from);
    if (err != ERR_OK)
        (void)snprintf(why, KUBO_WHY_BYTES, "%s cannot be copied to %.200s: %s", path, folder, err_text(err));
    return err;
}

static void remove_copy(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder != NULL)
        (void)closedir(folder);
    (void)rmdir(path);
}

/* ---- reading ---- */

enum err kubo_level_open(const char *path, struct kubo_level **ret_level, char ret_why[KUBO_WHY_BYTES])
{
    struct kubo_level *l = calloc(1, sizeof(*l));
    char *failure = NULL;
    if (l == NULL)
        return ERR_NOMEM;
    enum err err = load(l, ret_why);
    if (err == ERR_OK)
        err = make_copy(l, path, ret_why);
    if (err == ERR_OK) {
        leveldb_options_t *options = l->api.options_create();
        l->db = l->api.open(options, l->folder, &failure);
        l->api.options_destroy(options);
    }
    if (failure != NULL) {
        (void)snprintf(ret_why, KUBO_WHY_BYTES, "%s: %.300s", path, failure);
        l->api.free(failure);
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        kubo_level_close(l);
        return err;
    }
    *ret_level = l;
    return ERR_OK;
}

void kubo_level_close(struct kubo_level *l)
{
    if (l == NULL)
        return;
    if (l->db != NULL)
        l->api.close(l->db);
    if (l->folder[0] != '\0')
        remove_copy(l->folder);
    if (l->library != NULL)
        (void)dlclose(l->library);
    free(l);
}

int kubo_level_each(struct kubo_level *l, const char *prefix,
                    int (*each)(void *arg, struct span key, struct span value), void *arg)
{
    const struct api *api = &l->api;
    size_t len = strlen(prefix);
    char *failure = NULL;
    int status = 0;
    leveldb_readoptions_t *options = api->readoptions_create();
    leveldb_iterator_t *i = api->create_iterator(l->db, options);
    for (api->iter_seek(i, prefix, len); status == 0 && api->iter_valid(i); api->iter_next(i)) {
        struct span key;
        struct span value;
        key.data = (const uint8_t *)api->iter_key(i, &key.len);
        value.data = (const uint8_t *)api->iter_value(i, &value.len);
        if (key.len < len || memcmp(key.data, prefix, len) != 0)
            break;
        status = each(arg, key, value);
    }
    api->iter_get_error(i, &failure);
    if (failure != NULL) {
        api->free(failure);
        status = status == 0 ? -1 : status;
    }
    api->iter_destroy(i);
    api->readoptions_destroy(options);
    return status;
}

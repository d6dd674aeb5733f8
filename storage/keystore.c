/* SPDX-License-Identifier: MIT */
#include "storage/keystore.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/text.h"
#include "storage/durable.h"
#include "wire/multibase.h"
#include "wire/signing_key.h"

enum { FILE_NAME_MAX = 256 };

static const char file_prefix[] = "key_";

bool keystore_name_is_good(struct span name)
{
    if (name.len == 0 || name.len > KEYSTORE_NAME_MAX || name.data[0] == '.' || span_equal_text(name, "self") ||
        !text_is_utf8(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f || name.data[i] == '/')
            return false;
    return true;
}

/* Base32 in lower case without padding, as Kubo's. */
static enum err file_of(struct span name, char to[FILE_NAME_MAX])
{
    size_t len = 0;
    size_t prefix = sizeof(file_prefix) - 1;
    if (!keystore_name_is_good(name))
        return ERR_INVALID;
    memcpy(to, file_prefix, prefix);
    enum err err = multibase_encode_bare(MULTIBASE_32, name, to + prefix, FILE_NAME_MAX - prefix - 1, &len);
    assert(err == ERR_OK);
    to[prefix + len] = '\0';
    return err;
}

static enum err path_of(const char *folder, struct span name, char to[DURABLE_PATH_MAX])
{
    char file[FILE_NAME_MAX];
    enum err err = file_of(name, file);
    if (err != ERR_OK)
        return err;
    int len = snprintf(to, DURABLE_PATH_MAX, "%s/%s", folder, file);
    return len > 0 && len < DURABLE_PATH_MAX ? ERR_OK : ERR_TOO_LARGE;
}

enum err keystore_get(const struct disk_port *port, const char *folder, struct span name, struct signing_key **ret_key)
{
    char path[DURABLE_PATH_MAX];
    struct disk_file *file;
    size_t len = 0;
    enum err err = path_of(folder, name, path);
    if (err == ERR_OK)
        err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    uint8_t *secret = sodium_init() < 0 ? NULL : sodium_malloc(SIGNING_KEY_BYTES_MAX);
    err = secret == NULL ? ERR_NOMEM : port->pread(file, secret, SIGNING_KEY_BYTES_MAX, 0, &len);
    port->close(file);
    if (err == ERR_OK)
        err = signing_key_decode(span_of(secret, len), ret_key);
    sodium_free(secret);
    bool damaged = err == ERR_INVALID || err == ERR_UNSUPPORTED || err == ERR_TOO_LARGE;
    return damaged ? ERR_CORRUPT : err;
}

static void count_one(void *arg, struct span name)
{
    (void)name;
    (*(size_t *)arg)++;
}

static enum err exists(const struct disk_port *port, const char *folder, struct span name)
{
    char path[DURABLE_PATH_MAX];
    enum err err = path_of(folder, name, path);
    return err == ERR_OK ? port->exists(port->self, path) : err;
}

enum err keystore_put(const struct disk_port *port, const char *folder, struct span name, const struct signing_key *key,
                      bool replace)
{
    char file[FILE_NAME_MAX];
    size_t count = 0;
    enum err err = file_of(name, file);
    if (err != ERR_OK)
        return err;
    err = exists(port, folder, name);
    if (err == ERR_OK && !replace)
        return ERR_EXISTS;
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    err = durable_make_folders(port, folder);
    if (err == ERR_OK)
        err = keystore_list(port, folder, count_one, &count);
    if (err == ERR_OK && count >= KEYSTORE_KEYS_MAX)
        err = ERR_TOO_LARGE;
    return err == ERR_OK ? durable_write(port, folder, file, signing_key_secret(key)) : err;
}

enum err keystore_rm(const struct disk_port *port, const char *folder, struct span name)
{
    char path[DURABLE_PATH_MAX];
    enum err err = path_of(folder, name, path);
    if (err == ERR_OK)
        err = port->unlink(port->self, path);
    return err == ERR_OK ? port->sync_dir(port->self, folder) : err;
}

enum err keystore_rename(const struct disk_port *port, const char *folder, struct span from, struct span to,
                         bool replace)
{
    char old_path[DURABLE_PATH_MAX];
    char new_path[DURABLE_PATH_MAX];
    enum err err = path_of(folder, from, old_path);
    if (err == ERR_OK)
        err = path_of(folder, to, new_path);
    if (err == ERR_OK)
        err = port->exists(port->self, old_path);
    if (err != ERR_OK)
        return err;
    err = port->exists(port->self, new_path);
    if (err == ERR_OK && !replace)
        return ERR_EXISTS;
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    err = port->rename(port->self, old_path, new_path);
    return err == ERR_OK ? port->sync_dir(port->self, folder) : err;
}

/* ---- listing ---- */

struct names {
    char (*list)[KEYSTORE_NAME_MAX + 1];
    size_t count;
};

static void take_file(void *arg, const char *file)
{
    struct names *names = arg;
    uint8_t name[KEYSTORE_NAME_MAX];
    size_t len = 0;
    size_t prefix = sizeof(file_prefix) - 1;
    char again[FILE_NAME_MAX];
    if (names->count == KEYSTORE_KEYS_MAX || strncmp(file, file_prefix, prefix) != 0)
        return;
    if (multibase_decode_bare(MULTIBASE_32, span_text(file + prefix), name, sizeof(name), &len) != ERR_OK)
        return;
    /* the name's own file only: base32 has several texts for some bytes, and an interrupted write left a .new */
    if (file_of(span_of(name, len), again) != ERR_OK || strcmp(again, file) != 0)
        return;
    memcpy(names->list[names->count], name, len);
    names->list[names->count++][len] = '\0';
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

enum err keystore_list(const struct disk_port *port, const char *folder, void (*each)(void *arg, struct span name),
                       void *arg)
{
    struct names names = {.list = calloc(KEYSTORE_KEYS_MAX, sizeof(*names.list))};
    if (names.list == NULL)
        return ERR_NOMEM;
    enum err err = port->exists(port->self, folder);
    if (err == ERR_OK)
        err = port->list(port->self, folder, take_file, &names);
    if (err == ERR_NOT_FOUND) /* no key was made yet */
        err = ERR_OK;
    if (err == ERR_OK) {
        qsort(names.list, names.count, sizeof(*names.list), compare_names);
        for (size_t i = 0; i < names.count; i++)
            each(arg, span_text(names.list[i]));
    }
    free(names.list);
    return err;
}

/* ---- copying ---- */

struct copying {
    const struct disk_port *port;
    const char *from;
    const char *to;
    bool replace;
    size_t count;
    enum err err;
};

static void copy_one(void *arg, struct span name)
{
    struct copying *c = arg;
    struct signing_key *key = NULL;
    enum err err = keystore_get(c->port, c->from, name, &key);
    if (err == ERR_OK)
        err = keystore_put(c->port, c->to, name, key, c->replace);
    signing_key_free(key);
    if (err == ERR_OK)
        c->count++;
    else if (c->err == ERR_OK && err != ERR_EXISTS)
        c->err = err;
}

enum err keystore_copy(const struct disk_port *port, const char *from, const char *to, bool replace, size_t *ret_count)
{
    struct copying c = {.port = port, .from = from, .to = to, .replace = replace};
    enum err err = keystore_list(port, from, copy_one, &c);
    *ret_count = c.count;
    return err == ERR_OK ? c.err : err;
}

/* SPDX-License-Identifier: MIT */
#include "cli/kubo_repository.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "schemas/json.h"
#include "schemas/walk.h"
#include "wire/multibase.h"

enum { SPEC_BYTES_MAX = 64 * 1024, SHARDING_BYTES_MAX = 256, NAME_MAX_BYTES = 256, READ_STEP = 64 * 1024 };

static const char suffix[] = ".data";

int kubo_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
    return fd < 0 && errno == EPERM ? open(path, O_RDONLY | O_CLOEXEC) : fd;
}

/* Reads a whole file; ERR_TOO_LARGE past the buffer's maximum. */
static enum err read_file(const char *path, struct buf *to)
{
    int fd = kubo_open(path);
    if (fd < 0)
        return err_from_errno(errno);
    enum err err = ERR_OK;
    for (;;) {
        uint8_t *at = buf_reserve(to, MIN(to->max - to->len, (size_t)READ_STEP));
        size_t room = MIN(to->max - to->len, (size_t)READ_STEP);
        if (at == NULL) {
            err = ERR_NOMEM;
            break;
        }
        ssize_t n = read(fd, at, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n < 0 ? err_from_errno(errno) : ERR_OK;
            break;
        }
        buf_commit(to, (size_t)n);
        if (to->len == to->max) {
            err = ERR_TOO_LARGE;
            break;
        }
    }
    (void)close(fd);
    return err;
}

/* ---- what it is made of ---- */

/* What is mounted at a place: a part of the spec, or all of it when it mounts nothing. */
static struct span mounted_at(struct span spec, const char *place)
{
    struct walk walk = {0};
    struct walk_token token;
    if (walk_find(spec, "mounts", &walk.left) != ERR_OK || walk_next(&walk, &token) != ERR_OK ||
        token.type != WALK_ARRAY)
        return spec;
    for (uint32_t i = 0; i < token.count; i++) {
        struct span mount;
        struct span point;
        if (walk_skip(&walk, &mount) != ERR_OK)
            break;
        if (walk_find_text(mount, "mountpoint", &point) == ERR_OK && span_equal_text(point, place))
            return mount;
    }
    return (struct span){0};
}

static struct span text_of(struct span map, const char *key)
{
    struct span text = {0};
    return walk_find_text(map, key, &text) == ERR_OK ? text : (struct span){0};
}

static enum err join(const char *path, struct span name, char to[KUBO_PATH_MAX])
{
    bool absolute = name.len > 0 && name.data[0] == '/';
    int len = snprintf(to, KUBO_PATH_MAX, "%s%s%.*s", absolute ? "" : path, absolute ? "" : "/", (int)name.len,
                       (const char *)name.data);
    return len > 0 && len < KUBO_PATH_MAX ? ERR_OK : ERR_TOO_LARGE;
}

static enum err take_spec(const char *path, struct span spec, struct kubo_repository *r, char why[KUBO_WHY_BYTES])
{
    struct span blocks = mounted_at(spec, "/blocks");
    struct span rest = mounted_at(spec, "/");
    struct span type = text_of(blocks, "type");
    if (!span_equal_text(type, "flatfs")) {
        (void)snprintf(why, KUBO_WHY_BYTES,
                       "%s: its blocks are in a datastore of type \"%.*s\"; only flatfs can be read: convert it with "
                       "ipfs-ds-convert, or move what you need with `ipfs dag export`",
                       path, (int)MIN(type.len, (size_t)60), (const char *)type.data);
        return ERR_UNSUPPORTED;
    }
    enum err err = join(path, text_of(blocks, "path"), r->blocks);
    type = text_of(rest, "type");
    (void)snprintf(r->datastore_type, sizeof(r->datastore_type), "%.*s", (int)type.len, (const char *)type.data);
    if (err == ERR_OK && span_equal_text(type, "levelds"))
        err = join(path, text_of(rest, "path"), r->datastore);
    if (err != ERR_OK)
        (void)snprintf(why, KUBO_WHY_BYTES, "%s: a path in it is too long", path);
    return err;
}

static enum err read_spec(const char *path, struct kubo_repository *r, char why[KUBO_WHY_BYTES])
{
    char name[KUBO_PATH_MAX];
    struct buf text;
    struct buf spec;
    size_t at = 0;
    buf_init(&text, SPEC_BYTES_MAX, NULL);
    buf_init(&spec, 2 * SPEC_BYTES_MAX, NULL);
    enum err err = join(path, span_text("datastore_spec"), name);
    if (err == ERR_OK)
        err = read_file(name, &text);
    if (err == ERR_OK)
        err = json_to_msgpack(buf_span(&text), &spec, &at);
    if (err == ERR_OK)
        err = take_spec(path, buf_span(&spec), r, why);
    else
        (void)snprintf(why, KUBO_WHY_BYTES, "%s: no Kubo repository: datastore_spec: %s", path, err_text(err));
    buf_release(&text);
    buf_release(&spec);
    return err;
}

/* The line of SHARDING, as /repo/flatfs/shard/v1/next-to-last/2. */
static enum err take_sharding(struct span line, struct kubo_repository *r)
{
    static const struct {
        const char *name;
        enum kubo_sharding sharding;
    } kinds[] = {{"/repo/flatfs/shard/v1/prefix/", KUBO_PREFIX},
                 {"/repo/flatfs/shard/v1/suffix/", KUBO_SUFFIX},
                 {"/repo/flatfs/shard/v1/next-to-last/", KUBO_NEXT_TO_LAST}};
    while (line.len > 0 && line.data[line.len - 1] <= ' ')
        line.len--;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i].name);
        uint64_t n = 0;
        if (line.len <= len || memcmp(line.data, kinds[i].name, len) != 0)
            continue;
        if (text_parse_u64(span_skip(line, len), &n) != ERR_OK || n == 0 || n > KUBO_SHARD_MAX)
            return ERR_INVALID;
        r->sharding = kinds[i].sharding;
        r->shard_len = (size_t)n;
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

static enum err read_sharding(struct kubo_repository *r, char why[KUBO_WHY_BYTES])
{
    char name[KUBO_PATH_MAX];
    struct buf line;
    buf_init(&line, SHARDING_BYTES_MAX, NULL);
    enum err err = join(r->blocks, span_text("SHARDING"), name);
    if (err == ERR_OK)
        err = read_file(name, &line);
    if (err == ERR_OK)
        err = take_sharding(buf_span(&line), r);
    buf_release(&line);
    if (err != ERR_OK)
        (void)snprintf(why, KUBO_WHY_BYTES, "%s: %s", name,
                       err == ERR_UNSUPPORTED ? "a sharding that is not known here" : err_text(err));
    return err;
}

/* Asks for the lock without taking it. */
static bool is_running(const char *path)
{
    char name[KUBO_PATH_MAX];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (join(path, span_text("repo.lock"), name) != ERR_OK)
        return false;
    int fd = kubo_open(name);
    if (fd < 0)
        return false;
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd);
    return held;
}

enum err kubo_repository_open(const char *path, struct kubo_repository *ret_repository, char ret_why[KUBO_WHY_BYTES])
{
    memset(ret_repository, 0, sizeof(*ret_repository));
    enum err err = read_spec(path, ret_repository, ret_why);
    if (err == ERR_OK)
        err = read_sharding(ret_repository, ret_why);
    ret_repository->running = err == ERR_OK && is_running(path);
    return err;
}

/* ---- blocks ---- */

/* The folder of a block's name: characters of it, with '_' where it is too short. */
static void shard_of(const struct kubo_repository *r, const char *name, size_t len, char to[KUBO_SHARD_MAX + 1])
{
    size_t tail = r->sharding == KUBO_NEXT_TO_LAST ? 1 : 0;
    for (size_t i = 0; i < r->shard_len; i++) {
        size_t from_end = r->shard_len + tail - i; /* of the name, 1 = its last character */
        size_t at = r->sharding == KUBO_PREFIX ? i : len - from_end;
        bool there = r->sharding == KUBO_PREFIX ? i < len : from_end <= len;
        to[i] = there ? name[at] : '_';
    }
    to[r->shard_len] = '\0';
}

enum err kubo_repository_read(const struct kubo_repository *r, const struct multihash *hash, struct buf *to)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    char name[NAME_MAX_BYTES];
    char shard[KUBO_SHARD_MAX + 1];
    char path[KUBO_PATH_MAX + NAME_MAX_BYTES + KUBO_SHARD_MAX + 16];
    size_t len = 0;
    enum err err = multibase_encode_bare(MULTIBASE_32_UPPER, span_of(bytes, multihash_encode(hash, bytes)), name,
                                         sizeof(name), &len);
    if (err != ERR_OK)
        return err;
    shard_of(r, name, len, shard);
    (void)snprintf(path, sizeof(path), "%s/%s/%.*s%s", r->blocks, shard, (int)len, name, suffix);
    buf_clear(to);
    return read_file(path, to);
}

/* A file that is no block's, such as one that is being written, has no such name. */
static bool hash_of_name(const char *name, struct multihash *ret_hash)
{
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = strlen(name);
    size_t got = 0;
    if (len <= sizeof(suffix) - 1 || strcmp(name + len - (sizeof(suffix) - 1), suffix) != 0)
        return false;
    struct span digits = span_of(name, len - (sizeof(suffix) - 1));
    return multibase_decode_bare(MULTIBASE_32_UPPER, digits, bytes, sizeof(bytes), &got) == ERR_OK &&
           multihash_parse(span_of(bytes, got), ret_hash) == ERR_OK;
}

static int each_of_shard(DIR *shard, int (*each)(void *arg, const struct multihash *hash), void *arg)
{
    const struct dirent *entry;
    struct multihash hash;
    int status = 0;
    while (status == 0 && (errno = 0, entry = readdir(shard)) != NULL) {
        if (hash_of_name(entry->d_name, &hash))
            status = each(arg, &hash);
    }
    return status != 0 ? status : errno != 0 ? -1 : 0;
}

int kubo_repository_each(const struct kubo_repository *r, int (*each)(void *arg, const struct multihash *hash),
                         void *arg)
{
    DIR *blocks = opendir(r->blocks);
    const struct dirent *entry;
    int status = 0;
    if (blocks == NULL)
        return -1;
    while (status == 0 && (errno = 0, entry = readdir(blocks)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(blocks), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOTDIR)
            continue; /* SHARDING, _README, diskUsage.cache */
        DIR *shard = fd < 0 ? NULL : fdopendir(fd);
        if (shard == NULL) {
            status = -1;
            break;
        }
        status = each_of_shard(shard, each, arg);
        (void)closedir(shard);
    }
    if (status == 0 && errno != 0)
        status = -1;
    (void)closedir(blocks);
    return status;
}

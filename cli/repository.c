/* SPDX-License-Identifier: MIT */
#include "cli/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/config_file.h"
#include "schemas/role.h"
#include "storage/disk_posix.h"
#include "storage/durable.h"
#include "wire/keys.h"
#include "wire/multiaddr.h"
#include "wire/peer_rule.h"
#include "wire/swarm_key.h"

extern char **environ;

enum { LOCK_WAIT_MS = 3000, LOCK_POLL_MS = 20 };

static bool join(char to[REPOSITORY_PATH_MAX], const char *path, const char *name)
{
    int len = snprintf(to, REPOSITORY_PATH_MAX, "%s/%s", path, name);
    return len > 0 && len < REPOSITORY_PATH_MAX;
}

static enum err make_absolute(const char *path, char ret_path[REPOSITORY_PATH_MAX], char why[CONFIG_WHY_BYTES])
{
    char cwd[REPOSITORY_PATH_MAX];
    int len = -1;
    if (path[0] == '/')
        len = snprintf(ret_path, REPOSITORY_PATH_MAX, "%s", path);
    else if (getcwd(cwd, sizeof(cwd)) != NULL)
        len = snprintf(ret_path, REPOSITORY_PATH_MAX, "%s/%s", cwd, path[0] == '.' && path[1] == '/' ? path + 2 : path);
    if (len < 0 || len >= REPOSITORY_PATH_MAX) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "the repository path is longer than %d bytes", REPOSITORY_PATH_MAX - 1);
        return ERR_TOO_LARGE;
    }
    while (len > 1 && ret_path[len - 1] == '/')
        ret_path[--len] = '\0';
    return ERR_OK;
}

bool repository_exists(const char *path)
{
    char name[REPOSITORY_PATH_MAX];
    return join(name, path, "identity.key") && access(name, F_OK) == 0;
}

enum err repository_find(const char *repo_dir, char ret_path[REPOSITORY_PATH_MAX], char why[CONFIG_WHY_BYTES])
{
    const char *variable = getenv("HEARTH_PATH");
    if (repo_dir != NULL)
        return make_absolute(repo_dir, ret_path, why);
    if (variable != NULL && variable[0] != '\0')
        return make_absolute(variable, ret_path, why);
    if (repository_exists("data"))
        return make_absolute("data", ret_path, why);
    const char *home = getenv("HOME");
    if (home == NULL || home[0] == '\0') {
        (void)snprintf(why, CONFIG_WHY_BYTES,
                       "neither HEARTH_PATH nor HOME is set: name the repository with --repo-dir");
        return ERR_NOT_FOUND;
    }
    char path[REPOSITORY_PATH_MAX];
    return join(path, home, ".hearth") ? make_absolute(path, ret_path, why) : ERR_TOO_LARGE;
}

static enum err check_socket_path(const char *path, char why[CONFIG_WHY_BYTES])
{
    size_t len = strlen(path) + strlen("/run/control.sock");
    if (len <= REPOSITORY_SOCKET_MAX)
        return ERR_OK;
    (void)snprintf(
        why, CONFIG_WHY_BYTES,
        "the control socket's path would be %zu bytes, more than %d: set HEARTH_PATH (--repo-dir) to a shorter path",
        len, REPOSITORY_SOCKET_MAX);
    return ERR_TOO_LARGE;
}

static enum err make_folders(const char *path, char why[CONFIG_WHY_BYTES])
{
    enum err err = durable_make_folders(disk_posix(), path);
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot make the folder %.300s: %s", path, err_text(err));
    return err;
}

static enum err write_file(const char *folder, const char *name, struct span content, char why[CONFIG_WHY_BYTES])
{
    enum err err = durable_write(disk_posix(), folder, name, content);
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot write %.300s/%s: %s", folder, name, err_text(err));
    return err;
}

static enum err write_config(const char *path, const char *profiles, char why[CONFIG_WHY_BYTES])
{
    struct config *config = NULL;
    enum err err = config_new(path, &config);
    if (err != ERR_OK)
        return err;
    struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES_MAX, NULL);
    err = buf_append_text(&text,
                          "# hearth: what is set here overrides the defaults. `hearth config show` prints all keys.\n");
    if (err == ERR_OK && profiles != NULL)
        err = config_profile(config, profiles, why);
    if (err == ERR_OK)
        err = config_print(config, false, true, &text);
    if (err == ERR_OK)
        err = write_file(path, "config.yaml", buf_span(&text), why);
    buf_release(&text);
    config_free(config);
    return err;
}

/* The key comes last: a folder with a key is a complete repository. */
static enum err write_identity(const char *path, char why[CONFIG_WHY_BYTES])
{
    struct key_pair *pair = NULL;
    enum err err = key_pair_generate(&pair);
    if (err != ERR_OK)
        return err;
    uint8_t bytes[ED25519_PRIVATE_KEY_BYTES];
    key_pair_encode(pair, bytes);
    err = write_file(path, "identity.key", span_of(bytes, sizeof(bytes)), why);
    sodium_memzero(bytes, sizeof(bytes));
    key_pair_free(pair);
    return err;
}

enum err repository_init(const char *path, const char *profiles, char why[CONFIG_WHY_BYTES])
{
    if (repository_exists(path)) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.300s is a repository already", path);
        return ERR_EXISTS;
    }
    (void)snprintf(why, CONFIG_WHY_BYTES, "cannot make the repository %.300s", path);
    enum err err = check_socket_path(path, why);
    if (err == ERR_OK)
        err = make_folders(path, why);
    if (err == ERR_OK)
        err = write_config(path, profiles, why);
    return err == ERR_OK ? write_identity(path, why) : err;
}

enum err repository_identity(const char *path, struct key_pair **ret_pair, char why[CONFIG_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX];
    if (!join(name, path, "identity.key"))
        return ERR_TOO_LARGE;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        enum err err = err_from_errno(errno);
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot read %.300s: %s%s", name, err_text(err),
                       err == ERR_NOT_FOUND ? ". `hearth init` makes a repository" : "");
        return err;
    }
    uint8_t bytes[512]; /* larger than any Ed25519 form */
    ssize_t len = read(fd, bytes, sizeof(bytes));
    (void)close(fd);
    enum err err = len < 0 ? ERR_IO : key_pair_decode(span_of(bytes, (size_t)len), ret_pair);
    sodium_memzero(bytes, sizeof(bytes));
    if (err == ERR_UNSUPPORTED)
        (void)snprintf(why, CONFIG_WHY_BYTES, "%.300s holds a key of another type: hearth's own key is Ed25519", name);
    else if (err != ERR_OK)
        (void)snprintf(
            why, CONFIG_WHY_BYTES,
            "%.300s is damaged: restore it from a backup, or delete it and run `hearth init` for a new identity", name);
    return err;
}

static enum err read_swarm_key(const char *path, char *text, size_t *ret_len, char why[CONFIG_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX];
    if (!join(name, path, "swarm.key"))
        return ERR_TOO_LARGE;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    enum err err = fd < 0 ? err_from_errno(errno) : ERR_OK;
    ssize_t len = fd < 0 ? -1 : read(fd, text, SWARM_KEY_TEXT_MAX + 1);
    if (fd >= 0)
        (void)close(fd);
    if (len < 0 && err == ERR_OK)
        err = ERR_IO;
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot read %.300s: %s", name, err_text(err));
    else
        *ret_len = (size_t)len;
    return err;
}

static bool is_forced(const struct config *config)
{
    const char *variable = getenv("LIBP2P_FORCE_PNET");
    return config->swarm_force_private || (variable != NULL && strcmp(variable, "1") == 0);
}

enum err repository_swarm_key(const struct config *config, uint8_t *ret_key, bool *ret_private,
                              char why[CONFIG_WHY_BYTES])
{
    char text[SWARM_KEY_TEXT_MAX + 1];
    size_t len = strlen(config->swarm_key_text);
    bool file = len == 0;
    enum err err = ERR_OK;
    *ret_private = false;
    if (file)
        err = read_swarm_key(config->path, text, &len, why);
    else
        memcpy(text, config->swarm_key_text, MIN(len, sizeof(text)));
    if (err != ERR_OK || (file && len == 0 && !is_forced(config)))
        return err;
    if (len == 0) {
        (void)snprintf(
            why, CONFIG_WHY_BYTES,
            "a private network is asked for (Swarm.ForcePrivate, LIBP2P_FORCE_PNET) and there is no key: put "
            "swarm.key into %.200s",
            config->path);
        return ERR_DENIED;
    }
    err = swarm_key_parse(span_of(text, MIN(len, sizeof(text))), ret_key);
    sodium_memzero(text, sizeof(text));
    if (err != ERR_OK) {
        (void)snprintf(why, CONFIG_WHY_BYTES,
                       "%s%.200s: no swarm key: three lines, /key/swarm/psk/1.0.0/ and /base16/ and 64 hex digits",
                       file ? config->path : "Swarm.Key", file ? "/swarm.key" : "");
        return ERR_CORRUPT;
    }
    *ret_private = true;
    return ERR_OK;
}

/* Each item must be a multiaddr, where with_peer one that ends in /p2p/<peer id>, or where with_auto the word for the public ones. */
static enum err check_addresses(const struct config_list *list, const char *key, bool with_peer, bool with_auto,
                                char why[CONFIG_WHY_BYTES])
{
    for (size_t i = 0; i < list->count; i++) {
        struct multiaddr addr;
        struct peer_id peer;
        if (with_auto && strcmp(list->items[i], CONFIG_BOOTSTRAP_AUTO) == 0)
            continue;
        enum err err = multiaddr_parse_text(span_text(list->items[i]), &addr);
        if (err == ERR_OK && with_peer)
            err = multiaddr_peer(multiaddr_span(&addr), &peer);
        if (err == ERR_OK)
            continue;
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: \"%.200s\" is no multiaddr such as /ip4/192.0.2.1/tcp/4001%s", key,
                       list->items[i], with_peer ? "/p2p/12D3Koo..., with the peer's id at its end" : "");
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err check_networks(const struct config_list *list, const char *key, char why[CONFIG_WHY_BYTES])
{
    for (size_t i = 0; i < list->count; i++) {
        struct ip_network network;
        if (ip_network_parse(span_text(list->items[i]), &network) == ERR_OK)
            continue;
        (void)snprintf(why, CONFIG_WHY_BYTES,
                       "%s: \"%.200s\" is no network such as /ip4/10.0.0.0/ipcidr/8 or 10.0.0.0/8", key,
                       list->items[i]);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err check_rules(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    enum err err = check_networks(&config->swarm_per_ip_exempt, "Swarm.PerIPExempt", why);
    if (err == ERR_OK)
        err = check_networks(&config->swarm_addr_filters, "Swarm.AddrFilters", why);
    for (size_t i = 0; err == ERR_OK && i < config->swarm_peer_rules.count; i++) {
        struct peer_rule rule;
        err = peer_rule_parse(span_text(config->swarm_peer_rules.items[i]), &rule);
        if (err != ERR_OK)
            (void)snprintf(
                why, CONFIG_WHY_BYTES,
                "Swarm.PeerRules: \"%.200s\" is no rule such as \"deny 203.0.113.0/24\", \"allow <peer id>\" or "
                "\"deny all\"",
                config->swarm_peer_rules.items[i]);
    }
    return err;
}

static enum err check_all_addresses(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    enum err err = check_addresses(&config->addresses_swarm, "Addresses.Swarm", false, false, why);
    if (err == ERR_OK)
        err = check_addresses(&config->addresses_announce, "Addresses.Announce", false, false, why);
    if (err == ERR_OK)
        err = check_addresses(&config->bootstrap, "Bootstrap", true, true, why);
    return err == ERR_OK ? check_addresses(&config->peering_peers, "Peering.Peers", true, false, why) : err;
}

enum err repository_config(const char *path, const char *config_file, struct config **ret_config,
                           char why[CONFIG_WHY_BYTES])
{
    struct config *config = NULL;
    enum err err = config_new(path, &config);
    if (err != ERR_OK)
        return err;
    char name[REPOSITORY_PATH_MAX];
    if (config_file != NULL) {
        err = config_file_load(config, config_file, why);
    } else if (!join(name, path, "config.yaml")) {
        err = ERR_TOO_LARGE;
    } else {
        err = config_file_load(config, name, why);
        if (err == ERR_NOT_FOUND && access(name, F_OK) != 0)
            err = ERR_OK;
    }
    if (err == ERR_OK)
        err = config_set_environment(config, environ, why);
    if (err == ERR_OK) {
        role_apply(config);
        err = config_check(config, why);
    }
    if (err == ERR_OK)
        err = check_all_addresses(config, why);
    if (err == ERR_OK)
        err = check_rules(config, why);
    if (err == ERR_OK)
        err = check_socket_path(path, why);
    if (err != ERR_OK) {
        config_free(config);
        return err;
    }
    *ret_config = config;
    return ERR_OK;
}

enum err repository_lock(const char *path, int *ret_fd, char why[CONFIG_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX];
    if (!join(name, path, "daemon.lock"))
        return ERR_TOO_LARGE;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        enum err err = err_from_errno(errno);
        (void)snprintf(why, CONFIG_WHY_BYTES, "cannot open %.300s: %s", name, err_text(err));
        return err;
    }
    const uint64_t until_ns = clock_mono_ns() + LOCK_WAIT_MS * MS_NS;
    int taken = flock(fd, LOCK_EX | LOCK_NB);
    while (taken != 0 && (errno == EWOULDBLOCK || errno == EINTR) && clock_mono_ns() < until_ns) {
        (void)nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * (long)MS_NS}, NULL);
        taken = flock(fd, LOCK_EX | LOCK_NB);
    }
    if (taken != 0) {
        enum err err = errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
        (void)close(fd);
        (void)snprintf(
            why, CONFIG_WHY_BYTES,
            "another hearth daemon uses %.300s: stop it with `hearth shutdown`, or choose another HEARTH_PATH", path);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* SPDX-License-Identifier: MIT */
/* What spans keys, or needs more than a type. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "schemas/bandwidth_rule.h"
#include "schemas/config.h"

enum { PREFIX_MAX = 128 };

PRINTF_LIKE(2, 3) static enum err refuse(char why[CONFIG_WHY_BYTES], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, CONFIG_WHY_BYTES, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

/* Whether an absolute path lies below another one, or is it, as far as names tell: without "." and "..", which paths of people seldom have. */
static bool is_within(const char *path, const char *folder)
{
    while (*folder != '\0') {
        while (path[0] == '/' && path[1] == '/')
            path++;
        while (folder[0] == '/' && (folder[1] == '/' || folder[1] == '\0'))
            folder++;
        if (*folder == '\0' || *path != *folder)
            break;
        path++;
        folder++;
    }
    return *folder == '\0' && (*path == '\0' || *path == '/');
}

static bool has_dots(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/.")) != NULL; at++) {
        size_t len = strcspn(at + 1, "/");
        if (len == 1 || (len == 2 && at[2] == '.'))
            return true;
    }
    return false;
}

static enum err check_directory(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    const char *path = config->tiers_cold_path;
    if (path[0] == '\0')
        return refuse(why,
                      "Tiers.Cold.Path: the cold tier of Kind directory needs the folder that it keeps its packs in");
    if (path[0] != '/' || has_dots(path))
        return refuse(why, "Tiers.Cold.Path: \"%.200s\" is not absolute: write the whole path, without . and ..", path);
    if (is_within(path, config->path))
        return refuse(why, "Tiers.Cold.Path: \"%.200s\" is in the repository: choose a folder on another disk", path);
    return ERR_OK;
}

static enum err check_s3(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    const char *endpoint = config->tiers_cold_endpoint;
    const char *prefix = config->tiers_cold_prefix;
    const char *bucket = config->tiers_cold_bucket;
    char as_path[PREFIX_MAX + 2];
    const char *host = strncmp(endpoint, "http://", 7) == 0    ? endpoint + 7
                       : strncmp(endpoint, "https://", 8) == 0 ? endpoint + 8
                                                               : "";
    if (bucket[0] == '\0' || bucket[0] == '.' || strchr(bucket, '/') != NULL)
        return refuse(why, "Tiers.Cold.Bucket: the cold tier of Kind s3 needs the name of its bucket");
    if (endpoint[0] != '\0' && (strchr("/:", host[0]) != NULL || has_dots(host) || strpbrk(endpoint, " ?#@") != NULL))
        return refuse(why,
                      "Tiers.Cold.Endpoint: must be http:// or https://, a host and perhaps a port, and nothing else");
    if (strpbrk(config->tiers_cold_region, ": /") != NULL)
        return refuse(why, "Tiers.Cold.Region: \"%.64s\" is no name of a region such as us-east-1",
                      config->tiers_cold_region);
    if (prefix[0] == '/' || (prefix[0] != '\0' && prefix[strlen(prefix) - 1] != '/'))
        return refuse(why, "Tiers.Cold.Prefix: \"%.128s\" must end with a slash and not begin with one", prefix);
    if (config->tiers_cold_ca_file[0] != '\0' && config->tiers_cold_ca_file[0] != '/')
        return refuse(why, "Tiers.Cold.CAFile: \"%.200s\" is not absolute: write the whole path",
                      config->tiers_cold_ca_file);
    (void)snprintf(as_path, sizeof(as_path), "/%.128s", prefix);
    if (has_dots(as_path)) /* an address with them means another place than a listing does */
        return refuse(why, "Tiers.Cold.Prefix: \"%.128s\" has a part that is . or ..: leave it out", prefix);
    if ((config->tiers_cold_access_key[0] == '\0') != (config->tiers_cold_secret_key[0] == '\0') ||
        strchr(config->tiers_cold_access_key, ':') != NULL)
        return refuse(why, "Tiers.Cold.AccessKey and SecretKey: give both, or neither");
    return ERR_OK;
}

static enum err check_tiers(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    if (config->tiers_demote_to >= config->tiers_demote_at)
        return refuse(why, "Tiers.DemoteTo must be under Tiers.DemoteAt: lower it");
    if (strcmp(config->tiers_cold_kind, "directory") == 0)
        return check_directory(config, why);
    return strcmp(config->tiers_cold_kind, "s3") == 0 ? check_s3(config, why) : ERR_OK;
}

static enum err check_rates(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    const struct {
        const struct config_list *list;
        const char *key;
        const char *example;
    } lists[] = {{&config->swarm_bandwidth_per_peer, "PerPeer", "\"* 1MB 500kB\""},
                 {&config->swarm_bandwidth_per_protocol, "PerProtocol", "\"/ipfs/bitswap 2MB 1MB\""},
                 {&config->swarm_bandwidth_schedule, "Schedule", "\"8-18 1MB 250kB\""}};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        for (size_t i = 0; i < lists[l].list->count; i++) {
            struct bandwidth_rule rule;
            uint8_t from;
            uint8_t to;
            const char *item = lists[l].list->items[i];
            if (bandwidth_rule_parse(span_text(item), &rule) == ERR_OK &&
                (lists[l].list != &config->swarm_bandwidth_schedule ||
                 bandwidth_hours_parse(rule.about, &from, &to) == ERR_OK))
                continue;
            return refuse(why, "Swarm.Bandwidth.%s: \"%.200s\" is not of the form %s, with rates of 0 or at least 16kB",
                          lists[l].key, item, lists[l].example);
        }
    const uint64_t rates[] = {config->swarm_bandwidth_in, config->swarm_bandwidth_out};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++)
        if (rates[i] != 0 && rates[i] < BANDWIDTH_RATE_MIN)
            return refuse(why, "Swarm.Bandwidth.%s is under 16kB a second, with which connections do not stay alive",
                          i == 0 ? "In" : "Out");
    return ERR_OK;
}

static enum err check_routers(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    const struct config_list *list = &config->routing_delegated_routers;
    if (strcmp(config->routing_type, "delegated") == 0 && list->count == 0)
        return refuse(why, "Routing.Type is delegated, and Routing.DelegatedRouters names nobody to ask");
    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        if (strncmp(item, "http://", 7) == 0 || strncmp(item, "https://", 8) == 0)
            continue;
        (void)snprintf(why, CONFIG_WHY_BYTES,
                       "Routing.DelegatedRouters: \"%.200s\" does not begin with http:// or https://", item);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err config_check(const struct config *config, char why[CONFIG_WHY_BYTES])
{
    if (check_routers(config, why) != ERR_OK)
        return ERR_INVALID;
    if (config->swarm_connmgr_low_water > config->swarm_connmgr_high_water) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "Swarm.ConnMgr.LowWater is above Swarm.ConnMgr.HighWater: lower it");
        return ERR_INVALID;
    }
    if (config->memory_budget != 0 && config->memory_budget < BUDGET_MIN_MIB * MIB) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "Memory.Budget is under %dMiB, with which hearth cannot run",
                       BUDGET_MIN_MIB);
        return ERR_INVALID;
    }
    const char *absent = config->addresses_api.count > 0       ? "Addresses.API"
                         : config->addresses_gateway.count > 0 ? "Addresses.Gateway"
                                                               : NULL;
    if (absent != NULL) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: what it configures is not in this version of hearth: remove the key",
                       absent);
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < config->control_allowed_uids.count; i++) {
        uint64_t uid = 0;
        const char *text = config->control_allowed_uids.items[i];
        if (text_parse_u64(span_text(text), &uid) != ERR_OK || uid >= UINT32_MAX) {
            (void)snprintf(why, CONFIG_WHY_BYTES, "Control.AllowedUIDs: \"%.40s\" is no user id such as 1000", text);
            return ERR_INVALID;
        }
    }
    for (size_t i = 0; i < config->swarm_security.count; i++) {
        const char *name = config->swarm_security.items[i];
        if (strcmp(name, "noise") != 0 && strcmp(name, "tls") != 0) {
            (void)snprintf(why, CONFIG_WHY_BYTES, "Swarm.Transports.Security: \"%.40s\" is neither noise nor tls",
                           name);
            return ERR_INVALID;
        }
    }
    if (config->ipns_record_lifetime <= config->ipns_republish_period)
        return refuse(why, "Ipns.RecordLifetime must be longer than Ipns.RepublishPeriod: else names expire meanwhile");
    enum err err = check_rates(config, why);
    return err == ERR_OK ? check_tiers(config, why) : err;
}

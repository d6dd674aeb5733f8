/* SPDX-License-Identifier: MIT */
#include "schemas/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"

enum { KEY_TEXT_MAX = 128 };

static const struct config_key keys[] = {
#define CONFIG_ROW(type, field, key, fallback, min, max, choices, doc)                                                 \
    {CONFIG_##type, key, fallback, min, max, choices, doc, offsetof(struct config, field)},
    CONFIG_KEYS(CONFIG_ROW)
#undef CONFIG_ROW
};

static const struct {
    const char *profile;
    const char *key;
    const char *value;
} profile_rows[] = {
    {"server", "Discovery.MDNS.Enabled", "false"},
    {"server", "Swarm.ConnMgr.LowWater", "100"},
    {"server", "Swarm.ConnMgr.HighWater", "400"},
    {"server", "Swarm.ConnMgr.GracePeriod", "30s"},
    {"lowpower", "Swarm.ConnMgr.LowWater", "16"},
    {"lowpower", "Swarm.ConnMgr.HighWater", "32"},
    {"lowpower", "Swarm.ConnMgr.GracePeriod", "10s"},
    {"home", "Swarm.ConnMgr.HighWater", "64"},
    {"home", "Swarm.Dial.Burst", "8"},
    {"home", "Swarm.Dial.Concurrent", "8"},
    {"home", "Swarm.Dial.Rate", "4"},
    {"randomports", "Addresses.Swarm", "/ip4/0.0.0.0/tcp/0,/ip6/::/tcp/0"},
    {"test", "Addresses.Swarm", "/ip4/127.0.0.1/tcp/0"},
    {"test", "Bootstrap", ""},
    {"test", "Discovery.MDNS.Enabled", "false"},
};

const struct config_key *config_keys(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(keys);
    return keys;
}

/* A section that can be switched on and off is also named by itself: Discovery.MDNS for Discovery.MDNS.Enabled. */
static bool is_switch_of(const char *key, size_t name_len)
{
    return strcmp(key + name_len, ".Enabled") == 0;
}

static const struct config_key *find_key(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strncmp(keys[i].key, name, len) == 0 && (keys[i].key[len] == '\0' || is_switch_of(keys[i].key, len)))
            return &keys[i];
    }
    return NULL;
}

/* As much of key as has the components of name: what "Swrm.ConnMgr" should have been is "Swarm.ConnMgr". */
static void cut_to_depth(const char *key, const char *name, char to[KEY_TEXT_MAX])
{
    size_t len = 0;
    size_t left = 1;
    for (; *name != '\0'; name++)
        left += *name == '.';
    for (; key[len] != '\0' && len + 1 < KEY_TEXT_MAX; len++) {
        left -= key[len] == '.';
        if (left == 0)
            break;
        to[len] = key[len];
    }
    to[len] = '\0';
}

static enum err unknown_key(const char *name, char why[CONFIG_WHY_BYTES])
{
    char nearest[KEY_TEXT_MAX] = "";
    size_t best = SIZE_MAX;
    if (config_is_section(name)) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "\"%.100s\" is a section: its keys go below it", name);
        return ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char candidate[KEY_TEXT_MAX];
        cut_to_depth(keys[i].key, name, candidate);
        size_t distance = text_distance(name, candidate);
        if (distance < best) {
            best = distance;
            memcpy(nearest, candidate, sizeof(nearest));
        }
    }
    if (best <= MIN((size_t)4, strlen(name) / 2))
        (void)snprintf(why, CONFIG_WHY_BYTES, "unknown configuration key \"%.100s\": did you mean \"%s\"?", name,
                       nearest);
    else
        (void)snprintf(why, CONFIG_WHY_BYTES, "unknown configuration key \"%.100s\": see `hearth config show`", name);
    return ERR_NOT_FOUND;
}

bool config_is_section(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strncmp(keys[i].key, name, len) == 0 && keys[i].key[len] == '.')
            return true;
    }
    return false;
}

enum err config_check_section(const char *name, char why[CONFIG_WHY_BYTES])
{
    if (config_is_section(name))
        return ERR_OK;
    if (find_key(name) == NULL)
        return unknown_key(name, why);
    (void)snprintf(why, CONFIG_WHY_BYTES, "%s takes a value, not keys of its own", name);
    return ERR_INVALID;
}

static void *field_of(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

static void mark_set(struct config *config, const struct config_key *key)
{
    size_t index = (size_t)(key - keys);
    config->set_keys[index / 64] |= UINT64_C(1) << (index % 64);
}

bool config_is_set(const struct config *config, const char *name)
{
    const struct config_key *key = find_key(name);
    size_t index = key == NULL ? 0 : (size_t)(key - keys);
    return key != NULL && (config->set_keys[index / 64] >> (index % 64) & 1) != 0;
}

static void release_list(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

static char *copy_text(struct span text)
{
    char *copy = malloc(text.len + 1);
    if (copy == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static enum err list_add(struct config_list *list, struct span item)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items == NULL)
        return ERR_NOMEM;
    list->items = items;
    items[list->count] = copy_text(item);
    if (items[list->count] == NULL)
        return ERR_NOMEM;
    list->count++;
    return ERR_OK;
}

static enum err parse_list(struct span value, struct config_list *ret_list)
{
    struct config_list list = {0};
    enum err err = ERR_OK;
    value = span_trim(value);
    while (value.len > 0 && err == ERR_OK) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.data);
        struct span item = span_trim(span_first(value, len));
        err = item.len == 0 || item.len > CONFIG_TEXT_MAX ? ERR_INVALID : list_add(&list, item);
        value = span_skip(value, comma == NULL ? len : len + 1);
    }
    if (err != ERR_OK) {
        release_list(&list);
        return err;
    }
    *ret_list = list;
    return ERR_OK;
}

static bool is_choice(const char *choices, struct span value)
{
    for (const char *at = choices; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "|");
        if (span_equal(value, span_of(at, len)))
            return true;
        at += len + (at[len] == '|');
    }
    return false;
}

static enum err parse_number(const struct config_key *key, struct span value, uint64_t *ret_number)
{
    uint64_t number = 0;
    enum err err;
    if (key->type == CONFIG_SIZE)
        err = text_parse_size(value, &number);
    else if (key->type == CONFIG_DURATION)
        err = text_parse_duration(value, &number);
    else
        err = text_parse_u64(value, &number);
    if (err == ERR_OK && (number < key->min || number > key->max))
        err = ERR_INVALID;
    if (err == ERR_OK)
        *ret_number = number;
    return err;
}

static enum err set_text(char **field, struct span value)
{
    char *copy = copy_text(value);
    if (copy == NULL)
        return ERR_NOMEM;
    free(*field);
    *field = copy;
    return ERR_OK;
}

static enum err set_list(const struct config_key *key, struct config_list *field, struct span value)
{
    struct config_list list;
    enum err err = parse_list(value, &list);
    if (err != ERR_OK)
        return err;
    if (list.count > key->max || list.count < key->min) {
        release_list(&list);
        return ERR_INVALID;
    }
    release_list(field);
    *field = list;
    return ERR_OK;
}

static enum err set_value(struct config *config, const struct config_key *key, struct span value)
{
    if (value.len > 0 && memchr(value.data, '\0', value.len) != NULL)
        return ERR_INVALID;
    switch (key->type) {
    case CONFIG_LIST:
        return set_list(key, field_of(config, key), value);
    case CONFIG_BOOL:
        return text_parse_bool(value, field_of(config, key));
    case CONFIG_U64:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        return parse_number(key, value, field_of(config, key));
    case CONFIG_TEXT:
    case CONFIG_SECRET:
        return value.len > key->max || value.len < key->min ? ERR_TOO_LARGE : set_text(field_of(config, key), value);
    case CONFIG_CHOICE:
        return is_choice(key->choices, value) ? set_text(field_of(config, key), value) : ERR_INVALID;
    }
    return ERR_INTERNAL;
}

static void explain(const struct config_key *key, struct span value, char why[CONFIG_WHY_BYTES])
{
    static const char *const grammar[] = {
        [CONFIG_LIST] = "a list, comma-separated in a variable",
        [CONFIG_BOOL] = "true or false",
        [CONFIG_U64] = "a whole number",
        [CONFIG_SIZE] = "a size such as 10GB or 64MiB",
        [CONFIG_DURATION] = "a duration such as 20s or 22h",
        [CONFIG_TEXT] = "a short text",
        [CONFIG_CHOICE] = "one of",
    };
    int shown = (int)MIN(value.len, 80);
    if (key->type == CONFIG_SECRET)
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: what is given is not a text of at most %" PRIu64 " bytes", key->key,
                       key->max);
    else if (key->type == CONFIG_CHOICE)
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: \"%.*s\" is not one of %s", key->key, shown,
                       (const char *)value.data, key->choices + (key->choices[0] == '|'));
    else if (key->type == CONFIG_LIST || key->type == CONFIG_BOOL || key->type == CONFIG_TEXT)
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: \"%.*s\" is not %s", key->key, shown, (const char *)value.data,
                       grammar[key->type]);
    else
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s: \"%.*s\" is not %s from %" PRIu64 " to %" PRIu64, key->key, shown,
                       (const char *)value.data, grammar[key->type], key->min, key->max);
}

enum err config_set(struct config *config, const char *name, struct span value, char why[CONFIG_WHY_BYTES])
{
    const struct config_key *key = find_key(name);
    if (key == NULL)
        return unknown_key(name, why);
    enum err err = set_value(config, key, value);
    if (err != ERR_OK)
        explain(key, value, why);
    else
        mark_set(config, key);
    return err;
}

/* The key of that name if it is a list, else NULL with the reason. */
_Static_assert(ARRAY_LEN(keys) <= 4 * 64, "a bit for each key");

static const struct config_key *find_list(const char *name, enum err *ret_err, char why[CONFIG_WHY_BYTES])
{
    const struct config_key *key = find_key(name);
    if (key == NULL) {
        *ret_err = unknown_key(name, why);
        return NULL;
    }
    if (key->type == CONFIG_LIST)
        return key;
    (void)snprintf(why, CONFIG_WHY_BYTES, "%s takes one value, not a list", name);
    *ret_err = ERR_INVALID;
    return NULL;
}

enum err config_append(struct config *config, const char *name, struct span item, char why[CONFIG_WHY_BYTES])
{
    enum err err = ERR_OK;
    const struct config_key *key = find_list(name, &err, why);
    if (key == NULL)
        return err;
    struct config_list *list = field_of(config, key);
    if (list->count >= key->max || item.len == 0 || item.len > CONFIG_TEXT_MAX) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "%s takes at most %" PRIu64 " items of 1 to %d bytes", name, key->max,
                       CONFIG_TEXT_MAX);
        return ERR_TOO_LARGE;
    }
    mark_set(config, key);
    return list_add(list, item);
}

enum err config_clear_list(struct config *config, const char *name, char why[CONFIG_WHY_BYTES])
{
    enum err err = ERR_OK;
    const struct config_key *key = find_list(name, &err, why);
    if (key != NULL) {
        release_list(field_of(config, key));
        mark_set(config, key);
    }
    return err;
}

/* "Swarm.ConnMgr.LowWater" as HEARTH_SWARM__CONNMGR__LOWWATER; compares without building the string. */
static bool names_key(const char *variable, size_t len, const char *key)
{
    size_t at = 0;
    for (; *key != '\0'; key++) {
        if (at == len && is_switch_of(key, 0))
            return true;
        if (*key == '.') {
            if (at + 2 > len || variable[at] != '_' || variable[at + 1] != '_')
                return false;
            at += 2;
            continue;
        }
        char upper = (char)(*key >= 'a' && *key <= 'z' ? *key - ('a' - 'A') : *key);
        if (at >= len || variable[at] != upper)
            return false;
        at++;
    }
    return at == len;
}

static const struct config_key *key_of_variable(const char *variable, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (names_key(variable, len, keys[i].key))
            return &keys[i];
    }
    return NULL;
}

enum err config_set_environment(struct config *config, char *const *environment, char why[CONFIG_WHY_BYTES])
{
    static const char prefix[] = "HEARTH_";
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *variable = *environment;
        const char *equals = strchr(variable, '=');
        if (equals == NULL || strncmp(variable, prefix, strlen(prefix)) != 0)
            continue;
        const char *name = variable + strlen(prefix);
        size_t len = (size_t)(equals - name);
        const struct config_key *key = key_of_variable(name, len);
        if (key != NULL) {
            enum err err = config_set(config, key->key, span_text(equals + 1), why);
            if (err != ERR_OK)
                return err;
            continue;
        }
        const char *underscores = strstr(name, "__");
        if (underscores == NULL || underscores > equals)
            continue;
        char dotted[128];
        size_t to = 0;
        for (size_t i = 0; i < len && to + 1 < sizeof(dotted); i++) {
            bool dot = i + 1 < len && name[i] == '_' && name[i + 1] == '_';
            dotted[to++] = dot ? '.' : name[i];
            i += dot;
        }
        dotted[to] = '\0';
        return unknown_key(dotted, why);
    }
    return ERR_OK;
}

static enum err apply_profile(struct config *config, struct span name, char why[CONFIG_WHY_BYTES])
{
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(profile_rows); i++) {
        if (!span_equal_text(name, profile_rows[i].profile))
            continue;
        known = true;
        enum err err = config_set(config, profile_rows[i].key, span_text(profile_rows[i].value), why);
        if (err != ERR_OK)
            return err;
    }
    if (known)
        return ERR_OK;
    (void)snprintf(why, CONFIG_WHY_BYTES,
                   "unknown profile \"%.*s\": known are server, lowpower, home, randomports, test",
                   (int)MIN(name.len, 40), (const char *)name.data);
    return ERR_NOT_FOUND;
}

enum err config_profile(struct config *config, const char *names, char why[CONFIG_WHY_BYTES])
{
    for (struct span rest = span_text(names); rest.len > 0;) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.data);
        enum err err = apply_profile(config, span_trim(span_first(rest, len)), why);
        if (err != ERR_OK)
            return err;
        rest = span_skip(rest, comma == NULL ? len : len + 1);
    }
    return ERR_OK;
}

enum err config_new(const char *path, struct config **ret_config)
{
    struct config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return ERR_NOMEM;
    config->path = copy_text(span_text(path));
    enum err err = config->path == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(keys) && err == ERR_OK; i++)
        err = set_value(config, &keys[i], span_text(keys[i].fallback));
    if (err != ERR_OK) {
        config_free(config);
        return err;
    }
    *ret_config = config;
    return ERR_OK;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (keys[i].type == CONFIG_LIST)
            release_list(field_of(config, &keys[i]));
        else if (keys[i].type == CONFIG_TEXT || keys[i].type == CONFIG_CHOICE || keys[i].type == CONFIG_SECRET)
            free(*(char **)field_of(config, &keys[i]));
    }
    free(config->path);
    free(config);
}

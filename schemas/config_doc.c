/* SPDX-License-Identifier: MIT */
/* docs/config.md, made from the declarations of the keys. */
#include "schemas/config.h"

static const char opening[] = "# Configuration\n\n"
                              "Made from `schemas/config.h` by `hearth-document`; CI fails when it is not current.\n\n"
                              "One YAML file, `$HEARTH_PATH/config.yaml` (`--config-file` names another), whose nested "
                              "sections are the dotted keys below. The\n"
                              "environment overrides it: lists are comma-separated there, an empty value is an empty "
                              "list. An unknown key is an error that names\n"
                              "the nearest known one. `hearth config check` reads it without starting anything, "
                              "`hearth config diff` prints what differs from the\n"
                              "defaults. `hearth init --profile NAMES` begins with one or more of the profiles "
                              "`server`, `lowpower`, `home`, `randomports`, `test`.\n\n"
                              "| key | variable | type | default | meaning |\n|---|---|---|---|---|\n";

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_LIST:
        return "list";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_U64:
        return "number";
    case CONFIG_SIZE:
        return "size (`10GB`, `64MiB`)";
    case CONFIG_DURATION:
        return "duration (`20s`, `22h`)";
    case CONFIG_TEXT:
        return "text";
    case CONFIG_CHOICE:
        return "one of ";
    case CONFIG_SECRET:
        return "secret";
    }
    return "";
}

static enum err append_variable(struct buf *to, const char *key)
{
    enum err err = buf_append_text(to, "`HEARTH_");
    for (; *key != '\0' && err == ERR_OK; key++) {
        if (*key == '.')
            err = buf_append_text(to, "__");
        else
            err = buf_append_byte(to, (uint8_t)(*key >= 'a' && *key <= 'z' ? *key - ('a' - 'A') : *key));
    }
    return err == ERR_OK ? buf_append_byte(to, '`') : err;
}

static enum err append_choices(struct buf *to, const char *choices)
{
    enum err err = choices != NULL && choices[0] == '|' ? buf_append_text(to, "empty") : ERR_OK;
    for (; choices != NULL && *choices != '\0' && err == ERR_OK; choices++)
        err = *choices == '|' ? buf_append_text(to, ", ") : buf_append_byte(to, (uint8_t)*choices);
    return err;
}

static enum err append_row(struct buf *to, const struct config_key *key)
{
    enum err err = buf_appendf(to, "| `%s` | ", key->key);
    if (err == ERR_OK)
        err = append_variable(to, key->key);
    if (err == ERR_OK)
        err = buf_appendf(to, " | %s", type_name(key->type));
    if (err == ERR_OK)
        err = append_choices(to, key->choices);
    if (err == ERR_OK)
        err = key->fallback[0] == '\0' ? buf_append_text(to, " | empty") : buf_appendf(to, " | `%s`", key->fallback);
    return err == ERR_OK ? buf_appendf(to, " | %s |\n", key->doc) : err;
}

enum err config_document(struct buf *to)
{
    size_t count = 0;
    const struct config_key *keys = config_keys(&count);
    enum err err = buf_append_text(to, opening);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = append_row(to, &keys[i]);
    return err;
}

/* SPDX-License-Identifier: MIT */
#include "cli/kubo_pins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/kubo_level.h"

enum { LINE_MAX_BYTES = 4096 };

static const char pin_keys[] = "/pins/pin/";
static const char files_root[] = "/local/filesroot";

struct kubo_pins {
    struct kubo_level *level; /* or */
    FILE *file;
};

enum err kubo_pins_open(const struct kubo_repository *repository, const char *file, struct kubo_pins **ret_pins,
                        char ret_why[KUBO_WHY_BYTES])
{
    struct kubo_pins *pins = calloc(1, sizeof(*pins));
    if (pins == NULL)
        return ERR_NOMEM;
    enum err err = ERR_OK;
    if (file != NULL) {
        pins->file = fopen(file, "re");
        err = pins->file == NULL ? err_from_errno(errno) : ERR_OK;
        if (err != ERR_OK)
            (void)snprintf(ret_why, KUBO_WHY_BYTES, "%s: %s", file, strerror(errno));
    } else {
        err = kubo_level_open(repository->datastore, &pins->level, ret_why);
    }
    if (err != ERR_OK) {
        kubo_pins_close(pins);
        return err;
    }
    *ret_pins = pins;
    return ERR_OK;
}

void kubo_pins_close(struct kubo_pins *pins)
{
    if (pins == NULL)
        return;
    kubo_level_close(pins->level);
    if (pins->file != NULL)
        (void)fclose(pins->file);
    free(pins);
}

static int each_line(struct kubo_pins *pins, int (*each)(void *arg, const struct kubo_pin *pin), void *arg,
                     uint64_t *unreadable)
{
    char line[LINE_MAX_BYTES];
    struct kubo_pin pin;
    int status = 0;
    rewind(pins->file);
    while (status == 0 && fgets(line, sizeof(line), pins->file) != NULL) {
        enum err err = kubo_pin_parse(span_text(line), &pin);
        if (err == ERR_OK)
            status = each(arg, &pin);
        else
            *unreadable += err != ERR_NOT_FOUND;
    }
    return status;
}

struct level_each {
    int (*each)(void *arg, const struct kubo_pin *pin);
    void *arg;
    uint64_t *unreadable;
};

static int take_entry(void *arg, struct span key, struct span value)
{
    const struct level_each *e = arg;
    struct kubo_pin pin = {.recursive = true, .name = "ipfs files"};
    enum err err = span_equal_text(key, files_root) ? cid_parse(value, &pin.cid) : kubo_pin_decode(value, &pin);
    if (err == ERR_OK)
        return e->each(e->arg, &pin);
    (*e->unreadable)++;
    return 0;
}

int kubo_pins_each(struct kubo_pins *pins, int (*each)(void *arg, const struct kubo_pin *pin), void *arg,
                   uint64_t *ret_unreadable)
{
    struct level_each e = {.each = each, .arg = arg, .unreadable = ret_unreadable};
    *ret_unreadable = 0;
    if (pins->file != NULL)
        return each_line(pins, each, arg, ret_unreadable);
    int status = kubo_level_each(pins->level, pin_keys, take_entry, &e);
    return status != 0 ? status : kubo_level_each(pins->level, files_root, take_entry, &e);
}

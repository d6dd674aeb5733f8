/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "storage/denylist_builder.h"
#include "wire/denylist_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(void *arg, const struct denylist_rule *rule)
{
    if (rule->path.len > DENYLIST_PATH_MAX || rule->name.len > DENYLIST_NAME_MAX)
        abort();
    denylist_builder_add(arg, rule);
}

/* A list as a whole: header, rules in pieces, an image; then its own lines are asked about. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[DENYLIST_KEY_BYTES];
    static struct denylist_reader reader;
    struct denylist_builder b;
    struct denylist_header header;
    struct denylist_header_end end = {0};
    struct block_ref *image = NULL;
    struct span all = span_of(data, size);
    (void)denylist_header_end_feed(&end, all);
    if (end.found)
        (void)!denylist_header_parse(span_first(all, (size_t)end.at), &header);
    if (denylist_builder_init(&b, NULL, size / 64, key) != ERR_OK)
        return 0;
    enum err err = ERR_OK;
    for (size_t round = 0; round < 2 && err == ERR_OK; round++) {
        denylist_reader_init(&reader, 0);
        for (struct span rest = all; rest.len > 0 && err == ERR_OK; rest = span_skip(rest, 61 + round))
            err = denylist_reader_feed(&reader, span_first(rest, 61 + round), add, &b);
        denylist_reader_end(&reader, add, &b);
        if (err == ERR_OK)
            err = round == 0 ? denylist_builder_turn(&b) : denylist_builder_take(&b, &image);
    }
    if (err == ERR_AGAIN) /* both rounds had the same bytes */
        abort();
    denylist_builder_release(&b);
    (void)denylist_ask_text(denylist_of(image), span_first(all, 4096));
    block_ref_unref(image);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The image of a denylist's text, for tests of those who only ask it. The caller unrefs it. */
#ifndef HEARTH_TESTS_SUPPORT_DENYLIST_IMAGE_H
#define HEARTH_TESTS_SUPPORT_DENYLIST_IMAGE_H

#include "base/limits.h"
#include "storage/denylist.h"
#include "storage/denylist_builder.h"

static void denylist_image_add(void *arg, const struct denylist_rule *rule)
{
    denylist_builder_add(arg, rule);
}

static struct block_ref *denylist_image(const char *text)
{
    static const uint8_t key[DENYLIST_KEY_BYTES] = {7};
    struct denylist_builder b;
    struct denylist_reader reader;
    static struct account account; /* the image is charged to it until it goes */
    struct block_ref *image = NULL;
    if (account.limit_bytes == 0)
        account_init(&account, "list", MIB);
    assert_int_equal(denylist_builder_init(&b, &account, 8, key), ERR_OK);
    for (int round = 0; round < 2; round++) {
        denylist_reader_init(&reader, 0);
        assert_int_equal(denylist_reader_feed(&reader, span_text(text), denylist_image_add, &b), ERR_OK);
        denylist_reader_end(&reader, denylist_image_add, &b);
        assert_int_equal(round == 0 ? denylist_builder_turn(&b) : denylist_builder_take(&b, &image), ERR_OK);
    }
    denylist_builder_release(&b);
    return image;
}

#endif

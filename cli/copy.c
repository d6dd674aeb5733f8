/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"

#include <stdio.h>

#include "storage/blockstore.h"
#include "storage/disk_posix.h"
#include "storage/keystore.h"
#include "wire/cid.h"

struct store_medium copy_medium(void)
{
    return (struct store_medium){.port = disk_posix()};
}

struct verifying {
    const struct invocation *in;
    struct progress progress;
};

static void tell_bad(void *arg, const struct block_place *place, enum err err)
{
    const struct verifying *v = arg;
    struct multihash hash;
    char text[CID_TEXT_MAX] = "?";
    if (multihash_parse(block_key_span(&place->key), &hash) == ERR_OK) {
        struct cid cid = cid_v1(place->codec, &hash);
        cid_text(&cid, text);
    }
    (void)fputs("block ", stdout);
    print_cid(stdout, &v->in->globals, span_text(text));
    printf(" was corrupt (%s)\n", blockstore_damage_text(err));
}

static void tell_progress(void *arg, uint64_t blocks)
{
    progress_add(&((struct verifying *)arg)->progress, blocks);
}

int copy_verify(const struct invocation *in, const char *folder)
{
    struct verifying v = {.in = in};
    struct store_copy_check check = {.arg = &v, .bad = tell_bad, .progress = tell_progress};
    progress_begin(&v.progress, "verifying", 0, true);
    struct store_medium on = copy_medium();
    enum err err = store_copy_verify(&on, folder, &check);
    progress_end(&v.progress);
    if (err != ERR_OK)
        return say_error("%s: it cannot be verified: %s", folder, err_text(err));
    if (check.bad_count > 0)
        return say_error("%s: %llu of %llu blocks are damaged", folder, (unsigned long long)check.bad_count,
                         (unsigned long long)check.blocks);
    printf("verify complete, all blocks validated.\n");
    return EXIT_OK;
}

int copy_keys(const char *from, const char *to, bool replace)
{
    char source[STORE_COPY_PATH_MAX];
    char target[STORE_COPY_PATH_MAX];
    size_t count = 0;
    if (!store_copy_path(source, from, "keystore", "", "") || !store_copy_path(target, to, "keystore", "", ""))
        return say_error("the path is too long");
    enum err err = keystore_copy(disk_posix(), source, target, replace, &count);
    if (err != ERR_OK)
        return say_error("%s: not all keys of names could be copied: %s", source, err_text(err));
    if (count > 0)
        printf("%llu keys of names copied.\n", (unsigned long long)count);
    return EXIT_OK;
}

/* SPDX-License-Identifier: MIT */
#include "storage/scrubber.h"

enum err scrubber_check(struct disk_tier *tier, const struct block_place *place, struct account *account)
{
    struct block_ref *ref = NULL;
    enum err err = disk_tier_read(tier, place, account, &ref);
    if (err != ERR_OK)
        return err;
    err = block_key_verify(&place->key, block_ref_span(ref));
    block_ref_unref(ref);
    return err == ERR_UNSUPPORTED ? ERR_OK : err;
}

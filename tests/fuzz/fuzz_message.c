/* SPDX-License-Identifier: MIT */
/* Messages of the mailbox: the first two bytes choose the kind; what unpacks packs again to the same meaning. */
#include <stdlib.h>

#include "schemas/messages.h"
#include "schemas/operations.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t fields[64];
    char why[128];
    struct answer answer;
    if (size < 2)
        return 0;
    const struct schema *s = &schema_messages.schemas[(data[0] << 8 | data[1]) % schema_messages.count];
    struct span body = span_of(data + 2, size - 2);
    for (int form = SCHEMA_ARRAY; form <= SCHEMA_MAP; form++) {
        struct buf again;
        if (schema_unpack(s, (enum schema_form)form, body, fields, why, sizeof(why)) != ERR_OK)
            continue;
        buf_init(&again, 4 * size + 4096, NULL);
        if (schema_pack(s, (enum schema_form)form, fields, &again) != ERR_OK)
            abort();
        buf_release(&again);
    }
    (void)!answer_unpack(body, &answer);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The file of a swarm key: what is read is the key that the same key's canonical form gives. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "wire/swarm_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "/key/swarm/psk/1.0.0/\n/base16/\n";
    uint8_t key[PNET_KEY_BYTES];
    uint8_t again[PNET_KEY_BYTES];
    char text[sizeof(head) + 2 * (size_t)PNET_KEY_BYTES];
    if (swarm_key_parse(span_of(data, size), key) != ERR_OK)
        return 0;
    memcpy(text, head, sizeof(head) - 1);
    (void)sodium_bin2hex(text + sizeof(head) - 1, 2 * (size_t)PNET_KEY_BYTES + 1, key, sizeof(key));
    if (swarm_key_parse(span_text(text), again) != ERR_OK || memcmp(key, again, sizeof(key)) != 0)
        abort();
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "wire/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_pair *pair = NULL;
    struct peer_id peer;
    char text[PEER_ID_TEXT_MAX];
    (void)public_key_verify(span_of(data, size), span_text("message"), span_first(span_of(data, size), 70));
    if (key_pair_decode(span_of(data, size), &pair) == ERR_OK)
        key_pair_free(pair);
    if (peer_id_parse(span_of(data, size), &peer) == ERR_OK)
        peer_id_text(&peer, text);
    if (peer_id_parse_text(span_of(data, size), &peer) == ERR_OK)
        peer_id_text_cid(&peer, text);
    return 0;
}

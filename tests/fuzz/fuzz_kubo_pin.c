/* SPDX-License-Identifier: MIT */
/* A pin of Kubo's, as CBOR and as a line: a name that ends, a CID that is one. */
#include <stdlib.h>
#include <string.h>

#include "wire/kubo_pin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct kubo_pin *pin)
{
    char text[CID_TEXT_MAX];
    struct cid again;
    if (strnlen(pin->name, sizeof(pin->name)) > KUBO_PIN_NAME_MAX)
        abort();
    cid_text(&pin->cid, text);
    if (cid_parse_text(span_text(text), &again) != ERR_OK || !cid_equal(&again, &pin->cid))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kubo_pin pin;
    if (kubo_pin_decode(span_of(data, size), &pin) == ERR_OK)
        check(&pin);
    if (kubo_pin_parse(span_of(data, size), &pin) == ERR_OK)
        check(&pin);
    return 0;
}

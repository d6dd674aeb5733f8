/* SPDX-License-Identifier: MIT */
/* Both roles fed with arbitrary bytes in chunks that the input itself chooses: no over-read, bounded answers. */
#include <stdlib.h>

#include "wire/multistream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int match(void *arg, struct span name)
{
    (void)arg;
    return span_equal_text(name, "/noise") ? 1 : -1;
}

static void run(struct multistream *m, struct span in, size_t chunk)
{
    struct buf out;
    buf_init(&out, MULTISTREAM_OUTPUT_MAX, NULL);
    enum err err = multistream_start(m, &out);
    while (err == ERR_OK && in.len > 0 && !multistream_is_done(m)) {
        size_t used = 0;
        err = multistream_feed(m, span_first(in, chunk), &out, &used);
        if (used > MIN(chunk, in.len) || (used == 0 && err == ERR_OK && !multistream_is_done(m)))
            abort();
        in = span_skip(in, used);
    }
    multistream_release(m);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const char *const protocols[] = {"/noise", "/tls/1.0.0"};
    struct multistream m;
    struct span in = span_of(data + 1, size - 1);
    multistream_init_responder(&m, match, NULL);
    run(&m, in, 1 + data[0] % 64);
    multistream_init_initiator(&m, protocols, ARRAY_LEN(protocols));
    run(&m, in, 1 + data[0] % 64);
    return 0;
}

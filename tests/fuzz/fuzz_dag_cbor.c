/* SPDX-License-Identifier: MIT */
/* A canonical block is written again as it was; any block that is read is written as a canonical one. Its links are those of its events. */
#include <stdlib.h>

#include "wire/ipld_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err count_links(void *arg, const struct ipld_event *event)
{
    *(size_t *)arg += event->kind == IPLD_LINK;
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span block = span_of(data, size);
    struct span rest = block;
    struct buf out;
    struct ipld_find find;
    struct cid cid;
    size_t read;
    size_t links = 0;
    if (dag_cbor_decode(block, DAG_CBOR_LOOSE, count_links, &links, NULL) != ERR_OK)
        return 0;
    while (dag_cbor_next_link(&rest, &cid))
        links--;
    if (links != 0)
        abort();
    buf_init(&out, 8 * size + 64, NULL);
    bool canonical = dag_cbor_decode(block, DAG_CBOR_CANONICAL, NULL, NULL, NULL) == ERR_OK;
    enum err err =
        ipld_convert(CODEC_DAG_CBOR, block, DAG_CBOR_LOOSE, (struct span){0}, CODEC_DAG_CBOR, &out, &find, &read);
    if (canonical && (err != ERR_OK || !span_equal(buf_span(&out), block)))
        abort();
    if (!canonical && err == ERR_OK && dag_cbor_decode(buf_span(&out), DAG_CBOR_LOOSE, NULL, NULL, NULL) != ERR_OK)
        abort();
    buf_clear(&out);
    err = ipld_convert(CODEC_DAG_CBOR, block, DAG_CBOR_LOOSE, span_text("a/0"), CODEC_DAG_JSON, &out, &find, &read);
    buf_release(&out);
    return err == ERR_NOMEM ? -1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* A block that is read is written in one form, which reads and writes again as the same; its links are those of its events. */
#include <stdlib.h>

#include "wire/dag_json.h"
#include "wire/ipld_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err count_links(void *arg, const struct ipld_event *event)
{
    *(size_t *)arg += event->kind == IPLD_LINK;
    return ERR_OK;
}

static enum err convert(struct span block, uint32_t to, struct buf *out)
{
    struct ipld_find find;
    size_t read;
    buf_init(out, 8 * block.len + 64, NULL);
    return ipld_convert(CODEC_DAG_JSON, block, DAG_CBOR_CANONICAL, (struct span){0}, to, out, &find, &read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span block = span_of(data, size);
    struct span rest = block;
    struct buf once;
    struct buf twice;
    struct cid cid;
    size_t links = 0;
    if (dag_json_decode(block, count_links, &links, NULL) != ERR_OK)
        return 0;
    while (dag_json_next_link(&rest, &cid))
        links--;
    if (links != 0)
        abort();
    if (convert(block, CODEC_DAG_JSON, &once) == ERR_OK) {
        if (convert(buf_span(&once), CODEC_DAG_JSON, &twice) != ERR_OK ||
            !span_equal(buf_span(&once), buf_span(&twice)))
            abort();
        buf_release(&twice);
    }
    buf_release(&once);
    if (convert(block, CODEC_DAG_CBOR, &once) == ERR_OK &&
        dag_cbor_decode(buf_span(&once), DAG_CBOR_CANONICAL, NULL, NULL, NULL) != ERR_OK)
        abort();
    buf_release(&once);
    (void)!convert(block, CODEC_DAG_PB, &once);
    buf_release(&once);
    return 0;
}

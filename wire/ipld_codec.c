/* SPDX-License-Identifier: MIT */
#include "wire/ipld_codec.h"

#include <stdlib.h>

#include "wire/dag_json.h"
#include "wire/dag_pb_form.h"
#include "wire/ipld_writer.h"

static const struct {
    const char *name;
    uint32_t codec;
} codecs[] = {{"raw", CODEC_RAW}, {"dag-pb", CODEC_DAG_PB}, {"dag-cbor", CODEC_DAG_CBOR}, {"dag-json", CODEC_DAG_JSON}};

enum err ipld_codec_of(struct span name, uint32_t *ret_codec)
{
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
        if (span_equal_text(name, codecs[i].name)) {
            *ret_codec = codecs[i].codec;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED;
}

const char *ipld_codec_name(uint32_t codec)
{
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
        if (codecs[i].codec == codec)
            return codecs[i].name;
    }
    return NULL;
}

enum err ipld_decode(uint32_t codec, struct span block, enum dag_cbor_form form, ipld_sink *sink, void *arg,
                     size_t *ret_at)
{
    if (ret_at != NULL)
        *ret_at = 0;
    switch (codec) {
    case CODEC_RAW:
        return sink(arg, &(struct ipld_event){.kind = IPLD_BYTES, .bytes = block});
    case CODEC_DAG_PB:
        return dag_pb_form_decode(block, sink, arg);
    case CODEC_DAG_CBOR:
        return dag_cbor_decode(block, form, sink, arg, ret_at);
    case CODEC_DAG_JSON:
        return dag_json_decode(block, sink, arg, ret_at);
    }
    return ERR_UNSUPPORTED;
}

static enum err ignore(void *arg, const struct ipld_event *event)
{
    (void)arg;
    (void)event;
    return ERR_OK;
}

enum err ipld_check(uint32_t codec, struct span block, enum dag_cbor_form form, size_t *ret_at)
{
    return ipld_decode(codec, block, form, ignore, NULL, ret_at);
}

struct ipld_encoder {
    uint32_t codec;
    struct buf *out;
    union {
        struct ipld_writer writer;
        struct dag_pb_form form;
    };
};

enum err ipld_encoder_new(uint32_t codec, struct buf *out, struct ipld_encoder **ret_encoder)
{
    if (ipld_codec_name(codec) == NULL)
        return ERR_UNSUPPORTED;
    struct ipld_encoder *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return ERR_NOMEM;
    e->codec = codec;
    e->out = out;
    if (codec == CODEC_DAG_PB)
        dag_pb_form_init(&e->form, out);
    else if (codec != CODEC_RAW)
        ipld_writer_init(&e->writer, codec, out);
    *ret_encoder = e;
    return ERR_OK;
}

void ipld_encoder_free(struct ipld_encoder *encoder)
{
    if (encoder == NULL)
        return;
    if (encoder->codec == CODEC_DAG_PB)
        dag_pb_form_release(&encoder->form);
    else if (encoder->codec != CODEC_RAW)
        ipld_writer_release(&encoder->writer);
    free(encoder);
}

enum err ipld_encoder_event(void *arg, const struct ipld_event *event)
{
    struct ipld_encoder *e = arg;
    if (e->codec == CODEC_DAG_PB)
        return dag_pb_form_event(&e->form, event);
    if (e->codec != CODEC_RAW)
        return ipld_writer_event(&e->writer, event);
    return event->kind == IPLD_BYTES ? buf_append_span(e->out, event->bytes) : ERR_INVALID;
}

enum err ipld_convert(uint32_t from, struct span block, enum dag_cbor_form form, struct span path, uint32_t to,
                      struct buf *out, struct ipld_find *ret_find, size_t *ret_read)
{
    struct ipld_encoder *encoder;
    enum err err = ipld_encoder_new(to, out, &encoder);
    if (err != ERR_OK)
        return err;
    ipld_find_init(ret_find, path, ipld_encoder_event, encoder);
    err = ipld_decode(from, block, form, ipld_find_event, ret_find, ret_read);
    ipld_encoder_free(encoder);
    return err;
}

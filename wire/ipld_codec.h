/* SPDX-License-Identifier: MIT */
/*
 * The codecs behind one interface: names, decoding, conversion, paths. A raw block is one value of bytes.
 */
#ifndef HEARTH_WIRE_IPLD_CODEC_H
#define HEARTH_WIRE_IPLD_CODEC_H

#include "base/attr.h"
#include "wire/dag_cbor.h"
#include "wire/ipld_find.h"

/* The codec that a name in the multicodec table means here: raw, dag-pb, dag-cbor, dag-json. ERR_UNSUPPORTED. */
enum err ipld_codec_of(struct span name, uint32_t *ret_codec) MUST_CHECK;

/* The name of such a codec, else NULL. */
const char *ipld_codec_name(uint32_t codec);

/*
 * Decodes a block. form is asked of dag-cbor. ERR_UNSUPPORTED: an unknown codec; else as the codec's decoder. ret_at (may be NULL) is about
 * the offset of what is wrong, 0 where the codec cannot tell.
 */
enum err ipld_decode(uint32_t codec, struct span block, enum dag_cbor_form form, ipld_sink *sink, void *arg,
                     size_t *ret_at) MUST_CHECK;

/* Decodes for nobody: whether the block is what its codec says. Errors as ipld_decode. */
enum err ipld_check(uint32_t codec, struct span block, enum dag_cbor_form form, size_t *ret_at) MUST_CHECK;

/* Writes values as a block of a codec: an ipld_sink that holds whichever encoder it takes. */
struct ipld_encoder;

/* out is borrowed and empty; its max bounds what is written. ERR_UNSUPPORTED, ERR_NOMEM. */
enum err ipld_encoder_new(uint32_t codec, struct buf *out, struct ipld_encoder **ret_encoder) MUST_CHECK;
void ipld_encoder_free(struct ipld_encoder *encoder);

/* An ipld_sink: arg is the encoder. Errors: those of ipld_writer.h and dag_pb_form.h; ERR_INVALID: only bytes are a raw block. */
enum err ipld_encoder_event(void *arg, const struct ipld_event *event) MUST_CHECK;

/*
 * Converts a block, or what a path (may be empty) names in it. ret_find tells where the path led; unless IPLD_HERE nothing was written. Errors
 * as ipld_decode and ipld_encoder_event; *ret_read: how far the block was read, whole when the fault is not the block's.
 */
enum err ipld_convert(uint32_t from, struct span block, enum dag_cbor_form form, struct span path, uint32_t to,
                      struct buf *out, struct ipld_find *ret_find, size_t *ret_read) MUST_CHECK;

#endif

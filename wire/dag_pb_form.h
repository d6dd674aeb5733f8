/* SPDX-License-Identifier: MIT */
/*
 * The logical form of dag-pb: what a node is in the data model, both ways.
 *
 *      {"Data": bytes, "Links": [{"Hash": link, "Name": text, "Tsize": integer}, ...]}
 *
 * Links must be there, Data, Name and Tsize may be absent, nothing else may be present. A node that is decoded keeps the order of its links;
 * one that is written has them sorted by name, those of equal names as they came. Spec: ipld/ipld specs/codecs/dag-pb, logical format.
 */
#ifndef HEARTH_WIRE_DAG_PB_FORM_H
#define HEARTH_WIRE_DAG_PB_FORM_H

#include "base/attr.h"
#include "wire/ipld.h"

/* Hands a node to a sink. Errors as dag_pb_decode, or the sink's. */
enum err dag_pb_form_decode(struct span block, ipld_sink *sink, void *arg) MUST_CHECK;

/* What is being written. */
struct dag_pb_form {
    struct buf *out;
    struct buf links; /* encoded, in the order in which they came */
    struct buf marks; /* where each lies, and its name */
    struct buf data;
    struct buf name; /* of the link that is being read, as are those that follow */
    struct cid hash;
    uint64_t tsize;
    bool has_hash, has_name, has_tsize;
    bool has_links, has_data;
    uint8_t place; /* where in the form the next event stands */
};

/* out is borrowed and empty; its max bounds the node. */
void dag_pb_form_init(struct dag_pb_form *form, struct buf *out);
void dag_pb_form_release(struct dag_pb_form *form);

/* An ipld_sink: arg is the form. ERR_INVALID: this is no node; ERR_TOO_LARGE: out is full; ERR_NOMEM. The last END writes the node. */
enum err dag_pb_form_event(void *arg, const struct ipld_event *event) MUST_CHECK;

#endif

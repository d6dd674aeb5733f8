/* SPDX-License-Identifier: MIT */
/*
 * The IPLD data model as a row of events, so that no value is ever held as a tree:
 *
 *      {"a": [1, null]}   =   MAP  KEY "a"  LIST  INT 1  NULL  END  END
 *
 * Decoders (dag_cbor.h, dag_json.h, dag_pb_form.h) hand events to a sink, encoders (ipld_writer.h, dag_pb_form.h) are sinks, and what looks
 * into a value (ipld_find.h) is one between them. A decoder guarantees that its events are one whole value, nested at most IPLD_DEPTH_MAX
 * deep: END closes the innermost LIST or MAP, and inside a MAP a KEY stands before each value. An error of the sink ends the decoding and is
 * returned. Spec: ipld/ipld docs/data-model.
 */
#ifndef HEARTH_WIRE_IPLD_H
#define HEARTH_WIRE_IPLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/cid.h"

enum { IPLD_DEPTH_MAX = 1024 };

enum ipld_kind {
    IPLD_NULL,
    IPLD_BOOL,
    IPLD_INT,
    IPLD_FLOAT,
    IPLD_STRING,
    IPLD_BYTES,
    IPLD_LINK,
    IPLD_LIST,
    IPLD_MAP,
    IPLD_KEY,
    IPLD_END
};

struct ipld_event {
    enum ipld_kind kind;
    bool truth;        /* BOOL */
    bool negative;     /* INT: the value is -1 - number, else number */
    uint64_t number;   /* INT */
    double real;       /* FLOAT: never NaN, never infinite */
    struct span bytes; /* STRING, BYTES, KEY; until the next event */
    struct cid link;   /* LINK */
};

typedef enum err ipld_sink(void *arg, const struct ipld_event *event);

#endif

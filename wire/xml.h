/* SPDX-License-Identifier: MIT */
/*
 * A reader of small XML answers: elements and their text, nothing else.
 *
 *      <?xml ...?> <Root xmlns="..."> <Leaf>text &amp; text</Leaf> ... </Root>
 *
 * The five named entities and numeric ones are read; attributes are passed over. Comments, CDATA, DOCTYPE and processing instructions behind
 * the first are refused: no answer that we ask for has them, and all that is wrong with XML begins there. Bounded: XML_DEPTH_MAX levels, the
 * text of a leaf XML_TEXT_MAX bytes.
 *
 * Pure; any thread.
 */
#ifndef HEARTH_WIRE_XML_H
#define HEARTH_WIRE_XML_H

#include "base/attr.h"
#include "base/buf.h"

enum { XML_DEPTH_MAX = 8, XML_TEXT_MAX = 2048 };

/* An element that has ended. */
struct xml_element {
    unsigned depth;     /* the root's is 1 */
    struct span name;   /* borrowed from the input */
    struct span parent; /* its name; empty for the root */
    struct span text;   /* of a leaf, decoded; empty for others. Borrowed for the call */
};

/* An error ends the reading and becomes its result. */
typedef enum err xml_each(void *arg, const struct xml_element *element);

/* Calls each() for every element as it ends. ERR_PROTOCOL: not this kind of XML; ERR_TRUNCATED: it ends within; ERR_TOO_LARGE: over a bound. */
enum err xml_read(struct span bytes, xml_each *each, void *arg) MUST_CHECK;

#endif

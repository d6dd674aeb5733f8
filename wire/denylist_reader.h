/* SPDX-License-Identifier: MIT */
/*
 * The rules of a denylist, read line by line from bytes that come in pieces.
 *
 *      version: 1                                      header, optional: wire/denylist_header.h
 *      ---
 *      # comment
 *      /ipfs/CID[/path[*]]         hint=value ...      a block; a path below it; all paths that begin so
 *      /ipns/NAME[/path[*]]                            the same of a name: a key's CID, or a domain
 *      //MULTIHASH, //SHA256-IN-HEX                    the hash of what is denied, so that the list does not tell it
 *      !RULE (also +RULE, -RULE)                       what matches is allowed; the last rule that matches wins
 *
 * Paths are percent-encoded; a trailing slash does not count, and "/dir/" followed by * means "dir*". Hints are passed over. A rule that
 * cannot be read is counted and the next line goes on, as the specification permits. One buffer holds the line's rule; what a line has
 * beyond DENYLIST_RULE_MAX is hints, or makes the rule invalid. Lines over DENYLIST_LINE_MAX end the reading.
 * Spec: IPIP-383, compact denylist format. Not thread-safe; nothing is allocated.
 */
#ifndef HEARTH_WIRE_DENYLIST_READER_H
#define HEARTH_WIRE_DENYLIST_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/multihash.h"

enum {
    DENYLIST_LINE_MAX = 2 * 1024 * 1024, /* with its newline */
    DENYLIST_RULE_MAX = 16 * 1024,
    DENYLIST_PATH_MAX = 4096, /* decoded */
    DENYLIST_NAME_MAX = 253   /* of a domain */
};

enum denylist_kind { DENYLIST_IPFS, DENYLIST_IPNS, DENYLIST_DOUBLE };

/* Spans are borrowed until the sink returns. */
struct denylist_rule {
    enum denylist_kind kind;
    bool allow;
    bool prefix;           /* path and all that begins so */
    struct multihash hash; /* IPFS, DOUBLE, and an IPNS name that is a key */
    struct span name;      /* of an IPNS name that is a domain, in lower case; else empty */
    struct span path;      /* decoded, without slashes around it; may be empty */
    uint64_t line;         /* in the file, from 1 */
};

typedef void denylist_sink(void *arg, const struct denylist_rule *rule);

struct denylist_reader {
    uint64_t line;       /* lines that are complete */
    uint64_t line_bytes; /* of the one being read */
    uint64_t rules;
    uint64_t invalid;             /* rules that could not be read */
    uint64_t invalid_line;        /* the first of them */
    const char *invalid_why;      /* "" while there is none */
    size_t len;                   /* of text */
    char text[DENYLIST_RULE_MAX]; /* the line being read, as far as it fits */
};

/* lines_before: those of the header. */
void denylist_reader_init(struct denylist_reader *r, uint64_t lines_before);

/* Reads on. ERR_TOO_LARGE: a line over DENYLIST_LINE_MAX; the reader is of no use any more. */
enum err denylist_reader_feed(struct denylist_reader *r, struct span in, denylist_sink *sink, void *arg) MUST_CHECK;

/* The bytes end: the last line need not end with a newline. */
void denylist_reader_end(struct denylist_reader *r, denylist_sink *sink, void *arg);

/*
 * Finds the end of the header in bytes that come in pieces: the line that is "---", within the first DENYLIST_HEADER_MAX bytes. Without
 * one there is no header, and rules begin with the first byte.
 */
enum { DENYLIST_HEADER_MAX = 1024 * 1024 };
struct denylist_header_end {
    uint64_t at;    /* bytes seen */
    uint64_t lines; /* ended */
    unsigned dashes;
    bool odd;   /* this line is another one */
    bool found; /* then at is the first byte behind it, lines counts it too */
};
/* False when more bytes cannot change what is known. Starts zeroed. */
bool denylist_header_end_feed(struct denylist_header_end *e, struct span in);

#endif

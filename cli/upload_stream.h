/* SPDX-License-Identifier: MIT */
/*
 * An upload from the client's side: bytes in any pieces become `add write` requests of 256 KiB, a few in flight, settled in order.
 * What the daemon says it added is handed to a callback as it comes.
 */
#ifndef HEARTH_CLI_UPLOAD_STREAM_H
#define HEARTH_CLI_UPLOAD_STREAM_H

#include "cli/client.h"

enum { UPLOAD_PIECE = 256 * 1024, UPLOAD_IN_FLIGHT = 4 };

struct upload_piece {
    struct call *call;
    uint64_t offset;
    uint8_t *data;
    size_t len;
};

struct upload_stream {
    struct client *client;
    void (*added)(void *arg, struct span result); /* an answer with `added` */
    void *arg;
    uint64_t upload;
    uint64_t sent;    /* bytes given to pieces */
    struct buf bytes; /* gathered for the next piece */
    struct upload_piece pieces[UPLOAD_IN_FLIGHT];
    size_t head;
    size_t count;
};

/* All functions return an exit status and have printed the error. */

/* Begins with the packed arguments of `add open`. */
int upload_stream_open(struct upload_stream *s, struct span args);
/* Sends what has gathered in s->bytes: whole pieces, or all of it. */
int upload_stream_send(struct upload_stream *s, bool all);
/* Ends it; with a status other than EXIT_OK it is given up. The root's CID is copied into root. */
int upload_stream_finish(struct upload_stream *s, int status, char *root, size_t root_bytes);

#endif

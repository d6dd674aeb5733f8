/* SPDX-License-Identifier: MIT */
/*
 * An upload from the client's side: bytes in any pieces become `add write` requests of 256 KiB, a few in flight, settled in order.
 * The bytes of a large file need not be sent when the daemon runs on this machine: it is handed the open file (cli/hand_over.h), and `add file`
 * says what to read of it, range after range. What the daemon says it added is handed to a callback as it comes.
 */
#ifndef HEARTH_CLI_UPLOAD_STREAM_H
#define HEARTH_CLI_UPLOAD_STREAM_H

#include "cli/client.h"

enum { UPLOAD_PIECE = 256 * 1024, UPLOAD_IN_FLIGHT = 4, UPLOAD_RANGE = 16 * 1024 * 1024 };

/* An open file that the daemon is to read. */
struct upload_file {
    const char *name; /* for messages; borrowed */
    int fd;           /* borrowed */
    uint64_t size;
    uint64_t token; /* by which the daemon knows it, once it was handed over */
};

/* Bytes, or a range of a file. */
struct upload_piece {
    struct call *call;
    uint64_t offset; /* in the stream */
    uint64_t len;
    uint8_t *data;
    const struct upload_file *file; /* instead of data */
    uint64_t from;                  /* in the file */
};

struct upload_stream {
    struct client *client;
    void (*added)(void *arg, struct span result); /* an answer with `added` */
    void (*taken)(void *arg, uint64_t bytes);     /* so much more of a file was read by the daemon */
    void *arg;
    const char *name;    /* of what is uploaded, for messages; NULL: they stand alone */
    bool keep;           /* of a CAR: its blocks stay kept from collection after the end (add close) */
    unsigned tries_left; /* an upload that was lost is not told of as an error: whoever has its bytes begins anew */
    uint64_t until_ns;   /* monotonic: no try begins after it; 0 = the bytes cannot be had again */
    bool lost;           /* this one was, and may be tried again */
    bool ended;          /* with whoever had it, which costs no try while losses allow it */
    struct losses losses;
    uint64_t began_ns; /* when it was opened */
    uint64_t upload;
    uint64_t sent;    /* bytes given to pieces */
    struct buf bytes; /* gathered for the next piece */
    struct upload_piece pieces[UPLOAD_IN_FLIGHT];
    size_t head;
    size_t count;
};

/* All functions return an exit status and have printed the error, unless s->lost says that the upload may be tried again. */

/* Begins with the packed arguments of `add open`. */
int upload_stream_open(struct upload_stream *s, struct span args);
/* Sends what has gathered in s->bytes: whole pieces, or all of it. */
int upload_stream_send(struct upload_stream *s, bool all);
/* Describes an open file; false when it is none to be handed over: it does not fit, is small, or was begun to be read. */
bool upload_file_of(int fd, const char *name, struct upload_file *ret_file);
/* Hands the file to the daemon to read; *ret_taken false: it cannot, and nothing of it was taken. */
int upload_stream_file(struct upload_stream *s, struct upload_file *file, bool *ret_taken);
/* Ends it; with a status other than EXIT_OK it is given up. The root's CID is copied into root. */
int upload_stream_finish(struct upload_stream *s, int status, char *root, size_t root_bytes);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Open files on their way from one process to another: a Unix datagram socket, whose kernel carries the descriptor (SCM_RIGHTS) and vouches for
 * the sender's uid (SCM_CREDENTIALS). Who receives one reads what the sender had opened, and needs neither its path nor its rights.
 *
 *      0        4         8              16
 *      [ magic ][ version ][ token        ]  + exactly one descriptor
 *
 * The numbers are little-endian. The token is the sender's, 64 random bits, by which it speaks of the file later on.
 *
 * Nothing here waits. Any thread; a socket belongs to one at a time.
 */
#ifndef HEARTH_BASE_FILE_PASS_H
#define HEARTH_BASE_FILE_PASS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    FILE_PASS_PATH_MAX = 107,     /* of a Unix socket */
    FILE_PASS_MAGIC = 0x66687268, /* "hrhf" */
    FILE_PASS_VERSION = 1,
    FILE_PASS_BYTES = 16,
};

struct passed_file {
    uint64_t token;
    uint32_t uid; /* of the sender */
    int fd;       /* owned; closed by exec */
};

/*
 * Binds a socket that its owner alone may send to; what may come from others is for the caller to set. A socket that an earlier process left
 * there is replaced. ERR_TOO_LARGE: the path is too long; else the error of the kernel.
 */
enum err file_pass_listen(const char *path, int *ret_socket) MUST_CHECK;

/*
 * The next file that has come. ERR_AGAIN: none; ERR_INVALID: a datagram that is not exactly what stands above, of which nothing stays open. The
 * descriptor may be anything that can be open.
 */
enum err file_pass_receive(int socket, struct passed_file *ret_file) MUST_CHECK;

/* Sends a descriptor, which stays the caller's as well. ERR_AGAIN: too many wait there; else the error of the kernel, as when nobody listens. */
enum err file_pass_send(const char *path, uint64_t token, int fd) MUST_CHECK;

#endif

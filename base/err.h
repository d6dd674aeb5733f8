/* SPDX-License-Identifier: MIT */
/*
 * The closed set of errors that modules return. An error names what kind of thing went wrong; the text that a user reads is
 * made where the thing's name is known. Programmer errors are assertions, never values of this enum.
 */
#ifndef HEARTH_BASE_ERR_H
#define HEARTH_BASE_ERR_H

#define ERR_LIST(X)                                                                                                    \
    X(OK, "ok")                                                                                                        \
    X(AGAIN, "would block: try again when there is room or data")                                                      \
    X(NOMEM, "out of memory or over the memory account")                                                               \
    X(INVALID, "invalid value")                                                                                        \
    X(TRUNCATED, "input ends too early")                                                                               \
    X(TOO_LARGE, "larger than its limit")                                                                              \
    X(UNSUPPORTED, "not supported")                                                                                    \
    X(NOT_FOUND, "not found")                                                                                          \
    X(EXISTS, "exists already")                                                                                        \
    X(TIMEOUT, "deadline passed")                                                                                      \
    X(CANCELLED, "cancelled by the caller")                                                                            \
    X(UNAVAILABLE, "the part that would answer is down")                                                               \
    X(BUSY, "at its limit: try again later")                                                                           \
    X(DENIED, "not allowed")                                                                                           \
    X(CORRUPT, "stored or received bytes do not match their checksum or hash")                                         \
    X(IO, "input/output error")                                                                                        \
    X(NO_SPACE, "no space left: the disk is full or Datastore.StorageMax is reached")                                  \
    X(READ_ONLY, "the store is read-only at the moment")                                                               \
    X(PROTOCOL, "the peer broke the protocol")                                                                         \
    X(AUTH, "authentication failed")                                                                                   \
    X(MISMATCH, "differs from what was expected")                                                                      \
    X(CLOSED, "closed")                                                                                                \
    X(RESET, "reset by the peer")                                                                                      \
    X(REFUSED, "refused by the other side")                                                                            \
    X(UNREACHABLE, "no route to the address")                                                                          \
    X(INTERNAL, "internal error")

enum err {
#define ERR_ENUM(name, text) ERR_##name,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

/* Returns the lower-case name ("not_found"), a static string; "unknown" outside the enum. */
const char *err_name(enum err err);

/* Returns one plain sentence fragment, a static string. */
const char *err_text(enum err err);

/* Maps an errno value of the C library; anything unknown is ERR_IO. */
enum err err_from_errno(int error_number);

#endif

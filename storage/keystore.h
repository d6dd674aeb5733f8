/* SPDX-License-Identifier: MIT */
/*
 * The keys of names, one file each, in the layout of Kubo's keystore so that files can be copied between the two:
 *
 *      keystore/                        0700
 *          key_<base32 of the name>     0600, the libp2p private key protobuf (wire/signing_key.h)
 *
 * Nothing is remembered between calls: a file that an owner puts there or takes away counts at once. The folder is made with the first
 * key. A write is complete and synced before the file has its name, so that a key whose name was told is not lost, and is never half there.
 * `self` is the node's own key, which lies elsewhere and is never in here. Secrets pass through memory of libsodium that is wiped.
 *
 * Blocks: for jobs. One at a time for one folder. No context, no clock.
 */
#ifndef HEARTH_STORAGE_KEYSTORE_H
#define HEARTH_STORAGE_KEYSTORE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "mailbox/ports.h"

enum {
    KEYSTORE_NAME_MAX = 128, /* bytes; its file's name has at most 209 */
    KEYSTORE_KEYS_MAX = 1024 /* listed, and made */
};

struct signing_key;

/* 1 to KEYSTORE_NAME_MAX bytes of UTF-8 without '/' and control characters, not beginning with '.', and not `self`. */
bool keystore_name_is_good(struct span name);

/* folder is the keystore's. ERR_NOT_FOUND; ERR_CORRUPT: the file holds no key; ERR_INVALID (the name); what the port says. */
enum err keystore_get(const struct disk_port *port, const char *folder, struct span name,
                      struct signing_key **ret_key) MUST_CHECK;

/* ERR_EXISTS: a key of this name is there, and replace is false; ERR_TOO_LARGE: too many keys; others as above. */
enum err keystore_put(const struct disk_port *port, const char *folder, struct span name, const struct signing_key *key,
                      bool replace) MUST_CHECK;

enum err keystore_rm(const struct disk_port *port, const char *folder, struct span name) MUST_CHECK;

/* The key gets another name; one that has it already is lost with replace, else ERR_EXISTS. */
enum err keystore_rename(const struct disk_port *port, const char *folder, struct span from, struct span to,
                         bool replace) MUST_CHECK;

/*
 * Copies all keys of one folder into another one; *ret_count: how many. A key whose name the other one has is replaced, or else stays as it is
 * and is not counted. The others are copied also after one that cannot be; then the first such error is returned.
 */
enum err keystore_copy(const struct disk_port *port, const char *from, const char *to, bool replace,
                       size_t *ret_count) MUST_CHECK;

/* Calls each(arg, name) for the keys, sorted by name, KEYSTORE_KEYS_MAX at most. Files of other names are passed over. */
enum err keystore_list(const struct disk_port *port, const char *folder, void (*each)(void *arg, struct span name),
                       void *arg) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The swarm key: the pre-shared key of a private network, in the form that Kubo keeps in its file swarm.key.
 *
 *      /key/swarm/psk/1.0.0/
 *      /base16/                        or /base64/, /bin/
 *      <32 bytes so encoded>           64 hex digits
 *
 * Pure functions, any thread; what they return is secret: wipe it. Spec: libp2p/specs pnet.
 */
#ifndef HEARTH_WIRE_SWARM_KEY_H
#define HEARTH_WIRE_SWARM_KEY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/pnet.h"

enum { SWARM_KEY_TEXT_MAX = 256, SWARM_KEY_FINGERPRINT_BYTES = 16 };

/*
 * Reads the file's content, or 64 hex digits alone; line ends may be CR LF, and only white space may follow. ERR_UNSUPPORTED: another
 * kind of key or encoding; ERR_TRUNCATED: too short; ERR_INVALID.
 */
enum err swarm_key_parse(struct span text, uint8_t ret_key[PNET_KEY_BYTES]) MUST_CHECK;

/* What people compare keys by, the same as go-libp2p shows: SHAKE-128 of Salsa20 keystream. ERR_INTERNAL (OpenSSL). */
enum err swarm_key_fingerprint(const uint8_t key[PNET_KEY_BYTES],
                               uint8_t ret_fingerprint[SWARM_KEY_FINGERPRINT_BYTES]) MUST_CHECK;

#endif

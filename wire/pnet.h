/* SPDX-License-Identifier: MIT */
/*
 * pnet: a private network's outermost layer. Whoever has not the pre-shared key sees, and says, noise.
 *
 *      each direction   nonce (24 random bytes, plain)   bytes ^ XSalsa20(key, nonce), byte by byte
 *
 *      keystream        |---- block 0 ----|---- block 1 ----|---- ...           64 bytes each; a write ends anywhere, and the
 *                                  ^ position                                   next one goes on with the rest of its block
 *
 * It hides and authenticates nothing by itself: a flipped bit passes to the secure channel inside, which notices. A wrong key shows as
 * garbage in the first negotiation. No sockets, no randomness, no allocation; one thread. Spec: libp2p/specs pnet
 * Private-Networks-PSK-V1.
 */
#ifndef HEARTH_WIRE_PNET_H
#define HEARTH_WIRE_PNET_H

#include <stddef.h>
#include <stdint.h>

enum { PNET_KEY_BYTES = 32, PNET_NONCE_BYTES = 24, PNET_BLOCK_BYTES = 64 };

struct pnet_direction {
    uint8_t nonce[PNET_NONCE_BYTES];
    uint64_t position;               /* bytes of the keystream that are used up */
    uint8_t block[PNET_BLOCK_BYTES]; /* of the keystream: the one position lies in, unless at its begin */
};

struct pnet {
    uint8_t key[PNET_KEY_BYTES];
    struct pnet_direction out;
    struct pnet_direction in;
    size_t nonce_len; /* of the peer's nonce, so far */
};

/* nonce: fresh random bytes, which the caller sends before anything else. */
void pnet_init(struct pnet *pnet, const uint8_t key[PNET_KEY_BYTES], const uint8_t nonce[PNET_NONCE_BYTES]);

/* Wipes the secrets. */
void pnet_release(struct pnet *pnet);

/* Encrypts in place what is to be sent next. */
void pnet_seal(struct pnet *pnet, uint8_t *data, size_t len);

/* Decrypts in place what was received next. Returns how many bytes at its begin belong to the peer's nonce: the rest is content. */
size_t pnet_open(struct pnet *pnet, uint8_t *data, size_t len);

#endif

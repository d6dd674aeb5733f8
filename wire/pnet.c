/* SPDX-License-Identifier: MIT */
#include "wire/pnet.h"

#include <sodium.h>
#include <string.h>

#include "base/attr.h"

void pnet_init(struct pnet *pnet, const uint8_t key[PNET_KEY_BYTES], const uint8_t nonce[PNET_NONCE_BYTES])
{
    memset(pnet, 0, sizeof(*pnet));
    memcpy(pnet->key, key, PNET_KEY_BYTES);
    memcpy(pnet->out.nonce, nonce, PNET_NONCE_BYTES);
}

void pnet_release(struct pnet *pnet)
{
    sodium_memzero(pnet, sizeof(*pnet));
}

/* The bytes of the block that position lies in, from there on. */
static size_t xor_rest(struct pnet_direction *d, uint8_t *data, size_t len)
{
    size_t from = (size_t)(d->position % PNET_BLOCK_BYTES);
    size_t n = MIN(len, PNET_BLOCK_BYTES - from);
    for (size_t i = 0; i < n; i++)
        data[i] ^= d->block[from + i];
    d->position += n;
    return n;
}

/* libsodium counts in blocks: what is not whole blocks goes through a block of keystream that is kept. */
static void xor_stream(struct pnet_direction *d, const uint8_t *key, uint8_t *data, size_t len)
{
    size_t done = d->position % PNET_BLOCK_BYTES == 0 ? 0 : xor_rest(d, data, len);
    size_t whole = (len - done) / PNET_BLOCK_BYTES * PNET_BLOCK_BYTES;
    if (whole > 0)
        (void)crypto_stream_xsalsa20_xor_ic(data + done, data + done, whole, d->nonce, d->position / PNET_BLOCK_BYTES,
                                            key);
    d->position += whole;
    done += whole;
    if (done == len)
        return;
    memset(d->block, 0, sizeof(d->block));
    (void)crypto_stream_xsalsa20_xor_ic(d->block, d->block, sizeof(d->block), d->nonce, d->position / PNET_BLOCK_BYTES,
                                        key);
    (void)xor_rest(d, data + done, len - done);
}

void pnet_seal(struct pnet *pnet, uint8_t *data, size_t len)
{
    xor_stream(&pnet->out, pnet->key, data, len);
}

size_t pnet_open(struct pnet *pnet, uint8_t *data, size_t len)
{
    size_t n = MIN(len, PNET_NONCE_BYTES - pnet->nonce_len);
    if (n > 0)
        memcpy(pnet->in.nonce + pnet->nonce_len, data, n);
    pnet->nonce_len += n;
    if (len > n)
        xor_stream(&pnet->in, pnet->key, data + n, len - n);
    return n;
}

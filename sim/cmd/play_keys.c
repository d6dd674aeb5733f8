/* SPDX-License-Identifier: MIT */
#include "sim/cmd/play_keys.h"

#include <dlfcn.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { POINT_BYTES = 32, MASK = 0x5a };

static bool playing;

void play_keys(void)
{
    playing = true;
}

/* libsodium's own function of that name. */
static void *own(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort(); /* it is linked */
    return found;
}

/* A pointer to a function is not one to data in C; POSIX says that it fits. */
#define OWN(type, name)                                                                                                \
    static type *found;                                                                                                \
    if (found == NULL) {                                                                                               \
        void *symbol = own(name);                                                                                      \
        memcpy(&found, &symbol, sizeof(found));                                                                        \
    }

typedef int base_fn(unsigned char *q, const unsigned char *n);
typedef int mult_fn(unsigned char *q, const unsigned char *n, const unsigned char *p);
typedef int sign_fn(unsigned char *sig, unsigned long long *sig_len, const unsigned char *m, unsigned long long len,
                    const unsigned char *sk);
typedef int verify_fn(const unsigned char *sig, const unsigned char *m, unsigned long long len,
                      const unsigned char *pk);

/* The public key is the secret one behind a mask, so both ends come to the same sum of their secret ones. */
int crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n)
{
    OWN(base_fn, "crypto_scalarmult_curve25519_base")
    if (!playing)
        return found(q, n);
    for (size_t i = 0; i < POINT_BYTES; i++)
        q[i] = n[i] ^ MASK;
    return 0;
}

int crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    OWN(mult_fn, "crypto_scalarmult_curve25519")
    if (!playing)
        return found(q, n, p);
    for (size_t i = 0; i < POINT_BYTES; i++)
        q[i] = n[i] ^ p[i] ^ MASK;
    return 0;
}

static void sum(unsigned char to[crypto_sign_BYTES], const unsigned char *m, unsigned long long len,
                const unsigned char *pk)
{
    (void)crypto_generichash(to, crypto_sign_BYTES, m, len, pk, crypto_sign_PUBLICKEYBYTES);
}

int crypto_sign_detached(unsigned char *sig, unsigned long long *sig_len, const unsigned char *m,
                         unsigned long long len, const unsigned char *sk)
{
    OWN(sign_fn, "crypto_sign_detached")
    if (!playing)
        return found(sig, sig_len, m, len, sk);
    sum(sig, m, len, sk + crypto_sign_SEEDBYTES); /* the second half of a secret key is the public one */
    if (sig_len != NULL)
        *sig_len = crypto_sign_BYTES;
    return 0;
}

int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m, unsigned long long len,
                                const unsigned char *pk)
{
    unsigned char expected[crypto_sign_BYTES];
    OWN(verify_fn, "crypto_sign_verify_detached")
    if (!playing)
        return found(sig, m, len, pk);
    sum(expected, m, len, pk);
    return memcmp(expected, sig, sizeof(expected)) == 0 ? 0 : -1;
}

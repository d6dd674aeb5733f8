/* SPDX-License-Identifier: MIT */
/*
 * The certificate half of TLS: making our own, checking the peer's. Shared by tls.c and tls_certificate.c only.
 */
#ifndef HEARTH_WIRE_TLS_CERTIFICATE_H
#define HEARTH_WIRE_TLS_CERTIFICATE_H

#include <openssl/x509.h>

#include "wire/tls.h"

/* A fresh P-256 key and the certificate that binds it to pair. ERR_NOMEM, ERR_INTERNAL. */
enum err tls_certificate_new(const struct key_pair *pair, EVP_PKEY **ret_key, X509 **ret_certificate) MUST_CHECK;

/* tls_certificate_check on a parsed certificate. */
enum err tls_certificate_check_x509(X509 *certificate, uint64_t wall_clock_s, struct buf *key) MUST_CHECK;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * HTTP as a client: the production http_port, on libcurl (net/curl_library).
 *
 * Connections are kept and used again, HTTP_CLIENT_IDLE_MAX at most. TLS servers are verified, always. Redirects are not followed, and only
 * http and https are spoken. A transfer in which nothing moves for HTTP_STALL_S, or that stays under 1 KiB/s for as long, fails as ERR_TIMEOUT,
 * connecting is given HTTP_CONNECT_MS, and the request's deadline is over both.
 */
#ifndef HEARTH_NET_HTTP_CLIENT_H
#define HEARTH_NET_HTTP_CLIENT_H

#include "base/attr.h"
#include "mailbox/ports.h"

enum { HTTP_CLIENT_IDLE_MAX = 4, HTTP_CONNECT_MS = 5000, HTTP_STALL_S = 20, HTTP_STALL_BYTES = 1024 };

struct http_client;

struct http_client_options {
    uint32_t connect_ms; /* 0 = HTTP_CONNECT_MS */
    uint32_t stall_s;    /* 0 = HTTP_STALL_S */
};

/* Loads nothing yet. ERR_NOMEM. */
enum err http_client_new(const struct http_client_options *options, struct http_client **ret_client) MUST_CHECK;
/* Closes its connections; no request is under way. NULL-safe. */
void http_client_free(struct http_client *client);

const struct http_port *http_client_port(struct http_client *client);

#endif

/* SPDX-License-Identifier: MIT */
#include "cli/announce.h"

#include <inttypes.h>
#include <jansson.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>

#include "schemas/config.h"
#include "wire/swarm_key.h"

enum { ANSWER_MS = 5000, URL_BYTES = 160 };

/* Asks the control socket; NULL when no good answer came in time. The caller drops the reference. */
static json_t *ask(nng_socket socket, const char *request)
{
    void *answer = NULL;
    size_t len = 0;
    /* nng_send takes a copy of a buffer that is not its own. */
    if (nng_send(socket, (void *)(uintptr_t)request, strlen(request), 0) != 0 ||
        nng_recv(socket, &answer, &len, NNG_FLAG_ALLOC) != 0)
        return NULL;
    json_t *all = json_loadb(answer, len, 0, NULL);
    nng_free(answer, len);
    json_t *result = json_is_true(json_object_get(all, "ok")) ? json_incref(json_object_get(all, "result")) : NULL;
    json_decref(all);
    return result;
}

static bool print_identity(const struct config *config, nng_socket socket)
{
    json_t *id = ask(socket, "{\"op\":\"id\"}");
    const char *peer = json_string_value(json_object_get(id, "id"));
    bool known = peer != NULL;
    if (known)
        printf("PeerID: %s\n", peer);
    json_t *addrs = json_object_get(id, "addresses");
    for (size_t i = 0; i < json_array_size(addrs); i++) {
        const char *addr = json_string_value(json_array_get(addrs, i));
        const char *suffix = addr == NULL ? NULL : strstr(addr, "/p2p/");
        if (addr != NULL)
            printf("Swarm listening on %.*s\n", (int)(suffix == NULL ? strlen(addr) : (size_t)(suffix - addr)), addr);
    }
    if (known && json_array_size(addrs) == 0)
        printf("Swarm not listening (%s)\n", config->offline ? "--offline" : "Addresses.Swarm is empty");
    json_decref(id);
    return known;
}

static void print_private(const uint8_t *swarm_key)
{
    uint8_t fingerprint[SWARM_KEY_FINGERPRINT_BYTES];
    if (swarm_key == NULL || swarm_key_fingerprint(swarm_key, fingerprint) != ERR_OK)
        return;
    printf("Swarm is limited to private network of peers with the swarm key\nSwarm key fingerprint: ");
    for (size_t i = 0; i < sizeof(fingerprint); i++)
        printf("%02x", fingerprint[i]);
    (void)putchar('\n');
}

void announce(const struct config *config, unsigned life)
{
    char url[URL_BYTES];
    (void)snprintf(url, sizeof(url), "ipc://%s/run/control.sock", config->path);
    print_private(config->swarm_key);
    nng_socket socket;
    bool answered = false;
    if (nng_req0_open(&socket) == 0) {
        (void)nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, ANSWER_MS);
        (void)nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, ANSWER_MS);
        /* Not waited for, so that it is dialled again when too many clients wait there: the request waits for it. */
        answered = nng_dial(socket, url, NULL, NNG_FLAG_NONBLOCK) == 0 && print_identity(config, socket);
        (void)nng_close(socket);
    }
    printf("Control socket: %s\n", url);
    printf("Databases: %s/state.db %s/blocks.db\n", config->path, config->path);
    if (answered)
        printf("Daemon is ready%s\n", life == 0 ? "" : " again, after a restart");
    else
        printf("The daemon runs, but its control socket did not answer within %d s\n", ANSWER_MS / 1000);
    printf("export HEARTH_PATH=%s\n", config->path);
}

/* SPDX-License-Identifier: MIT */
#include "cli/dial.h"

#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "cli/absence.h"
#include "cli/repository.h"

enum { PAUSE_MS = 5, AGAIN_MS = 10, AGAIN_MOST_MS = 250 };

enum err dial_url(const struct globals *globals, char url[DIAL_URL_MAX], char why[DIAL_WHY_BYTES])
{
    char path[REPOSITORY_PATH_MAX];
    if (globals->api != NULL) {
        const char *scheme = globals->api[0] == '/' ? "ipc://" : "";
        int len = snprintf(url, DIAL_URL_MAX, "%s%s", scheme, globals->api);
        return len > 0 && (size_t)len < DIAL_URL_MAX ? ERR_OK : ERR_TOO_LARGE;
    }
    enum err err = repository_find(globals->repo_dir, path, why);
    if (err != ERR_OK)
        return err;
    (void)snprintf(url, DIAL_URL_MAX, "ipc://%s/run/control.sock", path);
    if (strlen(url) - strlen("ipc://") <= REPOSITORY_SOCKET_MAX)
        return ERR_OK;
    (void)snprintf(why, DIAL_WHY_BYTES,
                   "the control socket's path has %zu bytes, %d are possible: choose a shorter HEARTH_PATH",
                   strlen(url) - strlen("ipc://"), REPOSITORY_SOCKET_MAX);
    return ERR_TOO_LARGE;
}

void dial_pause(unsigned attempt, unsigned most_ms)
{
    uint32_t random = 0;
    random_fill(&random, sizeof(random));
    unsigned most = MIN((unsigned)PAUSE_MS << MIN(attempt, 8U), most_ms);
    nng_msleep((nng_duration)(PAUSE_MS + random % most));
}

/*
 * NNG_EAGAIN: as many connections wait there as the system lets wait. Whoever answers ends before he greets, or does not greet in time because he
 * hangs; between two lives the socket is there and nobody listens, or not even that.
 */
static bool passes(int code)
{
    return code == NNG_EAGAIN || code == NNG_ECONNREFUSED || code == NNG_ECONNSHUT || code == NNG_ECONNRESET ||
           code == NNG_ECLOSED || code == NNG_ETIMEDOUT || code == NNG_ENOENT;
}

int dial_socket(nng_socket socket, const char *url, uint64_t timeout_ms, nng_dialer *ret_dialer)
{
    struct absence absence;
    nng_time began = nng_clock();
    absence_begin(&absence, url, began);
    int code = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, AGAIN_MS);
    if (code == 0)
        code = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, AGAIN_MOST_MS);
    for (unsigned attempt = 0; code == 0; attempt++) {
        code = nng_dial(socket, url, ret_dialer, 0);
        nng_time now = nng_clock();
        if (!passes(code) || now >= began + timeout_ms || (code != NNG_EAGAIN && !absence_may_end(&absence, now)))
            return code;
        dial_pause(attempt, AGAIN_MOST_MS);
        code = 0;
    }
    return code;
}

void dial_anew(nng_socket socket, const char *url, nng_dialer *dialer)
{
    (void)nng_dialer_close(*dialer);
    (void)nng_dial(socket, url, dialer, NNG_FLAG_NONBLOCK);
}

void dial_why(const char *url, int code, char why[DIAL_WHY_BYTES])
{
    if (code == NNG_EAGAIN)
        (void)snprintf(why, DIAL_WHY_BYTES,
                       "the daemon at %.300s takes no connection, too many wait: try again, or look into its log", url);
    else
        (void)snprintf(why, DIAL_WHY_BYTES, "the daemon is not reachable at %.300s (%s): start it with `hearth daemon`",
                       url, nng_strerror(code));
}

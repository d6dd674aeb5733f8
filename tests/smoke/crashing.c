/* SPDX-License-Identifier: MIT */
/*
 * A library that stands in front of a daemon's nng and readv (LD_PRELOAD) and fails in them as a bug of the caller would: the file that
 * TEST_CRASH names says in which thread, in which function and how, as in
 * "bitswap reply fault": a reply that finds its outbox empty begins with a message of nng. A plan is carried out once; the file is empty then. It
 * is opened when the library is loaded: an actor's process may not open it any more once it is confined.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* nng's, without its header: opaque here. */
struct message;
struct nng_socket {
    unsigned id;
};
int nng_msg_alloc(struct message **message, size_t size);
int nng_recvmsg(struct nng_socket socket, struct message **message, int flags);

static void carry_out(const char *how)
{
    volatile uintptr_t nowhere = 8;
    if (strncmp(how, "fault", 5) == 0)
        *(volatile int *)nowhere = 1;
    else if (strncmp(how, "abort", 5) == 0)
        abort();
    else if (strncmp(how, "kill", 4) == 0)
        (void)kill(getpid(), SIGKILL);
    for (;;) /* hang */
        (void)pause();
}

static int file = -1;
static _Thread_local bool received; /* from another process: the next message of nng's is what came */

__attribute__((constructor)) static void open_plan(void)
{
    const char *plan = getenv("TEST_CRASH");
    if (plan != NULL)
        file = open(plan, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void look(const char *function)
{
    char thread[17] = "";
    char text[64] = "";
    ssize_t n = file < 0 ? 0 : pread(file, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return;
    (void)prctl(PR_GET_NAME, thread);
    size_t thread_len = strlen(thread);
    size_t function_len = strlen(function);
    if (thread_len == 0 || strncmp(text, thread, thread_len) != 0 || text[thread_len] != ' ')
        return;
    const char *rest = text + thread_len + 1;
    if (strncmp(rest, function, function_len) != 0 || rest[function_len] != ' ' || ftruncate(file, 0) != 0)
        return;
    carry_out(rest + function_len + 1);
}

int nng_msg_alloc(struct message **message, size_t size)
{
    int (*real)(struct message **, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "nng_msg_alloc");
    if (!received)
        look("reply");
    received = false;
    return real(message, size);
}

int nng_recvmsg(struct nng_socket socket, struct message **message, int flags)
{
    int (*real)(struct nng_socket, struct message **, int);
    *(void **)&real = dlsym(RTLD_NEXT, "nng_recvmsg");
    look("recv");
    return real(socket, message, flags);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    ssize_t (*real)(int, void *, size_t, int);
    *(void **)&real = dlsym(RTLD_NEXT, "recv");
    ssize_t got = real(fd, bytes, len, flags);
    received = got > 0;
    return got;
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    ssize_t (*real)(int, const struct iovec *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "readv");
    look("readv");
    return real(fd, iov, count);
}

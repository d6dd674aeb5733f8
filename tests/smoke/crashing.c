/* SPDX-License-Identifier: MIT */
/*
 * A library that stands in front of a daemon's nng and readv (LD_PRELOAD) and fails in them as a bug of the caller would: the file that
 * TEST_CRASH names says in which thread, in which function and how, as in
 * "bitswap reply fault": a reply that finds its outbox empty begins with a message of nng. A plan is carried out once; the file is gone then.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

static void look(const char *function)
{
    char thread[17] = "";
    char text[64] = "";
    const char *plan = getenv("TEST_CRASH");
    int file = plan == NULL ? -1 : open(plan, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t n = read(file, text, sizeof(text) - 1);
    (void)close(file);
    (void)prctl(PR_GET_NAME, thread);
    size_t thread_len = strlen(thread);
    size_t function_len = strlen(function);
    if (n <= 0 || thread_len == 0 || strncmp(text, thread, thread_len) != 0 || text[thread_len] != ' ')
        return;
    const char *rest = text + thread_len + 1;
    if (strncmp(rest, function, function_len) != 0 || rest[function_len] != ' ' || unlink(plan) != 0)
        return;
    carry_out(rest + function_len + 1);
}

int nng_msg_alloc(struct message **message, size_t size)
{
    int (*real)(struct message **, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "nng_msg_alloc");
    look("reply");
    return real(message, size);
}

int nng_recvmsg(struct nng_socket socket, struct message **message, int flags)
{
    int (*real)(struct nng_socket, struct message **, int);
    *(void **)&real = dlsym(RTLD_NEXT, "nng_recvmsg");
    look("recv");
    return real(socket, message, flags);
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    ssize_t (*real)(int, const struct iovec *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "readv");
    look("readv");
    return real(fd, iov, count);
}

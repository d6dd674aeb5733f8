/* SPDX-License-Identifier: MIT */
/*
 * The plain pipeline: what one thread a side reaches when it does exactly what a transfer must do and nothing else.
 *
 *      sender:   pread 1 MiB -> seal in frames -> TCP        receiver: TCP -> open -> SHA-256 of the MiB -> pwrite, sync each 32 MiB
 *
 * usage: bench_pipeline transfer FILE OUT     one line of JSON for a transfer over loopback, durable at OUT
 *        bench_pipeline hash FILE             SHA-256 of each MiB alone
 *        bench_pipeline write FILE OUT        write and sync alone
 *
 * The two sides of a transfer are processes, so that memory and CPU time are told for each.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    PIECE = 1024 * 1024,
    TAG = 16,
    FRAME = 65536 - TAG, /* plaintext of a frame */
    FRAMES = (PIECE + FRAME - 1) / FRAME,
    SEALED_MAX = PIECE + FRAMES * TAG,
    SYNC_EACH = 32 /* pieces */
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static EVP_CIPHER_CTX *cipher_new(bool encrypt)
{
    static const uint8_t key[32] = {1};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    check(ctx != NULL && EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, encrypt) == 1, "cipher");
    return ctx;
}

static void next_frame(EVP_CIPHER_CTX *ctx, uint64_t n)
{
    uint8_t nonce[12] = {0};
    memcpy(nonce + 4, &n, sizeof(n));
    check(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) == 1, "nonce");
}

/* Both ways of the cipher; to and from may be the same buffer. Returns the bytes at to. */
static size_t seal(EVP_CIPHER_CTX *ctx, uint64_t *n, const uint8_t *from, size_t len, uint8_t *to)
{
    uint8_t *at = to;
    for (size_t done = 0; done < len;) {
        size_t part = len - done < FRAME ? len - done : FRAME;
        int out;
        next_frame(ctx, (*n)++);
        check(EVP_EncryptUpdate(ctx, at, &out, from + done, (int)part) == 1 &&
                  EVP_EncryptFinal_ex(ctx, at + part, &out) == 1 &&
                  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, at + part) == 1,
              "seal");
        at += part + TAG;
        done += part;
    }
    return (size_t)(at - to);
}

static void unseal(EVP_CIPHER_CTX *ctx, uint64_t *n, uint8_t *from, size_t len, uint8_t *to)
{
    for (size_t done = 0; done < len;) {
        size_t part = len - done < FRAME ? len - done : FRAME;
        int out;
        next_frame(ctx, (*n)++);
        check(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, from + part) == 1 &&
                  EVP_DecryptUpdate(ctx, to + done, &out, from, (int)part) == 1 &&
                  EVP_DecryptFinal_ex(ctx, to + done + part, &out) == 1,
              "open");
        from += part + TAG;
        done += part;
    }
}

static size_t sealed_bytes(size_t plain)
{
    return plain + (plain + FRAME - 1) / FRAME * TAG;
}

static void read_whole(int fd, uint8_t *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, to + done, len - done);
        check(n > 0, "read");
        done += (size_t)n;
    }
}

static void write_whole(int fd, const uint8_t *from, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, from + done, len - done);
        check(n > 0, "write");
        done += (size_t)n;
    }
}

static void digest(EVP_MD_CTX *md, const uint8_t *data, size_t len)
{
    uint8_t out[32];
    check(EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, data, len) == 1 &&
              EVP_DigestFinal_ex(md, out, NULL) == 1,
          "sha256");
}

static int open_out(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0, path);
    return fd;
}

static int open_in(const char *path, uint64_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0, path);
    off_t size = lseek(fd, 0, SEEK_END);
    check(size > 0 && lseek(fd, 0, SEEK_SET) == 0, "size");
    *ret_size = (uint64_t)size;
    return fd;
}

/* ---- the sides ---- */

static void send_file(int sock, const char *path)
{
    static uint8_t plain[PIECE];
    static uint8_t sealed[SEALED_MAX];
    EVP_CIPHER_CTX *ctx = cipher_new(true);
    uint64_t size;
    uint64_t n = 0;
    int fd = open_in(path, &size);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < PIECE ? (size_t)(size - at) : PIECE;
        check(pread(fd, plain, part, (off_t)at) == (ssize_t)part, "pread");
        write_whole(sock, sealed, seal(ctx, &n, plain, part, sealed));
        at += part;
    }
    EVP_CIPHER_CTX_free(ctx);
    (void)close(fd);
}

static void receive_file(int sock, uint64_t size, const char *path)
{
    static uint8_t sealed[SEALED_MAX];
    static uint8_t plain[PIECE];
    EVP_CIPHER_CTX *ctx = cipher_new(false);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint64_t n = 0;
    int fd = open_out(path);
    for (uint64_t at = 0, pieces = 1; at < size; pieces++) {
        size_t part = size - at < PIECE ? (size_t)(size - at) : PIECE;
        read_whole(sock, sealed, sealed_bytes(part));
        unseal(ctx, &n, sealed, part, plain);
        digest(md, plain, part);
        check(pwrite(fd, plain, part, (off_t)at) == (ssize_t)part, "pwrite");
        at += part;
        if (pieces % SYNC_EACH == 0 || at == size)
            check(fdatasync(fd) == 0, "fdatasync");
    }
    EVP_MD_CTX_free(md);
    EVP_CIPHER_CTX_free(ctx);
    (void)close(fd);
}

/* VmHWM, because ru_maxrss is inherited from whoever started this program. */
static long peak_bytes(void)
{
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && kib == 0 && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return kib * 1024;
}

static double cpu_s(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void report(uint64_t size, uint64_t took_ns, const struct rusage *sender, const struct rusage *receiver)
{
    double seconds = (double)took_ns / 1e9;
    printf("{\"seconds\": %.6f, \"mb_per_s\": %.3f, \"provider_cpu_s\": %.4f, \"provider_peak_bytes\": %ld, "
           "\"fetcher_cpu_s\": %.4f, \"fetcher_peak_bytes\": %ld}\n",
           seconds, (double)size / 1e6 / seconds, cpu_s(sender), sender->ru_maxrss * 1024, cpu_s(receiver),
           peak_bytes());
}

static void transfer(const char *from, const char *to)
{
    uint64_t size;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)close(open_in(from, &size));
    check(bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&addr, &len) == 0,
          "listen");
    uint64_t began = clock_mono_ns();
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(sock, (struct sockaddr *)&addr, len) == 0, "connect");
        (void)setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        send_file(sock, from);
        _exit(0);
    }
    int sock = accept(listener, NULL, NULL);
    check(sock >= 0, "accept");
    receive_file(sock, size, to);
    uint64_t took = clock_mono_ns() - began;
    int status;
    struct rusage sender;
    struct rusage receiver;
    check(wait4(child, &status, 0, &sender) == child && status == 0, "the sender");
    check(getrusage(RUSAGE_SELF, &receiver) == 0, "getrusage");
    report(size, took, &sender, &receiver);
}

/* ---- the stages alone ---- */

static void stage(const char *from, const char *to)
{
    static uint8_t plain[PIECE];
    struct rusage used;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint64_t size;
    int in = open_in(from, &size);
    int out = to == NULL ? -1 : open_out(to);
    uint64_t began = clock_mono_ns();
    for (uint64_t at = 0, pieces = 1; at < size; pieces++) {
        size_t part = size - at < PIECE ? (size_t)(size - at) : PIECE;
        check(pread(in, plain, part, (off_t)at) == (ssize_t)part, "pread");
        if (out < 0)
            digest(md, plain, part);
        else
            check(pwrite(out, plain, part, (off_t)at) == (ssize_t)part, "pwrite");
        at += part;
        if (out >= 0 && (pieces % SYNC_EACH == 0 || at == size))
            check(fdatasync(out) == 0, "fdatasync");
    }
    uint64_t took = clock_mono_ns() - began;
    check(getrusage(RUSAGE_SELF, &used) == 0, "getrusage");
    report(size, took, &(struct rusage){0}, &used);
    EVP_MD_CTX_free(md);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "transfer") == 0)
        transfer(argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "hash") == 0)
        stage(argv[2], NULL);
    else if (argc == 4 && strcmp(argv[1], "write") == 0)
        stage(argv[2], argv[3]);
    else {
        (void)fprintf(stderr, "usage: bench_pipeline transfer FILE OUT | hash FILE | write FILE OUT\n");
        return 2;
    }
    return 0;
}

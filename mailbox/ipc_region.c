/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_region.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REGION_MAGIC = 0x31524d48 /* "HMR1" */, ALIGN = 64 };

struct ipc_region_head {
    uint32_t magic;
    uint32_t actor_count;
    uint64_t bytes;
    uint32_t has_budget;
    int32_t root;
};

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Sets the pointers into the mapping at base, or only computes the size when it is NULL. */
static size_t lay_out(struct ipc_region *r, uint8_t *base, bool has_budget)
{
    size_t shared_at = aligned(sizeof(struct ipc_region_head));
    size_t budget_at = shared_at + aligned(shared_bytes(r->actor_count));
    size_t cells_at = budget_at + (has_budget ? aligned(sizeof(struct budget)) : 0);
    size_t end = cells_at + (has_budget ? ACCOUNT_COUNT * r->actor_count * sizeof(uint64_t) : 0);
    if (base == NULL)
        return end;
    r->head = (void *)base;
    r->shared = (void *)(base + shared_at);
    r->budget = has_budget ? (void *)(base + budget_at) : NULL;
    r->cells = has_budget ? (void *)(base + cells_at) : NULL;
    return end;
}

static bool map(struct ipc_region *r, bool has_budget)
{
    void *base = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    if (base == MAP_FAILED)
        return false;
    assert(base != NULL); /* the kernel maps nothing there unless told to */
    (void)lay_out(r, base, has_budget);
    return true;
}

enum err ipc_region_make(size_t actor_count, bool has_budget, struct ipc_region *ret_region)
{
    struct ipc_region r = {.actor_count = actor_count};
    r.bytes = lay_out(&r, NULL, has_budget);
    r.fd = memfd_create("hearth-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r.fd < 0)
        return err_from_errno(errno);
    if (ftruncate(r.fd, (off_t)r.bytes) != 0 || !map(&r, has_budget)) {
        enum err err = err_from_errno(errno);
        (void)close(r.fd);
        return err;
    }
    (void)fcntl(r.fd, F_ADD_SEALS,
                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); /* else a process could cut it under the others */
    *r.head = (struct ipc_region_head){.magic = REGION_MAGIC,
                                       .actor_count = (uint32_t)actor_count,
                                       .bytes = r.bytes,
                                       .has_budget = has_budget,
                                       .root = getpid()};
    *ret_region = r;
    return ERR_OK;
}

enum err ipc_region_join(int fd, size_t actor_count, bool has_budget, struct ipc_region *ret_region)
{
    struct ipc_region r = {.fd = fd, .actor_count = actor_count};
    struct stat info;
    r.bytes = lay_out(&r, NULL, has_budget);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (size_t)info.st_size != r.bytes)
        return ERR_MISMATCH;
    if (!map(&r, has_budget))
        return err_from_errno(errno);
    const struct ipc_region_head *head = r.head;
    if (head->magic != REGION_MAGIC || head->actor_count != actor_count || head->bytes != r.bytes ||
        head->has_budget != has_budget) {
        (void)munmap(r.head, r.bytes);
        return ERR_MISMATCH;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    *ret_region = r;
    return ERR_OK;
}

void ipc_region_close(struct ipc_region *r)
{
    if (r->head == NULL)
        return;
    (void)munmap(r->head, r->bytes);
    (void)close(r->fd);
    *r = (struct ipc_region){.fd = -1};
}

pid_t ipc_region_root(const struct ipc_region *r)
{
    return r->head->root;
}

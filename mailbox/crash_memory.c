/* SPDX-License-Identifier: MIT */
#include "mailbox/crash_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { TRIES = 8 };

static void release(void *at, size_t bytes, int fd)
{
    if (at != NULL)
        (void)munmap(at, bytes);
    if (at != NULL && fd >= 0)
        (void)close(fd);
}

void crash_memory_close(struct crash_memory *m)
{
    release(m->page, sizeof(*m->page), m->page_fd);
    release(m->notes, sizeof(*m->notes), m->notes_fd);
    *m = (struct crash_memory){0};
}

/* The kernel lets nobody map it to write from here on; one before 5.1 does, but cannot run actors as processes either. */
static bool keep_from_others(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0 || errno == EINVAL;
}

static enum err make(const char *name, size_t bytes, bool is_own, int *ret_fd, void **ret_at)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_from_errno(errno);
    void *at = MAP_FAILED;
    if (ftruncate(fd, (off_t)bytes) == 0)
        at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || (is_own && !keep_from_others(fd)) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        enum err err = err_from_errno(errno);
        if (at != MAP_FAILED)
            (void)munmap(at, bytes);
        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_at = at;
    return ERR_OK;
}

enum err crash_memory_make(struct crash_memory *ret_memory)
{
    struct crash_memory m = {.page_fd = -1, .notes_fd = -1};
    void *at = NULL;
    enum err err = make("hearth-crash-page", sizeof(*m.page), false, &m.page_fd, &at);
    if (err != ERR_OK)
        return err;
    m.page = at;
    crash_page_clear(m.page, 0);
    err = make("hearth-crash-notes", sizeof(*m.notes), true, &m.notes_fd, &at);
    if (err != ERR_OK) {
        crash_memory_close(&m);
        return err;
    }
    m.notes = at;
    *ret_memory = m;
    return ERR_OK;
}

static void *map(int fd, size_t bytes, int protection)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (size_t)info.st_size != bytes)
        return NULL;
    void *at = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

enum err crash_memory_join(int page_fd, int notes_fd, struct crash_memory *ret_memory)
{
    struct crash_memory m = {.page_fd = -1, .notes_fd = -1};
    m.page = map(page_fd, sizeof(*m.page), PROT_READ | PROT_WRITE);
    m.notes = map(notes_fd, sizeof(*m.notes), PROT_READ);
    (void)close(page_fd);
    (void)close(notes_fd);
    if (m.page == NULL || m.notes == NULL) { /* what is in them is nobody's to rely on */
        crash_memory_close(&m);
        return ERR_MISMATCH;
    }
    *ret_memory = m;
    return ERR_OK;
}

void crash_memory_guard(const struct crash_memory *m, bool may_write)
{
    (void)mprotect(m->notes, sizeof(*m->notes), PROT_READ | (may_write ? PROT_WRITE : 0));
}

void crash_memory_publish(const struct crash_memory *m, const struct crash_history *history)
{
    struct crash_notes *notes = m->notes;
    uint64_t version =
        atomic_load_explicit(&notes->version, memory_order_relaxed) | 1; /* odd: the last writer died at it */
    atomic_store_explicit(&notes->version, version, memory_order_relaxed);
    atomic_thread_fence(
        memory_order_release); /* pairs with the reader's fence: who sees a byte of it sees the odd number */
    notes->history = *history;
    atomic_store_explicit(&notes->version, version + 1, memory_order_release);
}

bool crash_memory_read(const struct crash_memory *m, uint64_t *version, struct crash_history *to)
{
    const struct crash_notes *notes = m->notes;
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = atomic_load_explicit(&notes->version, memory_order_acquire);
        if (before == *version || (before & 1) != 0)
            return false;
        struct crash_history copy = notes->history;
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&notes->version, memory_order_relaxed) != before)
            continue;
        crash_history_bound(&copy);
        *to = copy;
        *version = before;
        return true;
    }
    return false;
}

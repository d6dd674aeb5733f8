/* SPDX-License-Identifier: MIT */
#include "mailbox/crash_page.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

struct crash_page *crash_page_new(void)
{
    struct crash_page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    crash_page_clear(page, 0);
    return page;
}

void crash_page_free(struct crash_page *page)
{
    if (page != NULL)
        (void)munmap(page, sizeof(*page));
}

void crash_page_clear(struct crash_page *page, int32_t nanny)
{
    memset(page, 0, sizeof(*page));
    page->magic = CRASH_PAGE_MAGIC;
    page->version = CRASH_PAGE_VERSION;
    page->bytes = sizeof(*page);
    page->nanny = nanny;
}

void crash_page_tell(struct crash_page *page, enum crash_phase phase)
{
    if (page == NULL)
        return;
    atomic_store(&page->phase, (uint32_t)phase);
    if (page->nanny > 0 && getppid() == page->nanny) /* another parent would not expect it */
        (void)kill(page->nanny, SIGUSR1);
}

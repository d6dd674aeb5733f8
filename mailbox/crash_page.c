/* SPDX-License-Identifier: MIT */
#include "mailbox/crash_page.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

void crash_page_clear(struct crash_page *page, int32_t nanny)
{
    if (madvise(page, sizeof(*page), MADV_REMOVE) != 0) /* shared memory is given back so, and reads as zero */
        memset(page, 0, sizeof(*page));
    page->nanny = nanny;
}

void crash_page_forget(struct crash_page *page, uint32_t number)
{
    struct crash_slot *slot = &page->slots[number];
    crash_slot_does(slot, 0);
    atomic_store(&slot->heartbeat_ns, 0);
    atomic_store(&slot->turn_since_ns, 0);
    atomic_store(&slot->epoch, 0);
    atomic_store(&page->fatals[number].written, 0);
}

void crash_page_tell(struct crash_page *page, enum crash_phase phase)
{
    if (page == NULL)
        return;
    atomic_store(&page->phase, (uint32_t)phase);
    if (page->nanny > 0 && getppid() == page->nanny) /* another parent would not expect it */
        (void)kill(page->nanny, SIGUSR1);
}

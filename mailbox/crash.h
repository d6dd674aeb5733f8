/* SPDX-License-Identifier: MIT */
/*
 * What fatal signals leave behind: one line on stderr, the record in the crash page, then the signal again with its default action, so
 * that the exit status and the core are the real ones. The handler is async-signal-safe and runs on a stack of its own, so that a
 * stack that ran over is told of too.
 *
 * Return addresses are found by libgcc's unwinder, which is loaded and has run once before any handler may: it takes no memory then. The
 * record is whole before the unwinder begins; a fault within it ends the process with what is there. They are written as "module+0x1234": where the
 * modules of this process are was noted when the handler was installed, since no other process has them at the same places.
 */
#ifndef HEARTH_MAILBOX_CRASH_H
#define HEARTH_MAILBOX_CRASH_H

#include <stddef.h>
#include <stdint.h>

struct crash_page;

/*
 * Installs the handler for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, ignores SIGPIPE and SIGXFSZ, and gives the calling thread a stack.
 * page (NULL: none) is borrowed for the life of the process. Modules that are loaded later are told of by their addresses.
 */
void crash_install(struct crash_page *page);

/*
 * Gives the calling thread its signal stack (static per thread, nothing to free) and the name that the line shows. The name is
 * borrowed for the thread's life. slot: of the actor that it is; -1: none.
 */
void crash_thread(const char *name, int slot);

/*
 * This process is one actor's: what it leaves is in that slot's part of the page, which is borrowed for the life of the process. Before any
 * other thread exists.
 */
void crash_belong(struct crash_page *page, uint32_t slot);

#endif

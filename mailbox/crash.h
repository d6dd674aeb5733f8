/* SPDX-License-Identifier: MIT */
/*
 * What fatal signals leave behind: one line on stderr, written by an async-signal-safe handler on a stack of its own, then the signal
 * again with its default action, so that the exit status and the core are the real ones.
 */
#ifndef HEARTH_MAILBOX_CRASH_H
#define HEARTH_MAILBOX_CRASH_H

/* Installs the handler for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, ignores SIGPIPE and SIGXFSZ, and gives the calling thread a stack. */
void crash_install(void);

/*
 * Gives the calling thread its signal stack (static per thread, nothing to free) and the name that the line shows. The name is
 * borrowed for the thread's life.
 */
void crash_thread(const char *name);

#endif

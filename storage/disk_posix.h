/* SPDX-License-Identifier: MIT */
/*
 * The real disk: disk_port over the system calls.
 *
 * Thread-safe: the port has no state of its own, a disk_file is one descriptor. Everything blocks: from jobs and at start-up only.
 * Files are made 0600, folders 0700, all descriptors close on exec.
 */
#ifndef HEARTH_STORAGE_DISK_POSIX_H
#define HEARTH_STORAGE_DISK_POSIX_H

#include "mailbox/ports.h"

/* The one port of the process; never NULL, never freed. */
const struct disk_port *disk_posix(void);

#endif

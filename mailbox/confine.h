/* SPDX-License-Identifier: MIT */
/*
 * Confinement: what the process of one actor can no longer do once it runs, so that who takes it over has that actor's powers only.
 *
 *      all             no new privileges; starts no process, looks into none, signals none (but root's with SIGTERM)
 *      no PORT_DISK    opens nothing to write, makes, renames and removes no files; opens files to read only with PORT_DNS or PORT_HTTP,
 *                      whose libraries do (/etc/hosts, certificates)
 *      no network port opens no sockets but Unix ones
 *
 * A filter of system calls (seccomp) for all threads of the process, written out here: it lists what is forbidden, since that is what can be
 * promised of libraries whose next version may use other calls. Forbidden calls fail with an error (EPERM, EACCES), they do not kill.
 * Descriptors that are open stay usable. Linux on x86-64 and ARM64; elsewhere nothing is confined.
 */
#ifndef HEARTH_MAILBOX_CONFINE_H
#define HEARTH_MAILBOX_CONFINE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* ports: enum actor_ports of the actor. ERR_UNSUPPORTED where the kernel or the machine has no such filter: nothing changed. For good. */
enum err confine_process(uint32_t ports) MUST_CHECK;

#endif

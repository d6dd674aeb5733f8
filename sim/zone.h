/* SPDX-License-Identifier: MIT */
/*
 * Simulated DNS behind dns_port: records that a test adds, answered in the order in which they were added.
 *
 * A question takes no time of its own: the simulator's job lane delays it, as it does any job. Filled before nodes run; questions may
 * then come from several threads at once, since they only read and count.
 */
#ifndef HEARTH_SIM_ZONE_H
#define HEARTH_SIM_ZONE_H

#include "base/attr.h"
#include "mailbox/ports.h"

struct sim_zone;

enum { SIM_ZONE_RECORDS_MAX = 1024 };

/* NULL without memory. */
struct sim_zone *sim_zone_new(void) MUST_CHECK;
/* NULL-safe. */
void sim_zone_free(struct sim_zone *zone);

/* Names are compared without case. ERR_NOMEM, ERR_BUSY (full). */
enum err sim_zone_add_txt(struct sim_zone *zone, const char *name, const char *text) MUST_CHECK;
enum err sim_zone_add_addr(struct sim_zone *zone, const char *name, const struct net_addr *addr) MUST_CHECK;

/* Each question fails like this until it is ERR_OK again. */
void sim_zone_fail(struct sim_zone *zone, enum err err);

uint64_t sim_zone_asked(const struct sim_zone *zone);

const struct dns_port *sim_zone_port(struct sim_zone *zone);

#endif

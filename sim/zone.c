/* SPDX-License-Identifier: MIT */
#include "sim/zone.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct record {
    char *name;
    char *text;           /* NULL: an address */
    struct net_addr addr; /* port 0 */
};

struct sim_zone {
    struct dns_port port;
    struct record records[SIM_ZONE_RECORDS_MAX];
    size_t count;
    _Atomic int failure; /* enum err; counted, set by the test: no order with anything else */
    _Atomic uint64_t asked;
};

/* ERR_OK: the question may be answered. */
static enum err begin(struct sim_zone *zone, const struct dns_question *question)
{
    atomic_fetch_add(&zone->asked, 1);
    if (question->cancelled != NULL && atomic_load(question->cancelled))
        return ERR_CANCELLED;
    return (enum err)atomic_load(&zone->failure);
}

static enum err zone_resolve(void *self, const struct dns_question *question, uint16_t port, bool ip4, bool ip6,
                             struct net_addr *ret_addrs, size_t *ret_count)
{
    struct sim_zone *zone = self;
    size_t n = 0;
    enum err err = begin(zone, question);
    for (size_t i = 0; i < zone->count && err == ERR_OK && n < DNS_RESULTS_MAX; i++) {
        const struct record *r = &zone->records[i];
        if (r->text != NULL || strcasecmp(r->name, question->name) != 0 || !(r->addr.family == NET_IP4 ? ip4 : ip6))
            continue;
        ret_addrs[n] = r->addr;
        ret_addrs[n++].port = port;
    }
    if (err == ERR_OK)
        *ret_count = n;
    return err == ERR_OK && n == 0 ? ERR_NOT_FOUND : err;
}

static enum err zone_txt(void *self, const struct dns_question *question, struct texts *texts)
{
    struct sim_zone *zone = self;
    size_t before = texts->count;
    enum err err = begin(zone, question);
    for (size_t i = 0; i < zone->count && err == ERR_OK; i++) {
        const struct record *r = &zone->records[i];
        if (r->text == NULL || strcasecmp(r->name, question->name) != 0)
            continue;
        struct span text = span_text(r->text);
        if (text.len <= DNS_TXT_BYTES_MAX && texts_add(texts, text) == ERR_NOMEM)
            err = ERR_NOMEM;
    }
    return err == ERR_OK && texts->count == before ? ERR_NOT_FOUND : err;
}

struct sim_zone *sim_zone_new(void)
{
    struct sim_zone *zone = calloc(1, sizeof(*zone));
    if (zone != NULL)
        zone->port = (struct dns_port){.self = zone, .resolve = zone_resolve, .txt = zone_txt};
    return zone;
}

void sim_zone_free(struct sim_zone *zone)
{
    if (zone == NULL)
        return;
    for (size_t i = 0; i < zone->count; i++) {
        free(zone->records[i].name);
        free(zone->records[i].text);
    }
    free(zone);
}

static enum err add(struct sim_zone *zone, const char *name, const char *text, struct net_addr addr)
{
    if (zone->count == SIM_ZONE_RECORDS_MAX)
        return ERR_BUSY;
    struct record record = {.name = strdup(name), .text = text == NULL ? NULL : strdup(text), .addr = addr};
    if (record.name == NULL || (text != NULL && record.text == NULL)) {
        free(record.name);
        free(record.text);
        return ERR_NOMEM;
    }
    zone->records[zone->count++] = record;
    return ERR_OK;
}

enum err sim_zone_add_txt(struct sim_zone *zone, const char *name, const char *text)
{
    return add(zone, name, text, (struct net_addr){0});
}

enum err sim_zone_add_addr(struct sim_zone *zone, const char *name, const struct net_addr *addr)
{
    return add(zone, name, NULL, *addr);
}

void sim_zone_fail(struct sim_zone *zone, enum err err)
{
    atomic_store(&zone->failure, (int)err);
}

uint64_t sim_zone_asked(const struct sim_zone *zone)
{
    return atomic_load(&zone->asked);
}

const struct dns_port *sim_zone_port(struct sim_zone *zone)
{
    return &zone->port;
}

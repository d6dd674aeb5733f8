/* SPDX-License-Identifier: MIT */
#include "storage/leases.h"

void leases_init(struct leases *leases, uint64_t seed, struct account *account)
{
    *leases = (struct leases){.seed = seed, .account = account};
}

static void forget(struct leases *leases)
{
    filter_free(leases->touched);
    leases->touched = NULL;
    leases->blind = false;
}

void leases_release(struct leases *leases)
{
    forget(leases);
}

static struct lease *find(struct leases *leases, uint64_t id)
{
    for (size_t i = 0; i < LEASES_MAX; i++) {
        if (leases->open[i].id == id)
            return &leases->open[i];
    }
    return NULL;
}

enum err leases_open(struct leases *leases, uint64_t segment, uint64_t offset, uint64_t *ret_id)
{
    struct lease *lease = find(leases, 0);
    if (lease == NULL)
        return ERR_BUSY;
    *lease = (struct lease){.id = ++leases->last_id, .segment = segment, .offset = offset};
    leases->count++;
    *ret_id = lease->id;
    return ERR_OK;
}

void leases_close(struct leases *leases, uint64_t id)
{
    struct lease *lease = id == 0 ? NULL : find(leases, id);
    if (lease == NULL)
        return;
    lease->id = 0;
    if (--leases->count == 0)
        forget(leases);
}

void leases_touch(struct leases *leases, const struct block_key *key)
{
    if (leases->count == 0)
        return;
    if (leases->touched == NULL) {
        leases->touched = filter_new(LEASES_TOUCHED_KEYS, leases->seed, leases->account);
        if (leases->touched == NULL) {
            leases->blind = true;
            return;
        }
        filter_complete(leases->touched); /* with no key yet: from now on "absent" is meant */
    }
    filter_add(leases->touched, key);
}

static bool lies_behind(const struct lease *lease, const struct block_place *place)
{
    return place->segment > lease->segment || (place->segment == lease->segment && place->offset >= lease->offset);
}

bool leases_protect(const struct leases *leases, const struct block_place *place)
{
    if (leases->count == 0)
        return false;
    if (leases->blind || (leases->touched != NULL && !filter_absent(leases->touched, &place->key)))
        return true;
    for (size_t i = 0; i < LEASES_MAX; i++) {
        if (leases->open[i].id != 0 && lies_behind(&leases->open[i], place))
            return true;
    }
    return false;
}

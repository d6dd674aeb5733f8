/* SPDX-License-Identifier: MIT */
#include "actors/discovery/dht_values.h"

#include "wire/ipns.h"
#include "wire/peer_id.h"

/* ---- namespaces ---- */

struct namespace
{
    const char *prefix;
    enum err (*check)(struct span name, struct span value, uint64_t real_now_ns, uint64_t * ret_expires_ns);
    int (*compare)(struct span a, struct span b);
};

static enum err check_public_key(struct span name, struct span value, uint64_t real_now_ns, uint64_t *ret_expires_ns)
{
    (void)real_now_ns;
    *ret_expires_ns = UINT64_MAX;
    struct peer_id id;
    if (peer_id_parse(name, &id) != ERR_OK || value.len == 0)
        return ERR_INVALID;
    struct peer_id of = peer_id_of_key(value);
    return peer_id_equal(&id, &of) ? ERR_OK : ERR_MISMATCH;
}

static int all_the_same(struct span a, struct span b)
{
    (void)a;
    (void)b;
    return 0;
}

static enum err check_ipns(struct span name, struct span value, uint64_t real_now_ns, uint64_t *ret_expires_ns)
{
    struct peer_id id;
    struct ipns_record record;
    enum err err = peer_id_parse(name, &id);
    if (err == ERR_OK)
        err = ipns_record_decode(value, &record);
    if (err == ERR_OK)
        err = ipns_record_verify(&record, &id, real_now_ns);
    if (err == ERR_OK)
        *ret_expires_ns = record.eol_ns;
    return err;
}

static int compare_ipns(struct span a, struct span b)
{
    struct ipns_record ra;
    struct ipns_record rb;
    bool good_a = ipns_record_decode(a, &ra) == ERR_OK;
    bool good_b = ipns_record_decode(b, &rb) == ERR_OK;
    return good_a && good_b ? ipns_record_compare(&ra, &rb) : good_a - good_b;
}

static const struct namespace namespaces[] = {
    {"/ipns/", check_ipns, compare_ipns},
    {"/pk/", check_public_key, all_the_same},
};

static const struct namespace *namespace_of(struct span key, struct span *ret_name)
{
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        struct span prefix = span_text(namespaces[i].prefix);
        if (!span_equal(span_first(key, prefix.len), prefix))
            continue;
        *ret_name = span_skip(key, prefix.len);
        return &namespaces[i];
    }
    return NULL;
}

enum err dht_value_check(struct span key, struct span value, uint64_t real_now_ns, uint64_t *ret_expires_ns)
{
    struct span name;
    const struct namespace *ns = namespace_of(key, &name);
    return ns == NULL ? ERR_UNSUPPORTED : ns->check(name, value, real_now_ns, ret_expires_ns);
}

int dht_value_compare(struct span key, struct span a, struct span b)
{
    struct span name;
    const struct namespace *ns = namespace_of(key, &name);
    return ns == NULL ? 0 : ns->compare(a, b);
}

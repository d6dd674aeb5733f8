/* SPDX-License-Identifier: MIT */
#include "actors/discovery/routers.h"

enum {
    STATUS_OK = 200,
    STATUS_NOT_FOUND = 404,
    STATUS_TOO_MANY = 429,
    STATUS_NOT_IMPLEMENTED = 501,
};

enum err routers_add(struct routers *r, struct span text, const char **ret_why)
{
    if (r->count == ROUTERS_MAX) {
        *ret_why = "there are 8 already";
        return ERR_BUSY;
    }
    struct router *router = &r->list[r->count];
    enum err err = routing_v1_router_parse(text, &router->at, ret_why);
    if (err != ERR_OK)
        return err;
    router->failures = 0;
    router->rests_until_ns = 0;
    r->count++;
    return ERR_OK;
}

bool routers_may_ask(const struct routers *r, size_t index, enum routing_v1_kind kind, const struct cid *cid,
                     uint64_t now_ns, char url[ROUTING_V1_URL_MAX])
{
    const struct router *router = &r->list[index];
    return now_ns >= router->rests_until_ns && routing_v1_url(&router->at, kind, cid, url) == ERR_OK;
}

static void rest(struct router *router, uint64_t seconds, uint64_t now_ns)
{
    router->rests_until_ns = now_ns + MIN(seconds, (uint64_t)ROUTERS_REST_MAX_S) * SECOND_NS;
}

static enum err failed(struct router *router, enum err err, uint64_t now_ns)
{
    unsigned doublings = MIN(router->failures, 9u);
    router->failures++;
    rest(router, UINT64_C(1) << doublings, now_ns);
    return err;
}

enum err routers_answered(struct routers *r, size_t index, enum routing_v1_kind kind,
                          const struct router_answer *answer, uint64_t now_ns)
{
    struct router *router = &r->list[index];
    if (answer->err == ERR_CANCELLED)
        return ERR_CANCELLED; /* by us */
    if (answer->err == ERR_TOO_LARGE || (answer->err != ERR_OK && answer->any)) {
        router->failures = 0; /* it told more than is read, or went on too long */
        return ERR_OK;
    }
    if (answer->err != ERR_OK)
        return failed(router, answer->err, now_ns);
    switch (answer->status) {
    case STATUS_OK:
        router->failures = 0;
        return ERR_OK;
    case STATUS_NOT_FOUND:
        router->failures = 0;
        return ERR_NOT_FOUND;
    case STATUS_TOO_MANY:
        if (answer->retry_after_s == 0)
            return failed(router, ERR_BUSY, now_ns);
        rest(router, answer->retry_after_s, now_ns);
        return ERR_BUSY;
    case STATUS_NOT_IMPLEMENTED:
        router->at.kinds[kind] = false;
        return ERR_UNSUPPORTED;
    }
    if (answer->status >= 400 && answer->status < 500)
        return ERR_INVALID; /* this question, not the router */
    return failed(router, ERR_PROTOCOL, now_ns);
}

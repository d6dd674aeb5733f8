/* SPDX-License-Identifier: MIT */
#include "actors/discovery/delegated.h"

#include <stdlib.h>
#include <strings.h>

#include "base/limits.h"
#include "base/text.h"
#include "schemas/config.h"

static const char lane[] = "routers";

/* One request to one router; its memory is charged until it ends. */
struct request {
    const struct http_port *http;
    struct account *account;
    size_t bytes; /* charged */
    uint64_t question;
    size_t router;
    enum routing_v1_kind kind;
    bool put;
    uint64_t deadline_ns;
    struct http_response response;
    char url[ROUTING_V1_URL_MAX];
    size_t record_len;
    uint8_t record[ROUTING_V1_IPNS_MAX];
    uint8_t body[];
};

enum err delegated_init(struct delegated *d, struct ctx *ctx, const struct config *config,
                        const struct delegated_hooks *hooks)
{
    const struct config_list *list = &config->routing_delegated_routers;
    *d = (struct delegated){.ctx = ctx, .hooks = *hooks, .account = &ctx_budget(ctx)->accounts[ACCOUNT_TABLES]};
    d->http = list->count == 0 || config->offline ? NULL : ctx_http(ctx);
    if (d->http == NULL)
        return ERR_OK;
    for (size_t i = 0; i < list->count; i++) {
        const char *why = "";
        if (routers_add(&d->routers, span_text(list->items[i]), &why) != ERR_OK)
            ctx_log(ctx, LOG_WARN, "Routing.DelegatedRouters: %s is passed over: %s", list->items[i], why);
    }
    d->reader = malloc(sizeof(*d->reader));
    return d->reader == NULL ? ERR_NOMEM : ERR_OK;
}

void delegated_release(struct delegated *d)
{
    free(d->reader);
    d->reader = NULL;
}

bool delegated_is_on(const struct delegated *d)
{
    return d->routers.count > 0;
}

/* ---- the job ---- */

static void request_free(void *arg)
{
    struct request *r = arg;
    account_give(r->account, r->bytes);
    free(r);
}

static enum err run(void *arg, const _Atomic bool *cancelled)
{
    static const char *const list_headers[] = {"Accept: " ROUTING_V1_NDJSON ", " ROUTING_V1_JSON};
    static const char *const get_headers[] = {"Accept: " ROUTING_V1_IPNS};
    static const char *const put_headers[] = {"Content-Type: " ROUTING_V1_IPNS};
    struct request *r = arg;
    const char *const *headers = r->put ? put_headers : r->kind == ROUTING_V1_NAMES ? get_headers : list_headers;
    const struct http_request http = {.method = r->put ? HTTP_PUT : HTTP_GET,
                                      .url = r->url,
                                      .headers = headers,
                                      .header_count = 1,
                                      .body = r->record,
                                      .body_len = r->put ? r->record_len : 0,
                                      .deadline_ns = r->deadline_ns,
                                      .cancelled = cancelled};
    return r->http->request(r->http->self, &http, &r->response);
}

/* ---- asking ---- */

static struct delegated_question *find(struct delegated *d, uint64_t number)
{
    for (size_t i = 0; i < DELEGATED_QUESTIONS_MAX; i++)
        if (d->questions[i].number == number)
            return &d->questions[i];
    return NULL;
}

static struct request *request_new(struct delegated *d, size_t body)
{
    size_t bytes = sizeof(struct request) + body;
    if (!account_take(d->account, bytes))
        return NULL;
    struct request *r = calloc(1, bytes);
    if (r == NULL) {
        account_give(d->account, bytes);
        return NULL;
    }
    r->http = d->http;
    r->account = d->account;
    r->bytes = bytes;
    r->response.body = r->body;
    r->response.body_max = body;
    return r;
}

static enum err ask_one(struct delegated *d, const struct request *like, size_t router, const char *url)
{
    if (d->jobs == DELEGATED_JOBS_MAX)
        return ERR_BUSY;
    struct request *r = request_new(d, like->kind == ROUTING_V1_NAMES ? ROUTING_V1_IPNS_MAX : DELEGATED_BODY_MAX);
    if (r == NULL)
        return ERR_NOMEM;
    r->question = like->question;
    r->router = router;
    r->kind = like->kind;
    r->put = like->put;
    r->deadline_ns = like->deadline_ns;
    r->record_len = like->record_len;
    memcpy(r->record, like->record, like->record_len);
    (void)memcpy(r->url, url, strlen(url) + 1);
    enum err err = ctx_job(d->ctx, lane, run, r, request_free, DELEGATED_TAG + ++d->last_job);
    if (err == ERR_OK)
        d->jobs++;
    else
        request_free(r);
    return err;
}

enum err delegated_ask(struct delegated *d, struct ctx *ctx, enum routing_v1_kind kind, const struct cid *cid,
                       struct span record, uint64_t timeout_ns, uint64_t question)
{
    struct delegated_question *free_one = find(d, 0);
    char url[ROUTING_V1_URL_MAX];
    enum err last = ERR_UNSUPPORTED;
    unsigned asked = 0;
    uint64_t before = d->last_job;
    d->ctx = ctx;
    if (!delegated_is_on(d))
        return ERR_UNSUPPORTED;
    if (free_one == NULL)
        return ERR_BUSY;
    if (record.len > ROUTING_V1_IPNS_MAX)
        return ERR_TOO_LARGE;
    struct request like = {.question = question, .kind = kind, .put = record.len > 0, .record_len = record.len};
    like.deadline_ns = ctx_now(ctx) + MIN(timeout_ns, DELEGATED_TIMEOUT_S * SECOND_NS);
    if (record.len > 0)
        memcpy(like.record, record.data, record.len);
    for (size_t i = 0; i < d->routers.count; i++) {
        if (!d->routers.list[i].at.kinds[kind])
            continue;
        last = ERR_BUSY;
        if (routers_may_ask(&d->routers, i, kind, cid, ctx_now(ctx), url))
            last = ask_one(d, &like, i, url);
        asked += last == ERR_OK;
    }
    if (asked > 0)
        *free_one =
            (struct delegated_question){.number = question, .left = asked, .first = before + 1, .last = d->last_job};
    return asked > 0 ? ERR_OK : last;
}

void delegated_cancel(struct delegated *d, uint64_t question)
{
    struct delegated_question *q = question == 0 ? NULL : find(d, question);
    if (q == NULL)
        return;
    q->number = 0; /* what its jobs may still bring finds nobody */
    for (uint64_t job = q->first; job <= q->last; job++)
        ctx_job_cancel(d->ctx, DELEGATED_TAG + job);
}

/* ---- answers ---- */

/* The value of a header, its name in lower case; empty if it did not come. */
static struct span header_of(const struct http_response *r, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = r->headers; *at != '\0';) {
        const char *end = strchr(at, '\n');
        size_t line = end == NULL ? strlen(at) : (size_t)(end - at);
        if (line > len && strncmp(at, name, len) == 0 && at[len] == ':')
            return span_trim(span_of(at + len + 1, line - len - 1));
        at += line + (end != NULL);
    }
    return (struct span){0};
}

struct telling {
    struct delegated *d;
    uint64_t question;
};

static void tell_peer(void *arg, const struct routing_v1_peer *peer)
{
    const struct telling *t = arg;
    if (find(t->d, t->question) != NULL) /* a hook may have had enough */
        t->d->hooks.peer(t->d->hooks.arg, t->question, peer);
}

static void tell(struct delegated *d, const struct request *r)
{
    struct telling t = {.d = d, .question = r->question};
    struct span body = span_of(r->body, r->response.body_len);
    if (r->kind != ROUTING_V1_NAMES) {
        routing_v1_reader_init(d->reader, header_of(&r->response, "content-type"));
        (void)!routing_v1_reader_feed(d->reader, body, tell_peer, &t);
    } else if (r->put || (body.len > 0 && r->response.status != 0)) { /* half a record is none */
        d->hooks.record(d->hooks.arg, r->question, r->put ? (struct span){0} : body);
    }
}

static void ended(struct delegated *d, struct request *r, enum err err)
{
    struct router_answer answer = {
        .err = err, .status = r->response.status, .any = r->response.body_len > 0 && r->kind != ROUTING_V1_NAMES};
    const struct delegated_question *asked = find(d, r->question);
    if (text_parse_u64(header_of(&r->response, "retry-after"), &answer.retry_after_s) != ERR_OK)
        answer.retry_after_s = 0;
    bool rested = d->routers.list[r->router].failures > 0;
    enum err verdict = routers_answered(&d->routers, r->router, r->kind, &answer, ctx_now(d->ctx));
    if (verdict == ERR_OK && asked != NULL)
        tell(d, r);
    else if (verdict != ERR_OK && verdict != ERR_NOT_FOUND && verdict != ERR_CANCELLED && !rested)
        ctx_log(d->ctx, LOG_INFO, "delegated router %s: %s (HTTP status %u)", d->routers.list[r->router].at.base,
                r->response.why[0] != '\0' ? r->response.why : err_text(verdict), r->response.status);
    struct delegated_question *q = find(d, r->question); /* may have been given up meanwhile */
    if (q != NULL && q->left > 1) {
        q->left--;
    } else if (q != NULL) {
        q->number = 0;
        d->hooks.ended(d->hooks.arg, r->question);
    }
}

bool delegated_info(struct delegated *d, struct ctx *ctx, const struct info *info)
{
    if (info->kind != INFO_JOB || info->tag < DELEGATED_TAG)
        return false;
    d->ctx = ctx;
    d->jobs--;
    ended(d, info->arg, info->err);
    request_free(info->arg);
    return true;
}

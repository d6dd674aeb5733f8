/* SPDX-License-Identifier: MIT */
#include "actors/discovery/dns_links.h"

#include <stdlib.h>

#include "schemas/messages.h"
#include "wire/dnslink.h"

/* One path on a worker; owns everything it touches. */
struct link_job {
    const struct dns_port *dns;
    uint64_t deadline_ns;
    struct dnslink link;
};

static enum err ask(const struct link_job *job, struct texts *texts, const _Atomic bool *cancelled)
{
    const struct dns_question question = {
        .name = job->link.host, .deadline_ns = job->deadline_ns, .cancelled = cancelled};
    texts_clear(texts);
    enum err err = job->dns->txt(job->dns->self, &question, texts);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* A name that cannot be asked for is no reason to believe the next one. */
static enum err follow_job(void *arg, const _Atomic bool *cancelled)
{
    struct link_job *job = arg;
    struct texts texts;
    enum err err = ERR_AGAIN;
    texts_init(&texts, DNS_TXTS_BYTES_MAX);
    while (err == ERR_AGAIN) {
        err = ask(job, &texts, cancelled);
        for (size_t i = 0; err == ERR_OK && i < texts.count; i++)
            dnslink_offer(&job->link, texts_get(&texts, i));
        if (err == ERR_OK)
            err = dnslink_answered(&job->link);
    }
    texts_release(&texts);
    return err;
}

enum err dns_links_call(struct dns_links *d, struct ctx *ctx, const struct msg_dns_link *fields, struct reply_to call)
{
    size_t slot = 0;
    if (ctx_dns(ctx) == NULL)
        return ERR_UNAVAILABLE;
    while (slot < DNS_LINKS_MAX && d->used[slot])
        slot++;
    struct link_job *job = slot == DNS_LINKS_MAX ? NULL : calloc(1, sizeof(*job));
    if (job == NULL)
        return slot == DNS_LINKS_MAX ? ERR_BUSY : ERR_NOMEM;
    enum err err = dnslink_init(&job->link, fields->path, fields->once ? 1 : DNSLINK_DOMAINS_MAX);
    if (err != ERR_OK) {
        free(job);
        ctx_reply_err(ctx, call, err == ERR_UNSUPPORTED ? ERR_INVALID : err, "%.*s names no domain",
                      (int)MIN(fields->path.len, (size_t)200), (const char *)fields->path.data);
        return ERR_OK;
    }
    job->dns = ctx_dns(ctx);
    job->deadline_ns = MIN(call.deadline_ns, ctx_now(ctx) + DNS_LINK_SECONDS * SECOND_NS);
    err = ctx_job(ctx, "dns", follow_job, job, free, TAG_DNS_LINKS + slot);
    if (err != ERR_OK) {
        free(job);
        return err;
    }
    d->used[slot] = true;
    d->given_up[slot] = false;
    d->calls[slot] = call;
    return ERR_OK;
}

static const char *reason(enum err err)
{
    if (err == ERR_NOT_FOUND)
        return "it has no DNSLink record";
    if (err == ERR_TOO_LARGE)
        return "it leads through too many domains, or to too long a path";
    if (err == ERR_TIMEOUT)
        return "its name servers did not answer in time";
    return err == ERR_UNREACHABLE ? "no name server answers" : err_text(err);
}

static void job_ended(struct dns_links *d, struct ctx *ctx, size_t slot, enum err err, struct link_job *job)
{
    d->used[slot] = false;
    struct msg_dns_link_ok fields = {.path = span_text(job->link.path)};
    bool heard = !d->given_up[slot];
    if (heard && err == ERR_OK)
        ctx_reply(ctx, d->calls[slot], &(struct msg){.kind = MSG_DNS_LINK_OK, .fields = &fields});
    else if (heard)
        ctx_reply_err(ctx, d->calls[slot], err, "%s: %s", job->link.host, reason(err));
    free(job);
}

void dns_links_info(struct dns_links *d, struct ctx *ctx, const struct info *info)
{
    if (info->kind == INFO_JOB && info->tag >= TAG_DNS_LINKS && info->tag < TAG_DNS_LINKS + DNS_LINKS_MAX)
        job_ended(d, ctx, info->tag - TAG_DNS_LINKS, info->err, info->arg);
    for (size_t i = 0; info->kind == INFO_CANCEL && i < DNS_LINKS_MAX; i++) {
        if (!d->used[i] || !reply_same(&d->calls[i], &info->call))
            continue;
        d->given_up[i] = true;
        ctx_job_cancel(ctx, TAG_DNS_LINKS + i);
    }
}

/* SPDX-License-Identifier: MIT */
#include "wire/dnslink.h"

#include <string.h>

#include "wire/cid.h"
#include "wire/peer_id.h"

#define KEY "dnslink="

static const char ipfs[] = "/ipfs/";
static const char ipns[] = "/ipns/";

enum { NAMESPACE_BYTES = sizeof(ipfs) - 1, LABEL_MAX = 63 };

static bool begins(struct span text, const char *with)
{
    return span_equal_text(span_first(text, strlen(with)), with);
}

/* What stands before the first slash. */
static struct span first_part(struct span text)
{
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    return span_first(text, slash == NULL ? text.len : (size_t)(slash - text.data));
}

static bool is_key(struct span text)
{
    struct peer_id id;
    return peer_id_parse_text(text, &id) == ERR_OK;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dnslink_is_domain(struct span text)
{
    size_t label = 0;
    size_t labels = 0;
    if (text.len > 0 && text.data[text.len - 1] == '.')
        text.len--; /* the root's */
    if (text.len == 0 || text.len > DNSLINK_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && is_letter(text.data[i])) {
            label++;
            continue;
        }
        if ((i < text.len && text.data[i] != '.') || label == 0 || label > LABEL_MAX)
            return false;
        labels++;
        label = 0;
    }
    return labels >= 2 && !is_key(text);
}

/* The name to ask for the domain in path, which begins with /ipns/. */
static void set_host(struct dnslink *l, bool bare)
{
    struct span domain = first_part(span_skip(span_text(l->path), NAMESPACE_BYTES));
    size_t prefix = bare ? 0 : sizeof(DNSLINK_PREFIX) - 1;
    if (domain.data[domain.len - 1] == '.')
        domain.len--;
    memcpy(l->host, DNSLINK_PREFIX, prefix);
    memcpy(l->host + prefix, domain.data, domain.len);
    l->host[prefix + domain.len] = '\0';
    l->bare = bare;
    l->found = false;
}

enum err dnslink_init(struct dnslink *l, struct span path, unsigned domains_max)
{
    struct span rest = begins(path, ipns) ? span_skip(path, NAMESPACE_BYTES) : path;
    if (!dnslink_is_domain(first_part(rest)) || memchr(rest.data, '\0', rest.len) != NULL)
        return ERR_UNSUPPORTED;
    if (rest.len > DNSLINK_PATH_MAX - NAMESPACE_BYTES)
        return ERR_TOO_LARGE;
    memcpy(l->path, ipns, NAMESPACE_BYTES);
    memcpy(l->path + NAMESPACE_BYTES, rest.data, rest.len);
    l->path[NAMESPACE_BYTES + rest.len] = '\0';
    l->single = domains_max == 1;
    l->left = MIN(MAX(domains_max, 1u), (unsigned)DNSLINK_DOMAINS_MAX) - 1;
    set_host(l, false);
    return ERR_OK;
}

static bool is_value(struct span value)
{
    struct span name = first_part(span_skip(value, NAMESPACE_BYTES));
    struct cid cid;
    if (value.len > DNSLINK_PATH_MAX || name.len == 0)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
            return false;
    if (begins(value, ipfs))
        return cid_parse_text(name, &cid) == ERR_OK;
    return begins(value, ipns) && (is_key(name) || dnslink_is_domain(name));
}

void dnslink_offer(struct dnslink *l, struct span record)
{
    struct span value = span_skip(record, sizeof(KEY) - 1);
    if (!begins(record, KEY) || !is_value(value) || (l->found && span_compare(value, span_text(l->best)) >= 0))
        return;
    memcpy(l->best, value.data, value.len);
    l->best[value.len] = '\0';
    l->found = true;
}

/* The value in the place of /ipns/DOMAIN. */
static enum err follow(struct dnslink *l)
{
    struct span rest = span_skip(span_text(l->path), NAMESPACE_BYTES);
    rest = span_skip(rest, first_part(rest).len);
    size_t len = strlen(l->best);
    while (rest.len > 0 && len > 0 && l->best[len - 1] == '/')
        len--;
    if (len + rest.len > DNSLINK_PATH_MAX)
        return ERR_TOO_LARGE;
    memmove(l->path + len, rest.data, rest.len);
    memcpy(l->path, l->best, len);
    l->path[len + rest.len] = '\0';
    return ERR_OK;
}

enum err dnslink_answered(struct dnslink *l)
{
    if (!l->found && l->bare)
        return ERR_NOT_FOUND;
    if (!l->found) {
        set_host(l, true);
        return ERR_AGAIN;
    }
    enum err err = follow(l);
    if (err != ERR_OK)
        return err;
    struct span path = span_text(l->path);
    if (l->single || begins(path, ipfs) || is_key(first_part(span_skip(path, NAMESPACE_BYTES))))
        return ERR_OK;
    if (l->left == 0)
        return ERR_TOO_LARGE;
    l->left--;
    set_host(l, false);
    return ERR_AGAIN;
}

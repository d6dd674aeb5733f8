/* SPDX-License-Identifier: MIT */
#include "actors/control/names.h"

#include <stdlib.h>

#include "actors/control/operations.h"
#include "base/text.h"
#include "schemas/pack.h"
#include "wire/ipns.h"
#include "wire/ipns_path.h"
#include "wire/keys.h"

enum { SUB_KEPT = 1, SUB_ROUTE, SUB_DOMAIN };
enum { PATHS_MAX = 2, RECORD_REPLY_MAX = 16 * 1024, RESULT_MAX = 16 * 1024 };

/* One argument that is, or was, a path of a name. */
struct named_path {
    uint16_t offset; /* of its span in the arguments */
    struct buf text; /* what takes its place */
};

struct names {
    struct named_path paths[PATHS_MAX];
    size_t count;
    size_t at; /* the one being resolved */
    unsigned depth;
    bool waits;
    bool only_record; /* name get */
    bool once;        /* name resolve, not recursive */
    bool nocache;
    bool offline;
    uint64_t enough;    /* records of a name, 0: all */
    uint64_t within_ns; /* of each name, 0: as long as the operation lasts */
    struct buf path;    /* as far as it is resolved */
    struct peer_id name;
    struct buf record; /* the best so far of the name; empty: none */
};

/* ---- records ---- */

static bool read_record(const struct names *n, struct span bytes, uint64_t now, struct ipns_record *ret_record)
{
    return bytes.len > 0 && ipns_record_decode(bytes, ret_record) == ERR_OK &&
           ipns_record_verify(ret_record, &n->name, now) == ERR_OK;
}

/* Keeps the record when it is valid and better than the one that is known. */
static void take_record(struct control *c, struct names *n, struct span bytes)
{
    uint64_t now = ctx_real_now(c->ctx);
    struct ipns_record record;
    struct ipns_record known;
    if (!read_record(n, bytes, now, &record))
        return;
    if (read_record(n, buf_span(&n->record), now, &known) && ipns_record_compare(&record, &known) <= 0)
        return;
    buf_clear(&n->record);
    (void)!buf_append_span(&n->record, bytes);
}

static uint64_t until_of(const struct ipns_record *record, uint64_t from)
{
    uint64_t cached = from + record->ttl_ns;
    return MIN(cached, record->eol_ns);
}

void names_note(struct control *c, struct span record_bytes, struct span peer)
{
    struct peer_id name;
    struct ipns_record record;
    uint64_t now = ctx_real_now(c->ctx);
    if (peer_id_parse(peer, &name) == ERR_OK && ipns_record_decode(record_bytes, &record) == ERR_OK)
        name_cache_put(&c->names, &name, record.value, now, until_of(&record, now));
}

/* ---- the steps of one name ---- */

static enum err start_operation(struct control *c, struct conversation *v);
static enum err next_name(struct control *c, struct conversation *v);

static enum err no_record(struct conversation *v)
{
    char text[PEER_ID_TEXT_MAX];
    peer_id_text_cid(&v->names->name, text);
    return conversation_error(v, ERR_NOT_FOUND, "no record of the name %s was found%s", text,
                              v->names->offline ? ", and no peer was asked" : "");
}

/* The name in front of the path gives way to what it stands for. */
static enum err replace_name(struct control *c, struct conversation *v, struct span value)
{
    struct names *n = v->names;
    struct ipns_path path;
    CLEANUP(buf_release) struct buf joined = {0};
    buf_init(&joined, IPNS_PATH_MAX, NULL);
    enum err err = ipns_path_parse(buf_span(&n->path), &path);
    if (err == ERR_OK)
        err = ipns_path_join(value, path.rest, &joined);
    if (err != ERR_OK)
        return conversation_error(v, err, "what the name stands for is no path: \"%.*s\"",
                                  (int)MIN(value.len, (size_t)100), (const char *)value.data);
    buf_clear(&n->path);
    err = buf_append_span(&n->path, buf_span(&joined));
    n->depth++;
    return err == ERR_OK ? next_name(c, v) : err;
}

static enum err finish_record(struct control *c, struct conversation *v)
{
    struct buf result;
    buf_init(&result, RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_text(&p, "record");
    pack_bytes(&p, buf_span(&v->names->record));
    return conversation_finish_packed(c, v, &result, &p);
}

/* All were asked that can be. */
static enum err settle(struct control *c, struct conversation *v)
{
    struct names *n = v->names;
    uint64_t now = ctx_real_now(c->ctx);
    struct ipns_record record;
    if (!read_record(n, buf_span(&n->record), now, &record))
        return no_record(v);
    if (n->only_record)
        return finish_record(c, v);
    name_cache_put(&c->names, &n->name, record.value, now, until_of(&record, now));
    return replace_name(c, v, record.value);
}

static enum err ask_kept(struct control *c, struct conversation *v)
{
    char text[PEER_ID_TEXT_MAX];
    peer_id_text_cid(&v->names->name, text);
    struct msg_ipns_last ask = {.key = span_text(text)};
    return conversation_call(c, v, ACTOR_STATE, MSG_IPNS_LAST, &ask, NULL, SUB_KEPT, RECORD_REPLY_MAX);
}

static enum err ask_route(struct control *c, struct conversation *v)
{
    uint8_t key[IPNS_KEY_BYTES_MAX];
    struct msg_route_get ask = {.key = span_of(key, ipns_key_of_name(&v->names->name, key)),
                                .count = v->names->enough,
                                .within_ns = v->names->within_ns};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_ROUTE_GET, &ask, NULL, SUB_ROUTE, RECORD_REPLY_MAX);
}

/* The whole path: what stands behind the domain comes back behind what it leads to. */
static enum err ask_domain(struct control *c, struct conversation *v)
{
    struct names *n = v->names;
    struct msg_dns_link ask = {.path = buf_span(&n->path), .once = n->once};
    if (n->offline)
        return conversation_error(v, ERR_NOT_FOUND, "%.*s: no name server is asked by a node that is offline",
                                  (int)MIN(n->path.len, (size_t)100), (const char *)n->path.data);
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_DNS_LINK, &ask, NULL, SUB_DOMAIN, RECORD_REPLY_MAX);
}

static enum err domain_reply(struct control *c, struct conversation *v, const struct info *info)
{
    struct names *n = v->names;
    if (info->err != ERR_OK)
        return info->err;
    buf_clear(&n->path);
    enum err err = buf_append_span(&n->path, ((const struct msg_dns_link_ok *)info->msg->fields)->path);
    n->depth++;
    return err == ERR_OK ? next_name(c, v) : err;
}

/* Goes on until the path begins with no name, or somebody has to be asked. */
static enum err next_name(struct control *c, struct conversation *v)
{
    struct names *n = v->names;
    struct ipns_path path;
    struct span value;
    struct span text = buf_span(&n->path);
    if (control_denies_path(c, text))
        return conversation_denial(v, text);
    if (!ipns_path_is(text) || (n->once && n->depth > 0))
        return start_operation(c, v);
    if (n->depth == NAMES_DEPTH_MAX)
        return conversation_error(v, ERR_TOO_LARGE, "the name stands for another one, and so on %d times: given up",
                                  NAMES_DEPTH_MAX);
    if (ipns_path_parse(text, &path) != ERR_OK)
        return conversation_error(v, ERR_INVALID, "\"%.*s\" begins neither with a name nor with a domain",
                                  (int)MIN(text.len, (size_t)100), (const char *)text.data);
    if (path.is_domain)
        return n->only_record ? conversation_error(v, ERR_INVALID, "a domain has no record") : ask_domain(c, v);
    n->name = path.name;
    buf_clear(&n->record);
    if (!n->nocache && !n->only_record && name_cache_get(&c->names, &n->name, ctx_real_now(c->ctx), &value))
        return replace_name(c, v, value);
    return ask_kept(c, v);
}

/* Of names whose key is here. What was published less than its TTL ago is what a cache would say. */
static enum err kept_reply(struct control *c, struct conversation *v, const struct info *info)
{
    struct names *n = v->names;
    struct ipns_record record;
    uint64_t now = ctx_real_now(c->ctx);
    bool fresh = false;
    if (info->err == ERR_OK) {
        const struct msg_ipns_record *m = info->msg->fields;
        take_record(c, n, m->record);
        fresh = read_record(n, buf_span(&n->record), now, &record) && until_of(&record, m->published_at) > now;
    }
    bool enough = n->offline || (fresh && !n->nocache);
    return enough ? settle(c, v) : ask_route(c, v);
}

bool names_wait(const struct conversation *v)
{
    return v->names != NULL && v->names->waits;
}

enum err names_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct operation_handler *handler = &operation_handlers[v->op->id];
    if (!names_wait(v))
        return handler->reply != NULL ? handler->reply(c, v, sub, info) : info->err;
    if (sub == SUB_KEPT)
        return kept_reply(c, v, info);
    if (sub == SUB_DOMAIN)
        return domain_reply(c, v, info);
    if (sub != SUB_ROUTE)
        return ERR_INTERNAL;
    if (info->err == ERR_OK)
        take_record(c, v->names, ((const struct msg_route_value *)info->msg->fields)->value);
    else if (v->names->record.len == 0)
        return info->err == ERR_NOT_FOUND ? no_record(v) : info->err;
    return settle(c, v);
}

/* ---- the arguments of operations ---- */

static struct span *argument_at(struct conversation *v, uint16_t offset)
{
    return (struct span *)(void *)((uint8_t *)v->args + offset);
}

void names_apply(struct conversation *v)
{
    for (size_t i = 0; v->names != NULL && i < v->names->at; i++)
        *argument_at(v, v->names->paths[i].offset) = buf_span(&v->names->paths[i].text);
}

static bool is_path(const struct field *f)
{
    static const char *const names[] = {"path", "from", "to"};
    for (size_t i = 0; f->type == FIELD_TEXT && i < ARRAY_LEN(names); i++)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}

static void find_paths(struct conversation *v, struct names *n)
{
    for (size_t i = 0; i < v->op->args.field_count && n->count < PATHS_MAX; i++) {
        const struct field *f = &v->op->args.fields[i];
        if (is_path(f) && ipns_path_is(*argument_at(v, (uint16_t)f->offset)))
            n->paths[n->count++].offset = (uint16_t)f->offset;
    }
}

static bool has_named_path(struct conversation *v)
{
    struct names none = {.count = 0};
    if (v->op->id == OP_NAME_PUBLISH) /* its path may be a name, and stays one */
        return false;
    find_paths(v, &none);
    return none.count > 0;
}

static struct names *names_new(struct control *c, struct conversation *v)
{
    struct names *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return NULL;
    n->offline = conversation_is_offline(v) || c->config->offline;
    buf_init(&n->path, IPNS_PATH_MAX, NULL);
    buf_init(&n->record, IPNS_RECORD_BYTES_MAX, NULL);
    for (size_t i = 0; i < PATHS_MAX; i++)
        buf_init(&n->paths[i].text, IPNS_PATH_MAX, NULL);
    v->names = n;
    return n;
}

static enum err begin_path(struct control *c, struct conversation *v, struct span text)
{
    struct names *n = v->names;
    n->depth = 0;
    n->waits = true;
    buf_clear(&n->path);
    enum err err = buf_append_span(&n->path, text);
    return err == ERR_OK ? next_name(c, v) : err;
}

static enum err finish_path(struct control *c, struct conversation *v)
{
    struct buf result;
    buf_init(&result, RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 1);
    pack_pair_span(&p, "path", buf_span(&v->names->path));
    return conversation_finish_packed(c, v, &result, &p);
}

/* One path is resolved: on to the next one, or to the operation itself. */
static enum err start_operation(struct control *c, struct conversation *v)
{
    struct names *n = v->names;
    n->waits = false;
    if (v->op->id == OP_NAME_RESOLVE)
        return finish_path(c, v);
    enum err err = buf_append_span(&n->paths[n->at].text, buf_span(&n->path));
    if (err != ERR_OK)
        return err;
    n->at++;
    names_apply(v);
    if (n->at < n->count)
        return begin_path(c, v, *argument_at(v, n->paths[n->at].offset));
    v->why[0] = '\0';
    return operation_handlers[v->op->id].start(c, v);
}

enum err names_start(struct control *c, struct conversation *v)
{
    if (!has_named_path(v))
        return operation_handlers[v->op->id].start(c, v);
    struct names *n = names_new(c, v);
    if (n == NULL)
        return ERR_NOMEM;
    find_paths(v, n);
    return begin_path(c, v, *argument_at(v, n->paths[0].offset));
}

void names_end(struct conversation *v)
{
    struct names *n = v->names;
    if (n == NULL)
        return;
    for (size_t i = 0; i < PATHS_MAX; i++)
        buf_release(&n->paths[i].text);
    buf_release(&n->path);
    buf_release(&n->record);
    free(n);
    v->names = NULL;
}

/* ---- name resolve, name get ---- */

static enum err own_name(struct control *c, char to[PEER_ID_TEXT_MAX])
{
    if (c->config->identity == NULL)
        return ERR_NOT_FOUND;
    struct peer_id id = key_pair_peer_id(c->config->identity);
    peer_id_text_cid(&id, to);
    return ERR_OK;
}

enum err name_resolve_start(struct control *c, struct conversation *v)
{
    const struct op_name_resolve *args = (const void *)v->args; /* the name stands first in both */
    struct names *n = names_new(c, v);
    struct ipns_path path;
    char own[PEER_ID_TEXT_MAX] = "";
    CLEANUP(buf_release) struct buf text = {0};
    if (n == NULL)
        return ERR_NOMEM;
    n->only_record = v->op->id == OP_NAME_GET;
    n->once = !n->only_record && !args->recursive;
    n->nocache = !n->only_record && args->nocache;
    n->enough = n->only_record ? 0 : args->dht_record_count;
    if (!n->only_record && args->dht_timeout.len > 0 &&
        (text_parse_duration(args->dht_timeout, &n->within_ns) != ERR_OK || n->within_ns > INT64_MAX))
        return conversation_error(v, ERR_INVALID, "the time for the DHT is no duration such as 30s");
    struct span name = args->name;
    if (name.len == 0) {
        enum err err = own_name(c, own);
        if (err != ERR_OK)
            return err;
        name = span_text(own);
    }
    if (ipns_path_parse_name(name, &path) != ERR_OK)
        return conversation_error(v, ERR_INVALID, "\"%.*s\" is neither a name nor a domain",
                                  (int)MIN(name.len, (size_t)100), (const char *)name.data);
    buf_init(&text, IPNS_PATH_MAX, NULL);
    enum err err = buf_append_text(&text, "/ipns/");
    if (err == ERR_OK)
        err = buf_append_span(&text, path.host);
    return err == ERR_OK ? begin_path(c, v, buf_span(&text)) : err;
}

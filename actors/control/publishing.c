/* SPDX-License-Identifier: MIT */
/*
 * name publish, name put.
 *
 *      publish     the last record kept here (state) -> none: is there one elsewhere? (discovery) -> sign and keep (state)
 *                  -> give it to peers (discovery) -> tell state how many took it
 *      put         the record is checked -> give it to peers
 */
#include <stdlib.h>

#include "actors/control/names.h"
#include "actors/control/operations.h"
#include "base/text.h"
#include "schemas/pack.h"
#include "wire/ipns.h"
#include "wire/ipns_path.h"

enum { SUB_LAST, SUB_ELSEWHERE, SUB_SIGN, SUB_PUT };
enum { RECORD_REPLY_MAX = 16 * 1024, RESULT_MAX = 8192 };

struct publishing {
    struct peer_id name;
    struct buf value;
    struct buf record; /* found elsewhere, then our own */
    uint64_t lifetime_ns;
    uint64_t ttl_ns;
};

static enum err parse_durations(struct control *c, struct conversation *v, struct publishing *w)
{
    const struct op_name_publish *args = (const void *)v->args;
    w->lifetime_ns = c->config->ipns_record_lifetime;
    if (args->lifetime.len > 0 &&
        (text_parse_duration(args->lifetime, &w->lifetime_ns) != ERR_OK || w->lifetime_ns == 0))
        return conversation_error(v, ERR_INVALID, "the lifetime is no duration such as 48h");
    if (text_parse_duration(args->ttl, &w->ttl_ns) != ERR_OK)
        return conversation_error(v, ERR_INVALID, "the TTL is no duration such as 5m");
    if (w->lifetime_ns > INT64_MAX / 4 || w->ttl_ns > INT64_MAX / 4)
        return conversation_error(v, ERR_INVALID, "lifetime and TTL are at most 73 years");
    return ERR_OK;
}

/* A CID becomes a path; a path is taken as it is, when something can stand there. */
static enum err parse_value(struct conversation *v, struct span text, struct buf *to)
{
    struct cid cid;
    struct ipns_path path;
    struct span below = text;
    bool scheme = text.len > 7 && memcmp(text.data, "ipfs://", 7) == 0;
    if (scheme)
        below = span_skip(text, 7);
    else if (text.len > 6 && memcmp(text.data, "/ipfs/", 6) == 0)
        below = span_skip(text, 6);
    if (below.len == text.len && ipns_path_is(text)) {
        if (text.data[0] != '/' || ipns_path_parse(text, &path) != ERR_OK)
            return conversation_error(v, ERR_INVALID, "this is no path of a name: /ipns/NAME");
        return buf_append_span(to, text);
    }
    const uint8_t *slash = memchr(below.data, '/', below.len);
    struct span root = slash == NULL ? below : span_first(below, (size_t)(slash - below.data));
    if (cid_parse_text(root, &cid) != ERR_OK)
        return conversation_error(v, ERR_INVALID, "\"%.*s\" is neither a CID nor a path of /ipfs/ or /ipns/",
                                  (int)MIN(text.len, (size_t)100), (const char *)text.data);
    enum err err = buf_append_text(to, "/ipfs/");
    return err == ERR_OK ? buf_append_span(to, below) : err;
}

enum err name_publish_start(struct control *c, struct conversation *v)
{
    const struct op_name_publish *args = (const void *)v->args;
    struct publishing *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NOMEM;
    v->work = w;
    buf_init(&w->value, IPNS_VALUE_BYTES_MAX, NULL);
    buf_init(&w->record, IPNS_RECORD_BYTES_MAX, NULL);
    enum err err = parse_durations(c, v, w);
    if (err == ERR_OK)
        err = parse_value(v, args->path, &w->value);
    if (err != ERR_OK)
        return err;
    if (c->config->offline && !args->allow_offline)
        return conversation_error(
            v, ERR_UNAVAILABLE, "this node is offline and can tell nobody: --allow-offline keeps the record for later");
    struct msg_ipns_last ask = {.key = args->key};
    return conversation_call(c, v, ACTOR_STATE, MSG_IPNS_LAST, &ask, NULL, SUB_LAST, RECORD_REPLY_MAX);
}

static enum err ask_sign(struct control *c, struct conversation *v)
{
    const struct op_name_publish *args = (const void *)v->args;
    const struct publishing *w = v->work;
    struct msg_ipns_sign ask = {.key = args->key,
                                .value = buf_span(&w->value),
                                .lifetime_ns = w->lifetime_ns,
                                .ttl_ns = w->ttl_ns,
                                .sequenced = args->sequence > 0,
                                .sequence = args->sequence,
                                .known = buf_span(&w->record)};
    return conversation_call(c, v, ACTOR_STATE, MSG_IPNS_SIGN, &ask, NULL, SUB_SIGN, RECORD_REPLY_MAX);
}

/* A key that was never used here may have been used elsewhere. */
static enum err last_reply(struct control *c, struct conversation *v, const struct msg_ipns_record *m)
{
    uint8_t key[IPNS_KEY_BYTES_MAX];
    struct publishing *w = v->work;
    if (m->record.len > 0 || c->config->offline)
        return ask_sign(c, v);
    if (peer_id_parse(m->peer, &w->name) != ERR_OK)
        return ERR_INTERNAL;
    struct msg_route_get ask = {.key = span_of(key, ipns_key_of_name(&w->name, key))};
    enum err err = conversation_call(c, v, ACTOR_DISCOVERY, MSG_ROUTE_GET, &ask, NULL, SUB_ELSEWHERE, RECORD_REPLY_MAX);
    return err == ERR_OK ? ERR_OK : ask_sign(c, v);
}

static enum err finish(struct control *c, struct conversation *v, const struct peer_id *name, struct span record_bytes,
                       uint64_t peers)
{
    struct ipns_record record;
    char text[PEER_ID_TEXT_MAX];
    struct buf result;
    if (ipns_record_decode(record_bytes, &record) != ERR_OK)
        return ERR_INTERNAL;
    peer_id_text_cid(name, text);
    buf_init(&result, RESULT_MAX, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 4);
    pack_pair_text(&p, "name", text);
    pack_pair_span(&p, "value", record.value);
    pack_pair_u64(&p, "sequence", record.sequence);
    pack_pair_u64(&p, "peers", peers);
    return conversation_finish_packed(c, v, &result, &p);
}

static enum err put(struct control *c, struct conversation *v, const struct peer_id *name, struct span record)
{
    uint8_t key[IPNS_KEY_BYTES_MAX];
    struct msg_route_put ask = {.key = span_of(key, ipns_key_of_name(name, key)), .value = record};
    return conversation_call(c, v, ACTOR_DISCOVERY, MSG_ROUTE_PUT, &ask, NULL, SUB_PUT, 0);
}

static enum err signed_reply(struct control *c, struct conversation *v, const struct msg_ipns_record *m)
{
    const struct op_name_publish *args = (const void *)v->args;
    struct publishing *w = v->work;
    buf_clear(&w->record);
    enum err err = peer_id_parse(m->peer, &w->name);
    if (err == ERR_OK)
        err = buf_append_span(&w->record, m->record);
    if (err != ERR_OK)
        return err;
    names_note(c, m->record, m->peer);
    if (!c->config->offline)
        err = put(c, v, &w->name, buf_span(&w->record));
    if (err == ERR_OK && !c->config->offline)
        return ERR_OK;
    return args->allow_offline ? finish(c, v, &w->name, buf_span(&w->record), 0) : err;
}

static void tell_state(struct control *c, const struct peer_id *name, uint64_t count)
{
    uint8_t key[IPNS_KEY_BYTES_MAX];
    struct msg_ipns_told told = {.key = span_of(key, ipns_key_of_name(name, key)), .count = count};
    (void)ctx_cast(c->ctx, ACTOR_STATE, &(struct msg){.kind = MSG_IPNS_TOLD, .fields = &told});
}

static enum err put_reply(struct control *c, struct conversation *v, const struct info *info)
{
    const struct op_name_publish *args = (const void *)v->args;
    const struct publishing *w = v->work;
    uint64_t count = info->err == ERR_OK ? ((const struct msg_route_put_ok *)info->msg->fields)->count : 0;
    if (count > 0)
        tell_state(c, &w->name, count);
    if (count > 0 || args->allow_offline)
        return finish(c, v, &w->name, buf_span(&w->record), count);
    return conversation_error(v, info->err == ERR_OK ? ERR_UNAVAILABLE : info->err,
                              "the record is kept and tried again later, but no peer took it now: %s",
                              info->err == ERR_OK     ? "none was found"
                              : info->text[0] != '\0' ? info->text
                                                      : err_text(info->err));
}

enum err name_publish_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    struct publishing *w = v->work;
    if (sub == SUB_PUT)
        return put_reply(c, v, info);
    if (sub == SUB_ELSEWHERE) {
        buf_clear(&w->record);
        if (info->err == ERR_OK)
            (void)!buf_append_span(&w->record, ((const struct msg_route_value *)info->msg->fields)->value);
        return ask_sign(c, v);
    }
    if (info->err != ERR_OK)
        return info->err;
    return sub == SUB_LAST ? last_reply(c, v, info->msg->fields) : signed_reply(c, v, info->msg->fields);
}

void name_publish_end(struct control *c, struct conversation *v)
{
    struct publishing *w = v->work;
    (void)c;
    if (w == NULL)
        return;
    buf_release(&w->value);
    buf_release(&w->record);
    free(w);
    v->work = NULL;
}

/* ---- name put ---- */

static enum err read_put(struct control *c, struct conversation *v, struct peer_id *ret_name)
{
    const struct op_name_put *args = (const void *)v->args;
    struct ipns_path path;
    struct ipns_record record;
    if (ipns_path_parse_name(args->name, &path) != ERR_OK || path.is_domain)
        return conversation_error(v, ERR_INVALID, "\"%.*s\" is no name of a key", (int)MIN(args->name.len, (size_t)100),
                                  (const char *)args->name.data);
    enum err err = ipns_record_decode(args->record, &record);
    if (err == ERR_OK)
        err = ipns_record_verify(&record, &path.name, ctx_real_now(c->ctx));
    if (err != ERR_OK)
        return conversation_error(v, err, "this is no valid record of the name: %s",
                                  err == ERR_TIMEOUT ? "its time has passed" : err_text(err));
    *ret_name = path.name;
    return ERR_OK;
}

enum err name_put_start(struct control *c, struct conversation *v)
{
    const struct op_name_put *args = (const void *)v->args;
    struct peer_id name;
    enum err err = read_put(c, v, &name);
    return err == ERR_OK ? put(c, v, &name, args->record) : err;
}

enum err name_put_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info)
{
    const struct op_name_put *args = (const void *)v->args;
    struct ipns_path path;
    (void)sub;
    if (info->err != ERR_OK)
        return info->err;
    uint64_t count = ((const struct msg_route_put_ok *)info->msg->fields)->count;
    if (count == 0)
        return conversation_error(v, ERR_UNAVAILABLE, "no peer was found that takes the record");
    if (ipns_path_parse_name(args->name, &path) != ERR_OK)
        return ERR_INTERNAL;
    return finish(c, v, &path.name, args->record, count);
}

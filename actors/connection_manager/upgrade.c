/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/upgrade.h"

#include <sodium.h>

const char *const upgrade_muxers[1] = {"/yamux/1.0.0"};

static const struct secure_class *const classes[] = {
    [CONNECTION_NOISE] = &secure_noise, [CONNECTION_TLS] = &secure_tls};

/* ---- which protocols ---- */

static int match_security(void *arg, struct span name)
{
    const struct upgrade *u = arg;
    for (size_t i = 0; i < u->offered_count; i++) {
        if (span_equal_text(name, u->protocols[i]))
            return (int)i;
    }
    return -1;
}

static int match_muxer(void *arg, struct span name)
{
    (void)arg;
    return span_equal_text(name, upgrade_muxers[0]) ? 0 : -1;
}

enum err upgrade_init(struct upgrade *u, const struct upgrade_config *config)
{
    if (config->security_count == 0 || config->security_count > ARRAY_LEN(u->offered))
        return ERR_INVALID;
    u->config = *config;
    u->config.security = NULL;
    /* Only one certain protocol is proposed with optimism. */
    u->offered_count = config->dialer && config->optimistic ? 1 : config->security_count;
    for (size_t i = 0; i < u->offered_count; i++) {
        u->offered[i] = config->security[i];
        u->protocols[i] = classes[config->security[i]]->protocol;
    }
    u->config.secure.muxers = upgrade_muxers;
    u->config.secure.muxer_count = config->early_muxer ? ARRAY_LEN(upgrade_muxers) : 0;
    buf_init(&u->inner, MULTISTREAM_OUTPUT_MAX, NULL);
    if (config->dialer)
        multistream_init_initiator(&u->negotiation, u->protocols, u->offered_count);
    else
        multistream_init_responder(&u->negotiation, match_security, u);
    return ERR_OK;
}

void upgrade_release(struct upgrade *u)
{
    multistream_release(&u->negotiation);
    if (u->secure != NULL)
        u->secure->close(u->channel);
    buf_release(&u->inner);
    u->secure = NULL;
    u->channel = NULL;
}

/* ---- stages ---- */

static enum err open_channel(struct upgrade *u, size_t offered)
{
    u->chosen = u->offered[offered];
    const struct secure_class *secure = classes[u->chosen];
    u->config.random(u->config.random_arg, u->config.secure.seed, sizeof(u->config.secure.seed));
    enum err err = secure->open(&u->config.secure, &u->channel);
    sodium_memzero(u->config.secure.seed, sizeof(u->config.secure.seed));
    if (err != ERR_OK)
        return err;
    u->secure = secure;
    return secure->start(u->channel, u->out);
}

enum err upgrade_start(struct upgrade *u, struct buf *out)
{
    u->out = out;
    enum err err = multistream_start(&u->negotiation, out);
    if (err == ERR_OK && u->config.dialer && u->config.optimistic)
        err = open_channel(u, 0);
    u->out = NULL;
    return err;
}

static void finish(struct upgrade *u)
{
    multistream_release(&u->negotiation);
    u->stage = UPGRADE_DONE;
    u->config.done(u->config.arg);
}

/* The peer is authenticated: either the muxer is chosen already, or it is negotiated now, inside. */
static enum err on_established(struct upgrade *u)
{
    u->early = u->secure->muxer(u->channel) >= 0;
    if (u->early) {
        finish(u);
        return ERR_OK;
    }
    u->stage = UPGRADE_MUXER;
    if (u->config.dialer)
        multistream_init_initiator(&u->negotiation, upgrade_muxers, ARRAY_LEN(upgrade_muxers));
    else
        multistream_init_responder(&u->negotiation, match_muxer, NULL);
    return multistream_start(&u->negotiation, &u->inner);
}

static enum err feed_negotiation(struct upgrade *u, struct span *in, struct buf *out)
{
    size_t used = 0;
    enum err err = multistream_feed(&u->negotiation, *in, out, &used);
    *in = span_skip(*in, used);
    return err;
}

static enum err take_plain(void *arg, struct span plain)
{
    struct upgrade *u = arg;
    enum err err = ERR_OK;
    if (u->stage == UPGRADE_HANDSHAKE)
        err = on_established(u);
    if (err == ERR_OK && u->stage == UPGRADE_MUXER) {
        err = feed_negotiation(u, &plain, &u->inner);
        if (err == ERR_REFUSED)
            err = ERR_UNSUPPORTED;
        if (err == ERR_OK && multistream_is_done(&u->negotiation))
            finish(u);
    }
    if (err == ERR_OK && plain.len > 0)
        err = u->config.plain(u->config.arg, plain);
    return err;
}

static enum err feed_security(struct upgrade *u, uint8_t **data, size_t *len)
{
    struct span in = span_of(*data, *len);
    enum err err = feed_negotiation(u, &in, u->out);
    *data += *len - in.len;
    *len = in.len;
    if (err != ERR_OK || !multistream_is_done(&u->negotiation))
        return err;
    int selected = multistream_selected(&u->negotiation);
    multistream_release(&u->negotiation);
    u->stage = UPGRADE_HANDSHAKE;
    return u->secure == NULL ? open_channel(u, (size_t)selected) : ERR_OK;
}

enum err upgrade_feed(struct upgrade *u, uint8_t *data, size_t len, struct buf *out)
{
    enum err err = ERR_OK;
    u->out = out;
    if (u->stage == UPGRADE_SECURITY)
        err = feed_security(u, &data, &len);
    if (err == ERR_OK && u->stage != UPGRADE_SECURITY && len > 0)
        err = u->secure->feed(u->channel, data, len, out, take_plain, u);
    bool ends = err == ERR_CLOSED; /* in good order, and maybe in the same piece in which it was established */
    if ((err == ERR_OK || ends) && u->stage == UPGRADE_HANDSHAKE && u->secure->is_established(u->channel))
        err = on_established(u);
    u->out = NULL;
    return ends ? ERR_CLOSED : err;
}

bool upgrade_is_secure(const struct upgrade *u)
{
    return u->stage != UPGRADE_SECURITY && u->secure != NULL && u->secure->is_established(u->channel);
}

bool upgrade_may_send(const struct upgrade *u)
{
    return u->stage == UPGRADE_DONE || (u->stage == UPGRADE_MUXER && u->config.dialer && u->config.optimistic);
}

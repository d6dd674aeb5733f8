/* SPDX-License-Identifier: MIT */
#include "wire/ipns_path.h"

static bool strip(struct span *text, const char *prefix)
{
    size_t len = strlen(prefix);
    if (!span_equal_text(span_first(*text, len), prefix))
        return false;
    *text = span_skip(*text, len);
    return true;
}

bool ipns_path_is(struct span text)
{
    return strip(&text, "/ipns/") || strip(&text, "ipns://");
}

static bool is_label_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* At least two labels: a single word is more likely a name that was mistyped. */
static bool looks_like_domain(struct span host)
{
    size_t label = 0;
    bool dotted = false;
    if (host.len == 0 || host.len > IPNS_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] == '.') {
            if (label == 0)
                return false;
            dotted = dotted || i + 1 < host.len;
            label = 0;
        } else if (!is_label_byte(host.data[i]) || ++label > 63) {
            return false;
        }
    }
    return dotted;
}

static enum err parse(struct span text, struct ipns_path *ret_path)
{
    struct ipns_path path = {.is_domain = false};
    if (text.len > IPNS_PATH_MAX)
        return ERR_TOO_LARGE;
    const uint8_t *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    path.host = slash == NULL ? text : span_first(text, (size_t)(slash - text.data));
    path.rest = span_skip(text, path.host.len);
    if (peer_id_parse_text(path.host, &path.name) != ERR_OK) {
        path.is_domain = looks_like_domain(path.host);
        if (!path.is_domain)
            return ERR_INVALID;
    }
    *ret_path = path;
    return ERR_OK;
}

enum err ipns_path_parse(struct span text, struct ipns_path *ret_path)
{
    if (!strip(&text, "/ipns/") && !strip(&text, "ipns://"))
        return ERR_INVALID;
    return parse(text, ret_path);
}

enum err ipns_path_parse_name(struct span text, struct ipns_path *ret_path)
{
    struct ipns_path path;
    (void)(strip(&text, "/ipns/") || strip(&text, "ipns://"));
    enum err err = parse(text, &path);
    if (err == ERR_OK && path.rest.len > 1)
        return ERR_INVALID;
    if (err == ERR_OK)
        *ret_path = path;
    return err;
}

enum err ipns_path_join(struct span value, struct span rest, struct buf *out)
{
    struct span below = value;
    if ((!strip(&below, "/ipfs/") && !strip(&below, "/ipns/")) || below.len == 0 || below.data[0] == '/')
        return ERR_INVALID;
    while (rest.len > 0 && value.data[value.len - 1] == '/')
        value.len--;
    if (value.len + rest.len > IPNS_PATH_MAX)
        return ERR_TOO_LARGE;
    enum err err = buf_append_span(out, value);
    return err == ERR_OK ? buf_append_span(out, rest) : err;
}

/* SPDX-License-Identifier: MIT */
#include "wire/kubo_pin.h"

enum { MODE_RECURSIVE = 0, MODE_DIRECT = 1 };

static void set_name(struct kubo_pin *pin, struct span name)
{
    size_t len = MIN(name.len, (size_t)KUBO_PIN_NAME_MAX);
    while (len < name.len && len > 0 && (name.data[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    memcpy(pin->name, name.data == NULL ? (const uint8_t *)"" : name.data, len);
    pin->name[len] = '\0';
}

/* ---- a value: as much of CBOR as it takes ---- */

struct cbor_head {
    unsigned major; /* 0 number, 1 negative, 2 bytes, 3 text, 4 array, 5 map, 6 tag, 7 simple */
    uint64_t value;
};

static enum err cbor_head(struct span *in, struct cbor_head *ret_head)
{
    if (in->len == 0)
        return ERR_TRUNCATED;
    unsigned low = in->data[0] & 31;
    size_t more = low < 24 ? 0 : (size_t)1 << (low - 24);
    if (low > 27)
        return ERR_INVALID; /* indefinite lengths do not occur */
    if (in->len < 1 + more)
        return ERR_TRUNCATED;
    *ret_head = (struct cbor_head){.major = in->data[0] >> 5, .value = low < 24 ? low : 0};
    for (size_t i = 0; i < more; i++)
        ret_head->value = ret_head->value << 8 | in->data[1 + i];
    *in = span_skip(*in, 1 + more);
    return ERR_OK;
}

static enum err cbor_bytes(struct span *in, uint64_t len, struct span *ret_bytes)
{
    if (len > in->len)
        return ERR_TRUNCATED;
    *ret_bytes = span_first(*in, (size_t)len);
    *in = span_skip(*in, (size_t)len);
    return ERR_OK;
}

/* Passes over one value, values within it too: each takes a byte at least, so the loop ends. */
static enum err cbor_skip(struct span *in)
{
    uint64_t left = 1;
    while (left > 0) {
        struct cbor_head head;
        struct span bytes;
        enum err err = cbor_head(in, &head);
        if (err == ERR_OK && (head.major == 2 || head.major == 3))
            err = cbor_bytes(in, head.value, &bytes);
        if (err != ERR_OK)
            return err;
        left--;
        uint64_t inside = head.major == 4 ? head.value : head.major == 5 ? head.value * 2 : head.major == 6 ? 1 : 0;
        if (head.value > in->len && (head.major == 4 || head.major == 5))
            return ERR_TRUNCATED;
        left += inside;
    }
    return ERR_OK;
}

static enum err take_pair(struct span *in, struct kubo_pin *pin, bool *has_cid, uint64_t *mode)
{
    struct cbor_head head;
    struct span key = {0};
    struct span bytes = {0};
    enum err err = cbor_head(in, &head);
    if (err == ERR_OK)
        err = head.major == 3 ? cbor_bytes(in, head.value, &key) : ERR_INVALID;
    bool cid = span_equal_text(key, "cid");
    bool name = span_equal_text(key, "name");
    bool is_mode = span_equal_text(key, "mode");
    if (err == ERR_OK && !cid && !name && !is_mode)
        return cbor_skip(in);
    if (err == ERR_OK)
        err = cbor_head(in, &head);
    if (err == ERR_OK && head.major != (cid ? 2U : name ? 3U : 0U))
        err = ERR_INVALID;
    if (err == ERR_OK && !is_mode)
        err = cbor_bytes(in, head.value, &bytes);
    if (err != ERR_OK)
        return err;
    if (cid) {
        *has_cid = true;
        return cid_parse(bytes, &pin->cid);
    }
    if (name)
        set_name(pin, bytes);
    else
        *mode = head.value;
    return ERR_OK;
}

enum err kubo_pin_decode(struct span value, struct kubo_pin *ret_pin)
{
    struct span in = value;
    struct cbor_head map;
    struct kubo_pin pin = {0};
    uint64_t mode = MODE_RECURSIVE;
    bool has_cid = false;
    enum err err = cbor_head(&in, &map);
    if (err == ERR_OK && map.major != 5)
        err = ERR_INVALID;
    for (uint64_t i = 0; err == ERR_OK && i < map.value; i++)
        err = take_pair(&in, &pin, &has_cid, &mode);
    if (err == ERR_OK && (!has_cid || in.len > 0))
        err = ERR_INVALID;
    if (err == ERR_OK && mode != MODE_RECURSIVE && mode != MODE_DIRECT)
        err = ERR_UNSUPPORTED;
    pin.recursive = mode == MODE_RECURSIVE;
    if (err == ERR_OK)
        *ret_pin = pin;
    return err;
}

/* ---- a line ---- */

static struct span next_word(struct span *line)
{
    struct span rest = span_trim(*line);
    size_t len = 0;
    while (len < rest.len && rest.data[len] != ' ' && rest.data[len] != '\t')
        len++;
    *line = span_trim(span_skip(rest, len));
    return span_first(rest, len);
}

enum err kubo_pin_parse(struct span line, struct kubo_pin *ret_pin)
{
    struct kubo_pin pin = {0};
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    struct span cid = next_word(&line);
    struct span mode = next_word(&line);
    if (cid.len == 0 || span_equal_text(mode, "indirect"))
        return ERR_NOT_FOUND;
    pin.recursive = mode.len == 0 || span_equal_text(mode, "recursive");
    if (!pin.recursive && !span_equal_text(mode, "direct"))
        return ERR_INVALID;
    set_name(&pin, line);
    enum err err = cid_parse_text(cid, &pin.cid);
    if (err == ERR_OK)
        *ret_pin = pin;
    return err == ERR_OK ? ERR_OK : ERR_INVALID;
}

/* SPDX-License-Identifier: MIT */
#include "wire/denylist_reader.h"

#include "wire/cid.h"

void denylist_reader_init(struct denylist_reader *r, uint64_t lines_before)
{
    r->line = lines_before;
    r->line_bytes = r->rules = r->invalid = r->invalid_line = 0;
    r->invalid_why = "";
    r->len = 0;
}

/* ---- one rule ---- */

static bool begins(struct span s, const char *with)
{
    return span_equal_text(span_first(s, strlen(with)), with);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place; false for a percent sign without two digits. */
static bool percent_decode(char *text, size_t *len)
{
    size_t to = 0;
    for (size_t i = 0; i < *len; i++) {
        if (text[i] != '%') {
            text[to++] = text[i];
            continue;
        }
        int high = i + 2 < *len ? hex_digit((uint8_t)text[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_digit((uint8_t)text[i + 2]);
        if (low < 0)
            return false;
        text[to++] = (char)(high << 4 | low);
        i += 2;
    }
    *len = to;
    return true;
}

/* What follows the CID or name, without the slash between. An escaped asterisk is none. */
static const char *read_path(char *text, size_t len, struct denylist_rule *rule)
{
    if (len > 0 && text[len - 1] == '*') {
        rule->prefix = true;
        len--;
        if (len > 0 && text[len - 1] == '/')
            len--;
    }
    if (!percent_decode(text, &len))
        return "a percent sign without two hexadecimal digits";
    size_t from = len > 0 && text[0] == '/' ? 1 : 0;
    if (len > from && text[len - 1] == '/')
        len--;
    rule->path = span_of(text + from, len - from);
    return rule->path.len > DENYLIST_PATH_MAX ? "a path over 4096 bytes" : NULL;
}

static size_t head_of(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && text[at] != '/')
        at++;
    return at;
}

static const char *read_ipfs(char *text, size_t len, struct denylist_rule *rule)
{
    struct cid cid;
    size_t head = head_of(text, len);
    rule->kind = DENYLIST_IPFS;
    if (cid_parse_text(span_of(text, head), &cid) != ERR_OK)
        return "/ipfs/ is not followed by a CID";
    rule->hash = cid.hash;
    return head == len ? NULL : read_path(text + head + 1, len - head - 1, rule);
}

/* A peer id is a multihash in base58btc, whatever its function: not each of them is a CID of version 0. */
static bool read_key(struct span text, struct multihash *ret_hash)
{
    struct cid cid;
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = 0;
    if (cid_parse_text(text, &cid) == ERR_OK) {
        *ret_hash = cid.hash;
        return true;
    }
    return multibase_decode_bare(MULTIBASE_58_BTC, text, bytes, sizeof(bytes), &len) == ERR_OK &&
           multihash_parse(span_of(bytes, len), ret_hash) == ERR_OK;
}

static const char *read_ipns(char *text, size_t len, struct denylist_rule *rule)
{
    size_t head = head_of(text, len);
    rule->kind = DENYLIST_IPNS;
    if (!read_key(span_of(text, head), &rule->hash)) {
        if (head == 0 || head > DENYLIST_NAME_MAX)
            return "/ipns/ is not followed by a key or a domain";
        for (size_t i = 0; i < head; i++)
            if (text[i] >= 'A' && text[i] <= 'Z')
                text[i] = (char)(text[i] | 0x20);
        rule->name = span_of(text, head);
    }
    return head == len ? NULL : read_path(text + head + 1, len - head - 1, rule);
}

static const char *read_double(struct span text, struct denylist_rule *rule)
{
    rule->kind = DENYLIST_DOUBLE;
    rule->hash = (struct multihash){.code = MULTIHASH_SHA2_256, .len = SHA256_BYTES};
    if (text.len == 2 * SHA256_BYTES) {
        size_t i = 0;
        while (i < text.len && hex_digit(text.data[i]) >= 0)
            i++;
        for (size_t at = 0; i == text.len && at < SHA256_BYTES; at++)
            rule->hash.digest[at] = (uint8_t)(hex_digit(text.data[2 * at]) << 4 | hex_digit(text.data[2 * at + 1]));
        if (i == text.len)
            return NULL;
    }
    uint8_t bytes[MULTIHASH_BYTES_MAX];
    size_t len = 0;
    if (multibase_decode_bare(MULTIBASE_58_BTC, text, bytes, sizeof(bytes), &len) != ERR_OK ||
        multihash_parse(span_of(bytes, len), &rule->hash) != ERR_OK)
        return "// is followed neither by a multihash in base58btc nor by a SHA-256 in hexadecimal digits";
    return multihash_digest_size(rule->hash.code) == 0 ? "a hash function that is not known here" : NULL;
}

/* Reads the first word of a line. NULL, or what is wrong with it. */
static const char *read_rule(char *text, size_t len, struct denylist_rule *rule)
{
    struct span s = span_of(text, len);
    if (text[0] == '!' || text[0] == '+' || text[0] == '-') {
        rule->allow = true;
        s = span_skip(s, 1);
        text++;
    }
    if (begins(s, "//"))
        return read_double(span_skip(s, 2), rule);
    if (begins(s, "/ipfs/") || begins(s, "/ipld/"))
        return read_ipfs(text + 6, s.len - 6, rule);
    if (begins(s, "/ipns/"))
        return read_ipns(text + 6, s.len - 6, rule);
    return "not a rule: it begins neither with /ipfs/, /ipns/ nor //";
}

/* ---- lines ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static void end_line(struct denylist_reader *r, denylist_sink *sink, void *arg)
{
    size_t from = 0;
    r->line++;
    while (from < r->len && is_space(r->text[from]))
        from++;
    size_t to = from;
    while (to < r->len && !is_space(r->text[to]))
        to++;
    bool cut = to == DENYLIST_RULE_MAX && r->line_bytes > DENYLIST_RULE_MAX;
    bool empty = from == to || r->text[from] == '#';
    r->len = 0;
    r->line_bytes = 0;
    if (empty)
        return;
    struct denylist_rule rule = {.line = r->line};
    const char *why = cut ? "a rule over 16 KiB" : read_rule(r->text + from, to - from, &rule);
    if (why == NULL) {
        r->rules++;
        sink(arg, &rule);
        return;
    }
    if (r->invalid++ == 0) {
        r->invalid_line = r->line;
        r->invalid_why = why;
    }
}

enum err denylist_reader_feed(struct denylist_reader *r, struct span in, denylist_sink *sink, void *arg)
{
    while (in.len > 0) {
        const uint8_t *newline = memchr(in.data, '\n', in.len);
        size_t piece = newline == NULL ? in.len : (size_t)(newline - in.data);
        size_t keep = MIN(piece, DENYLIST_RULE_MAX - r->len);
        if (piece >= DENYLIST_LINE_MAX - r->line_bytes)
            return ERR_TOO_LARGE;
        memcpy(r->text + r->len, in.data, keep);
        r->len += keep;
        r->line_bytes += piece;
        in = span_skip(in, piece);
        if (newline != NULL) {
            end_line(r, sink, arg);
            in = span_skip(in, 1);
        }
    }
    return ERR_OK;
}

void denylist_reader_end(struct denylist_reader *r, denylist_sink *sink, void *arg)
{
    if (r->line_bytes > 0)
        end_line(r, sink, arg);
}

/* ---- the header's end ---- */

bool denylist_header_end_feed(struct denylist_header_end *e, struct span in)
{
    for (size_t i = 0; i < in.len && !e->found && e->at < DENYLIST_HEADER_MAX; i++) {
        uint8_t c = in.data[i];
        e->at++;
        if (c == '\n') {
            e->found = e->dashes == 3 && !e->odd;
            e->lines++;
            e->dashes = 0;
            e->odd = false;
        } else if (c == '-' && e->dashes < 3) {
            e->dashes++;
        } else if (c != '\r') {
            e->odd = true;
        }
    }
    return !e->found && e->at < DENYLIST_HEADER_MAX;
}

/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "schemas/json.h"
#include "wire/cid.h"
#include "wire/peer_id.h"

enum { NAME_TEXT_MAX = 1024, ESCAPED_MAX = 1 << 20, TIME_TEXT_MAX = 32, JSON_MAX = 64 << 20, REDRAW_MS = 100 };

void print_escaped(FILE *to, struct span text)
{
    struct buf out;
    buf_init(&out, ESCAPED_MAX, NULL);
    if (text_append_escaped(&out, text) == ERR_OK && out.len > 0)
        (void)fwrite(out.data, 1, out.len, to);
    buf_release(&out);
}

void print_time(uint64_t ns)
{
    char text[TIME_TEXT_MAX] = "never";
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm utc;
    if (ns != 0 && gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)fputs(text, stdout);
}

void print_utc(const char *label, uint64_t ns)
{
    (void)fputs(label, stdout);
    print_time(ns);
    (void)putchar('\n');
}

int say_error(const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)fflush(stdout);
    (void)fputs("Error: ", stderr);
    print_escaped(stderr, span_text(text));
    (void)fputc('\n', stderr);
    return EXIT_ERROR;
}

int say_outcome_error(const struct outcome *outcome)
{
    (void)fflush(stdout);
    (void)fputs("Error: ", stderr);
    print_escaped(stderr, outcome->message);
    if (outcome->hint.len > 0) {
        (void)fputs(" (", stderr);
        print_escaped(stderr, outcome->hint);
        (void)fputc(')', stderr);
    }
    (void)fputc('\n', stderr);
    return control_code_exit(outcome->code);
}

static bool find(struct span map, const char *key, struct walk_token *ret_token)
{
    struct span value;
    if (walk_find(map, key, &value) != ERR_OK)
        return false;
    struct walk walk = {.left = value};
    return walk_next(&walk, ret_token) == ERR_OK;
}

struct span value_text(struct span map, const char *key)
{
    struct walk_token token = {0};
    return find(map, key, &token) ? token.bytes : (struct span){0};
}

uint64_t value_u64(struct span map, const char *key)
{
    struct walk_token token = {0};
    return find(map, key, &token) ? token.u64 : 0;
}

bool value_has(struct span map, const char *key)
{
    struct walk_token token = {0};
    return find(map, key, &token);
}

bool value_bool(struct span map, const char *key)
{
    struct walk_token token = {0};
    return find(map, key, &token) && token.boolean;
}

double value_f64(struct span map, const char *key)
{
    struct walk_token token = {0};
    if (!find(map, key, &token))
        return 0;
    return token.type == WALK_F64 ? token.f64 : (double)token.u64;
}

struct elements value_elements(struct span map, const char *key)
{
    struct elements elements = {0};
    struct walk_token token;
    if (walk_find(map, key, &elements.walk.left) == ERR_OK && walk_next(&elements.walk, &token) == ERR_OK &&
        token.type == WALK_ARRAY)
        elements.left = token.count;
    return elements;
}

bool elements_next(struct elements *elements, struct span *ret_value)
{
    if (elements->left == 0)
        return false;
    elements->left--;
    return walk_skip(&elements->walk, ret_value) == ERR_OK;
}

struct span element_text(struct span value)
{
    struct walk walk = {.left = value};
    struct walk_token token = {0};
    return walk_next(&walk, &token) == ERR_OK ? token.bytes : (struct span){0};
}

void print_cid(FILE *to, const struct globals *globals, struct span text)
{
    struct cid cid;
    enum multibase base;
    char out[CID_TEXT_MAX];
    if (globals->cid_base != NULL && multibase_of_name(globals->cid_base, &base) == ERR_OK &&
        cid_parse_text(text, &cid) == ERR_OK && cid_text_base(&cid, base, out) == ERR_OK)
        (void)fputs(out, to);
    else
        print_escaped(to, text);
}

struct span last_part(struct span text)
{
    for (size_t i = text.len; i > 0; i--)
        if (text.data[i - 1] == '/')
            return span_skip(text, i);
    return text;
}

void print_name(const struct globals *globals, struct span name)
{
    struct peer_id id;
    enum multibase base;
    char bare[PEER_ID_TEXT_MAX];
    struct buf text;
    uint8_t cid[2 + PEER_ID_BYTES_MAX] = {1, CODEC_LIBP2P_KEY};
    if (globals->ipns_base == NULL || peer_id_parse_text(name, &id) != ERR_OK) {
        print_escaped(stdout, name);
        return;
    }
    if (multibase_of_name(globals->ipns_base, &base) != ERR_OK) { /* b58mh: no CID, but the multihash by itself */
        peer_id_text(&id, bare);
        (void)fputs(bare, stdout);
        return;
    }
    memcpy(cid + 2, id.bytes, id.len);
    buf_init(&text, NAME_TEXT_MAX, NULL);
    if (multibase_encode(base, span_of(cid, 2u + id.len), &text) == ERR_OK)
        print_escaped(stdout, buf_span(&text));
    buf_release(&text);
}

void print_json_text(struct span text)
{
    struct buf out;
    buf_init(&out, JSON_MAX, NULL);
    if (json_append_string(text, &out) == ERR_OK)
        (void)fwrite(out.data, 1, out.len, stdout);
    buf_release(&out);
}

void print_json(struct span value)
{
    struct buf text;
    buf_init(&text, JSON_MAX, NULL);
    if (json_from_msgpack(value, &text) == ERR_OK && buf_append_byte(&text, '\n') == ERR_OK)
        (void)fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
}

/* ---- progress ---- */

void progress_begin(struct progress *p, const char *name, uint64_t total, bool wanted)
{
    *p = (struct progress){
        .shown = wanted && isatty(STDERR_FILENO) == 1, .name = name, .total = total, .started_ns = clock_mono_ns()};
}

static void draw(const struct progress *p, uint64_t now)
{
    char done[16];
    char total[16] = "";
    char rate[16];
    uint64_t ms = MAX((now - p->started_ns) / MS_NS, (uint64_t)1);
    text_size(p->done, done);
    text_size(p->done * 1000 / ms, rate);
    if (p->total > 0)
        text_size(p->total, total);
    (void)fprintf(stderr, "\r\033[K%s%s%s", done, p->total > 0 ? " / " : "", total);
    if (p->total > 0)
        (void)fprintf(stderr, "  %3.0f %%", 100.0 * (double)p->done / (double)p->total);
    (void)fprintf(stderr, "  %s/s  ", rate);
    print_escaped(stderr, span_first(span_text(p->name), 40));
    (void)fflush(stderr);
}

void progress_add(struct progress *p, uint64_t bytes)
{
    p->done += bytes;
    uint64_t now = p->shown ? clock_mono_ns() : 0;
    if (!p->shown || now < p->drawn_ns + REDRAW_MS * MS_NS)
        return;
    p->drawn_ns = now;
    draw(p, now);
}

void progress_end(struct progress *p)
{
    if (p->shown && p->drawn_ns != 0)
        (void)fputs("\r\033[K", stderr);
}

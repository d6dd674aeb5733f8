/* SPDX-License-Identifier: MIT */
#include "wire/mdns_message.h"

#include <assert.h>

enum { CLASS_UNIQUE = DNS_CLASS_IN | DNS_CLASS_TOP, RANDOM_BYTES = 64, SRV_TARGET_OFFSET = 6 };

static const char addr_key[] = "dnsaddr=";

void mdns_names_init(struct mdns_names *names, const uint8_t random[RANDOM_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t name[MDNS_NAME_BYTES_MAX];
    struct dns_name local;
    size_t len = MDNS_NAME_BYTES_MIN + random[0] % (MDNS_NAME_BYTES_MAX - MDNS_NAME_BYTES_MIN + 1);
    for (size_t i = 0; i < len; i++)
        name[i] = (uint8_t)letters[random[1 + i] % (sizeof(letters) - 1)];
    enum err err = dns_name_parse_text("_services._dns-sd._udp.local", &names->services);
    if (err == ERR_OK)
        err = dns_name_parse_text("_p2p._udp.local", &names->service);
    if (err == ERR_OK)
        err = dns_name_parse_text("local", &local);
    if (err == ERR_OK)
        err = dns_name_below(span_of(name, len), &names->service, &names->instance);
    if (err == ERR_OK)
        err = dns_name_below(span_of(name, len), &local, &names->host);
    assert(err == ERR_OK); /* constants of legal lengths */
    (void)err;
}

enum err mdns_is_answer(struct span message, bool *ret_answer)
{
    struct dns_reader reader;
    enum err err = dns_read(message, &reader);
    if (err == ERR_OK && (reader.flags & (DNS_OPCODE_MASK | DNS_RCODE_MASK)) != 0)
        err = ERR_INVALID;
    if (err == ERR_OK)
        *ret_answer = (reader.flags & DNS_FLAG_RESPONSE) != 0;
    return err;
}

/* ---- queries ---- */

static void note_question(const struct mdns_names *names, const struct dns_item *item, struct mdns_asked *asked)
{
    bool pointers = item->type == DNS_PTR || item->type == DNS_ANY;
    if ((item->class & DNS_CLASS_MASK) != DNS_CLASS_IN)
        return;
    asked->services = asked->services || (pointers && dns_name_equal(&item->name, &names->services));
    asked->peers = asked->peers || (pointers && dns_name_equal(&item->name, &names->service));
    asked->records =
        asked->records || dns_name_equal(&item->name, &names->instance) || dns_name_equal(&item->name, &names->host);
}

/* RFC 6762 section 7.1: who holds our pointer for half of its life still needs no answer. */
static bool knows_us(const struct mdns_names *names, const struct dns_reader *reader, const struct dns_item *item)
{
    struct dns_name known;
    return item->section == DNS_ANSWER && item->type == DNS_PTR && item->ttl >= MDNS_TTL_SECONDS / 2 &&
           dns_name_equal(&item->name, &names->service) && dns_data_name(reader, item, 0, &known) == ERR_OK &&
           dns_name_equal(&known, &names->instance);
}

enum err mdns_read_query(const struct mdns_names *names, struct span message, struct mdns_asked *ret_asked)
{
    struct dns_reader reader;
    struct dns_item item;
    struct mdns_asked asked = {0};
    bool known = false;
    enum err err = dns_read(message, &reader);
    while (err == ERR_OK && (err = dns_next(&reader, &item)) == ERR_OK) {
        if (item.section == DNS_QUESTION)
            note_question(names, &item, &asked);
        else
            known = known || knows_us(names, &reader, &item);
    }
    if (err != ERR_NOT_FOUND)
        return err;
    asked.peers = asked.peers && !known;
    *ret_asked = asked;
    return ERR_OK;
}

enum err mdns_write_query(const struct mdns_names *names, struct buf *to)
{
    struct dns_writer writer;
    dns_write_begin(&writer, to, 0);
    dns_write_question(&writer, &names->service, DNS_PTR, DNS_CLASS_IN);
    return dns_write_end(&writer);
}

/* ---- reading answers ---- */

enum err mdns_answer_init(struct mdns_answer *answer, struct span message)
{
    *answer = (struct mdns_answer){0};
    return dns_read(message, &answer->dns);
}

/* Moves to the next TXT that may hold addresses of another peer. */
static enum err next_text(struct mdns_answer *answer, const struct mdns_names *names)
{
    struct dns_item item;
    enum err err;
    while ((err = dns_next(&answer->dns, &item)) == ERR_OK) {
        bool carries = item.section == DNS_ANSWER || item.section == DNS_ADDITIONAL;
        if (!carries || item.type != DNS_TXT || (item.class & DNS_CLASS_MASK) != DNS_CLASS_IN || item.ttl == 0 ||
            !dns_name_is_below(&item.name, &names->service) || dns_name_equal(&item.name, &names->instance))
            continue;
        answer->strings = item.data;
        return ERR_OK;
    }
    return err;
}

static bool take_addr(struct span string, struct multiaddr *ret_addr, struct peer_id *ret_peer)
{
    size_t key_len = sizeof(addr_key) - 1;
    return span_equal_text(span_first(string, key_len), addr_key) &&
           multiaddr_parse_text(span_skip(string, key_len), ret_addr) == ERR_OK &&
           multiaddr_peer(multiaddr_span(ret_addr), ret_peer) == ERR_OK;
}

enum err mdns_answer_next(struct mdns_answer *answer, const struct mdns_names *names, struct multiaddr *ret_addr,
                          struct peer_id *ret_peer)
{
    for (;;) {
        struct span string;
        enum err err = dns_next_string(&answer->strings, &string);
        if (err == ERR_OK && take_addr(string, ret_addr, ret_peer))
            return ERR_OK;
        if (err == ERR_NOT_FOUND)
            err = next_text(answer, names);
        if (err != ERR_OK)
            return err;
    }
}

/* ---- writing answers ---- */

/* All addresses as strings of one TXT; longer ones than a string are left out, as are those past the bound. */
static enum err list_addrs(const struct peer_id *self, const struct span *addrs, size_t count, struct buf *to)
{
    for (size_t i = 0; i < count; i++) {
        char text[DNS_STRING_BYTES_MAX + 1];
        struct multiaddr addr;
        if (multiaddr_parse(addrs[i], &addr) != ERR_OK || multiaddr_add_peer(&addr, self) != ERR_OK ||
            multiaddr_text(multiaddr_span(&addr), text, sizeof(text) - (sizeof(addr_key) - 1)) != ERR_OK)
            continue;
        size_t len = strlen(text) + sizeof(addr_key) - 1;
        if (to->len + 1 + len > MDNS_TXT_BYTES_MAX)
            continue;
        enum err err = buf_append_byte(to, (uint8_t)len);
        if (err == ERR_OK)
            err = buf_append_text(to, addr_key);
        if (err == ERR_OK)
            err = buf_append_text(to, text);
        if (err != ERR_OK)
            return err;
    }
    return to->len == 0 ? ERR_NOT_FOUND : ERR_OK;
}

static void write_service(struct dns_writer *writer, enum dns_section section, const struct mdns_names *names,
                          uint16_t port)
{
    uint8_t data[SRV_TARGET_OFFSET + DNS_NAME_BYTES_MAX] = {0}; /* priority and weight 0 */
    data[4] = (uint8_t)(port >> 8);
    data[5] = (uint8_t)port;
    memcpy(data + SRV_TARGET_OFFSET, names->host.bytes, names->host.len);
    dns_write_record(writer, section, &names->instance, DNS_SRV, CLASS_UNIQUE, MDNS_TTL_SECONDS,
                     span_of(data, (size_t)SRV_TARGET_OFFSET + names->host.len));
}

/* One address record per family is enough for those who want any. */
static void write_hosts(struct dns_writer *writer, enum dns_section section, const struct mdns_names *names,
                        const struct span *addrs, size_t count)
{
    bool done[2] = {false, false};
    for (size_t i = 0; i < count; i++) {
        struct multiaddr_target target;
        if (multiaddr_target(addrs[i], &target) != ERR_OK || target.host > MULTIADDR_HOST_IP6)
            continue;
        bool six = target.host == MULTIADDR_HOST_IP6;
        if (!done[six])
            dns_write_record(writer, section, &names->host, six ? DNS_AAAA : DNS_A, CLASS_UNIQUE, MDNS_TTL_SECONDS,
                             span_of(target.ip, six ? 16 : 4));
        done[six] = true;
    }
}

static uint16_t first_port(const struct span *addrs, size_t count)
{
    struct multiaddr_target target;
    for (size_t i = 0; i < count; i++)
        if (multiaddr_target(addrs[i], &target) == ERR_OK && target.port != 0)
            return target.port;
    return 0;
}

enum err mdns_write_answer(const struct mdns_names *names, const struct mdns_asked *asked, const struct peer_id *self,
                           const struct span *addrs, size_t count, struct buf *to)
{
    struct buf strings;
    struct dns_writer writer;
    enum dns_section section = asked->records ? DNS_ANSWER : DNS_ADDITIONAL;
    buf_init(&strings, MDNS_TXT_BYTES_MAX, NULL);
    enum err err = list_addrs(self, addrs, count, &strings);
    if (err == ERR_OK) {
        dns_write_begin(&writer, to, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
        if (asked->services)
            dns_write_record(&writer, DNS_ANSWER, &names->services, DNS_PTR, DNS_CLASS_IN, MDNS_TTL_SECONDS,
                             dns_name_span(&names->service));
        dns_write_record(&writer, DNS_ANSWER, &names->service, DNS_PTR, DNS_CLASS_IN, MDNS_TTL_SECONDS,
                         dns_name_span(&names->instance));
        write_service(&writer, section, names, first_port(addrs, count));
        dns_write_record(&writer, section, &names->instance, DNS_TXT, CLASS_UNIQUE, MDNS_TTL_SECONDS,
                         buf_span(&strings));
        write_hosts(&writer, section, names, addrs, count);
        err = dns_write_end(&writer);
    }
    buf_release(&strings);
    return err;
}

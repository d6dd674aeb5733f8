/* SPDX-License-Identifier: MIT */
/* What denylists say of the DHT: a server neither keeps nor tells who has what is denied, nor records of denied names; and nobody provides it. */
#include "helper_intruder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/denylist_image.h"
#include "wire/addr_list.h"
#include "wire/ipns.h"
#include "wire/kad.h"
#include "wire/multiaddr.h"
#include "wire/signing_key.h"

enum { SERVER = 0, SEEKER = 1, FORMS = 4, RULE_BYTES = 400 };

#define VALUE "/ipfs/bafkqaddwgevxmmraojswg33smq"

static const char denied_content[] = "what is denied";
static const char other_content[] = "what is not";
static const char late_content[] = "what is told while it is denied";

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

static void on_lan(struct node *n)
{
    n->discovers = true;
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
}

/* ---- the list ---- */

/* A CID as a list may name it: with either codec, by the hash of the multihash's text, by that of the CID with a slash. */
static void rule_of(const char *content, unsigned form, char to[RULE_BYTES])
{
    struct cid cid = nodes_cid_of(span_text(content));
    char text[CID_TEXT_MAX + 1];
    uint8_t hash[SHA256_BYTES];
    if (form % 2 == 1)
        cid = cid_v1(CODEC_DAG_PB, &cid.hash);
    cid_text(&cid, text);
    (void)snprintf(to, RULE_BYTES, "/ipfs/%s\n", text);
    if (form < 2)
        return;
    size_t len = strlen(text);
    text[len] = '/';
    sha256_sum(span_of(text, len + 1), hash);
    size_t at = (size_t)snprintf(to, RULE_BYTES, "//");
    for (size_t i = 0; i < sizeof(hash); i++)
        at += (size_t)snprintf(to + at, RULE_BYTES - at, "%02x", hash[i]);
    (void)snprintf(to + at, RULE_BYTES - at, "\n");
}

/* NULL: nothing is denied any more. */
static void deny(const char *rules)
{
    struct msg_denylist fields = {.rules = rules != NULL};
    struct block_ref *image = rules == NULL ? NULL : denylist_image(rules);
    struct msg msg = {.kind = MSG_DENYLIST, .fields = &fields, .tail = image};
    assert_int_equal(node_do(SERVER, (struct command){.kind = CMD_TELL, .to = ACTOR_DISCOVERY, .msg = &msg}), ERR_OK);
    nodes_pass_ms(100);
    block_ref_unref(image);
}

/* ---- a peer that tells and asks ---- */

static struct intruder *intruder;
static uint32_t last_stream;

static void begin(uint64_t seed)
{
    nodes_begin(2, SIM, seed, on_lan);
    assert_int_equal(node_connect(SEEKER, SERVER), ERR_OK);
    nodes_pass_ms(5000);
    intruder = intruder_new(18, 9, 1);
    last_stream = 1;
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
}

static void end(void)
{
    intruder_free(intruder);
    nodes_end();
}

/* False: the stream was reset. */
static bool ask(struct kad_writer *w)
{
    struct buf out;
    buf_init(&out, 64 * 1024, NULL);
    assert_int_equal(kad_writer_finish(w, &out), ERR_OK);
    buf_clear(&intruder->heard);
    intruder_open(intruder, last_stream, KAD_LAN_PROTOCOL, buf_span(&out));
    nodes_pass_ms(500);
    buf_release(&out);
    kad_writer_release(w);
    last_stream += 2;
    return intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, last_stream - 2, NULL) == 0;
}

static void tell_provider(const char *content)
{
    struct kad_writer w;
    struct buf addrs;
    const uint8_t ip[4] = {10, 1, 2, 3};
    uint8_t hash[MULTIHASH_BYTES_MAX];
    struct cid cid = nodes_cid_of(span_text(content));
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip, 4), 4001);
    struct peer_id own = key_pair_peer_id(intruder->key);
    buf_init(&addrs, 256, NULL);
    assert_int_equal(addr_list_add(&addrs, multiaddr_span(&addr)), ERR_OK);
    kad_writer_init(&w, NULL);
    kad_writer_begin(&w, KAD_ADD_PROVIDER, span_of(hash, multihash_encode(&cid.hash, hash)));
    assert_true(kad_writer_peer(&w, KAD_PROVIDERS, &own, buf_span(&addrs), KAD_CONNECTED, 0));
    assert_true(ask(&w));
    buf_release(&addrs);
}

/* As another node hears it from the server. */
static uint64_t providers(const char *content)
{
    struct command find = {.kind = CMD_PROVIDERS, .payload = span_text(content), .count = 5};
    assert_int_equal(node_do(SEEKER, find), ERR_OK);
    return nodes[SEEKER].rows;
}

static void nobody_is_told_who_has_what_is_denied(void **state)
{
    (void)state;
    for (unsigned form = 0; form < FORMS; form++) {
        char rule[RULE_BYTES];
        begin(60 + form);
        tell_provider(denied_content);
        tell_provider(other_content);
        assert_int_equal(providers(denied_content), 1);
        rule_of(denied_content, form, rule);
        deny(rule);
        assert_int_equal(providers(denied_content), 0);
        assert_int_equal(providers(other_content), 1);
        deny(NULL);
        assert_int_equal(providers(denied_content), 1);
        rule_of(late_content, form, rule);
        deny(rule);
        tell_provider(late_content);
        assert_int_equal(node_do(SERVER, (struct command){.kind = CMD_PROVIDE, .payload = span_text(late_content)}),
                         ERR_DENIED);
        deny(NULL);
        assert_int_equal(providers(late_content), 0);
        end();
    }
}

/* ---- names ---- */

struct name {
    struct signing_key *key;
    uint8_t bytes[6 + PEER_ID_BYTES_MAX];
    size_t len;
};

static void make_name(struct name *name, char rule[RULE_BYTES])
{
    char text[PEER_ID_TEXT_MAX];
    assert_int_equal(signing_key_generate(KEY_ED25519, 0, &name->key), ERR_OK);
    struct peer_id id = signing_key_peer_id(name->key);
    memcpy(name->bytes, "/ipns/", 6);
    memcpy(name->bytes + 6, id.bytes, id.len);
    name->len = 6 + id.len;
    peer_id_text(&id, text);
    (void)snprintf(rule, RULE_BYTES, "/ipns/%s\n", text);
}

static bool put(const struct name *name, uint64_t sequence)
{
    struct ipns_claim claim = {.value = span_text(VALUE), .eol_ns = INT64_MAX / 2, .sequence = sequence};
    struct kad_writer w;
    struct buf record;
    buf_init(&record, IPNS_RECORD_BYTES_MAX, NULL);
    assert_int_equal(ipns_record_seal(name->key, &claim, &record), ERR_OK);
    struct kad_record row = {.key = span_of(name->bytes, name->len), .value = buf_span(&record)};
    kad_writer_init(&w, NULL);
    kad_writer_begin(&w, KAD_PUT_VALUE, row.key);
    kad_writer_record(&w, &row);
    bool kept = ask(&w);
    buf_release(&record);
    return kept;
}

/* Asked, not refused: without the record there are closer peers in the answer. */
static bool is_told(const struct name *name)
{
    struct kad_writer w;
    kad_writer_init(&w, NULL);
    kad_writer_begin(&w, KAD_GET_VALUE, span_of(name->bytes, name->len));
    assert_true(ask(&w));
    assert_true(intruder_frames(intruder, FRAME_DATA, 0, last_stream - 2, NULL) > 0);
    return memmem(intruder->heard.data, intruder->heard.len, VALUE, sizeof(VALUE) - 1) != NULL;
}

static void records_of_denied_names_are_neither_kept_nor_told(void **state)
{
    (void)state;
    struct name denied;
    struct name other;
    char rule[RULE_BYTES];
    char unused[RULE_BYTES];
    begin(70);
    make_name(&denied, rule);
    make_name(&other, unused);
    assert_true(put(&denied, 1));
    assert_true(put(&other, 1));
    assert_true(is_told(&denied));
    deny(rule);
    assert_false(is_told(&denied));
    assert_true(is_told(&other));
    assert_false(put(&denied, 2));
    assert_true(put(&other, 2));
    deny(NULL);
    assert_false(is_told(&denied)); /* what was held when the list came has gone */
    assert_true(put(&denied, 3));
    assert_true(is_told(&denied));
    signing_key_free(denied.key);
    signing_key_free(other.key);
    end();
}

/* ---- whole nodes: a list in the folder ---- */

static void write_list(const struct disk_port *disk, const char *path, const char *text)
{
    struct disk_file *file;
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    assert_int_equal(disk->open(disk->self, path, DISK_READ | DISK_WRITE | DISK_CREATE, &file), ERR_OK);
    assert_int_equal(disk->pwritev(file, &bytes, 1, 0), ERR_OK);
    disk->close(file);
}

static void whole_with_a_list(struct node *n)
{
    char rule[RULE_BYTES];
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
    set(n, "Provide.Strategy", n->index == SERVER ? "all" : "off");
    if (n->index != SERVER)
        return;
    n->disk = sim_disk_new(7, 256 * MIB);
    const struct disk_port *disk = sim_disk_port(n->disk);
    rule_of(denied_content, 0, rule);
    assert_int_equal(disk->make_dir(disk->self, n->config->path), ERR_OK);
    assert_int_equal(disk->make_dir(disk->self, "/nowhere/denylists"), ERR_OK);
    write_list(disk, "/nowhere/denylists/a.deny", rule);
}

static void store(const char *content)
{
    assert_int_equal(node_do(SERVER, (struct command){.kind = CMD_PUT, .payload = span_text(content)}), ERR_OK);
}

static void stored_blocks_that_are_denied_are_not_provided(void **state)
{
    (void)state;
    nodes_whole = true;
    nodes_begin(3, SIM, 80, whole_with_a_list);
    assert_int_equal(node_connect(SERVER, 2), ERR_OK);
    assert_int_equal(node_connect(SEEKER, 2), ERR_OK);
    nodes_pass_ms(10000);
    store(denied_content);
    store(other_content);
    nodes_pass_ms(30000);
    assert_int_equal(providers(other_content), 1);
    assert_int_equal(providers(denied_content), 0);
    assert_int_equal(node_do(SERVER, (struct command){.kind = CMD_PROVIDE, .payload = span_text(denied_content)}),
                     ERR_DENIED);
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_told_who_has_what_is_denied),
        cmocka_unit_test(records_of_denied_names_are_neither_kept_nor_told),
        cmocka_unit_test(stored_blocks_that_are_denied_are_not_provided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "wire/ipns.h"

#include <string.h>

#include "base/rfc3339.h"
#include "wire/dag_cbor.h"
#include "wire/keys.h"
#include "wire/protobuf.h"
#include "wire/signing_key.h"

enum {
    FIELD_VALUE = 1,
    FIELD_SIGNATURE_V1 = 2,
    FIELD_VALIDITY_TYPE = 3,
    FIELD_VALIDITY = 4,
    FIELD_SEQUENCE = 5,
    FIELD_TTL = 6,
    FIELD_PUBLIC_KEY = 7,
    FIELD_SIGNATURE_V2 = 8,
    FIELD_DATA = 9,
    VALIDITY_EOL = 0
};

static const char signature_prefix[] = "ipns-signature:";
static const char key_prefix[] = "/ipns/";

/* The fields beside data. What is absent is empty or 0, as for every reader of protobuf. */
struct copies {
    struct span value;
    struct span validity;
    uint64_t validity_type;
    uint64_t sequence;
    uint64_t ttl;
};

/* The entries of data, in the order of the canonical form. */
enum entry { ENTRY_TTL, ENTRY_VALUE, ENTRY_SEQUENCE, ENTRY_VALIDITY, ENTRY_VALIDITY_TYPE, ENTRY_COUNT, ENTRY_OTHER };

static const struct {
    const char *name;
    enum ipld_kind kind;
} entries[ENTRY_COUNT] = {
    [ENTRY_TTL] = {"TTL", IPLD_INT},
    [ENTRY_VALUE] = {"Value", IPLD_BYTES},
    [ENTRY_SEQUENCE] = {"Sequence", IPLD_INT},
    [ENTRY_VALIDITY] = {"Validity", IPLD_BYTES},
    [ENTRY_VALIDITY_TYPE] = {"ValidityType", IPLD_INT},
};

struct data_reader {
    uint64_t numbers[ENTRY_COUNT];
    struct span texts[ENTRY_COUNT];
    bool seen[ENTRY_COUNT];
    enum entry entry; /* of the key that was read last */
    size_t depth;
};

static enum entry entry_of(struct span key)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (span_equal_text(key, entries[i].name))
            return (enum entry)i;
    return ENTRY_OTHER;
}

/* The value of an entry that we know. Unknown ones, of whatever shape, are somebody's extension. */
static enum err take_entry(struct data_reader *reader, const struct ipld_event *event)
{
    enum entry entry = reader->entry;
    if (event->kind != entries[entry].kind)
        return ERR_INVALID;
    if (event->kind == IPLD_INT && (event->negative || event->number > INT64_MAX))
        return ERR_INVALID;
    reader->numbers[entry] = event->number;
    reader->texts[entry] = event->bytes;
    reader->seen[entry] = true;
    return ERR_OK;
}

static enum err data_event(void *arg, const struct ipld_event *event)
{
    struct data_reader *reader = arg;
    if (reader->depth == 0 && event->kind != IPLD_MAP)
        return ERR_INVALID;
    if (event->kind == IPLD_END) {
        reader->depth--;
        return ERR_OK;
    }
    if (reader->depth == 1 && event->kind == IPLD_KEY)
        reader->entry = entry_of(event->bytes);
    else if (reader->depth == 1 && reader->entry != ENTRY_OTHER)
        return take_entry(reader, event);
    reader->depth += event->kind == IPLD_MAP || event->kind == IPLD_LIST;
    return ERR_OK;
}

static enum err decode_data(struct ipns_record *record)
{
    struct data_reader reader = {.entry = ENTRY_OTHER};
    enum err err = dag_cbor_decode(record->data, DAG_CBOR_CANONICAL, data_event, &reader, NULL);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (!reader.seen[i])
            return ERR_INVALID;
    if (reader.numbers[ENTRY_VALIDITY_TYPE] != VALIDITY_EOL)
        return ERR_UNSUPPORTED;
    record->value = reader.texts[ENTRY_VALUE];
    record->validity = reader.texts[ENTRY_VALIDITY];
    record->sequence = reader.numbers[ENTRY_SEQUENCE];
    record->ttl_ns = reader.numbers[ENTRY_TTL];
    return rfc3339_parse(record->validity, &record->eol_ns);
}

static void take_bytes(struct ipns_record *record, struct copies *copies, const struct protobuf_field *field)
{
    switch (field->number) {
    case FIELD_VALUE:
        copies->value = field->bytes;
        break;
    case FIELD_VALIDITY:
        copies->validity = field->bytes;
        break;
    case FIELD_SIGNATURE_V1:
        record->signature_v1 = field->bytes;
        break;
    case FIELD_PUBLIC_KEY:
        record->public_key = field->bytes;
        break;
    case FIELD_SIGNATURE_V2:
        record->signature_v2 = field->bytes;
        break;
    case FIELD_DATA:
        record->data = field->bytes;
        break;
    default:
        break;
    }
}

static void take_number(struct copies *copies, const struct protobuf_field *field)
{
    if (field->number == FIELD_VALIDITY_TYPE)
        copies->validity_type = field->value;
    else if (field->number == FIELD_SEQUENCE)
        copies->sequence = field->value;
    else if (field->number == FIELD_TTL)
        copies->ttl = field->value;
}

static bool copies_agree(const struct copies *copies, const struct ipns_record *record)
{
    return span_equal(copies->value, record->value) && span_equal(copies->validity, record->validity) &&
           copies->validity_type == VALIDITY_EOL && copies->sequence == record->sequence &&
           copies->ttl == record->ttl_ns;
}

enum err ipns_record_decode(struct span bytes, struct ipns_record *ret_record)
{
    struct ipns_record record = {.sequence = 0};
    struct copies copies = {.sequence = 0};
    if (bytes.len > IPNS_RECORD_BYTES_MAX)
        return ERR_TOO_LARGE;
    for (struct span in = bytes; in.len > 0;) {
        struct protobuf_field field;
        enum err err = protobuf_next(&in, &field);
        if (err != ERR_OK)
            return err;
        if (field.type == PROTOBUF_BYTES)
            take_bytes(&record, &copies, &field);
        else if (field.type == PROTOBUF_VARINT)
            take_number(&copies, &field);
    }
    if (record.signature_v2.len == 0 || record.data.len == 0)
        return ERR_INVALID;
    enum err err = decode_data(&record);
    if (err != ERR_OK)
        return err;
    if ((record.signature_v1.len > 0 || copies.value.len > 0) && !copies_agree(&copies, &record))
        return ERR_MISMATCH;
    *ret_record = record;
    return ERR_OK;
}

/* Takes the key from the record, which must be the name's, else from the name. */
static enum err key_of(const struct ipns_record *record, const struct peer_id *name, struct span *ret_key)
{
    if (record->public_key.len == 0)
        return peer_id_key(name, ret_key);
    if (record->public_key.len > PUBLIC_KEY_BYTES_MAX)
        return ERR_TOO_LARGE;
    struct peer_id owner = peer_id_of_key(record->public_key);
    if (!peer_id_equal(&owner, name))
        return ERR_MISMATCH;
    *ret_key = record->public_key;
    return ERR_OK;
}

enum err ipns_record_authenticate(const struct ipns_record *record, const struct peer_id *name)
{
    uint8_t message[sizeof(signature_prefix) - 1 + IPNS_RECORD_BYTES_MAX];
    struct span key;
    enum err err = key_of(record, name, &key);
    if (err != ERR_OK)
        return err;
    if (record->data.len > IPNS_RECORD_BYTES_MAX)
        return ERR_TOO_LARGE;
    memcpy(message, signature_prefix, sizeof(signature_prefix) - 1);
    memcpy(message + sizeof(signature_prefix) - 1, record->data.data, record->data.len);
    return public_key_verify(key, span_of(message, sizeof(signature_prefix) - 1 + record->data.len),
                             record->signature_v2);
}

enum err ipns_record_verify(const struct ipns_record *record, const struct peer_id *name, uint64_t now_ns)
{
    enum err err = ipns_record_authenticate(record, name);
    if (err != ERR_OK)
        return err;
    return now_ns > record->eol_ns ? ERR_TIMEOUT : ERR_OK;
}

int ipns_record_compare(const struct ipns_record *a, const struct ipns_record *b)
{
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    if (a->eol_ns != b->eol_ns)
        return a->eol_ns < b->eol_ns ? -1 : 1;
    return 0;
}

enum err ipns_validate(struct span key, struct span value, uint64_t now_ns)
{
    struct peer_id name;
    struct ipns_record record;
    if (ipns_name_of_key(key, &name) != ERR_OK)
        return ERR_UNSUPPORTED;
    enum err err = ipns_record_decode(value, &record);
    return err == ERR_OK ? ipns_record_verify(&record, &name, now_ns) : err;
}

size_t ipns_key_of_name(const struct peer_id *name, uint8_t to[IPNS_KEY_BYTES_MAX])
{
    size_t prefix = sizeof(key_prefix) - 1;
    memcpy(to, key_prefix, prefix);
    memcpy(to + prefix, name->bytes, name->len);
    return prefix + name->len;
}

enum err ipns_name_of_key(struct span key, struct peer_id *ret_name)
{
    size_t prefix = sizeof(key_prefix) - 1;
    if (!span_equal_text(span_first(key, prefix), key_prefix))
        return ERR_INVALID;
    return peer_id_parse(span_skip(key, prefix), ret_name);
}

/* ---- making one ---- */

static enum err put_data(struct buf *out, const struct ipns_claim *claim, struct span validity)
{
    const struct ipld_event map = {.kind = IPLD_MAP};
    const struct ipld_event values[ENTRY_COUNT] = {
        [ENTRY_TTL] = {.kind = IPLD_INT, .number = claim->ttl_ns},
        [ENTRY_VALUE] = {.kind = IPLD_BYTES, .bytes = claim->value},
        [ENTRY_SEQUENCE] = {.kind = IPLD_INT, .number = claim->sequence},
        [ENTRY_VALIDITY] = {.kind = IPLD_BYTES, .bytes = validity},
        [ENTRY_VALIDITY_TYPE] = {.kind = IPLD_INT, .number = VALIDITY_EOL},
    };
    enum err err = dag_cbor_append(out, &map, ENTRY_COUNT);
    for (size_t i = 0; err == ERR_OK && i < ENTRY_COUNT; i++) {
        const struct ipld_event key = {.kind = IPLD_KEY, .bytes = span_text(entries[i].name)};
        err = dag_cbor_append(out, &key, 0);
        if (err == ERR_OK)
            err = dag_cbor_append(out, &values[i], 0);
    }
    return err;
}

/* Signs the concatenation of three parts and appends the signature as a field. */
static enum err put_signature(struct buf *out, uint32_t field, const struct signing_key *key,
                              const struct span parts[3])
{
    CLEANUP(buf_release) struct buf message = {0};
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t len = 0;
    enum err err = ERR_OK;
    buf_init(&message, IPNS_RECORD_BYTES_MAX, NULL);
    for (size_t i = 0; err == ERR_OK && i < 3; i++)
        err = buf_append_span(&message, parts[i]);
    if (err == ERR_OK)
        err = signing_key_sign(key, buf_span(&message), signature, &len);
    return err == ERR_OK ? protobuf_put_bytes(out, field, span_of(signature, len)) : err;
}

/* Fields 1 to 6; signatureV1 is over value, validity and the name of the validity type. */
static enum err put_copies(struct buf *out, const struct signing_key *key, const struct ipns_claim *claim,
                           struct span validity)
{
    const struct span parts[3] = {claim->value, validity, span_text("EOL")};
    enum err err = protobuf_put_bytes(out, FIELD_VALUE, claim->value);
    if (err == ERR_OK)
        err = put_signature(out, FIELD_SIGNATURE_V1, key, parts);
    if (err == ERR_OK)
        err = protobuf_put_varint(out, FIELD_VALIDITY_TYPE, VALIDITY_EOL);
    if (err == ERR_OK)
        err = protobuf_put_bytes(out, FIELD_VALIDITY, validity);
    if (err == ERR_OK)
        err = protobuf_put_varint(out, FIELD_SEQUENCE, claim->sequence);
    return err == ERR_OK ? protobuf_put_varint(out, FIELD_TTL, claim->ttl_ns) : err;
}

enum err ipns_record_seal(const struct signing_key *key, const struct ipns_claim *claim, struct buf *out)
{
    CLEANUP(buf_release) struct buf record = {0};
    CLEANUP(buf_release) struct buf data = {0};
    struct peer_id name = signing_key_peer_id(key);
    struct span inlined;
    char validity_text[RFC3339_TEXT_MAX];
    if (claim->value.len == 0 || claim->value.len > IPNS_VALUE_BYTES_MAX || claim->sequence > INT64_MAX ||
        claim->ttl_ns > INT64_MAX)
        return ERR_INVALID;
    buf_init(&record, IPNS_RECORD_BYTES_MAX, NULL);
    buf_init(&data, IPNS_RECORD_BYTES_MAX, NULL);
    rfc3339_format(claim->eol_ns, validity_text);
    struct span validity = span_text(validity_text);
    enum err err = put_data(&data, claim, validity);
    if (err == ERR_OK && !claim->v2_only)
        err = put_copies(&record, key, claim, validity);
    if (err == ERR_OK && peer_id_key(&name, &inlined) != ERR_OK)
        err = protobuf_put_bytes(&record, FIELD_PUBLIC_KEY, signing_key_public(key));
    const struct span parts[3] = {span_text(signature_prefix), buf_span(&data), {0}};
    if (err == ERR_OK)
        err = put_signature(&record, FIELD_SIGNATURE_V2, key, parts);
    if (err == ERR_OK)
        err = protobuf_put_bytes(&record, FIELD_DATA, buf_span(&data));
    return err == ERR_OK ? buf_append_span(out, buf_span(&record)) : err;
}

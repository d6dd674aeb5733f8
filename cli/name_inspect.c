/* SPDX-License-Identifier: MIT */
/* name inspect: a record of a name, in Kubo's words and Kubo's JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/run.h"
#include "wire/ipns.h"
#include "wire/ipns_path.h"

enum { DUMP_ROW = 16, DUMP_TEXT_MAX = 64 * 1024, DURATION_TEXT = 32 };

/* What is told about one record. */
struct inspection {
    const struct ipns_record *record;
    struct span bytes;
    const char *reason;          /* why it is not valid, NULL when it is */
    char name[PEER_ID_TEXT_MAX]; /* of whom, empty unless --verify was given */
};

/* As Go writes a duration: 5m0s, 48h0m0s, 1.5s. */
static void duration_text(uint64_t ns, char to[DURATION_TEXT])
{
    uint64_t seconds = ns / SECOND_NS;
    char fraction[16] = "";
    if (ns % SECOND_NS != 0) {
        (void)snprintf(fraction, sizeof(fraction), ".%09" PRIu64, ns % SECOND_NS);
        for (size_t end = strlen(fraction); fraction[end - 1] == '0'; end--)
            fraction[end - 1] = '\0';
    }
    if (seconds >= 3600)
        (void)snprintf(to, DURATION_TEXT, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "%ss", seconds / 3600, seconds / 60 % 60,
                       seconds % 60, fraction);
    else if (seconds >= 60)
        (void)snprintf(to, DURATION_TEXT, "%" PRIu64 "m%" PRIu64 "%ss", seconds / 60, seconds % 60, fraction);
    else
        (void)snprintf(to, DURATION_TEXT, "%" PRIu64 "%ss", seconds, fraction);
}

static const char *signature_type(const struct ipns_record *record)
{
    return record->signature_v1.len > 0 ? "V1+V2" : "V2";
}

/* As hexdump -C, without its last line. */
static void dump_row(struct span row, size_t offset, struct buf *out)
{
    char line[96];
    char seen[DUMP_ROW + 1] = "";
    int at = snprintf(line, sizeof(line), "%08zx ", offset);
    for (size_t i = 0; i < DUMP_ROW; i++) {
        const char *gap = i % 8 == 0 ? " " : "";
        if (i < row.len) {
            at += snprintf(line + at, sizeof(line) - (size_t)at, "%s%02x ", gap, row.data[i]);
            seen[i] = (char)(row.data[i] >= 0x20 && row.data[i] < 0x7f ? row.data[i] : '.');
        } else {
            at += snprintf(line + at, sizeof(line) - (size_t)at, "%s   ", gap);
        }
    }
    (void)snprintf(line + at, sizeof(line) - (size_t)at, " |%s|\n", seen);
    (void)!buf_append_text(out, line);
}

static void dump(struct span bytes, struct buf *out)
{
    for (size_t at = 0; at < bytes.len; at += DUMP_ROW)
        dump_row(span_first(span_skip(bytes, at), DUMP_ROW), at, out);
}

static void print_text(const struct inspection *told, struct span hex)
{
    char ttl[DURATION_TEXT];
    duration_text(told->record->ttl_ns, ttl);
    printf("%-15s \"", "Value:");
    print_escaped(stdout, told->record->value);
    printf("\"\n%-15s 0\n%-15s \"", "Validity Type:", "Validity:");
    print_escaped(stdout, told->record->validity);
    printf("\"\n%-15s %" PRIu64 "\n%-15s %s\n", "Sequence:", told->record->sequence, "TTL:", ttl);
    printf("%-15s %zu\n%-15s %s\n", "Protobuf Size:", told->bytes.len, "Signature Type:", signature_type(told->record));
    if (told->name[0] == '\0')
        (void)puts("\nThis record was not verified. Pass '--verify k51...' to verify.");
    else if (told->reason == NULL)
        printf("\nValidation results:\n Valid: true\n Name:  %s\n", told->name);
    else
        printf("\nValidation results:\n Valid:  false\n Reason: %s\n Name:   %s\n", told->reason, told->name);
    if (hex.len > 0)
        printf("\nHex Dump:\n%.*s", (int)hex.len, (const char *)hex.data);
}

static void print_member(const char *name, struct span value)
{
    printf("\"%s\":", name);
    print_json_text(value);
}

static void print_as_json(const struct inspection *told, struct span hex)
{
    (void)fputs("{\"Entry\":{", stdout);
    print_member("Value", told->record->value);
    (void)fputs(",\"ValidityType\":0,", stdout);
    print_member("Validity", told->record->validity);
    printf(",\"Sequence\":%" PRIu64 ",\"TTL\":%" PRIu64 "},\"PbSize\":%zu,\"SignatureType\":\"%s\",",
           told->record->sequence, told->record->ttl_ns, told->bytes.len, signature_type(told->record));
    print_member("HexDump", hex);
    (void)fputs(",\"Validation\":", stdout);
    if (told->name[0] == '\0') {
        (void)puts("null}");
        return;
    }
    printf("{\"Valid\":%s,", told->reason == NULL ? "true" : "false");
    print_member("Reason", span_text(told->reason == NULL ? "" : told->reason));
    (void)putchar(',');
    print_member("Name", span_text(told->name));
    (void)puts("}}");
}

static const char *reason_of(const struct ipns_record *record, const struct peer_id *name)
{
    enum err err = ipns_record_verify(record, name, clock_real_ns());
    return err == ERR_OK        ? NULL
           : err == ERR_TIMEOUT ? "its time has passed"
           : err == ERR_AUTH    ? "signature verification failed"
                                : err_text(err);
}

int run_name_inspect(const struct invocation *in, const struct cmd_name_inspect *args)
{
    struct ipns_path path;
    struct ipns_record record;
    struct buf bytes = {0};
    struct buf hex;
    if (args->verify.len > 0 && (ipns_path_parse_name(args->verify, &path) != ERR_OK || path.is_domain))
        return say_error("--verify takes the name of a key") + EXIT_USAGE - EXIT_ERROR;
    int status = read_input(args->record, IPNS_RECORD_BYTES_MAX, &bytes);
    enum err err = status == EXIT_OK ? ipns_record_decode(buf_span(&bytes), &record) : ERR_OK;
    if (err != ERR_OK)
        status = say_error("this is no record of a name: %s", err_text(err));
    buf_init(&hex, DUMP_TEXT_MAX, NULL);
    if (status == EXIT_OK) {
        struct inspection told = {.record = &record, .bytes = buf_span(&bytes)};
        if (args->dump)
            dump(told.bytes, &hex);
        if (args->verify.len > 0) {
            peer_id_text_cid(&path.name, told.name);
            told.reason = reason_of(&record, &path.name);
        }
        if (in->globals.json)
            print_as_json(&told, buf_span(&hex));
        else
            print_text(&told, buf_span(&hex));
        status = told.reason == NULL ? EXIT_OK : EXIT_ERROR;
    }
    buf_release(&hex);
    buf_release(&bytes);
    return status;
}

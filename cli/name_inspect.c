/* SPDX-License-Identifier: MIT */
/* name inspect: a record of a name, as Kubo shows it. */
#include <stdio.h>

#include "base/clock.h"
#include "cli/run.h"
#include "wire/dag_cbor.h"
#include "wire/ipld_writer.h"
#include "wire/ipns.h"
#include "wire/ipns_path.h"
#include "wire/multibase.h"

enum { DATA_JSON_MAX = 64 * 1024, BASE64_MAX = 16 * 1024 };

static void print_base64(const char *label, struct span bytes)
{
    static char text[BASE64_MAX];
    size_t len = 0;
    if (bytes.len == 0 || multibase_encode_bare(MULTIBASE_64, bytes, text, sizeof(text), &len) != ERR_OK)
        len = 0;
    printf("%-14s \"%s%.*s\"\n", label, len > 0 ? "m" : "", (int)len, text);
}

static void print_data(struct span data)
{
    struct ipld_writer writer;
    struct buf json;
    buf_init(&json, DATA_JSON_MAX, NULL);
    ipld_writer_init(&writer, CODEC_DAG_JSON, &json);
    if (dag_cbor_decode(data, DAG_CBOR_CANONICAL, ipld_writer_event, &writer, NULL) == ERR_OK)
        printf("%-14s %.*s\n", "Data:", (int)json.len, (const char *)json.data);
    ipld_writer_release(&writer);
    buf_release(&json);
}

static void print_fields(const struct ipns_record *record)
{
    printf("%-14s \"", "Value:");
    print_escaped(stdout, record->value);
    printf("\"\n%-14s \"EOL\"\n%-14s ", "Validity Type:", "Validity:");
    print_escaped(stdout, record->validity);
    printf("\n%-14s %llu\n%-14s %llu\n", "Sequence:", (unsigned long long)record->sequence,
           "TTL:", (unsigned long long)record->ttl_ns);
    print_base64("PublicKey:", record->public_key);
    print_base64("Signature V1:", record->signature_v1);
    print_base64("Signature V2:", record->signature_v2);
    print_data(record->data);
}

static int print_validity(const struct ipns_record *record, const struct ipns_path *path)
{
    char name[PEER_ID_TEXT_MAX];
    enum err err = ipns_record_verify(record, &path->name, clock_real_ns());
    peer_id_text_cid(&path->name, name);
    printf("\nValidation results:\n\tValid: %s\n", err == ERR_OK ? "true" : "false");
    if (err != ERR_OK)
        printf("\tReason: %s\n", err == ERR_TIMEOUT ? "its time has passed" : err_text(err));
    printf("\tName: %s\n", name);
    return err == ERR_OK ? EXIT_OK : EXIT_ERROR;
}

int run_name_inspect(const struct invocation *in, const struct cmd_name_inspect *args)
{
    (void)in;
    struct ipns_path path;
    struct ipns_record record;
    struct buf bytes = {0};
    if (args->verify.len > 0 && (ipns_path_parse_name(args->verify, &path) != ERR_OK || path.is_domain))
        return say_error("--verify takes the name of a key") + EXIT_USAGE - EXIT_ERROR;
    int status = read_input(args->record, IPNS_RECORD_BYTES_MAX, &bytes);
    enum err err = status == EXIT_OK ? ipns_record_decode(buf_span(&bytes), &record) : ERR_OK;
    if (err != ERR_OK)
        status = say_error("this is no record of a name: %s", err_text(err));
    if (status == EXIT_OK) {
        print_fields(&record);
        if (args->verify.len > 0)
            status = print_validity(&record, &path);
        else
            (void)puts("\nThis record was not validated.");
    }
    buf_release(&bytes);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * dag get, dag put, dag resolve. The daemon resolves paths and keeps blocks; between the codecs it is converted here, so that no daemon's
 * memory is spent on what people type. Flags and output are Kubo's.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/run.h"
#include "wire/ipld_codec.h"

enum { INPUT_MAX = 16 * 1024 * 1024, BLOCK_MAX = 2 * 1024 * 1024, OUTPUT_MAX = 64 * 1024 * 1024 };

static int say_unknown_codec(const char *flag, struct span name, const char *known)
{
    (void)say_error("%s: no codec is named \"%.*s\": %s", flag, (int)MIN(name.len, (size_t)40), (const char *)name.data,
                    known);
    return EXIT_USAGE;
}

/* ---- dag resolve ---- */

/* Where a path ends: a block, and what of the path is left inside. The spans live as long as the call. */
struct end {
    struct span cid;
    struct span remainder;
};

static struct call *find_end(struct client *client, struct span ref, struct end *ret_end, int *ret_status)
{
    struct outcome outcome;
    struct call *call = ask_path(client, "resolve", "path", ref, &outcome);
    *ret_status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
    if (*ret_status == EXIT_OK)
        *ret_end = (struct end){.cid = value_text(outcome.result, "cid"),
                                .remainder = value_text(outcome.result, "remainder")};
    return call;
}

int run_dag_resolve(struct client *client, const struct invocation *in, const struct cmd_dag_resolve *args)
{
    struct end end = {0};
    int status;
    struct call *call = find_end(client, args->ref, &end, &status);
    if (status == EXIT_OK && in->globals.json) {
        (void)fputs("{\"Cid\":{\"/\":\"", stdout);
        print_cid(stdout, &in->globals, end.cid);
        (void)fputs("\"},\"RemPath\":", stdout);
        print_json_text(end.remainder);
        (void)puts("}");
    } else if (status == EXIT_OK) {
        print_cid(stdout, &in->globals, end.cid);
        (void)fputs(end.remainder.len > 0 ? "/" : "", stdout);
        print_escaped(stdout, end.remainder);
        (void)putchar('\n');
    }
    call_free(call);
    return status;
}

/* ---- dag get ---- */

static const char *why_not_written(enum err err)
{
    if (err == ERR_INVALID)
        return "the value has another shape";
    if (err == ERR_UNSUPPORTED)
        return "the value has no form in it";
    return err_text(err);
}

static int print_value(const struct end *end, struct span block, uint32_t codec)
{
    struct cid cid;
    struct buf out;
    struct ipld_find find;
    size_t read = 0;
    if (cid_parse_text(end->cid, &cid) != ERR_OK)
        return say_error("the daemon's answer names no CID");
    if (ipld_check(cid.codec, block, DAG_CBOR_LOOSE, &read) != ERR_OK)
        return say_error("the block is not what its codec says, from byte %zu on", read);
    buf_init(&out, OUTPUT_MAX, NULL);
    enum err err = ipld_convert(cid.codec, block, DAG_CBOR_LOOSE, end->remainder, codec, &out, &find, &read);
    int status = EXIT_OK;
    if (err != ERR_OK)
        status = say_error("it cannot be written as %s: %s", ipld_codec_name(codec), why_not_written(err));
    else if (out.len > 0 && fwrite(out.data, 1, out.len, stdout) != out.len)
        status = say_error("standard output cannot be written");
    if (status == EXIT_OK && codec == CODEC_DAG_JSON && isatty(STDOUT_FILENO) == 1)
        (void)putchar('\n');
    buf_release(&out);
    return status;
}

int run_dag_get(struct client *client, const struct invocation *in, const struct cmd_dag_get *args)
{
    (void)in;
    struct end end = {0};
    struct outcome outcome;
    uint32_t codec;
    int status;
    if (ipld_codec_of(args->output_codec, &codec) != ERR_OK)
        return say_unknown_codec("--output-codec", args->output_codec, "dag-json, dag-cbor, dag-pb and raw are");
    struct call *found = find_end(client, args->ref, &end, &status);
    struct call *got = NULL;
    if (status == EXIT_OK) {
        got = ask_path(client, "block get", "cid", end.cid, &outcome);
        status = outcome.code == CODE_OK ? print_value(&end, value_text(outcome.result, "data"), codec)
                                         : say_outcome_error(&outcome);
    }
    call_free(got);
    call_free(found);
    return status;
}

/* ---- dag put ---- */

struct put {
    struct client *client;
    const struct invocation *in;
    const struct cmd_dag_put *args;
    uint32_t from;
    uint32_t to;
    enum dag_cbor_form form;
};

/* The input as a block of the codec that it is to be stored in. */
static int convert(const struct put *put, struct span input, struct buf *block)
{
    struct ipld_find find;
    size_t read = 0;
    int from_len = (int)put->args->input_codec.len;
    const char *from = (const char *)put->args->input_codec.data;
    if (ipld_check(put->from, input, put->form, &read) != ERR_OK)
        return say_error("the input is no %.*s, from byte %zu on", from_len, from, read);
    enum err err = ipld_convert(put->from, input, put->form, (struct span){0}, put->to, block, &find, &read);
    if (err == ERR_TOO_LARGE)
        return say_error("as %s it is over 2 MiB: too large for a block", ipld_codec_name(put->to));
    if (err != ERR_OK)
        return say_error("it cannot be stored as %s: %s", ipld_codec_name(put->to), why_not_written(err));
    return EXIT_OK;
}

static int put_input(const struct put *put, struct span path)
{
    struct buf input = {0};
    struct buf block;
    struct call *call = NULL;
    buf_init(&block, BLOCK_MAX, NULL);
    int status = read_input(path, INPUT_MAX, &input);
    if (status == EXIT_OK)
        status = convert(put, buf_span(&input), &block);
    if (status == EXIT_OK) {
        struct outcome outcome;
        call = ask_block_put(put->client, buf_span(&block), put->args->store_codec, put->args->hash, put->args->pin,
                             &outcome);
        status = outcome.code == CODE_OK ? EXIT_OK : say_outcome_error(&outcome);
        struct span cid = status == EXIT_OK ? value_text(outcome.result, "cid") : (struct span){0};
        bool json = put->in->globals.json && status == EXIT_OK;
        (void)fputs(json ? "{\"Cid\":{\"/\":\"" : "", stdout);
        print_cid(stdout, &put->in->globals, cid);
        (void)fputs(json ? "\"}}\n" : status == EXIT_OK ? "\n" : "", stdout);
    }
    call_free(call);
    buf_release(&input);
    buf_release(&block);
    return status;
}

int run_dag_put(struct client *client, const struct invocation *in, const struct cmd_dag_put *args)
{
    struct put put = {.client = client, .in = in, .args = args, .form = DAG_CBOR_CANONICAL};
    struct span input = args->input_codec;
    size_t position = 0;
    struct span path;
    if (span_equal_text(input, "cbor")) {
        input = span_text("dag-cbor");
        put.form = DAG_CBOR_LOOSE;
    }
    if (ipld_codec_of(input, &put.from) != ERR_OK)
        return say_unknown_codec("--input-codec", input, "dag-json, dag-cbor, cbor, dag-pb and raw are");
    if (ipld_codec_of(args->store_codec, &put.to) != ERR_OK)
        return say_unknown_codec("--store-codec", args->store_codec, "dag-json, dag-cbor, dag-pb and raw are");
    int status = args->path.count == 0 ? put_input(&put, span_text("-")) : EXIT_OK;
    while (status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &path))
        status = put_input(&put, path);
    return status;
}

/* SPDX-License-Identifier: MIT */
/*
 * dag import, dag export. A CAR that is imported goes the way of files that are added: bytes in pieces, or the open file itself for the daemon
 * to read (upload_stream.h). Its roots are pinned when all CARs are stored, so that one DAG may come in several; nothing is asked of the
 * network for that. Until then the first upload is kept: all that was stored since it began is safe from collection. Flags and output are
 * Kubo's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/run.h"
#include "cli/upload_stream.h"
#include "schemas/pack.h"
#include "storage/cid_set.h"

enum { READ_BYTES = 256 * 1024, TOUCH_S = 60, ROOTS_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- dag import ---- */

struct import_state {
    struct client *client;
    const struct invocation *in;
    const struct cmd_dag_import *args;
    struct progress progress;
    struct upload_stream stream;
    struct buf roots; /* of all CARs: texts of CIDs, each with a newline */
    uint64_t blocks;
    uint64_t bytes;
    bool failed; /* roots could not be remembered */
    uint8_t *read_buffer;
    uint64_t kept; /* the upload that is kept; 0: none */
    uint64_t touched_ns;
};

/* One request about the upload that is kept: a write of no bytes, or its end. */
static void tell_kept(const struct import_state *s, const char *op, bool abort)
{
    struct buf args;
    struct outcome outcome;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_u64(&p, "upload", s->kept);
    pack_pair_u64(&p, abort ? "size" : "offset", 0);
    if (abort) {
        pack_pair_bool(&p, "abort", true);
    } else {
        pack_text(&p, "data");
        pack_bytes(&p, (struct span){0});
    }
    if (pack_end(&p) == ERR_OK)
        call_free(ask(s->client, op, buf_span(&args), client_timeout(s->client, 30000), true, &outcome));
    buf_release(&args);
}

/* While others go on, now and then. */
static void touch_kept(struct import_state *s)
{
    uint64_t now = clock_mono_ns();
    if (s->kept == 0 || now < s->touched_ns + TOUCH_S * SECOND_NS)
        return;
    s->touched_ns = now;
    tell_kept(s, "add write", false);
}

/* The answer that ends an upload says what the CAR held. */
static void take_answer(void *arg, struct span result)
{
    struct import_state *s = arg;
    struct elements roots = value_elements(result, "roots");
    struct span root;
    s->blocks += value_u64(result, "blocks");
    s->bytes += value_u64(result, "bytes");
    while (elements_next(&roots, &root)) {
        struct span text = element_text(root);
        s->failed |= buf_append_span(&s->roots, text) != ERR_OK || buf_append_byte(&s->roots, '\n') != ERR_OK;
    }
}

static void take_progress(void *arg, uint64_t bytes)
{
    progress_add(&((struct import_state *)arg)->progress, bytes);
    touch_kept(arg);
}

static int send_bytes(struct import_state *s, int fd)
{
    int status = EXIT_OK;
    while (status == EXIT_OK) {
        ssize_t n = read(fd, s->read_buffer, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return say_error("reading failed: %s", strerror(errno));
        if (n == 0)
            return EXIT_OK;
        take_progress(s, (uint64_t)n);
        status = buf_append(&s->stream.bytes, s->read_buffer, (size_t)n) == ERR_OK
                     ? upload_stream_send(&s->stream, false)
                     : say_error("out of memory");
    }
    return status;
}

static int open_upload(struct import_state *s)
{
    struct buf args;
    buf_init(&args, 256, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 2);
    pack_pair_bool(&p, "car", true);
    pack_pair_bool(&p, "pin", s->args->pin_roots);
    int status = pack_end(&p) == ERR_OK ? upload_stream_open(&s->stream, buf_span(&args)) : say_error("out of memory");
    buf_release(&args);
    return status;
}

static int import_open(struct import_state *s, int fd, const char *name)
{
    struct upload_file file;
    char unused[CID_TEXT_MAX];
    bool taken = false;
    int status = open_upload(s);
    if (status != EXIT_OK)
        return status;
    s->stream.name = name;
    if (upload_file_of(fd, name, &file))
        status = upload_stream_file(&s->stream, &file, &taken);
    if (status == EXIT_OK && !taken)
        status = send_bytes(s, fd);
    s->stream.keep = s->kept == 0 && s->args->pin_roots;
    status = upload_stream_finish(&s->stream, status, unused, sizeof(unused));
    s->stream.name = NULL;
    if (status == EXIT_OK && s->stream.keep) {
        s->kept = s->stream.upload;
        s->touched_ns = clock_mono_ns();
    }
    return status;
}

static int import_path(struct import_state *s, struct span path)
{
    char name[PATH_TEXT_MAX + 1];
    struct stat st;
    memcpy(name, path.data, path.len);
    name[path.len] = '\0';
    if (strcmp(name, "-") == 0)
        return import_open(s, STDIN_FILENO, "standard input");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say_error("%s: %s", name, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        s->progress.total += (uint64_t)st.st_size;
    int status = import_open(s, fd, name);
    (void)close(fd);
    return status;
}

/* ---- its roots ---- */

static void print_root(const struct import_state *s, struct span cid, struct span error)
{
    if (s->in->globals.json) {
        (void)fputs("{\"Root\":{\"Cid\":{\"/\":\"", stdout);
        print_cid(stdout, &s->in->globals, cid);
        (void)fputs("\"},\"PinErrorMsg\":", stdout);
        print_json_text(error);
        (void)puts("}}");
        return;
    }
    (void)fputs("Pinned root\t", stdout);
    print_cid(stdout, &s->in->globals, cid);
    (void)puts("\tsuccess");
}

static int pin_root(struct import_state *s, struct span cid)
{
    touch_kept(s);
    struct buf args;
    struct outcome outcome = {.code = CODE_INTERNAL, .message = span_text("out of memory")};
    struct call *call = NULL;
    buf_init(&args, 1024, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 3);
    pack_pair_span(&p, "path", cid);
    pack_pair_bool(&p, "recursive", true);
    pack_pair_bool(&p, "offline", true);
    if (pack_end(&p) == ERR_OK)
        call = ask(s->client, "pin add", buf_span(&args), client_timeout(s->client, CLIENT_LONG_MS), true, &outcome);
    buf_release(&args);
    bool pinned = outcome.code == CODE_OK;
    if (!s->args->silent && (pinned || s->in->globals.json))
        print_root(s, cid, pinned ? (struct span){0} : outcome.message);
    if (!pinned)
        (void)say_error("pinning root \"%.*s\" FAILED: %.*s", (int)cid.len, (const char *)cid.data,
                        (int)outcome.message.len, (const char *)outcome.message.data);
    int status = pinned ? EXIT_OK : control_code_exit(outcome.code);
    call_free(call);
    return status;
}

/* Each root once, in the order of the CARs; all are tried, the first failure is told. */
static int pin_roots(struct import_state *s)
{
    struct span text = buf_span(&s->roots);
    struct cid_set seen;
    int status = EXIT_OK;
    cid_set_init(&seen, text.len, NULL);
    while (text.len > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.len);
        struct span line = span_first(text, (size_t)(newline - text.data));
        struct cid cid;
        bool is_new = true;
        if (cid_parse_text(line, &cid) == ERR_OK && cid_set_add(&seen, &cid, &is_new) != ERR_OK)
            is_new = true; /* pinned twice is pinned */
        int one = is_new ? pin_root(s, line) : EXIT_OK;
        status = status == EXIT_OK ? one : status;
        text = span_skip(text, line.len + 1);
    }
    cid_set_release(&seen);
    return status;
}

static void print_stats(const struct import_state *s)
{
    unsigned long long blocks = s->blocks;
    unsigned long long bytes = s->bytes;
    if (s->in->globals.json)
        printf("{\"Stats\":{\"BlockCount\":%llu,\"BlockBytesCount\":%llu}}\n", blocks, bytes);
    else
        printf("Imported %llu blocks (%llu bytes)\n", blocks, bytes);
}

int run_dag_import(struct client *client, const struct invocation *in, const struct cmd_dag_import *args)
{
    struct import_state s = {.client = client, .in = in, .args = args};
    size_t position = 0;
    struct span path;
    s.stream = (struct upload_stream){.client = client, .added = take_answer, .taken = take_progress, .arg = &s};
    buf_init(&s.stream.bytes, (size_t)4 * UPLOAD_PIECE, NULL);
    buf_init(&s.roots, ROOTS_BYTES_MAX, NULL);
    s.read_buffer = malloc(READ_BYTES);
    if (s.read_buffer == NULL)
        return say_error("out of memory");
    progress_begin(&s.progress, "importing", 0, args->progress);
    int status = args->path.count == 0 ? import_path(&s, span_text("-")) : EXIT_OK;
    while (status == EXIT_OK && schema_list_next_bytes(&args->path, &position, &path))
        status = import_path(&s, path);
    progress_end(&s.progress);
    if (status == EXIT_OK && s.failed)
        status = say_error("out of memory");
    if (status == EXIT_OK && args->pin_roots)
        status = pin_roots(&s);
    if (status == EXIT_OK && args->stats && !args->silent)
        print_stats(&s);
    if (s.kept != 0)
        tell_kept(&s, "add close", true);
    free(s.read_buffer);
    buf_release(&s.stream.bytes);
    buf_release(&s.roots);
    return status;
}

/* ---- dag export ---- */

struct export_state {
    FILE *to;
    struct progress progress;
};

static enum download_next write_out(void *arg, struct span bytes, uint64_t unused)
{
    (void)unused;
    struct export_state *s = arg;
    bool written = fwrite(bytes.data, 1, bytes.len, s->to) == bytes.len;
    progress_add(&s->progress, bytes.len);
    if (!written)
        (void)say_error("the CAR cannot be written: %s", strerror(errno));
    return written ? DOWNLOAD_MORE : DOWNLOAD_FAILED;
}

static int export_to(struct client *client, const struct cmd_dag_export *args, FILE *to)
{
    struct export_state s = {.to = to};
    struct download d = {
        .client = client, .op = "dag export", .path = args->root, .length = UINT64_MAX, .each = write_out, .arg = &s};
    progress_begin(&s.progress, "exporting", 0, args->progress);
    int status = download_run(&d);
    progress_end(&s.progress);
    if (status == EXIT_OK && fflush(to) != 0)
        status = say_error("the CAR cannot be written: %s", strerror(errno));
    return status;
}

/* A file that does not become whole is removed. */
static int export_to_file(struct client *client, const struct cmd_dag_export *args)
{
    char name[PATH_TEXT_MAX + 1];
    memcpy(name, args->output.data, args->output.len);
    name[args->output.len] = '\0';
    FILE *to = fopen(name, "wbe");
    if (to == NULL)
        return say_error("%s: %s", name, strerror(errno));
    int status = export_to(client, args, to);
    if (fclose(to) != 0 && status == EXIT_OK)
        status = say_error("%s: %s", name, strerror(errno));
    if (status != EXIT_OK)
        (void)unlink(name);
    return status;
}

int run_dag_export(struct client *client, const struct invocation *in, const struct cmd_dag_export *args)
{
    (void)in;
    return args->output.len > 0 ? export_to_file(client, args) : export_to(client, args, stdout);
}

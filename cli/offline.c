/* SPDX-License-Identifier: MIT */
/* Commands that ask no daemon: cid format, cid base32, sql. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/repository.h"
#include "cli/run.h"
#include "wire/cid.h"

enum { SQL_INPUT_MAX = 1 << 20, SQL_BUSY_MS = 5000, SQL_BLOB_TEXT_MAX = 1 << 20 };

/* ---- cid ---- */

static const char *codec_name(uint32_t codec)
{
    static const struct {
        uint32_t codec;
        const char *name;
    } names[] = {{CODEC_RAW, "raw"},
                 {CODEC_DAG_PB, "dag-pb"},
                 {CODEC_DAG_CBOR, "dag-cbor"},
                 {CODEC_LIBP2P_KEY, "libp2p-key"},
                 {CODEC_DAG_JSON, "dag-json"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].codec == codec)
            return names[i].name;
    }
    return "codec";
}

static void print_hex(struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        printf("%02x", bytes.data[i]);
}

static void print_one(const struct cid *cid, enum multibase base, char letter)
{
    char text[CID_TEXT_MAX];
    char hash[MULTIHASH_NAME_MAX] = "";
    uint8_t bytes[CID_BYTES_MAX];
    switch (letter) {
    case 's':
        if (cid_text_base(cid, base, text) != ERR_OK)
            cid_text(cid, text);
        (void)fputs(text, stdout);
        break;
    case 'b':
        (void)fputs(multibase_name(cid->version == 0 ? MULTIBASE_58_BTC : base), stdout);
        break;
    case 'v':
        printf("cidv%u", cid->version);
        break;
    case 'c':
        (void)fputs(codec_name(cid->codec), stdout);
        break;
    case 'h':
        (void)multihash_name(cid->hash.code, hash);
        (void)fputs(hash, stdout);
        break;
    case 'L':
        printf("%u", (unsigned)cid->hash.len);
        break;
    case 'm':
        print_hex(span_of(bytes, multihash_encode(&cid->hash, bytes)));
        break;
    case 'd':
    case 'D':
        print_hex(span_of(cid->hash.digest, cid->hash.len));
        break;
    case 'P':
        (void)multihash_name(cid->hash.code, hash);
        printf("cidv%u-%s-%s-%u", cid->version, codec_name(cid->codec), hash, (unsigned)cid->hash.len);
        break;
    default: /* a character of the user's: as it is */
        (void)putchar(letter);
    }
}

static void print_format(struct span format, const struct cid *cid, enum multibase base)
{
    for (size_t i = 0; i < format.len; i++) {
        char c = (char)format.data[i];
        if (c == '%' && i + 1 < format.len)
            print_one(cid, base, (char)format.data[++i]);
        else
            (void)putchar(c);
    }
    (void)putchar('\n');
}

static int format_cid(struct span text, struct span format, unsigned version, const char *base_name)
{
    struct cid cid;
    enum multibase base = MULTIBASE_32;
    if (base_name[0] != '\0' && multibase_of_name(base_name, &base) != ERR_OK)
        return say_error("unknown multibase \"%s\"", base_name);
    if (cid_parse_text(text, &cid) != ERR_OK)
        return say_error("invalid CID \"%.*s\"", (int)MIN(text.len, (size_t)200), (const char *)text.data);
    if (base_name[0] != '\0' && version == 2 && cid.version == 0 && base != MULTIBASE_58_BTC)
        version = 1;
    if (version < 2 && cid_as_version(&cid, version, &cid) != ERR_OK)
        return say_error("\"%.*s\" has no version %u", (int)MIN(text.len, (size_t)200), (const char *)text.data,
                         version);
    print_format(format, &cid, base);
    return EXIT_OK;
}

static int format_all(const struct schema_list *cids, struct span format, unsigned version, const char *base)
{
    size_t position = 0;
    struct span text;
    int status = EXIT_OK;
    while (schema_list_next_bytes(cids, &position, &text)) {
        int one = format_cid(text, format, version, base);
        status = MAX(status, one);
    }
    return status;
}

int run_cid_format(const struct invocation *in, const struct cmd_cid_format *args)
{
    char base[40] = "";
    memcpy(base, args->base.data == NULL ? (const uint8_t *)"" : args->base.data,
           MIN(args->base.len, sizeof(base) - 1));
    if (base[0] == '\0' && in->globals.cid_base != NULL)
        (void)snprintf(base, sizeof(base), "%s", in->globals.cid_base);
    return format_all(&args->cid, args->format, (unsigned)args->version, base);
}

int run_cid_base32(const struct invocation *in, const struct cmd_cid_base32 *args)
{
    (void)in;
    return format_all(&args->cid, span_text("%s"), 1, "base32");
}

/* ---- sql ---- */

static struct span column_of(sqlite3_stmt *stmt, int i)
{
    const void *data = sqlite3_column_blob(stmt, i); /* before the length: the order SQLite asks for */
    return span_of(data, (size_t)sqlite3_column_bytes(stmt, i));
}

/* Bytes are what they are everywhere in JSON here: multibase base64url. */
static void print_json_bytes(struct span bytes)
{
    struct buf text;
    buf_init(&text, SQL_BLOB_TEXT_MAX, NULL);
    if (multibase_encode(MULTIBASE_64_URL, bytes, &text) == ERR_OK)
        print_json_text(buf_span(&text));
    else
        (void)fputs("null", stdout);
    buf_release(&text);
}

static void print_json_row(sqlite3_stmt *stmt)
{
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        int type = sqlite3_column_type(stmt, i); /* before a conversion changes it */
        (void)fputs(i > 0 ? "," : "{", stdout);
        print_json_text(span_text(sqlite3_column_name(stmt, i)));
        (void)putchar(':');
        if (type == SQLITE_NULL)
            (void)fputs("null", stdout);
        else if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
            (void)fputs((const char *)sqlite3_column_text(stmt, i), stdout);
        else if (type == SQLITE_BLOB)
            print_json_bytes(column_of(stmt, i));
        else
            print_json_text(column_of(stmt, i));
    }
    (void)puts("}");
}

static void print_row(sqlite3_stmt *stmt)
{
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        (void)fputs(i > 0 ? "|" : "", stdout);
        print_escaped(stdout, column_of(stmt, i));
    }
    (void)putchar('\n');
}

static void print_header(sqlite3_stmt *stmt)
{
    for (int i = 0; i < sqlite3_column_count(stmt); i++)
        printf("%s%s", i > 0 ? "|" : "", sqlite3_column_name(stmt, i));
    (void)putchar('\n');
}

static int run_one(sqlite3_stmt *stmt, const struct globals *globals, bool header)
{
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (header && !globals->json)
            print_header(stmt);
        header = false;
        if (globals->json)
            print_json_row(stmt);
        else
            print_row(stmt);
    }
    return code;
}

/* All statements of the text, one after the other. */
static int run_statements(sqlite3 *db, const char *sql, const struct globals *globals, bool header)
{
    int code = SQLITE_OK;
    while (*sql != '\0' && (code == SQLITE_OK || code == SQLITE_DONE)) {
        sqlite3_stmt *stmt = NULL;
        code = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);
        if (code == SQLITE_OK && stmt != NULL) /* NULL: blanks or a comment */
            code = run_one(stmt, globals, header);
        (void)sqlite3_finalize(stmt);
    }
    return code == SQLITE_OK || code == SQLITE_DONE ? EXIT_OK : say_error("%s", sqlite3_errmsg(db));
}

/* state.db is main, blocks.db is attached as blocks; both are opened read-only. */
static int open_databases(const struct globals *globals, sqlite3 **ret_db)
{
    char path[REPOSITORY_PATH_MAX];
    char why[CONFIG_WHY_BYTES] = "";
    char name[REPOSITORY_PATH_MAX + 32];
    if (repository_find(globals->repo_dir, path, why) != ERR_OK)
        return say_error("%s", why);
    (void)snprintf(name, sizeof(name), "file:%s/state.db?mode=ro", path);
    if (sqlite3_open_v2(name, ret_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
        return say_error("%s/state.db: %s", path, sqlite3_errmsg(*ret_db));
    (void)sqlite3_busy_timeout(*ret_db, SQL_BUSY_MS);
    char *attach = sqlite3_mprintf("ATTACH 'file:%q/blocks.db?mode=ro' AS blocks", path);
    int code = attach == NULL ? SQLITE_NOMEM : sqlite3_exec(*ret_db, attach, NULL, NULL, NULL);
    sqlite3_free(attach);
    if (code != SQLITE_OK)
        (void)fprintf(stderr, "%s/blocks.db cannot be read: only state.db is there\n", path);
    return EXIT_OK;
}

static int run_input(sqlite3 *db, const struct globals *globals, bool header)
{
    char *text = calloc(1, SQL_INPUT_MAX);
    if (text == NULL)
        return say_error("out of memory");
    size_t len = fread(text, 1, SQL_INPUT_MAX - 1, stdin);
    int status =
        len == SQL_INPUT_MAX - 1 ? say_error("the SQL is too long") : run_statements(db, text, globals, header);
    free(text);
    return status;
}

int run_sql(const struct invocation *in, const struct cmd_sql *args)
{
    sqlite3 *db = NULL;
    int status = open_databases(&in->globals, &db);
    size_t position = 0;
    struct span text;
    if (status == EXIT_OK && args->statement.count == 0)
        status = run_input(db, &in->globals, args->header);
    while (status == EXIT_OK && schema_list_next_bytes(&args->statement, &position, &text)) {
        char sql[PATH_TEXT_MAX + 1];
        memcpy(sql, text.data, text.len);
        sql[text.len] = '\0';
        status = run_statements(db, sql, &in->globals, args->header);
    }
    (void)sqlite3_close(db);
    return status;
}

/* SPDX-License-Identifier: MIT */
#include "actors/state/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/state/store_private.h"
#include "base/text.h"
#include "mailbox/ports.h"
#include "schemas/state_sql.h"
#include "storage/database_share.h"
#include "storage/disk_posix.h"
#include "storage/sqlite_log.h"
#include "storage/sqlite_vfs.h"

enum { BUSY_TIMEOUT_MS = 2000, CHECKPOINT_PAGES = 256 };

static const char LOG_FAILED[] = "has a log that cannot be written once more";

struct state_store *state_store_new(const struct state_options *options)
{
    struct state_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->options = *options;
    bool real = options->disk == NULL || options->disk == disk_posix();
    if (!real && sqlite_vfs_open(options->disk, &store->vfs) != ERR_OK) {
        free(store);
        return NULL;
    }
    return store;
}

static void close_database(struct state_store *store)
{
    state_rows_finalize(&store->rows);
    (void)sqlite3_close(store->db);
    store->db = NULL;
}

void state_store_free(struct state_store *store)
{
    if (store == NULL)
        return;
    if (store->db != NULL)
        sqlite_log_moved_on_close(store->db, !store->doubts_log);
    close_database(store);
    sqlite_vfs_close(store->vfs);
    free(store);
}

static enum err err_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ERR_READ_ONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    default:
        return ERR_IO;
    }
}

static const char *file_name(const struct state_store *store)
{
    const char *name = strrchr(store->options.path, '/');
    return name == NULL ? store->options.path : name + 1;
}

enum err state_store_fail(struct state_store *store, int code, const char *what, char why[STATE_WHY_BYTES])
{
    (void)snprintf(why, STATE_WHY_BYTES, "%.60s %s: %.120s", file_name(store), what,
                   store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
    return err_of(code);
}

/* SQLite would make the file with the umask's mode, and the log and index inherit it: so it is made here first. */
static void make_file(const struct state_options *options)
{
    int fd = open(options->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* SQLite says why */
    (void)fchmod(fd, 0600);
    (void)close(fd);
}

static int read_int(sqlite3 *db, const char *sql, int *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_value = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_CORRUPT : code;
}

/* The check says in its text, too, that a page could not be read: that is no damage, and next time it may be read. */
static bool is_unread(const char *text)
{
    return strstr(text, "error code=") != NULL || strstr(text, "failed to get page") != NULL;
}

/* A sound file answers `ok`; anything else is text that names the damage. */
static int check_pages(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        code = text == NULL              ? SQLITE_NOMEM
               : strcmp(text, "ok") == 0 ? SQLITE_OK
               : is_unread(text)         ? SQLITE_IOERR
                                         : SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(statement);
    return code;
}

static const struct disk_port *disk_of(const struct state_store *store)
{
    return store->options.disk == NULL ? disk_posix() : store->options.disk;
}

/* A life before may still be at work. */
static int make_log_safe(struct state_store *store)
{
    int code = sqlite_log_make_safe(store->db, disk_of(store), store->options.path);
    store->doubts_log = code != SQLITE_OK;
    return code;
}

/*
 * In the place of SQLite's own automatic checkpoint, which tells nobody that it failed: then the log is in doubt. One that a reader hinders comes
 * with a later commit.
 */
static int after_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct state_store *store = arg;
    enum err err = ERR_OK;
    if (pages >= CHECKPOINT_PAGES)
        err = err_of(sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
    store->doubts_log = store->doubts_log || (err != ERR_OK && err != ERR_BUSY);
    return SQLITE_OK;
}

static int open_and_check(struct state_store *store)
{
    if (store->vfs == NULL)
        make_file(&store->options);
    int code = sqlite3_open_v2(store->options.path, &store->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               store->vfs == NULL ? NULL : sqlite_vfs_name(store->vfs));
    if (code != SQLITE_OK)
        return code;
    (void)sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    int keep_log = 1;
    (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
    sqlite_log_moved_on_close(store->db, false);
    (void)sqlite3_wal_hook(store->db, after_commit, store);
    int version = 0;
    code = read_int(store->db, "PRAGMA user_version", &version);
    if (code == SQLITE_OK)
        code = check_pages(store->db);
    if (code == SQLITE_OK && version != 0 && version != STATE_SQL_VERSION)
        code = SQLITE_NOTADB;
    store->is_new = version == 0;
    return code;
}

struct newest {
    const char *prefix;
    uint64_t number;
    bool found;
};

static void look_at_name(void *arg, const char *name)
{
    struct newest *newest = arg;
    size_t len = strlen(newest->prefix);
    uint64_t number;
    if (strncmp(name, newest->prefix, len) != 0 || text_parse_u64(span_text(name + len), &number) != ERR_OK)
        return;
    newest->number = newest->found ? MAX(newest->number, number) : number;
    newest->found = true;
}

/* The number of the file that went aside last. ERR_NOT_FOUND: there is none. */
static enum err last_aside(const struct state_store *store, uint64_t *ret_number)
{
    const struct disk_port *disk = disk_of(store);
    char prefix[STATE_PATH_MAX];
    char folder[STATE_PATH_MAX];
    size_t len = (size_t)(file_name(store) - store->options.path);
    struct newest newest = {.prefix = prefix};
    (void)snprintf(prefix, sizeof(prefix), "%.60s.bad-", file_name(store));
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)MAX(len, (size_t)1), len == 0 ? "." : store->options.path);
    enum err err = disk->list(disk->self, folder, look_at_name, &newest);
    if (err == ERR_OK && !newest.found)
        return ERR_NOT_FOUND;
    *ret_number = newest.number;
    return err;
}

/*
 * A new file is one from the transaction on that sets its version. What the last one held that went aside is taken over in that same one, and it
 * is on the disk before anything is: whatever fails or is cut off before, the next start does it again.
 */
static int prepare_database(struct state_store *store)
{
    char version[64];
    char aside[STATE_PATH_MAX + 48] = "";
    uint64_t number;
    bool attached = false;
    (void)snprintf(version, sizeof(version), "PRAGMA user_version=%d;", STATE_SQL_VERSION);
    int code = sqlite3_exec(store->db, STATE_SQL_PRAGMAS, NULL, NULL, NULL);
    enum err err = code == SQLITE_OK && store->is_new ? last_aside(store, &number) : ERR_NOT_FOUND;
    if (err == ERR_OK) {
        (void)snprintf(aside, sizeof(aside), "%s.bad-%llu", store->options.path, (unsigned long long)number);
        code = state_store_attach(store, aside, &attached);
    } else if (err != ERR_NOT_FOUND) {
        return SQLITE_IOERR;
    }
    if (code == SQLITE_OK && store->is_new)
        code = sqlite3_exec(store->db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->db, "BEGIN IMMEDIATE;" STATE_SQL_TABLES STATE_SQL_BEGIN_LIFE, NULL, NULL, NULL);
    if (code == SQLITE_OK && attached)
        code = state_store_ipns_salvage(store);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->db, version, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    if (code == SQLITE_OK && attached)
        (void)sqlite3_exec(store->db, "DETACH aside", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(store->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return code == SQLITE_OK ? state_rows_prepare(&store->rows, store->db) : code;
}

/*
 * state.db, its log and its index go aside together: a log must never meet another file. Its number is that of the second, but higher than that of
 * any before, whatever the clock says: the last one is known by it, and none is replaced.
 */
static enum err move_aside(const struct state_store *store, uint64_t at)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    const struct disk_port *disk = disk_of(store);
    uint64_t number = at / SECOND_NS;
    uint64_t last = 0;
    enum err listed = last_aside(store, &last);
    if (listed != ERR_OK && listed != ERR_NOT_FOUND)
        return listed;
    number = listed == ERR_OK ? MAX(number, last + 1) : number;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char from[STATE_PATH_MAX + 8];
        char to[STATE_PATH_MAX + 48];
        (void)snprintf(from, sizeof(from), "%s%s", store->options.path, suffixes[i]);
        (void)snprintf(to, sizeof(to), "%s.bad-%llu%s", store->options.path, (unsigned long long)number, suffixes[i]);
        enum err err = disk->exists(disk->self, from);
        if (err == ERR_OK)
            err = disk->rename(disk->self, from, to);
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_OK;
}

enum err state_store_open(struct state_store *store, uint64_t at, char why[STATE_WHY_BYTES])
{
    if (store->db != NULL) {
        int safe = store->doubts_log ? make_log_safe(store) : SQLITE_OK;
        return safe == SQLITE_OK ? ERR_OK : state_store_fail(store, safe, LOG_FAILED, why);
    }
    int code = open_and_check(store);
    if (err_of(code) == ERR_CORRUPT) {
        (void)state_store_fail(store, code, "damaged or of another version", why);
        close_database(store);
        enum err moved = move_aside(store, at);
        if (moved != ERR_OK)
            return moved;
        memcpy(store->replaced, why, sizeof(store->replaced));
        code = open_and_check(store);
    }
    if (code == SQLITE_OK)
        code = make_log_safe(store);
    if (code == SQLITE_OK)
        code = prepare_database(store);
    if (code == SQLITE_OK && store->options.shared && store->vfs == NULL)
        (void)!database_share(store->options.path, store->options.group); /* tiered_storage tells of the same error */
    if (code == SQLITE_OK)
        return ERR_OK;
    enum err err = state_store_fail(store, code, "cannot be opened", why);
    close_database(store);
    return err;
}

void state_store_doubt(struct state_store *store, enum err err)
{
    store->doubts_log = store->doubts_log || err == ERR_IO;
    if (err == ERR_CORRUPT)
        close_database(store); /* opened, and checked, anew next time */
}

enum err state_store_write(struct state_store *store, const struct state_batch *batch, char why[STATE_WHY_BYTES],
                           char ret_replaced[STATE_WHY_BYTES])
{
    if (ret_replaced != NULL)
        ret_replaced[0] = '\0';
    enum err err = state_store_open(store, batch->at, why);
    if (err != ERR_OK)
        return err;
    int code = state_rows_write(&store->rows, batch);
    if (code != SQLITE_OK) {
        err = state_store_fail(store, code, "cannot be written", why);
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        state_store_doubt(store, err);
        return err;
    }
    if (ret_replaced != NULL) {
        memcpy(ret_replaced, store->replaced, STATE_WHY_BYTES);
        store->replaced[0] = '\0';
    }
    return ERR_OK;
}

enum err state_store_load(struct state_store *store, uint16_t kind, const struct state_page *page, struct buf *items,
                          uint32_t *ret_count, struct msg_state_provide_stat_ok *ret_stat, char why[STATE_WHY_BYTES])
{
    enum err err = state_store_open(store, 0, why);
    if (err != ERR_OK)
        return err;
    int code = state_rows_load(&store->rows, kind, page, items, ret_count, ret_stat);
    return code == SQLITE_OK ? ERR_OK : state_store_fail(store, code, "cannot be read", why);
}

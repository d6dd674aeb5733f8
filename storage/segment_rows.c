/* SPDX-License-Identifier: MIT */
#include "storage/segment_rows.h"

#include <stdlib.h>

enum { FIRST_CAP = 64 };

static enum err grow(struct segment_checkpoint **list, size_t *cap)
{
    size_t bigger = *cap == 0 ? FIRST_CAP : *cap * 2;
    struct segment_checkpoint *grown = realloc(*list, bigger * sizeof(*grown));
    if (grown == NULL)
        return ERR_NOMEM;
    *list = grown;
    *cap = bigger;
    return ERR_OK;
}

enum err segment_rows(sqlite3 *db, struct segment_checkpoint **ret_list, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    struct segment_checkpoint *list = NULL;
    size_t cap = 0;
    size_t count = 0;
    enum err err = sql_prepare(
        db, "SELECT id, checkpoint, state FROM segments WHERE checkpoint > 0 OR state > 0 ORDER BY id", &stmt);
    while (err == ERR_OK && (err = sql_row(stmt)) == ERR_OK) {
        uint64_t state = sql_u64(stmt, 2);
        if (count == cap)
            err = grow(&list, &cap);
        if (err == ERR_OK)
            list[count++] = (struct segment_checkpoint){.segment = sql_u64(stmt, 0),
                                                        .offset = sql_u64(stmt, 1),
                                                        .state = state > SEGMENT_SUSPECT ? SEGMENT_OPEN
                                                                                         : (enum segment_state)state};
    }
    (void)sqlite3_finalize(stmt);
    if (err != ERR_NOT_FOUND) {
        free(list);
        return err;
    }
    *ret_list = list;
    *ret_count = count;
    return ERR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "sim/journal_text.h"

#include <inttypes.h>
#include <string.h>

#include "actors/tree.h"
#include "mailbox/supervisor.h"
#include "schemas/messages.h"
#include "sim/disk.h"

static const char *const type_names[JOURNAL_TYPES] = {
    "call", "cast",  "reply",   "cancel", "timer", "job",  "net",    "up",          "down",
    "room", "start", "the end", "log",    "FAULT", "disk", "errand", "errand done", "phase",
};

static const char *const disk_names[SIM_DISK_OP_COUNT] = {"open", "read",     "write",  "allocate", "truncate",
                                                          "sync", "sync dir", "rename", "unlink"};

static const char *const net_names[] = {"accepted", "connected", "ready", "closed"};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

/* The runtime's root is 0; control's place is the driver's. */
const char *journal_actor_name(unsigned actor)
{
    static const struct actor_class *const classes[ACTOR_COUNT] = {
        [ACTOR_STATE] = &state_class,
        [ACTOR_TIERED_STORAGE] = &tiered_storage_class,
        [ACTOR_HEAT_TRACKER] = &heat_tracker_class,
        [ACTOR_CONNECTION_MANAGER] = &connection_manager_class,
        [ACTOR_DISCOVERY] = &discovery_class,
        [ACTOR_BITSWAP] = &bitswap_class,
        [ACTOR_COLD_STORE] = &cold_store_class,
    };
    if (actor == 0)
        return "-";
    return actor == ACTOR_CONTROL ? "driver" : actor < ACTOR_COUNT ? classes[actor]->name : "?";
}

int journal_actor(const char *name)
{
    for (unsigned i = 1; i < ACTOR_COUNT; i++)
        if (strcmp(journal_actor_name(i), name) == 0)
            return (int)i;
    return -1;
}

static const char *message_name(uint16_t kind)
{
    const struct schema *found = schema_find(&schema_messages, kind);
    return found == NULL ? "?" : found->name;
}

bool journal_is_important(const struct journal_row *row)
{
    switch ((enum journal_type)row->type) {
    case JOURNAL_INIT:
    case JOURNAL_END:
    case JOURNAL_FAULT:
    case JOURNAL_PHASE:
    case JOURNAL_BEGIN:
    case JOURNAL_DONE:
        return true;
    case JOURNAL_LOG:
        return row->kind <= LOG_WARN;
    case JOURNAL_DISK:
        return row->err != ERR_OK && row->err != ERR_NOT_FOUND;
    case JOURNAL_CALL:
    case JOURNAL_CAST:
    case JOURNAL_REPLY:
    case JOURNAL_CANCEL:
    case JOURNAL_TIMER:
    case JOURNAL_JOB:
    case JOURNAL_NET:
    case JOURNAL_UP:
    case JOURNAL_DOWN:
    case JOURNAL_ROOM:
    case JOURNAL_TYPES:
        break;
    }
    return false;
}

static const char *detail(const struct journal_row *row)
{
    switch ((enum journal_type)row->type) {
    case JOURNAL_CALL:
    case JOURNAL_CAST:
        return message_name(row->kind);
    case JOURNAL_REPLY:
        return row->kind == 0 ? "" : message_name(row->kind);
    case JOURNAL_NET:
        return row->kind < ARRAY_LEN(net_names) ? net_names[row->kind] : "?";
    case JOURNAL_END:
        return exit_reason_name((enum exit_reason)row->kind);
    case JOURNAL_LOG:
        return row->kind < ARRAY_LEN(level_names) ? level_names[row->kind] : "?";
    case JOURNAL_DISK:
        return row->kind < SIM_DISK_OP_COUNT ? disk_names[row->kind] : "?";
    case JOURNAL_CANCEL:
    case JOURNAL_TIMER:
    case JOURNAL_JOB:
    case JOURNAL_UP:
    case JOURNAL_DOWN:
    case JOURNAL_ROOM:
    case JOURNAL_INIT:
    case JOURNAL_FAULT:
    case JOURNAL_BEGIN:
    case JOURNAL_DONE:
    case JOURNAL_PHASE:
    case JOURNAL_TYPES:
        break;
    }
    return "";
}

static void print_numbers(const struct journal_row *row, FILE *to)
{
    enum journal_type type = (enum journal_type)row->type;
    if (type == JOURNAL_DISK && row->b > 0)
        (void)fprintf(to, " %" PRIu32 " bytes at %" PRIu64, row->b, row->a);
    else if (type == JOURNAL_TIMER || type == JOURNAL_JOB || type == JOURNAL_NET || type == JOURNAL_REPLY)
        (void)fprintf(to, " tag %" PRIx64, row->a);
    else if (type == JOURNAL_BEGIN || type == JOURNAL_DONE)
        (void)fprintf(to, " %" PRIu64, row->a);
}

void journal_print_row(const struct journal_row *row, const char *text, uint64_t began_ns, FILE *to)
{
    const char *type = row->type < JOURNAL_TYPES ? type_names[row->type] : "?";
    const char *what = detail(row);
    (void)fprintf(to, "%12.6f  %3u  %-18s ", (double)(row->at_ns - began_ns) / (double)SECOND_NS, row->node,
                  journal_actor_name(row->actor));
    if (row->from != 0)
        (void)fprintf(to, "<- %s: ", journal_actor_name(row->from));
    (void)fprintf(to, "%s%s%s", type, what[0] == '\0' ? "" : " ", what);
    print_numbers(row, to);
    if (row->err != ERR_OK)
        (void)fprintf(to, " %s", err_name((enum err)row->err));
    if (row->text_len > 0)
        (void)fprintf(to, " %.*s", (int)row->text_len, text);
    (void)fputc('\n', to);
}

/* SPDX-License-Identifier: MIT */
/* What operations share, and which function does which: one without a row here does not build, OP_COUNT rows, all named. */
#include "actors/control/operations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err conversation_error(struct conversation *v, enum err err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(v->why, sizeof(v->why), fmt, args);
    va_end(args);
    return err;
}

static bool is_set(const struct conversation *v, const char *name)
{
    for (size_t i = 0; i < v->op->args.field_count; i++) {
        const struct field *f = &v->op->args.fields[i];
        if (f->type == FIELD_BOOL && strcmp(f->name, name) == 0)
            return *(const bool *)((const uint8_t *)v->args + f->offset);
    }
    return false;
}

bool conversation_is_offline(const struct conversation *v)
{
    return is_set(v, "offline");
}

bool conversation_shows_progress(const struct conversation *v)
{
    return is_set(v, "progress");
}

#define BATCH                                                                                                          \
    {                                                                                                                  \
        .start = batch_start, .reply = batch_reply, .again = batch_again, .end = batch_end                             \
    }
#define RELAY                                                                                                          \
    {                                                                                                                  \
        .start = relay_start, .reply = relay_reply                                                                     \
    }

#define KEYS                                                                                                           \
    {                                                                                                                  \
        .start = key_start, .reply = key_reply                                                                         \
    }

#define PINS(begin)                                                                                                    \
    {                                                                                                                  \
        .start = (begin), .reply = pins_reply, .again = pins_again, .end = pins_end                                    \
    }

const struct operation_handler operation_handlers[OP_COUNT] = {
    [OP_ID] = {.start = id_start, .reply = id_reply},
    [OP_VERSION] = {.start = version_start},
    [OP_HELP] = {.start = help_start},
    [OP_ACTORS] = {.start = actors_start},
    [OP_ACTORS_TREE] = {.start = actors_tree_start, .reply = actors_tree_reply},
    [OP_ACTORS_STOP] = {.start = actors_order_start, .reply = actors_order_reply},
    [OP_ACTORS_START] = {.start = actors_order_start, .reply = actors_order_reply},
    [OP_ACTORS_RESTART] = {.start = actors_order_start, .reply = actors_order_reply},
    [OP_ACCOUNTS] = {.start = accounts_start},
    [OP_EVENTS] = RELAY,
    [OP_ACTORS_CRASHES] = RELAY,
    [OP_TRACE] = {.start = trace_start},
    [OP_SHUTDOWN] = {.start = shutdown_start},
    [OP_CANCEL] = {.start = cancel_start},
    [OP_DIAG_HEALTHY] = {.start = healthy_start, .reply = healthy_reply, .end = healthy_end},
    [OP_CHAOS] = {.start = chaos_start},
    [OP_LOG_LEVEL] = {.start = log_level_start},
    [OP_CONFIG_SHOW] = {.start = config_show_start},
    [OP_SWARM_PEERS] = RELAY,
    [OP_SWARM_CONNECT] = RELAY,
    [OP_SWARM_DISCONNECT] = RELAY,
    [OP_SWARM_ADDRS] = RELAY,
    [OP_SWARM_ADDRS_LOCAL] = RELAY,
    [OP_SWARM_ADDRS_AUTONAT] = RELAY,
    [OP_SWARM_MDNS] = RELAY,
    [OP_SWARM_RESOURCES] = RELAY,
    [OP_SWARM_FILTERS] = RELAY,
    [OP_SWARM_FILTERS_ADD] = {.start = relay_start, .reply = filters_reply},
    [OP_SWARM_FILTERS_RM] = {.start = relay_start, .reply = filters_reply},
    [OP_BOOTSTRAP_ADD] = RELAY,
    [OP_BOOTSTRAP_RM] = RELAY,
    [OP_SWARM_PEERING_ADD] = RELAY,
    [OP_SWARM_PEERING_RM] = RELAY,
    [OP_SWARM_PEERING_LS] = RELAY,
    [OP_DNS] = RELAY,
    [OP_PING] = {.start = ping_start, .reply = ping_reply},
    [OP_ROUTING_FINDPROVS] = RELAY,
    [OP_ROUTING_FINDPEER] = {.start = findpeer_start, .reply = relay_reply},
    [OP_ROUTING_PROVIDE] = {.start = provide_start, .reply = provide_reply},
    [OP_ROUTING_GET] = {.start = route_get_start, .reply = relay_reply},
    [OP_ROUTING_PUT] = {.start = route_put_start, .reply = relay_reply},
    [OP_ROUTING_REPROVIDE] = RELAY,
    [OP_PROVIDE_STAT] = RELAY,
    [OP_PROVIDE_CLEAR] = RELAY,
    [OP_STATS_DHT] = RELAY,
    [OP_BITSWAP_STAT] = RELAY,
    [OP_BITSWAP_WANTLIST] = RELAY,
    [OP_DENYLIST_LS] = {.start = denylist_ls_start, .reply = relay_reply},
    [OP_DENYLIST_CHECK] = {.start = denylist_check_start, .reply = relay_reply},
    [OP_REPO_STAT] = RELAY,
    [OP_REPO_VERIFY] = RELAY,
    [OP_REPO_QUARANTINE] = RELAY,
    [OP_REPO_HEAL] = RELAY,
    [OP_BACKUP_OPEN] = RELAY,
    [OP_BACKUP_READ] = {.start = relay_start, .reply = backup_read_reply},
    [OP_BACKUP_CLOSE] = RELAY,
    [OP_STATS_BW] = RELAY,
    [OP_PIN_ADD] = PINS(pin_add_start),
    [OP_PIN_UPDATE] = PINS(pin_update_start),
    [OP_PIN_VERIFY] = PINS(pin_verify_start),
    [OP_PIN_FIND] = RELAY,
    [OP_REPO_GC] = RELAY,
    [OP_LEASE] = RELAY,
    [OP_PIN_RM] = RELAY,
    [OP_PIN_LS] = RELAY,
    [OP_BLOCK_GET] = {.start = block_get_start, .reply = block_get_reply, .again = fetch_again},
    [OP_BLOCK_PUT] = {.start = block_put_start, .reply = block_put_reply, .again = block_put_again},
    [OP_BLOCK_RM] = RELAY,
    [OP_BLOCK_STAT] = {.start = block_stat_start, .reply = block_stat_reply, .again = block_stat_again},
    [OP_BLOCK_HAS] = {.start = block_has_start, .reply = block_has_reply, .end = batch_end},
    [OP_BLOCK_GET_MANY] = BATCH,
    [OP_BLOCK_STAT_MANY] = BATCH,
    [OP_BLOCK_PUT_MANY] = BATCH,
    [OP_BLOCK_RM_MANY] = BATCH,
    [OP_TIER_LS] = {.start = tier_ls_start, .reply = tier_ls_reply, .end = tiers_end},
    [OP_TIER_STAT] = {.start = tier_stat_start, .reply = tier_stat_reply, .end = tiers_end},
    [OP_TIER_MOVE] = {.start = tier_move_start, .reply = tier_move_reply},
    [OP_TIER_PIN] = {.start = tier_pin_start, .reply = relay_reply},
    [OP_TIER_PACKS] = {.start = tier_packs_start, .reply = relay_reply},
    [OP_TIER_CHECK] = {.start = tier_check_start, .reply = relay_reply},
    [OP_HEAT_TOP] = RELAY,
    [OP_HEAT_EXPLAIN] = RELAY,
    [OP_WHY] = {.start = why_start, .reply = why_reply, .end = why_end},
    [OP_METADATA_PUT] = {.start = metadata_put_start, .reply = metadata_set_reply},
    [OP_METADATA_UPDATE] = {.start = metadata_update_start, .reply = metadata_set_reply},
    [OP_METADATA_RM] = {.start = metadata_rm_start, .reply = metadata_set_reply},
    [OP_REPLICATE_SET] = {.start = replicate_set_start, .reply = metadata_set_reply},
    [OP_REPLICATE_RM] = {.start = replicate_rm_start, .reply = metadata_set_reply},
    [OP_REPLICATE_GET] = {.start = replicate_get_start, .reply = replicate_rows_reply},
    [OP_REPLICATE_LS] = {.start = replicate_ls_start, .reply = replicate_rows_reply},
    [OP_METADATA_GET] = {.start = metadata_get_start, .reply = metadata_rows_reply},
    [OP_METADATA_QUERY] = {.start = metadata_query_start, .reply = metadata_rows_reply},
    [OP_ADD_OPEN] = {.start = add_open_start},
    [OP_ADD_WRITE] = {.start = add_write_start, .end = adding_end},
    [OP_ADD_FILE] = {.start = add_file_start, .end = adding_end},
    [OP_ADD_CLOSE] = {.start = add_close_start, .reply = add_close_reply, .again = add_close_again, .end = adding_end},
    [OP_READ] = {.start = read_start, .end = reading_end},
    [OP_GET] = {.start = get_start, .end = reading_end},
    [OP_DAG_EXPORT] = {.start = dag_export_start, .end = reading_end},
    [OP_GET_FILE] = {.start = get_file_start, .end = get_file_end},
    [OP_LS] = {.start = ls_start, .end = reading_end},
    [OP_DAG_WALK] = {.start = dag_walk_start, .end = reading_end},
    [OP_REFS] = {.start = refs_start, .reply = refs_reply, .again = fetch_again},
    [OP_KEY_GEN] = KEYS,
    [OP_KEY_IMPORT] = KEYS,
    [OP_KEY_LIST] = KEYS,
    [OP_KEY_RM] = KEYS,
    [OP_KEY_RENAME] = KEYS,
    [OP_NAME_PUBLISH] = {.start = name_publish_start, .reply = name_publish_reply, .end = name_publish_end},
    [OP_NAME_RESOLVE] = {.start = name_resolve_start},
    [OP_NAME_GET] = {.start = name_resolve_start},
    [OP_NAME_PUT] = {.start = name_put_start, .reply = name_put_reply},
    [OP_JOB_STATUS] = {.start = job_status_start},
    [OP_JOB_CANCEL] = {.start = job_cancel_start},
    [OP_RESOLVE] = {.start = resolve_start, .end = reading_end},
};

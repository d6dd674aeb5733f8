/* SPDX-License-Identifier: MIT */
/* The functions behind operation_handlers, by file. Private to actors/control. */
#ifndef HEARTH_ACTORS_CONTROL_OPERATIONS_H
#define HEARTH_ACTORS_CONTROL_OPERATIONS_H

#include "actors/control/router.h"
#include "wire/peer_id.h"

/* node.c: what the node says of itself */
enum err id_start(struct control *c, struct conversation *v);
enum err id_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err version_start(struct control *c, struct conversation *v);
enum err help_start(struct control *c, struct conversation *v);
enum err actors_start(struct control *c, struct conversation *v);
enum err accounts_start(struct control *c, struct conversation *v);
enum err shutdown_start(struct control *c, struct conversation *v);
enum err cancel_start(struct control *c, struct conversation *v);
enum err healthy_start(struct control *c, struct conversation *v);
enum err healthy_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void healthy_end(struct control *c, struct conversation *v);
enum err chaos_start(struct control *c, struct conversation *v);
enum err log_level_start(struct control *c, struct conversation *v);
enum err config_show_start(struct control *c, struct conversation *v);

/* supervision.c: actors tree, stop, start, restart: asked of root */
enum err actors_tree_start(struct control *c, struct conversation *v);
enum err actors_tree_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err actors_order_start(struct control *c, struct conversation *v);
enum err actors_order_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* keys.c */
enum err key_start(struct control *c, struct conversation *v);
enum err key_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* traces.c */
enum err trace_start(struct control *c, struct conversation *v);

/* publishing.c */
enum err name_publish_start(struct control *c, struct conversation *v);
enum err name_publish_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void name_publish_end(struct control *c, struct conversation *v);
enum err name_put_start(struct control *c, struct conversation *v);
enum err name_put_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* names.c */
enum err name_resolve_start(struct control *c, struct conversation *v);

/* jobs.c */
enum err job_status_start(struct control *c, struct conversation *v);
enum err job_cancel_start(struct control *c, struct conversation *v);

/* relay.c: one question to one actor, its answer shown; ping asks for a connection first */
enum err relay_start(struct control *c, struct conversation *v);
enum err relay_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err backup_read_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err ping_start(struct control *c, struct conversation *v);
enum err ping_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* A peer id, or the /p2p/ component that ends a multiaddr; the error has its sentence. */
enum err conversation_peer(struct conversation *v, struct span text, struct peer_id *ret_peer) MUST_CHECK;

/* routing.c */
enum err findpeer_start(struct control *c, struct conversation *v);
enum err provide_start(struct control *c, struct conversation *v);
enum err provide_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err route_get_start(struct control *c, struct conversation *v);
enum err route_put_start(struct control *c, struct conversation *v);

/* blocks.c */
/* Asks bitswap for a block, or the store alone when the request is to be answered offline. */
enum err block_fetch(struct control *c, struct conversation *v, const struct cid *cid, unsigned sub) MUST_CHECK;
/* Asks the store how large a block is that is here; no medium is asked: block_stat_ok, or ERR_NOT_FOUND. */
enum err block_ask_size(struct control *c, struct conversation *v, const struct cid *cid, unsigned sub) MUST_CHECK;
/* The CID of a block by the names of its codec and hash function; the error has its sentence. */
enum err block_cid_of(struct conversation *v, struct span codec, struct span mhtype, struct span data,
                      struct cid *ret_cid) MUST_CHECK;
enum err block_get_start(struct control *c, struct conversation *v);
enum err fetch_again(struct control *c, struct conversation *v, unsigned sub);
enum err block_get_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err block_put_start(struct control *c, struct conversation *v);
enum err block_put_again(struct control *c, struct conversation *v, unsigned sub);
enum err block_put_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err block_stat_start(struct control *c, struct conversation *v);
enum err block_stat_again(struct control *c, struct conversation *v, unsigned sub);
enum err block_stat_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err refs_start(struct control *c, struct conversation *v);
enum err refs_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* filters.c */
enum err filters_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* denylists.c */
enum err denylist_ls_start(struct control *c, struct conversation *v);
enum err denylist_check_start(struct control *c, struct conversation *v);

/* pins.c: pin add, pin update, pin verify */
enum err pin_add_start(struct control *c, struct conversation *v);
enum err pin_update_start(struct control *c, struct conversation *v);
enum err pin_verify_start(struct control *c, struct conversation *v);
enum err pins_again(struct control *c, struct conversation *v, unsigned sub);
enum err pins_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void pins_end(struct control *c, struct conversation *v);

/* tiers.c */
enum err tier_ls_start(struct control *c, struct conversation *v);
enum err tier_ls_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err tier_stat_start(struct control *c, struct conversation *v);
enum err tier_stat_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void tiers_end(struct control *c, struct conversation *v);
enum err tier_move_start(struct control *c, struct conversation *v);
enum err tier_move_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err tier_pin_start(struct control *c, struct conversation *v);
enum err tier_packs_start(struct control *c, struct conversation *v);
enum err tier_check_start(struct control *c, struct conversation *v);

/* batches.c */
enum err batch_start(struct control *c, struct conversation *v);
enum err batch_again(struct control *c, struct conversation *v, unsigned sub);
enum err batch_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void batch_end(struct control *c, struct conversation *v);
enum err block_has_start(struct control *c, struct conversation *v);
enum err block_has_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* why.c */
enum err why_start(struct control *c, struct conversation *v);
enum err why_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void why_end(struct control *c, struct conversation *v);

/* replicate.c */
enum err replicate_set_start(struct control *c, struct conversation *v);
enum err replicate_rm_start(struct control *c, struct conversation *v);
enum err replicate_get_start(struct control *c, struct conversation *v);
enum err replicate_ls_start(struct control *c, struct conversation *v);
enum err replicate_rows_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
/* The wish among what is noted about a CID, as a pair; returns how many pairs: one, or none. */
struct pack;
uint32_t replicate_pack(struct pack *p, const struct msg_metadata_rows *m);

/* metadata.c */
enum err metadata_put_start(struct control *c, struct conversation *v);
enum err metadata_update_start(struct control *c, struct conversation *v);
enum err metadata_rm_start(struct control *c, struct conversation *v);
enum err metadata_set_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
enum err metadata_get_start(struct control *c, struct conversation *v);
enum err metadata_query_start(struct control *c, struct conversation *v);
enum err metadata_rows_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);

/* reading.c */
enum err read_start(struct control *c, struct conversation *v);
enum err get_start(struct control *c, struct conversation *v);
enum err dag_export_start(struct control *c, struct conversation *v);
enum err ls_start(struct control *c, struct conversation *v);
enum err dag_walk_start(struct control *c, struct conversation *v);
enum err resolve_start(struct control *c, struct conversation *v);
void reading_end(struct control *c, struct conversation *v);

/* getting_file.c */
enum err get_file_start(struct control *c, struct conversation *v);
void get_file_end(struct control *c, struct conversation *v);

/* adding.c */
enum err add_open_start(struct control *c, struct conversation *v);
enum err add_write_start(struct control *c, struct conversation *v);
enum err add_file_start(struct control *c, struct conversation *v);
enum err add_close_start(struct control *c, struct conversation *v);
enum err add_close_again(struct control *c, struct conversation *v, unsigned sub);
enum err add_close_reply(struct control *c, struct conversation *v, unsigned sub, const struct info *info);
void adding_end(struct control *c, struct conversation *v);

#endif

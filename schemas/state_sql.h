/* SPDX-License-Identifier: MIT */
/*
 * state.db: what the node knows of itself, for people and scripts. The state actor alone writes it; everyone may read it at any
 * time (WAL). Times are nanoseconds since the epoch; the views v_* show them, and sizes, as people read them. Rows of connections,
 * wants, transfers, hot blocks, actors and accounts are of this life; peers, events, crashes, moves, costs and records of names are kept.
 */
#ifndef HEARTH_SCHEMAS_STATE_SQL_H
#define HEARTH_SCHEMAS_STATE_SQL_H

/* Grows with each change of the tables; a file of another version is moved aside and made anew. */
enum {
    STATE_SQL_VERSION = 4,
    STATE_EVENTS_MAX = 10000,
    STATE_PEERS_MAX = 4096,
    STATE_MOVES_MAX = 1000,
    STATE_CRASHES_MAX = 100
};

#define STATE_SQL_PRAGMAS                                                                                              \
    "PRAGMA journal_mode=WAL;"                                                                                         \
    "PRAGMA synchronous=NORMAL;"                                                                                       \
    "PRAGMA journal_size_limit=4194304;"                                                                               \
    "PRAGMA cache_size=-256;"                                                                                          \
    "PRAGMA temp_store=MEMORY;"

#define STATE_SQL_TABLES                                                                                               \
    "CREATE TABLE IF NOT EXISTS actors(name TEXT PRIMARY KEY, state TEXT, epoch INTEGER, restarts INTEGER,"            \
    " last_exit_reason TEXT, mailbox_records INTEGER, mailbox_bytes INTEGER, refused INTEGER, heartbeat_at INTEGER)"   \
    " WITHOUT ROWID;"                                                                                                  \
    "CREATE TABLE IF NOT EXISTS events(id INTEGER PRIMARY KEY, at INTEGER, actor TEXT, event TEXT, reason TEXT);"      \
    "CREATE TABLE IF NOT EXISTS crashes(at INTEGER PRIMARY KEY, cause TEXT, actor TEXT, epoch INTEGER, thread TEXT,"   \
    " message TEXT, digest BLOB, peer TEXT, address INTEGER, backtrace TEXT, verdict TEXT);"                           \
    "CREATE TABLE IF NOT EXISTS accounts(name TEXT PRIMARY KEY, limit_bytes INTEGER, used_bytes INTEGER,"              \
    " peak_bytes INTEGER, refused INTEGER) WITHOUT ROWID;"                                                             \
    "CREATE TABLE IF NOT EXISTS peers(peer TEXT PRIMARY KEY, addrs TEXT, protocols TEXT, agent TEXT,"                  \
    " first_seen INTEGER, last_seen INTEGER, connected INTEGER, successes INTEGER, failures INTEGER) WITHOUT ROWID;"   \
    "CREATE INDEX IF NOT EXISTS peers_by_last_seen ON peers(last_seen);"                                               \
    "CREATE TABLE IF NOT EXISTS connections(id INTEGER PRIMARY KEY, peer TEXT, addr TEXT, direction TEXT,"             \
    " security TEXT, muxer TEXT, streams INTEGER, opened_at INTEGER, rtt_ns INTEGER, bytes_in INTEGER,"                \
    " bytes_out INTEGER);"                                                                                             \
    "CREATE TABLE IF NOT EXISTS wants(cid TEXT, peer TEXT, priority INTEGER, since INTEGER,"                           \
    " PRIMARY KEY(cid, peer)) WITHOUT ROWID;"                                                                          \
    "CREATE TABLE IF NOT EXISTS transfers(id INTEGER PRIMARY KEY, kind TEXT, cid TEXT, name TEXT,"                     \
    " bytes_done INTEGER, bytes_total INTEGER, started_at INTEGER);"                                                   \
    "CREATE TABLE IF NOT EXISTS moves(id INTEGER PRIMARY KEY, source TEXT, target TEXT, blocks INTEGER, bytes "        \
    "INTEGER,"                                                                                                         \
    " since INTEGER, until INTEGER, reason TEXT);"                                                                     \
    "CREATE TABLE IF NOT EXISTS hot(multihash BLOB PRIMARY KEY, cid TEXT, heat REAL, short_heat REAL,"                 \
    " long_heat REAL, held INTEGER, accesses INTEGER, wants INTEGER, used_at INTEGER, at INTEGER) WITHOUT ROWID;"      \
    "CREATE TABLE IF NOT EXISTS costs(month TEXT, tier TEXT, writes INTEGER, reads INTEGER, removals INTEGER,"         \
    " bytes_out INTEGER, bytes_in INTEGER, PRIMARY KEY(month, tier)) WITHOUT ROWID;"                                   \
    "CREATE TABLE IF NOT EXISTS dhts(name TEXT PRIMARY KEY, mode TEXT, refreshed_at INTEGER, lookups INTEGER,"         \
    " requests_out INTEGER, requests_failed INTEGER, requests_in INTEGER, requests_refused INTEGER) WITHOUT ROWID;"    \
    "CREATE TABLE IF NOT EXISTS routing_peers(dht TEXT, peer TEXT, bucket INTEGER, connected INTEGER,"                 \
    " useful_at INTEGER, queried_at INTEGER, PRIMARY KEY(dht, peer)) WITHOUT ROWID;"                                   \
    "CREATE TABLE IF NOT EXISTS ipns_records(name TEXT PRIMARY KEY, value TEXT, sequence INTEGER, ttl_ns INTEGER,"     \
    " valid_until INTEGER, published_at INTEGER, told_at INTEGER, record BLOB) WITHOUT ROWID;"                         \
    "CREATE TABLE IF NOT EXISTS providers(slot INTEGER PRIMARY KEY, key BLOB, peer TEXT, addrs BLOB,"                  \
    " received_at INTEGER);"                                                                                           \
    "CREATE TABLE IF NOT EXISTS routing_values(slot INTEGER PRIMARY KEY, key BLOB, value BLOB, peer TEXT,"             \
    " received_at INTEGER);"                                                                                           \
    "CREATE TABLE IF NOT EXISTS provides(key BLOB PRIMARY KEY, multihash BLOB, class INTEGER, seen INTEGER,"           \
    " provided_at INTEGER) WITHOUT ROWID;"                                                                             \
    "CREATE INDEX IF NOT EXISTS provides_fresh ON provides(class, key) WHERE provided_at=0;"                           \
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"                                      \
    "CREATE VIEW IF NOT EXISTS v_connections AS SELECT c.peer, c.addr, c.direction, c.security, c.muxer, c.streams,"   \
    " datetime(c.opened_at/1000000000,'unixepoch') AS opened, round(c.rtt_ns/1e6,1) AS rtt_ms, c.bytes_in,"            \
    " c.bytes_out, p.agent FROM connections c LEFT JOIN peers p ON p.peer=c.peer ORDER BY c.opened_at;"                \
    "CREATE VIEW IF NOT EXISTS v_wants AS SELECT cid, CASE peer WHEN '' THEN 'this node' ELSE peer END AS wanted_by,"  \
    " priority, datetime(since/1000000000,'unixepoch') AS since FROM wants ORDER BY since;"                            \
    "CREATE VIEW IF NOT EXISTS v_transfers AS SELECT id, kind, cid, name, bytes_done, bytes_total,"                    \
    " CASE WHEN bytes_total>0 THEN round(100.0*bytes_done/bytes_total,1) END AS percent,"                              \
    " datetime(started_at/1000000000,'unixepoch') AS started FROM transfers ORDER BY id;"                              \
    "CREATE VIEW IF NOT EXISTS v_moves AS SELECT source AS \"from\", target AS \"to\", blocks, bytes,"                 \
    " datetime(since/1000000000,'unixepoch') AS since, datetime(until/1000000000,'unixepoch') AS until, reason"        \
    " FROM moves ORDER BY since DESC;"                                                                                 \
    "CREATE VIEW IF NOT EXISTS v_hot AS SELECT cid, round(heat,3) AS heat, round(short_heat,3) AS short_heat,"         \
    " round(long_heat,3) AS long_heat, held, accesses, wants,"                                                         \
    " CASE WHEN used_at>0 THEN datetime(used_at/1000000000,'unixepoch') END AS used,"                                  \
    " datetime(at/1000000000,'unixepoch') AS at, lower(hex(multihash)) AS multihash FROM hot"                          \
    " ORDER BY hot.heat DESC, cid;"                                                                                    \
    "CREATE VIEW IF NOT EXISTS v_dht AS SELECT name, mode, (SELECT count(*) FROM routing_peers WHERE dht=name) AS "    \
    "peers,"                                                                                                           \
    " (SELECT sum(connected) FROM routing_peers WHERE dht=name) AS connected,"                                         \
    " CASE WHEN refreshed_at>0 THEN datetime(refreshed_at/1000000000,'unixepoch') END AS refreshed, lookups,"          \
    " requests_out, requests_failed, requests_in, requests_refused FROM dhts ORDER BY name DESC;"                      \
    "CREATE VIEW IF NOT EXISTS v_routing_peers AS SELECT r.dht, r.bucket, r.peer, r.connected,"                        \
    " CASE WHEN r.useful_at>0 THEN datetime(r.useful_at/1000000000,'unixepoch') END AS useful,"                        \
    " CASE WHEN r.queried_at>0 THEN datetime(r.queried_at/1000000000,'unixepoch') END AS queried, p.agent"             \
    " FROM routing_peers r LEFT JOIN peers p ON p.peer=r.peer ORDER BY r.dht DESC, r.bucket, r.peer;"                  \
    "CREATE VIEW IF NOT EXISTS v_providers AS SELECT lower(hex(key)) AS key, peer,"                                    \
    " datetime(received_at/1000000000,'unixepoch') AS received,"                                                       \
    " datetime(received_at/1000000000+172800,'unixepoch') AS expires FROM providers ORDER BY received_at DESC;"        \
    "CREATE VIEW IF NOT EXISTS v_provides AS SELECT lower(hex(multihash)) AS multihash,"                               \
    " CASE class WHEN 0 THEN 'root' WHEN 1 THEN 'pinned' WHEN 2 THEN 'hot' ELSE 'stored' END AS class,"                \
    " CASE WHEN provided_at>0 THEN datetime(provided_at/1000000000,'unixepoch') END AS provided"                       \
    " FROM provides ORDER BY key;"                                                                                     \
    "CREATE VIEW IF NOT EXISTS v_costs AS SELECT * FROM costs ORDER BY month DESC, tier;"                              \
    "CREATE VIEW IF NOT EXISTS v_ipns_records AS SELECT name, value, sequence, ttl_ns/1000000000 AS ttl_s,"            \
    " datetime(valid_until/1000000000,'unixepoch') AS valid_until,"                                                    \
    " datetime(published_at/1000000000,'unixepoch') AS published,"                                                     \
    " CASE WHEN told_at>0 THEN datetime(told_at/1000000000,'unixepoch') END AS told FROM ipns_records ORDER BY name;"  \
    "CREATE VIEW IF NOT EXISTS v_events AS SELECT datetime(at/1000000000,'unixepoch') AS at, actor, event, reason"     \
    " FROM events ORDER BY id DESC;"                                                                                   \
    "CREATE VIEW IF NOT EXISTS v_crashes AS SELECT datetime(at/1000000000,'unixepoch') AS at, cause, actor, epoch,"    \
    " thread, message, lower(hex(digest)) AS digest, peer, printf('0x%x',address) AS address, backtrace, verdict"      \
    " FROM crashes ORDER BY crashes.at DESC;"                                                                          \
    "CREATE VIEW IF NOT EXISTS v_actors AS SELECT name, state, epoch, restarts, last_exit_reason, mailbox_records,"    \
    " mailbox_bytes, refused, datetime(heartbeat_at/1000000000,'unixepoch') AS heartbeat FROM actors;"

/* What belongs to an earlier life goes when a life begins. */
#define STATE_SQL_BEGIN_LIFE                                                                                           \
    "DELETE FROM actors; DELETE FROM accounts; DELETE FROM connections; DELETE FROM wants; DELETE FROM transfers;"     \
    "DELETE FROM dhts; DELETE FROM routing_peers; DELETE FROM hot; "                                                   \
    "DELETE FROM peers WHERE last_seen<(SELECT max(last_seen) FROM peers)-2592000000000000;"                           \
    "UPDATE peers SET connected=0 WHERE connected<>0; DELETE FROM meta WHERE key='stopped_at';"

/* Row-value IS NOT: a row that would not change is not written. */
#define STATE_SQL_ACTOR                                                                                                \
    "INSERT INTO actors VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9) ON CONFLICT(name) DO UPDATE SET state=?2, epoch=?3,"        \
    " restarts=?4, last_exit_reason=?5, mailbox_records=?6, mailbox_bytes=?7, refused=?8, heartbeat_at=?9"
#define STATE_SQL_ACCOUNT                                                                                              \
    "INSERT INTO accounts VALUES(?1,?2,?3,?4,?5) ON CONFLICT(name) DO UPDATE SET limit_bytes=?2, used_bytes=?3,"       \
    " peak_bytes=?4, refused=?5"
#define STATE_SQL_EVENT        "INSERT INTO events(at, actor, event, reason) VALUES(?1,?2,?3,?4)"
#define STATE_SQL_EVENTS_TRIM  "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1"
#define STATE_SQL_CRASH        "INSERT OR IGNORE INTO crashes VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
#define STATE_SQL_CRASHES_TRIM "DELETE FROM crashes WHERE at NOT IN (SELECT at FROM crashes ORDER BY at DESC LIMIT ?1)"
#define STATE_SQL_CRASHES_LOAD                                                                                         \
    "SELECT at, cause, actor, thread, message, peer, backtrace, verdict FROM crashes ORDER BY at DESC LIMIT 20"
#define STATE_SQL_PEER                                                                                                 \
    "INSERT INTO peers VALUES(?1,?2,?3,?4,?5,?5,?6,?7,?8) ON CONFLICT(peer) DO UPDATE SET"                             \
    " addrs=CASE ?2 WHEN '[]' THEN addrs ELSE ?2 END, protocols=CASE ?3 WHEN '[]' THEN protocols ELSE ?3 END,"         \
    " agent=CASE ?4 WHEN '' THEN agent ELSE ?4 END, last_seen=max(last_seen,?5), connected=?6, successes=?7,"          \
    " failures=?8"                                                                                                     \
    " WHERE (addrs,protocols,agent,connected,successes,failures) IS NOT (?2,?3,?4,?6,?7,?8) OR last_seen<?5"
#define STATE_SQL_PEER_GONE "DELETE FROM peers WHERE peer=?1"
/* What peers are worth: the share of dials that succeeded, less with each day out of sight, counted from the peer seen last. */
#define STATE_SQL_PEERS_BEST                                                                                           \
    " ORDER BY (successes+1.0)/(successes+failures+2.0)/(1.0+((SELECT max(last_seen) FROM peers)-last_seen)/864e11)"   \
    " DESC, last_seen DESC, peer"
#define STATE_SQL_PEERS_TRIM                                                                                           \
    "DELETE FROM peers WHERE peer IN (SELECT peer FROM peers" STATE_SQL_PEERS_BEST " LIMIT -1 OFFSET ?1)"
#define STATE_SQL_PEERS_LOAD                                                                                           \
    "SELECT peer, addrs, last_seen, successes, failures FROM peers" STATE_SQL_PEERS_BEST " LIMIT ?1"
#define STATE_SQL_CONNECTION                                                                                           \
    "INSERT INTO connections VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT(id) DO UPDATE SET"                 \
    " peer=?2, addr=?3, direction=?4, security=?5, muxer=?6, streams=?7, opened_at=?8, rtt_ns=?9, bytes_in=?10,"       \
    " bytes_out=?11 WHERE (peer,addr,direction,security,muxer,streams,opened_at,rtt_ns,bytes_in,bytes_out)"            \
    " IS NOT (?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
#define STATE_SQL_BEGIN           "BEGIN IMMEDIATE"
#define STATE_SQL_COMMIT          "COMMIT"
#define STATE_SQL_CONNECTION_GONE "DELETE FROM connections WHERE id=?1"
#define STATE_SQL_WANT                                                                                                 \
    "INSERT INTO wants VALUES(?1,?2,?3,?4) ON CONFLICT(cid,peer) DO UPDATE SET priority=?3, since=?4"                  \
    " WHERE (priority,since) IS NOT (?3,?4)"
#define STATE_SQL_WANT_GONE "DELETE FROM wants WHERE cid=?1 AND peer=?2"
#define STATE_SQL_TRANSFER                                                                                             \
    "INSERT INTO transfers VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT(id) DO UPDATE SET kind=?2, cid=?3, name=?4,"       \
    " bytes_done=?5, bytes_total=?6, started_at=?7"                                                                    \
    " WHERE (kind,cid,name,bytes_done,bytes_total,started_at) IS NOT (?2,?3,?4,?5,?6,?7)"
#define STATE_SQL_TRANSFER_GONE "DELETE FROM transfers WHERE id=?1"
#define STATE_SQL_MOVE                                                                                                 \
    "INSERT INTO moves VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(id) DO UPDATE SET blocks=?4, bytes=?5, until=?7"
#define STATE_SQL_MOVES_TRIM                                                                                           \
    "DELETE FROM moves WHERE id IN (SELECT id FROM moves ORDER BY since DESC LIMIT -1 OFFSET ?1)"
#define STATE_SQL_HOT       "INSERT OR REPLACE INTO hot VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)"
#define STATE_SQL_HOT_CLEAR "DELETE FROM hot"
#define STATE_SQL_COST                                                                                                 \
    "INSERT INTO costs VALUES(strftime('%Y-%m', ?1/1000000000, 'unixepoch'),?2,?3,?4,?5,?6,?7)"                        \
    " ON CONFLICT(month, tier) DO UPDATE SET writes=writes+?3, reads=reads+?4, removals=removals+?5,"                  \
    " bytes_out=bytes_out+?6, bytes_in=bytes_in+?7"
#define STATE_SQL_DHT                                                                                                  \
    "INSERT INTO dhts VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(name) DO UPDATE SET mode=?2, refreshed_at=?3,"       \
    " lookups=?4, requests_out=?5, requests_failed=?6, requests_in=?7, requests_refused=?8"
#define STATE_SQL_ROUTING_PEER       "INSERT OR REPLACE INTO routing_peers VALUES(?1,?2,?3,?4,?5,?6)"
#define STATE_SQL_ROUTING_PEER_CLEAR "DELETE FROM routing_peers WHERE dht=?1"
#define STATE_SQL_META               "INSERT INTO meta VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=?2 WHERE value IS NOT ?2"
#define STATE_SQL_EVENTS_LOAD        "SELECT at, actor, event, reason FROM events ORDER BY id DESC LIMIT ?1"
#define STATE_SQL_IPNS_GET           "SELECT name, published_at, told_at, record FROM ipns_records WHERE name=?1"
#define STATE_SQL_IPNS_DUE                                                                                             \
    "SELECT name, published_at, told_at, record FROM ipns_records WHERE name>?1"                                       \
    " AND (told_at<=?2 OR told_at>?3) ORDER BY name"
#define STATE_SQL_IPNS_TOLD "UPDATE ipns_records SET told_at=?2 WHERE name=?1"
#define STATE_SQL_IPNS_PUT                                                                                             \
    "INSERT INTO ipns_records VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(name) DO UPDATE SET value=?2, sequence=?3,"  \
    " ttl_ns=?4, valid_until=?5, published_at=?6, told_at=?7, record=?8 WHERE sequence<=?3"
#define STATE_SQL_IPNS_SALVAGE                                                                                         \
    "INSERT OR IGNORE INTO ipns_records(name, value, sequence, ttl_ns, valid_until, published_at, told_at, record)"    \
    " SELECT name, value, sequence, ttl_ns, valid_until, published_at, told_at, record FROM aside.ipns_records"
#define STATE_SQL_PROVIDER      "INSERT OR REPLACE INTO providers VALUES(?1,?2,?3,?4,?5)"
#define STATE_SQL_PROVIDER_GONE "DELETE FROM providers WHERE slot=?1"
#define STATE_SQL_PROVIDERS_LOAD                                                                                       \
    "SELECT slot, key, peer, addrs, received_at FROM providers WHERE (received_at, slot) >= (?1, ?2)"                  \
    " ORDER BY received_at, slot LIMIT 256"
#define STATE_SQL_VALUE      "INSERT OR REPLACE INTO routing_values VALUES(?1,?2,?3,?4,?5)"
#define STATE_SQL_VALUE_GONE "DELETE FROM routing_values WHERE slot=?1"
#define STATE_SQL_VALUES_LOAD                                                                                          \
    "SELECT slot, key, value, peer, received_at FROM routing_values WHERE slot >= ?1 ORDER BY slot LIMIT 16"
/* Of the classes that one walk names, the best one counts. */
#define STATE_SQL_PROVIDE                                                                                              \
    "INSERT INTO provides VALUES(?1,?2,?3,?4,0) ON CONFLICT(key) DO UPDATE SET seen=max(seen,?4),"                     \
    " class=CASE WHEN seen<?4 THEN ?3 ELSE min(class,?3) END WHERE seen<?4 OR class>?3"
/* Not all that is hot is here. */
#define STATE_SQL_PROVIDE_HOT    "UPDATE provides SET class=?2 WHERE key=?1 AND class>?2"
#define STATE_SQL_PROVIDED       "UPDATE provides SET provided_at=?2 WHERE key=?1"
#define STATE_SQL_PROVIDE_GONE   "DELETE FROM provides WHERE key=?1"
#define STATE_SQL_PROVIDE_WALKED "DELETE FROM provides WHERE ?1=0 OR seen<?1"
#define STATE_SQL_PROVIDE_AGAIN  "UPDATE provides SET provided_at=0 WHERE provided_at<>0"
#define STATE_SQL_PROVIDES_LOAD                                                                                        \
    "SELECT key, multihash, provided_at FROM provides WHERE key>=?1 AND (provided_at<=?2 OR provided_at>?4)"           \
    " ORDER BY key LIMIT ?3"
#define STATE_SQL_PROVIDES_FRESH                                                                                       \
    "SELECT key, multihash, provided_at FROM provides WHERE provided_at=0 AND class=?2 AND key>=?1"                    \
    " ORDER BY key LIMIT ?3"
#define STATE_SQL_PROVIDE_STAT                                                                                         \
    "SELECT count(*), coalesce(sum(provided_at=0),0), coalesce(min(nullif(provided_at,0)),0),"                         \
    " coalesce((SELECT value FROM meta WHERE key='sweep_position'),0),"                                                \
    " coalesce((SELECT value FROM meta WHERE key='sweep_due_at'),0), coalesce(max(seen),0) FROM provides"

#endif

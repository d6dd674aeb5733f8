/* SPDX-License-Identifier: MIT */
/*
 * The schema of blocks.db. Tables are for the daemon, views for people and scripts; v_blocks and v_pins spell CIDs in base32 by plain
 * SQL, so that any SQLite client shows them. A change of the schema raises BLOCKS_SCHEMA_VERSION and comes with a step of
 * storage/migration.c.
 */
#ifndef HEARTH_SCHEMAS_BLOCKS_SQL_H
#define HEARTH_SCHEMAS_BLOCKS_SQL_H

enum { BLOCKS_SCHEMA_VERSION = 4 };
#define BLOCKS_SCHEMA_VERSION_TEXT "4"

/* Base32 (RFC 4648, lower case, no padding) of the hex text expression X, with multibase's leading b. */
#define BLOCKS_SQL_BASE32(X)                                                                                           \
    "(WITH RECURSIVE h(t, n) AS (SELECT " X " || '00', length(" X ") * 4)"                                             \
    ", e(i, o) AS (SELECT 0, 'b' UNION ALL SELECT i + 5, o || substr('abcdefghijklmnopqrstuvwxyz234567', 1 + (("       \
    "((instr('0123456789abcdef', substr(t, 1 + i / 4, 1)) - 1) * 16"                                                   \
    " + instr('0123456789abcdef', substr(t, 2 + i / 4, 1)) - 1) >> (3 - i % 4)) & 31), 1) FROM e, h WHERE i < n)"      \
    " SELECT o FROM e ORDER BY i DESC LIMIT 1)"

/* Hex of a v1 CID from a codec and a multihash column. */
#define BLOCKS_SQL_CID_HEX                                                                                             \
    "('01' || CASE WHEN codec < 128 THEN printf('%02x', codec)"                                                        \
    " ELSE printf('%02x%02x', codec & 127 | 128, codec >> 7) END || lower(hex(multihash)))"

/* SQL reads best as SQL. */
/* clang-format off */
#define BLOCKS_QUARANTINE_SQL \
    "CREATE TABLE quarantine(multihash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL," \
    " segment INTEGER NOT NULL, offset INTEGER NOT NULL, found_at INTEGER NOT NULL, reason TEXT NOT NULL," \
    " attempts INTEGER NOT NULL, retry_at INTEGER NOT NULL) WITHOUT ROWID;" \
    "CREATE INDEX quarantine_by_retry ON quarantine(retry_at);"

/*
 * How often a block is held: once by each recursive pin of it, once by each link of a block that is held itself; storage/catalogue_count.c.
 * expanded: its links are counted. ref_queue: holds that are still to be added to refs. A pin whose counted is below meta's count_round too.
 */
#define BLOCKS_REFS_SQL \
    "CREATE TABLE refs(multihash BLOB NOT NULL, codec INTEGER NOT NULL, count INTEGER NOT NULL, expanded INTEGER NOT NULL," \
    " PRIMARY KEY(multihash, codec)) WITHOUT ROWID;" \
    "CREATE INDEX refs_unexpanded ON refs(multihash, codec) WHERE expanded = 0;" \
    "CREATE TABLE ref_queue(seq INTEGER PRIMARY KEY, multihash BLOB NOT NULL, codec INTEGER NOT NULL, delta INTEGER NOT NULL);" \
    "CREATE INDEX pins_by_counted ON pins(counted) WHERE recursive = 1;"

/* A CID of version 1; its multihash begins behind the version and the codec, whose varint has one byte or two. */
#define BLOCKS_METADATA_SQL \
    "CREATE TABLE metadata(cid BLOB NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, updated_at INTEGER NOT NULL," \
    " PRIMARY KEY(cid, key)) WITHOUT ROWID;" \
    "CREATE INDEX metadata_by_value ON metadata(key, value, cid);"
#define BLOCKS_SQL_HASH_OF(CID) "substr(" CID ", CASE WHEN hex(substr(" CID ", 2, 1)) >= '80' THEN 4 ELSE 3 END)"

/*
 * Blocks in packs of a cold tier; docs/internals/cold_tier.md. A block may be here and in blocks. packs.state: 0 being written, 1 whole,
 * 2 damaged, 3 being removed. live_bytes: of the records that cold_blocks names; in percent of what records take at least, since a small pack is mostly
 * head, index and tail: PACK_USE. A tier without a kind is noted, and not marked yet. tier_pins.tier: 'disk' or 'cold', which a block shall not
 * leave, whether it is stored or not.
 */
#define BLOCKS_SQL_PACK_USE "(live_bytes * 100 / max(1, bytes - 80 - 91 * records))"
#define BLOCKS_COLD_SQL \
    "CREATE TABLE cold_tiers(tier INTEGER PRIMARY KEY, kind TEXT NOT NULL, place TEXT NOT NULL, mark BLOB NOT NULL);" \
    "CREATE TABLE packs(id INTEGER PRIMARY KEY, tier INTEGER NOT NULL, state INTEGER NOT NULL, bytes INTEGER NOT NULL," \
    " records INTEGER NOT NULL, live_bytes INTEGER NOT NULL, written_at INTEGER NOT NULL, checked_at INTEGER NOT NULL);" \
    "CREATE INDEX packs_by_state ON packs(state, tier);" \
    "CREATE INDEX packs_by_use ON packs(" BLOCKS_SQL_PACK_USE ");" \
    "CREATE TABLE cold_blocks(multihash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL," \
    " pack INTEGER NOT NULL, offset INTEGER NOT NULL, stored INTEGER NOT NULL) WITHOUT ROWID;" \
    "CREATE TABLE tier_pins(multihash BLOB PRIMARY KEY, tier TEXT NOT NULL) WITHOUT ROWID;"

#define BLOCKS_TABLES_SQL \
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;" \
    "CREATE TABLE segments(id INTEGER PRIMARY KEY, checkpoint INTEGER NOT NULL, state INTEGER NOT NULL," \
    " live_bytes INTEGER NOT NULL DEFAULT 0);" \
    "CREATE TABLE blocks(multihash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL," \
    " segment INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;" \
    "CREATE TABLE pins(cid BLOB NOT NULL, recursive INTEGER NOT NULL, multihash BLOB NOT NULL, name TEXT NOT NULL," \
    " created_at INTEGER NOT NULL, counted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(cid, recursive)) WITHOUT ROWID;" \
    "CREATE INDEX pins_by_multihash ON pins(multihash);" \
    BLOCKS_QUARANTINE_SQL BLOCKS_REFS_SQL BLOCKS_METADATA_SQL BLOCKS_COLD_SQL

/* Cold blocks that are not on the disk as well. */
#define BLOCKS_SQL_ONLY_COLD \
    " FROM cold_blocks WHERE NOT EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = cold_blocks.multihash)"

#define BLOCKS_SQL_CODEC_NAME \
    "CASE codec WHEN 0x55 THEN 'raw' WHEN 0x70 THEN 'dag-pb' WHEN 0x71 THEN 'dag-cbor' WHEN 0x72 THEN 'libp2p-key'" \
    " WHEN 0x129 THEN 'dag-json' ELSE printf('0x%x', codec) END"

#define BLOCKS_VIEWS_SQL \
    "CREATE VIEW v_blocks AS SELECT " BLOCKS_SQL_BASE32(BLOCKS_SQL_CID_HEX) " AS cid, " BLOCKS_SQL_CODEC_NAME " AS codec," \
    " size, segment, offset, lower(hex(multihash)) AS multihash, tier FROM" \
    " (SELECT multihash, codec, size, segment, offset, 'disk' AS tier FROM blocks" \
    " UNION ALL SELECT multihash, codec, size, NULL, NULL, 'cold'" BLOCKS_SQL_ONLY_COLD ");" \
    "CREATE VIEW v_pins AS SELECT CASE WHEN hex(substr(cid, 1, 1)) = '01' THEN " BLOCKS_SQL_BASE32("lower(hex(cid))") \
    " ELSE " BLOCKS_SQL_BASE32("('0170' || lower(hex(cid)))") " END AS cid," \
    " CASE recursive WHEN 1 THEN 'recursive' ELSE 'direct' END AS kind, name," \
    " datetime(created_at / 1000000000, 'unixepoch') AS created_at FROM pins;" \
    "CREATE VIEW v_segments AS SELECT printf('%016x.seg', id) AS file, checkpoint AS indexed_bytes, live_bytes," \
    " CASE state WHEN 0 THEN 'open' WHEN 1 THEN 'sealed' ELSE 'suspect' END AS state FROM segments;" \
    "CREATE VIEW v_usage AS SELECT 'codec' AS kind, " BLOCKS_SQL_CODEC_NAME " AS name, count(*) AS blocks," \
    " sum(size) AS bytes, NULL AS dead_bytes FROM (SELECT codec, size FROM blocks" \
    " UNION ALL SELECT codec, size" BLOCKS_SQL_ONLY_COLD ") GROUP BY codec" \
    " UNION ALL SELECT 'segment', printf('%016x.seg', s.id), coalesce(b.blocks, 0), coalesce(b.bytes, 0)," \
    " max(0, s.checkpoint - s.live_bytes) FROM segments s LEFT JOIN (SELECT segment, count(*) AS blocks, sum(size) AS bytes" \
    " FROM blocks GROUP BY segment) b ON b.segment = s.id" \
    " UNION ALL SELECT 'pack', printf('%016x.pack', p.id), coalesce(b.blocks, 0), coalesce(b.bytes, 0)," \
    " max(0, p.bytes - p.live_bytes) FROM packs p LEFT JOIN (SELECT pack, count(*) AS blocks, sum(size) AS bytes" \
    " FROM cold_blocks GROUP BY pack) b ON b.pack = p.id;" \
    "CREATE VIEW v_packs AS SELECT printf('%016x.pack', id) AS file, tier," \
    " CASE state WHEN 0 THEN 'being written' WHEN 1 THEN 'whole' WHEN 2 THEN 'damaged' ELSE 'being removed' END AS state," \
    " bytes, records, live_bytes," \
    " CASE written_at WHEN 0 THEN NULL ELSE datetime(written_at / 1000000000, 'unixepoch') END AS written_at," \
    " CASE checked_at WHEN 0 THEN NULL ELSE datetime(checked_at / 1000000000, 'unixepoch') END AS checked_at FROM packs;" \
    "CREATE VIEW v_tiers AS SELECT 'disk' AS tier, 'segments' AS kind, '' AS place," \
    " (SELECT value FROM meta WHERE key = 'blocks') AS blocks, (SELECT value FROM meta WHERE key = 'bytes') AS bytes," \
    " count(*) AS files, coalesce(sum(checkpoint), 0) AS file_bytes, coalesce(sum(live_bytes), 0) AS live_bytes" \
    " FROM segments" \
    " UNION ALL SELECT 'cold', t.kind, t.place, (SELECT value FROM meta WHERE key = 'cold_blocks')," \
    " (SELECT value FROM meta WHERE key = 'cold_bytes'), count(p.id), coalesce(sum(p.bytes), 0)," \
    " coalesce(sum(p.live_bytes), 0) FROM cold_tiers t LEFT JOIN packs p ON p.tier = t.tier GROUP BY t.tier;" \
    "CREATE VIEW v_metadata AS SELECT " BLOCKS_SQL_BASE32("lower(hex(cid))") " AS cid, key, value," \
    " datetime(updated_at / 1000000000, 'unixepoch') AS updated_at," \
    " EXISTS(SELECT 1 FROM blocks WHERE blocks.multihash = " BLOCKS_SQL_HASH_OF("metadata.cid") ")" \
    " OR EXISTS(SELECT 1 FROM cold_blocks WHERE cold_blocks.multihash = " BLOCKS_SQL_HASH_OF("metadata.cid") ")" \
    " AS stored FROM metadata;" \
    "CREATE VIEW v_replication AS SELECT cid, json_extract(value, '$.min') AS min, json_extract(value, '$.max') AS max," \
    " json_extract(value, '$.critical') AS critical, updated_at, stored FROM v_metadata" \
    " WHERE key = 'replication' AND json_valid(value);" \
    "CREATE VIEW v_quarantine AS SELECT " BLOCKS_SQL_BASE32(BLOCKS_SQL_CID_HEX) " AS cid," \
    " lower(hex(multihash)) AS multihash, size, segment, offset, reason," \
    " datetime(found_at / 1000000000, 'unixepoch') AS found_at, attempts," \
    " CASE retry_at WHEN 0 THEN NULL ELSE datetime(retry_at / 1000000000, 'unixepoch') END AS retry_at FROM quarantine;"

#define BLOCKS_SCHEMA_SQL BLOCKS_TABLES_SQL BLOCKS_VIEWS_SQL

/* What version 1 lacks, apart from figures that a program must count. */
#define BLOCKS_VERSION_2_SQL \
    "ALTER TABLE pins ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;" BLOCKS_REFS_SQL \
    "INSERT INTO meta(key, value) VALUES ('count_round', 1), ('count_clears', 0), ('count_leaks', 0);" \
    "ALTER TABLE segments ADD COLUMN live_bytes INTEGER NOT NULL DEFAULT 0;" \
    "INSERT INTO meta(key, value) SELECT 'next_segment', coalesce(max(id), 0) + 1 FROM segments;" \
    "INSERT INTO meta(key, value) SELECT 'pins', count(*) FROM pins;" \
    "INSERT INTO meta(key, value) SELECT 'recursive_pins', count(*) FROM pins WHERE recursive = 1;"

/* What version 2 lacks: metadata; and until then a block could be in quarantine more than once, and its codec was not kept. */
#define BLOCKS_VERSION_3_SQL \
    "ALTER TABLE quarantine RENAME TO quarantine_2;" \
    BLOCKS_QUARANTINE_SQL \
    "INSERT OR REPLACE INTO quarantine SELECT multihash, 85, size, segment, offset, found_at, reason, 0, 0" \
    " FROM quarantine_2 ORDER BY found_at;" \
    "DROP TABLE quarantine_2;" \
    "DELETE FROM quarantine WHERE multihash IN (SELECT multihash FROM blocks);" BLOCKS_METADATA_SQL

/* What version 3 lacks: cold tiers. Nothing is converted. */
#define BLOCKS_VERSION_4_SQL \
    BLOCKS_COLD_SQL "INSERT INTO meta(key, value) VALUES ('cold_blocks', 0), ('cold_bytes', 0);"
/* clang-format on */

#endif

# SPDX-License-Identifier: MIT
"""A catalogue as version 1 of it was, made from that of a repository of today: the segments are the same."""
import shutil
import sqlite3

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments(id INTEGER PRIMARY KEY, checkpoint INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE TABLE blocks(multihash BLOB PRIMARY KEY, codec INTEGER NOT NULL, size INTEGER NOT NULL, segment INTEGER NOT NULL,
  offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pins(cid BLOB NOT NULL, recursive INTEGER NOT NULL, multihash BLOB NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL,
  PRIMARY KEY(cid, recursive)) WITHOUT ROWID;
CREATE INDEX pins_by_multihash ON pins(multihash);
CREATE TABLE quarantine(multihash BLOB NOT NULL, size INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
  found_at INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE VIEW v_segments AS SELECT id FROM segments;
INSERT INTO segments SELECT id, checkpoint, state FROM now.segments;
INSERT INTO blocks SELECT multihash, codec, size, segment, offset FROM now.blocks;
INSERT INTO pins SELECT cid, recursive, multihash, name, created_at FROM now.pins;
INSERT INTO meta SELECT key, value FROM now.meta WHERE key IN ('id', 'generation', 'blocks', 'bytes');
INSERT INTO meta VALUES ('schema_version', 1);
PRAGMA user_version = 1;
"""


def make(repository, to):
    """Writes the catalogue to that file; how many blocks it names. The daemon has stopped."""
    db = sqlite3.connect(to, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("ATTACH ? AS now", (str(repository / "blocks.db"),))
    db.executescript(SCHEMA)
    rows = db.execute("SELECT count(*) FROM main.blocks").fetchone()[0]
    db.close()
    return rows


def put(old, repository):
    """In the place of the catalogue that is there."""
    for path in [*repository.glob("blocks.db*"), repository / "filter"]:
        path.unlink(missing_ok=True)
    shutil.copyfile(old, repository / "blocks.db")


def version_of(path, rows):
    """Of a database that is whole and names so many blocks."""
    db = sqlite3.connect(path)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    whole = db.execute("PRAGMA quick_check").fetchone()[0] == "ok" and db.execute("SELECT count(*) FROM blocks").fetchone()[0] == rows
    db.close()
    if not whole:
        raise RuntimeError(f"{path.name}, version {version}: it is not whole")
    return version


def check(repository, scratch, rows):
    """The version that is there after a kill; when it is a later one, the backup of the old one is whole. Looks at copies only."""
    copy = scratch / "looked-at.db"
    for end in ("", "-wal", "-shm"):
        (scratch / (copy.name + end)).unlink(missing_ok=True)
    for end in ("", "-wal"):
        if (repository / ("blocks.db" + end)).exists():
            shutil.copyfile(repository / ("blocks.db" + end), scratch / (copy.name + end))
    version = version_of(copy, rows)
    if version > 1 and version_of(repository / "blocks.db.v1-backup", rows) != 1:
        raise RuntimeError("blocks.db.v1-backup is not of version 1")
    return version

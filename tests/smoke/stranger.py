#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stranger reads a repository by docs/storage.md alone, and compares what it finds with what the node says.

Usage: tests/smoke/stranger.py; HEARTH_BUILD names another build folder.
"""
import hashlib
import os
import re
import shutil
import sqlite3
import struct
import sys
import tempfile

from bad_input import Node, check, counts

ALIGN, SECTOR, FIXED = 8, 4096, 28
PAYLOAD_MAX, KEY_MAX = 4 << 20, 71

# ---- the reader; it knows nothing that is not on the page ----

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def record_at(data, offset, segment):
    """(multihash, codec, payload, bytes of the record), or None."""
    if data[offset:offset + 4] != b"HRB1" or offset + FIXED > len(data):
        return None
    crc, owner, size, codec, key = struct.unpack_from("<IQIIB3x", data, offset + 4)
    end = offset + FIXED + key + size
    if owner != segment or size > PAYLOAD_MAX or not 1 <= key <= KEY_MAX or end > len(data):
        return None
    multihash, payload = data[offset + FIXED:offset + FIXED + key], data[offset + FIXED + key:end]
    if crc32c(data[offset + 8:end]) != crc:
        return None
    if multihash[:2] == b"\x12\x20" and hashlib.sha256(payload).digest() != multihash[2:]:
        return None
    return multihash, codec, payload, (end - offset + ALIGN - 1) // ALIGN * ALIGN


def read_segment(path):
    """{offset: (multihash, codec, payload)}"""
    segment = int(re.fullmatch(r"([0-9a-f]{16})\.seg", os.path.basename(path)).group(1), 16)
    with open(path, "rb") as file:
        data = file.read()
    found, offset = {}, 0
    while offset < len(data):
        record = record_at(data, offset, segment)
        if record is not None:
            found[offset] = record[:3]
            offset += record[3]
        elif offset % SECTOR == 0:
            break
        else:
            offset += SECTOR - offset % SECTOR
    return segment, found


def read_repository(path):
    """{(segment, offset): (multihash, codec, payload)}"""
    found = {}
    folder = os.path.join(path, "segments")
    for name in sorted(os.listdir(folder)):
        segment, records = read_segment(os.path.join(folder, name))
        found |= {(segment, offset): record for offset, record in records.items()}
    return found


def read_pins(path):
    """{(cid, recursive): name} by the journal"""
    with open(os.path.join(path, "pins.journal"), "rb") as file:
        data = file.read()
    pins, offset = {}, 0
    while offset + 24 <= len(data):
        pinned, recursive, cid_len, name_len = data[offset + 8:offset + 12]
        end = offset + 24 + cid_len + name_len
        if data[offset:offset + 4] != b"HRP1" or end > len(data) or struct.unpack_from("<I", data, offset + 4)[0] != crc32c(data[offset + 8:end]):
            offset += ALIGN
            continue
        key = (data[offset + 24:offset + 24 + cid_len], recursive)
        pins.pop(key, None)
        if pinned:
            pins[key] = data[offset + 24 + cid_len:end].decode()
        offset = (end + ALIGN - 1) // ALIGN * ALIGN
    return pins


# ---- beside the node ----

def fill(node, folder):
    """Small groups, a large one past the page cache, blocks of every size, pins, and a removed block."""
    large = os.urandom(1_500_000)
    for name, data in (("empty", b""), ("one", b"x"), ("odd", os.urandom(4097)), ("large", large)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        check(f"added {name}", node.run("add", "-Q", os.path.join(folder, name))[0] == 0)
    check("put blocks whose records end at each multiple of 8", all(node.run("block", "put", data=b"z" * n)[0] == 0 for n in range(2, 40)))
    gone = node.run("block", "put", data=b"to be removed")[1].decode().strip()
    check("put a dag-cbor block", node.run("block", "put", "--cid-codec=dag-cbor", data=b"\xa0")[0] == 0)
    check("put a blake2b block", node.run("block", "put", "--mhtype=blake2b-256", data=b"other hash")[0] == 0)
    check("removed a block", node.run("block", "rm", gone)[0] == 0)
    cid = node.add(b"pinned by a name")
    check("unpinned, pinned by a name", node.run("pin", "rm", cid)[0] == 0 and node.run("pin", "add", "--name=a name", cid)[0] == 0)


def rows_of(node):
    with sqlite3.connect(f"file:{node.file('blocks.db')}?mode=ro", uri=True) as database:
        blocks = database.execute("SELECT b.multihash, b.codec, b.size, b.segment, b.offset, v.cid FROM blocks b JOIN v_blocks v ON v.multihash = lower(hex(b.multihash))").fetchall()
        pins = database.execute("SELECT cid, recursive, name FROM pins").fetchall()
    return blocks, pins


def compare(node):
    blocks, pins = rows_of(node)
    found = read_repository(node.path)
    check("there are blocks", len(blocks) > 6, len(blocks))
    missing = [row[5] for row in blocks if (row[3], row[4]) not in found]
    check("each row's place holds a record", not missing, missing)
    wrong = [row[5] for row in blocks if found.get((row[3], row[4]), ())[:2] != (row[0], row[1]) or len(found[row[3], row[4]][2]) != row[2]]
    check("it has the row's multihash, codec and size", not wrong, wrong)
    check("records without a row are of removed blocks", {record[2] for place, record in found.items() if place not in {row[3:5] for row in blocks}} == {b"to be removed"})
    check("groups were written in both ways", {offset % SECTOR == 0 for _, offset in found} == {True, False}, sorted(found))
    check("the journal has the pins", read_pins(node.path) == {(cid, recursive): name for cid, recursive, name in pins}, pins)
    return blocks, found


def play(folder):
    node = Node(folder, "data", DISCOVERY__MDNS="false")
    if not check("Daemon is ready", node.start(), node.said()):
        return
    fill(node, folder)
    live = read_repository(node.path)
    check("a clean end", node.stop() == 0)
    blocks, found = compare(node)
    check("what the stranger read while it ran is there", all(found.get(place) == record for place, record in live.items()))
    check("Daemon is ready again", node.start(), node.said())
    for _, _, _, segment, offset, cid in blocks:
        code, out, err = node.run("--offline", "block", "get", cid)
        check(f"block get {cid}", code == 0 and out == found[segment, offset][2], err)


def main():
    folder = tempfile.mkdtemp(prefix="hearth-stranger-", dir="/tmp")
    try:
        play(folder)
    finally:
        for node in Node.all:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

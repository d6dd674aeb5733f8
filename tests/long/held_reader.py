#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stranger's transaction on blocks.db, held for ten minutes while the node works: adds, pins, removals, collections, questions.

The log cannot be reset meanwhile. It is filled past 256 MiB, where the daemon names the process and stops what it does for itself; what people ask
for goes on and is acknowledged. Once the reader has gone the log starts over, and everything acknowledged is there.
usage: held_reader.py [--seconds N]     (at least as long as filling the log takes; HEARTH_BUILD names the folder of the binaries)
"""
import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "smoke"))
from bad_input import Node, check, counts, say  # noqa: E402
from keep import READER, eventually  # noqa: E402

MIB = 1 << 20
STOP_BYTES, SPARE_BYTES, RESET_BYTES = 256 * MIB, 64 * MIB, 16 * MIB
FILL_BYTES, FILLS_MAX, ADD_SECONDS = 24_000_000, 12, 400


def log_bytes(node):
    return os.path.getsize(node.file("blocks.db-wal"))


def fill_log(node, kept):
    """Many small blocks, until the log is past the bound; each takes a row."""
    for _ in range(FILLS_MAX):
        if log_bytes(node) > STOP_BYTES:
            break
        data = os.urandom(FILL_BYTES)
        code, out, err = node.run("add", "-Q", "-s", "size-128", data=data, timeout=ADD_SECONDS)
        if not check("reader: small blocks are acknowledged", code == 0, err):
            return False
        kept.append((out.decode().strip(), data))
    return check("reader: the log is past its bound", eventually(lambda: log_bytes(node) > STOP_BYTES), log_bytes(node))


def settled(node):
    """What the pins hold is counted, which people asked for, too."""
    def quiet():
        before = log_bytes(node)
        time.sleep(3)
        return log_bytes(node) == before
    return eventually(quiet, ADD_SECONDS)


def is_named(node, pid):
    """In the daemon's log, and among the events of state.db for who looks later."""
    words = f"process {pid} has held the database open"
    check("reader: the daemon names the process", eventually(lambda: words in node.said()), node.said()[-600:])
    check("reader: it says what rests", eventually(lambda: "rest until then" in node.said()), node.said()[-600:])
    events = sqlite3.connect(f"file:{node.file('state.db')}?mode=ro", uri=True)
    query = "select count(*) from v_events where actor = 'tiered_storage' and reason like ?"
    check("reader: state.db has the event", eventually(lambda: events.execute(query, (f"%{words}%",)).fetchone()[0] > 0))
    events.close()


def work(node, kept, number):
    """One round of what people do; the names of what went wrong."""
    wrong = []
    data = os.urandom(100_000)
    cid = node.add(data)
    if cid is None:
        return ["add"]
    if number % 3 == 0:  # goes, with the next collection
        if node.run("pin", "rm", cid)[0] != 0:
            wrong.append("pin rm")
    else:
        kept.append((cid, data))
    if number % 10 == 0 and node.run("repo", "gc", timeout=ADD_SECONDS)[0] != 0:
        wrong.append("repo gc")
    for what in (("pin", "ls", "--count"), ("repo", "stat"), ("cat", kept[0][0])):
        if node.run(*what)[0] != 0:
            wrong.append(" ".join(what))
    return wrong


def hold(node, kept, seconds):
    reader = subprocess.Popen([sys.executable, "-c", READER, node.file("blocks.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    began = time.monotonic()
    wrong, rounds = [], 0
    try:
        check("reader: holds a transaction", reader.stdout.readline() == b"holds\n")
        if not fill_log(node, kept):
            return
        is_named(node, reader.pid)
        check("reader: what the pins hold is counted", settled(node))
        full = log_bytes(node)
        while time.monotonic() < began + seconds or rounds < 12:
            wrong += work(node, kept, rounds)
            rounds += 1
            time.sleep(0.5)
        grown = log_bytes(node) - full
        check(f"reader: {rounds} rounds of adds, pins, collections and questions are answered", not wrong, wrong[:5])
        check("reader: the log grows by what people do, no more", grown < SPARE_BYTES, grown)
        check("reader: it still reads its own state", reader.poll() is None)
    finally:
        reader.stdin.close()
        reader.wait()
    print(f"      held for {time.monotonic() - began:.0f} s, the log had {log_bytes(node) / MIB:.0f} MiB", flush=True)


def lost(node, kept):
    """The CIDs that are not what was added; a file of small blocks takes its time."""
    return [cid for cid, data in kept if cid is None or node.run("cat", cid, timeout=ADD_SECONDS)[1] != data]


def starts_over(node, kept):
    def small():
        data = os.urandom(1000)
        kept.append((node.add(data), data))
        return log_bytes(node) < RESET_BYTES
    check("gone: the log starts over", eventually(small), log_bytes(node))
    missing = lost(node, kept)
    check("gone: everything acknowledged is there", not missing, missing)
    check("gone: it verifies", node.run("repo", "verify", timeout=ADD_SECONDS)[0] == 0)
    pins = node.run("pin", "ls", "--type=recursive")[1].decode()
    check("gone: every pin is there", all(cid in pins for cid, _ in kept))
    node.healthy("gone: healthy")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="hearth-reader-")
    node, kept = Node(folder, "node"), []
    try:
        if check("starts", node.start(), node.said()):
            data = os.urandom(3_000_000)
            kept.append((node.add(data), data))
            hold(node, kept, args.seconds)
            starts_over(node, kept)
    except (OSError, subprocess.SubprocessError, sqlite3.Error) as error:
        say("FAIL", "held reader", repr(error))
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

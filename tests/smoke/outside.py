#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What strangers do with a node: read its databases by the queries of docs/sqlite.md, and ask it with docs/examples/control.py.

Two nodes, one of which fetched from the other, wants a block that nobody has, and has an upload under way; so all tables have rows. The
client needs pynng and msgpack from PyPI; where they are not to be had, that part is skipped. Usage: tests/smoke/outside.py
"""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from bad_input import HEARTH, TOP, Node, check, cid_of, control_call, counts, say

WAIT_S, PIP_S = 15, 300
BLOCK_OF_NOBODY = cid_of(0x55, 0x12, os.urandom(32))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hearth-python-client")
CLIENT = os.path.join(TOP, "docs/examples/control.py")


def open_database(node, name):
    database = sqlite3.connect(f"file:{node.file(name)}?mode=ro", uri=True)
    database.execute("PRAGMA query_only = 1")
    return database


def wait_rows(node, sql, what):
    """Rows of state.db come within a second; a busy machine may take longer."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with open_database(node, "state.db") as database:
            rows = database.execute(sql).fetchall()
        if rows or time.monotonic() > deadline:
            return check(what, rows, sql)
        time.sleep(0.1)


# ---- the databases ----

def documented():
    """(sections: database, name, columns; queries: database, may be empty, SQL) of docs/sqlite.md"""
    sections, queries, database = [], [], None
    with open(os.path.join(TOP, "docs/sqlite.md")) as file:
        text = file.read()
    for part in re.split(r"^(?=##)", text, flags=re.M):
        if part.startswith("## "):
            database = part.split()[1]
        elif part.startswith("### "):
            columns = re.findall(r"^\| `(\w+)` \|", part, re.M)
            for line in re.findall(r"Columns: (.*?)\.", part):
                columns += re.findall(r"`(\w+)`", line)
            sections.append((database, part.split()[1], columns))
    for name, empty, sql in re.findall(r"^```sql (\S+)( may be empty)?\n(.*?)^```", text, re.M | re.S):
        queries.append((name, bool(empty), sql.strip()))
    return sections, queries


def columns_agree(node, sections):
    for name in ("state.db", "blocks.db"):
        with open_database(node, name) as database:
            there = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")} - {"sqlite_sequence"}
            told = {table for where, table, _ in sections if where == name}
            check(f"{name}: docs/sqlite.md names what is there", told | {"meta"} == there | {"meta"}, f"only there {there - told}, only told {told - there}")
            for where, table, columns in sections:
                if where == name:
                    real = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                    check(f"{name}: columns of {table}", sorted(real) == sorted(columns), f"there {real}, told {columns}")


def queries_run(node, queries):
    for name, may_be_empty, sql in queries:
        with open_database(node, name) as database:
            try:
                rows = database.execute(sql).fetchall()
                check(f"{name}: {' '.join(sql.split())[:70]}", rows or may_be_empty, "no row")
            except sqlite3.Error as error:
                check(f"{name}: {' '.join(sql.split())[:70]}", False, error)


def views_tell_the_truth(node, other, cid, size):
    """The views beside what the control socket says."""
    with open_database(node, "state.db") as database:
        rows = database.execute("SELECT peer, direction, muxer, agent, bytes_in FROM v_connections").fetchall()
        good = len(rows) == 1 and rows[0][0] == other.peer() and rows[0][1] == "outbound" and "yamux" in rows[0][2] and rows[0][3].startswith("hearth")
        check("v_connections shows the one connection", good and rows[0][4] >= size, rows)
        check("v_wants shows what is wanted", database.execute("SELECT cid, wanted_by FROM v_wants").fetchall() == [(BLOCK_OF_NOBODY, "this node")])
        kinds = database.execute("SELECT kind, name, bytes_done FROM v_transfers").fetchall()
        check("v_transfers shows the upload", ("add", "half.bin", 5) in kinds, kinds)
        hot = {row[0]: row[1:] for row in database.execute("SELECT cid, accesses, held, used FROM v_hot")}
        check("v_hot shows what was read", hot.get(cid, (0,))[0] > 0 and hot[cid][1] == 0 and hot[cid][2], hot)
        check("v_actors: all run", {row[0] for row in database.execute("SELECT DISTINCT state FROM v_actors")} == {"running"})
    deadline = time.monotonic() + WAIT_S  # rows of blocks follow the blocks
    while True:
        with open_database(node, "blocks.db") as database:
            total = database.execute("SELECT sum(size) FROM v_blocks WHERE codec = 'raw'").fetchone()[0]
            cids = {row[0] for row in database.execute("SELECT cid FROM v_blocks")}
        if (total or 0) >= size or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    check("v_blocks has what was fetched, under its CIDs", total == size and cid in cids, f"{total} of {size}, root there: {cid in cids}")
    with open_database(other, "blocks.db") as database:
        check("v_pins has the root", database.execute("SELECT cid, kind FROM v_pins").fetchall() == [(cid, "recursive")])
    code, out, err = node.run("sql", "SELECT count(*) FROM v_actors")
    check("hearth sql", code == 0 and int(out) > 5, err)


# ---- the client ----

def interpreter():
    """A Python that has pynng and msgpack, or why there is none."""
    for python in (sys.executable, os.path.join(CACHE, "bin/python")):
        if os.path.exists(python) and subprocess.run([python, "-c", "import pynng, msgpack"], capture_output=True).returncode == 0:
            return python, ""
    for command in ([sys.executable, "-m", "venv", CACHE], [os.path.join(CACHE, "bin/python"), "-m", "pip", "install", "-q", "pynng", "msgpack"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, str(error)
        if done.returncode != 0:
            return None, (done.stdout + done.stderr).strip()[-300:]
    return os.path.join(CACHE, "bin/python"), ""


def client(node, cid):
    python, why = interpreter()
    if python is None:
        say("SKIP", "docs/examples/control.py", f"pynng and msgpack are not to be had: {why}")
        return
    with open(CLIENT) as file:
        check("control.py is short", len(file.readlines()) <= 50)
    script = ("import json, sys; sys.path.insert(0, sys.argv[1]); from control import Hearth; h = Hearth();"
              "block = h.call('block put', data=b'thirty lines'); got = h.call('block get', cid=block['cid']);"
              "refused = '';\n"
              "try: h.call('block get', cid='b!')\n"
              "except RuntimeError as error: refused = str(error)\n"
              "print(json.dumps([h.call('id')['id'], got['data'].decode(), refused, len(h.call('read', path=sys.argv[2], length=1000)['data'])]))")
    done = subprocess.run([python, "-c", script, os.path.dirname(CLIENT), cid], env=node.env, capture_output=True, text=True, timeout=60)
    try:
        peer, data, refused, length = json.loads(done.stdout)
        check("the client asks who the node is", peer == node.peer(), peer)
        check("the client puts and gets a block", data == "thirty lines", data)
        check("the client is told why not", refused.startswith("invalid: "), refused)
        check("the client reads a file", length == 1000, length)
    except ValueError:
        check("the client runs", False, done.stdout + done.stderr)
    done = subprocess.run([python, CLIENT, "version"], env=node.env, capture_output=True, text=True, timeout=60)
    check("the client as a command", done.returncode == 0 and "version" in done.stdout, done.stdout + done.stderr)


def play(folder):
    giver, taker = Node(folder, "giver"), Node(folder, "taker")
    if not check("both nodes start", giver.start() and taker.start(), giver.said() + taker.said()):
        return
    data = os.urandom(3_000_000)
    cid = giver.add(data)
    code, _, err = taker.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{giver.port()}/p2p/{giver.peer()}")
    check("connected", code == 0, err)
    check("fetched", taker.reads(cid, data))
    taker.run("pin", "add", cid)
    taker.run("metadata", "put", cid, "name=a film", "size=3000000")
    hopeless = subprocess.Popen([HEARTH, "block", "get", BLOCK_OF_NOBODY, "--timeout", "120s"], env=taker.env, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        opened = json.loads(control_call(taker.file("run/control.sock"), b'{"op":"add open","args":{"name":"half.bin"}}'))
        upload = opened["result"]["upload"]
        control_call(taker.file("run/control.sock"), json.dumps({"op": "add write", "args": {"upload": upload, "offset": 0, "data": "uAAAAAAA"}}).encode())
        wait_rows(taker, "SELECT 1 FROM wants", "the want is in state.db")
        wait_rows(taker, "SELECT 1 FROM hot WHERE accesses > 0", "a block that was used is in state.db")
        wait_rows(taker, "SELECT 1 FROM transfers WHERE bytes_done > 0", "the upload is in state.db")
        wait_rows(taker, "SELECT 1 FROM connections c JOIN peers p USING(peer) WHERE bytes_in > 3000000 AND p.protocols LIKE '%bitswap%'", "the connection is in state.db")
        sections, queries = documented()
        check("docs/sqlite.md was understood", len(sections) > 15 and len(queries) > 15, (len(sections), len(queries)))
        views_tell_the_truth(taker, giver, cid, len(data))
        columns_agree(taker, sections)
        queries_run(taker, queries)
        client(taker, cid)
    finally:
        hopeless.kill()
        hopeless.wait()


def main():
    folder = tempfile.mkdtemp(prefix="hearth-outside-", dir="/tmp")
    try:
        play(folder)
    finally:
        for node in Node.all:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Actors of a real daemon: the tree, what is stopped, started and restarted, and `top`.

Usage: tests/smoke/actors.py; HEARTH_BUILD names another build folder.
"""
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from bad_input import HEARTH, Node, check, counts, eventually
from commands import expect, said

ROWS = ["root", "state", "keep", "tiered_storage", "heat_tracker", "swarm", "connection_manager", "protocols", "bitswap",
        "discovery", "front", "control"]


def rows_of(node):
    code, out, err = node.run("actors", "tree", "--enc=json")
    if code != 0:
        raise RuntimeError(f"actors tree: exit {code}, {err}, alive: {node.alive()}, {node.said()[-2000:]}")
    return {row["name"]: row for row in json.loads(out)["tree"]}


def the_tree(node):
    rows = rows_of(node)
    check("the tree is the design's, in the order of starts", list(rows) == ROWS, list(rows))
    check("all run", {row["state"] for row in rows.values()} == {"running"}, rows)
    check("who is above whom", (rows["bitswap"]["supervisor"], rows["bitswap"]["depth"]) == ("protocols", 3), rows["bitswap"])
    check("strategies", rows["swarm"]["strategy"] == "rest_for_one" and rows["root"]["intensity"] == 10, rows["swarm"])
    check("figures of actors, and of root", all("cpu_ns" in row for name, row in rows.items() if name in ("root", "control")))
    check("CPU time of control's thread", rows["control"]["cpu_ns"] > 0, rows["control"])
    text = said(node, "actors", "tree")
    check("as text", "\n      bitswap " in text and "rest_for_one, 0 of 10 restarts in 60 s" in text, text)


def stopped_and_started(node, folder):
    file = os.path.join(folder, "file")
    with open(file, "w") as out:
        out.write("kept")
    cid = said(node, "add", "-Q", file).strip()
    expect(node, "stop names who is told", ["actors", "stop", "tiered_storage"], 0,
           "tiered_storage is stopped; calls fail at once of control, bitswap, discovery, heat_tracker\n")
    check("it is so", rows_of(node)["tiered_storage"]["state"] == "stopped")
    check("sql shows it too", "stopped" in said(node, "actors"), said(node, "actors"))
    began = time.monotonic()
    expect(node, "what needs it fails at once", ["cat", cid], 1, "", "Error")
    check("and not at its deadline", time.monotonic() - began < 10)
    expect(node, "the node is ill", ["diag", "healthy"], 1)
    expect(node, "stop again", ["actors", "stop", "tiered_storage"], 0)
    expect(node, "start", ["actors", "start", "tiered_storage"], 0, "tiered_storage is running\n")
    expect(node, "what was kept is there", ["cat", cid], 0, "kept")
    expect(node, "the node is well", ["diag", "healthy"], 0)


def restarted(node):
    before = rows_of(node)
    expect(node, "restart", ["actors", "restart", "connection_manager"], 0, "connection_manager is running\n")
    eventually(lambda: {row["state"] for row in rows_of(node).values()} == {"running"})
    after = rows_of(node)
    lives = {name: after[name]["epoch"] - before[name]["epoch"] for name in after if "epoch" in after[name]}
    check("rest_for_one takes along those behind", {name for name, more in lives.items() if more} == {"connection_manager", "bitswap", "discovery"}, lives)
    check("it counts as no failure", after["swarm"]["recent_restarts"] == 0, after["swarm"])
    expect(node, "restart of a supervisor", ["actors", "restart", "protocols"], 0, "protocols is running\n")
    check("its children have new lives", rows_of(node)["bitswap"]["epoch"] > after["bitswap"]["epoch"])


def refused(node):
    for what in ("stop", "restart"):
        expect(node, f"{what} control", ["actors", what, "control"], 1, "", "control answers you, and would end with it")
        expect(node, f"{what} what holds control", ["actors", what, "front"], 1, "", "front: control answers you")
        expect(node, f"{what} root", ["actors", what, "root"], 1, "", "root")
        expect(node, f"{what} nobody", ["actors", what, "nobody"], 4, "", "there is no such actor")
    expect(node, "stop without a name", ["actors", "stop"], 2)


def watched(node):
    text = said(node, "top", "--once")
    check("top --once", "MAILBOX" in text and "\n  state " in text and "\033" not in text, text)
    one, two = (json.loads(line) for line in said(node, "top", "-n", "2", "--enc=json").splitlines())
    check("top as JSON, a line a second", 0.9e9 < two["at"] - one["at"] < 10e9, (one["at"], two["at"]))
    main, child = pty.openpty()
    top = subprocess.Popen([HEARTH, "top"], env=node.env, stdout=child, stderr=child, stdin=subprocess.DEVNULL)
    os.close(child)
    seen = b""
    deadline = time.monotonic() + 20
    while seen.count(b"\033[H\033[2J") < 3 and time.monotonic() < deadline:
        seen += os.read(main, 65536)
    top.send_signal(signal.SIGINT)
    top.wait()
    os.close(main)
    check("top on a terminal draws anew each second", seen.count(b"LAST REASON") >= 2, seen[-500:])


def main():
    folder = tempfile.mkdtemp(prefix="hearth-actors-", dir="/tmp")
    node = Node(folder, "data")
    try:
        if check("Daemon is ready", node.start(), node.said()):
            the_tree(node)
            stopped_and_started(node, folder)
            restarted(node)
            refused(node)
            watched(node)
            check("it ends cleanly", node.stop() == 0)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

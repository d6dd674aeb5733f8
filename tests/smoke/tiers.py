#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tier commands against a real daemon with a cold tier in a folder, and against one without.

Usage: tests/smoke/tiers.py; HEARTH_BUILD names another build folder.
"""
import json
import os
import re
import shutil
import sys
import tempfile
import time

from bad_input import Node, check, counts
from commands import ABSENT, expect, said


def tier(node, name):
    return next(row for row in json.loads(said(node, "tier", "ls", "--enc=json"))["tiers"] if row["tier"] == name)


def is_up(node, seconds=10):
    until = time.monotonic() + seconds
    while not tier(node, "cold")["up"] and time.monotonic() < until:
        time.sleep(0.05)
    return tier(node, "cold")["up"]


def has_left(node, cid, seconds=15):
    """The rows of what has left the disk go with the next commit."""
    until = time.monotonic() + seconds
    while json.loads(said(node, "tier", "stat", "--enc=json", cid))["segment"] > 0 and time.monotonic() < until:
        time.sleep(0.1)
    return json.loads(said(node, "tier", "stat", "--enc=json", cid))["segment"] == 0


def is_wanted(node, cid, seconds=10):
    """By what heat.db says of the life before: nothing was used in this one."""
    until = time.monotonic() + seconds
    while True:
        facts = json.loads(said(node, "heat", "explain", "--enc=json", cid))
        if facts["wanted_on_disk"] or time.monotonic() > until:
            return facts["wanted_on_disk"] and facts["accesses"] == 0 and facts["long_heat"] > 0.5
        time.sleep(0.1)


def explained(node, used, pinned):
    """heat explain as text and as JSON: a block that was used, one that lies in the cold tier, and one that is not here."""
    text = said(node, "heat", "explain", used)
    facts = json.loads(said(node, "heat", "explain", "--enc=json", used))
    for line in (used, "verdict:      " + facts["verdict"], f"stored:       {facts['tier']}, 1048576 bytes", f"used:         {facts['accesses']} times, last ",
                 "policy:       hearth wants it on the disk", "heat:         ", "leaves now:   none, there is room", "WAY             RANK        HITS",
                 "* " + facts["way"]):
        check(f"heat explain says: {line[:30]}", any(one.startswith(line) for one in text.splitlines()), text)
    check("heat explain has all ways", [row["way"] for row in facts["ways"]] == ["worth", "age", "short", "long"], facts)
    text = said(node, "heat", "explain", pinned)
    check("heat explain knows the cold tier", re.search("^stored:       (cold|memory), 1048576 bytes", text, re.M), text)
    expect(node, "heat explain of what is not here", ["heat", "explain", ABSENT], 0)
    check("and it says so", "verdict:      it is not stored here\nstored:       no\nused:         0 times; asked" in said(node, "heat", "explain", ABSENT),
          said(node, "heat", "explain", ABSENT))


def read_ahead(node, root, leaf):
    """A node is read, so its children come; then one of them is used."""
    node.run("block", "get", root)
    until = time.monotonic() + 10
    while tier(node, "cold")["read_ahead"][0]["blocks"] == 0 and time.monotonic() < until:
        time.sleep(0.05)
    node.run("block", "get", leaf)
    kinds = tier(node, "cold")["read_ahead"]
    check("tier ls tells what was read ahead", [row["kind"] for row in kinds] == ["children", "siblings"] and kinds[0]["used_bytes"] >= 1 << 20, kinds)
    text = said(node, "tier", "ls")
    check("also as text", re.search(r"^        read ahead: \d+ children, .* were used, .* were not$", text, re.M), text)


def moves(node, folder, cold):
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write(os.urandom(5 << 20))
    with open(path.replace("file", "block"), "wb") as file:
        file.write(os.urandom(1000))
    root = said(node, "add", "-Q", path).strip()
    leaf = said(node, "refs", root).split()[0]
    expect(node, "tier move --to cold -r", ["tier", "move", "-r", "--to=cold", root], 0,
           "5 blocks are in tier cold; 1 stay where pins need them\n")
    expect(node, "a pinned node does not leave", ["tier", "move", "--to=cold", root], 1, "", "a recursive pin needs its links")
    expect(node, "an absent block does not leave", ["tier", "move", "--to=cold", ABSENT], 4, "", ABSENT)
    check("packs are in the folder", any(name.endswith(".pack") for name in os.listdir(cold)), os.listdir(cold))
    expect(node, "tier stat of what is not here", ["tier", "stat", ABSENT], 4)
    check("it ends cleanly", node.stop() == 0)
    check("it starts again", node.start() and is_up(node), node.said())
    check("what was wanted on the disk is wanted there again", is_wanted(node, root), said(node, "heat", "explain", root))
    row = json.loads(said(node, "tier", "stat", "--enc=json", leaf))
    check("tier stat says cold", row["tier"] == "cold" and row["pack"] > 0 and row["segment"] == 0, row)
    os.rename(cold, cold + ".away")
    expect(node, "the size of a cold block asks no medium", ["block", "stat", leaf], 0, f"Key: {leaf}\nSize: 1048576\n")
    os.rename(cold + ".away", cold)
    check("tier ls counts", tier(node, "cold")["blocks"] == 5 and tier(node, "disk")["blocks"] == 1)
    read_ahead(node, root, leaf)
    with open(path, "rb") as file:
        check("what is cold reads as it was", node.run("cat", root)[1] == file.read())
    check("tier verify", "is whole: 5 blocks" in said(node, "tier", "verify"))
    expect(node, "tier move --to disk", ["tier", "move", "--to=disk", leaf], 0, "1 blocks are in tier disk\n")
    row = json.loads(said(node, "tier", "stat", "--enc=json", leaf))
    check("a copy is on the disk", row["segment"] > 0 and row["pack"] > 0, row)
    other = said(node, "refs", root).split()[1]
    expect(node, "tier pin to the cold tier", ["tier", "pin", other, "cold"], 0)
    expect(node, "it may still be moved there", ["tier", "move", "--to=cold", other], 0)
    check("its copy on the disk goes", has_left(node, other))
    expect(node, "what is pinned there stays", ["tier", "move", "--to=disk", other], 1, "", "pinned to its tier")
    single = said(node, "block", "put", path.replace("file", "block")).strip()
    expect(node, "tier pin to the disk", ["tier", "pin", single], 0)
    check("tier stat says so", "pinned to disk" in said(node, "tier", "stat", single))
    expect(node, "what is pinned there stays", ["tier", "move", "--to=cold", single], 1, "", "pinned to its tier")
    expect(node, "tier pin none", ["tier", "pin", single, "none"], 0)
    expect(node, "and it goes", ["tier", "move", "--to=cold", single], 0)
    expect(node, "a pin to a tier that is none", ["tier", "pin", single, "tape"], 1, "", "disk, cold or none")
    explained(node, leaf, other)
    damaged(node, cold)
    os.rename(cold, cold + ".away")
    expect(node, "a folder that is not mounted", ["tier", "verify"], 1, "", "is its disk mounted?")
    check("tier ls says so", not tier(node, "cold")["up"] and "mounted" in tier(node, "cold")["why"])
    os.rename(cold + ".away", cold)
    expect(node, "a pack that is not there", ["tier", "verify", "--pack=77"], 4, "", "0000000000000077")
    expect(node, "a pack's name that is none", ["tier", "verify", "--pack=xyz"], 1, "", "--pack")
    expect(node, "a tier that is none", ["tier", "move", "--to=tape", leaf], 1, "", "disk or cold")


def is_hot(node):
    """Hot blocks after a clean stop, joined with the tiers as docs/sqlite.md has it."""
    with open(os.path.join(os.path.dirname(__file__), "../../docs/sqlite.md")) as file:
        query = re.search(r"^hearth sql '(.*)'$", file.read(), re.M)[1]
    rows = [json.loads(line) for line in said(node, "sql", "--enc=json", query).splitlines()]
    good = len(rows) == 7 and all(row["disk"] or row["cold"] for row in rows) and sum(row["cold"] for row in rows) == 6
    check("hot blocks and their tiers, after a stop", good and any(row["held"] for row in rows), rows)


def hangs(node, cold):
    """A disk that does not answer, such as a share whose server is gone: a pipe that nobody writes to is read as long."""
    for name in os.listdir(cold):
        if name.endswith(".pack"):
            os.remove(os.path.join(cold, name))
            os.mkfifo(os.path.join(cold, name))
    if not check("it starts beside a medium that hangs", node.start(), node.said()):
        return
    node.run("--timeout", "1s", "tier", "verify")
    check("it is told to end", node.run("shutdown")[0] == 0)
    until = time.monotonic() + 20
    while node.alive() and time.monotonic() < until:
        time.sleep(0.1)
    check("it ends, and is not started again", not node.alive() and "after a restart" not in node.said(), node.said())


def packs(node):
    return [json.loads(line) for line in said(node, "sql", "--enc=json", "SELECT file, state, checked_at FROM v_packs").splitlines()]


def damaged(node, cold):
    check("it is noted when packs were checked", any(row["checked_at"] for row in packs(node)), packs(node))
    name = max((name for name in os.listdir(cold) if name.endswith(".pack")), key=lambda name: os.path.getsize(os.path.join(cold, name)))
    with open(os.path.join(cold, name), "r+b") as file:
        file.seek(-60, os.SEEK_END)
        byte = file.read(1)
        file.seek(-60, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    expect(node, "a damaged pack is told of, and its blocks are moved", ["tier", "verify", "--pack=" + name.split(".")[0]], 1, "",
           "blocks are in another pack now, 0 could not be read")
    expect(node, "then the packs are whole", ["tier", "verify"], 0)
    check("and so say the rows", not any(row["state"] == "damaged" for row in packs(node)), packs(node))


def spills(node):
    """More than the disk takes, in one file, and read back."""
    data = os.urandom(48 << 20)
    code, out, err = node.run("add", "-Q", data=data)
    cid = out.decode().strip()
    check("an add three times as large as the disk", code == 0, err)
    check("most of it is cold", tier(node, "cold")["bytes"] > 30 << 20 and tier(node, "disk")["bytes"] < 16 << 20, tier(node, "cold"))
    check("and is read back", node.run("cat", cid)[1] == data)
    time.sleep(1.2)
    check("v_moves says so", "disk" in said(node, "sql", "SELECT \"from\" FROM v_moves"), said(node, "sql", "SELECT * FROM v_moves"))


def without(node):
    rows = json.loads(said(node, "tier", "ls", "--enc=json"))["tiers"]
    check("two tiers without a cold one", [row["tier"] for row in rows] == ["memory", "disk"], rows)
    check("heat explain without a cold tier", "there is no cold tier" in said(node, "heat", "explain", said(node, "add", "-Q", __file__).strip()))
    check("no actor, no account", "cold" not in said(node, "actors") and "cold" not in said(node, "accounts"))
    expect(node, "nothing moves", ["tier", "move", "--to=cold", ABSENT], 1, "", "Tiers.Cold.Kind")
    expect(node, "nothing to verify", ["tier", "verify"], 1, "", "Tiers.Cold.Kind")


def main():
    folder = tempfile.mkdtemp(prefix="hearth-tiers-", dir="/tmp")
    cold = os.path.join(folder, "cold")
    os.mkdir(cold)
    node = Node(folder, "data", TIERS__COLD__KIND="directory", TIERS__COLD__PATH=cold)
    small = Node(folder, "small", TIERS__COLD__KIND="directory", TIERS__COLD__PATH=cold + ".small", DATASTORE__STORAGEMAX="16MiB")
    os.mkdir(cold + ".small")
    plain = Node(folder, "plain")
    inside = Node(folder, "inside", TIERS__COLD__KIND="directory", TIERS__COLD__PATH=os.path.join(folder, "inside", "cold"))
    try:
        if check("Daemon is ready", node.start() and is_up(node), node.said()):
            moves(node, folder, cold)
            check("it ends cleanly", node.stop() == 0)
            is_hot(node)
            hangs(node, cold)
        if check("Daemon is ready with a small disk", small.start() and is_up(small), small.said()):
            spills(small)
            check("it ends cleanly", small.stop() == 0)
        if check("Daemon is ready without a cold tier", plain.start(), plain.said()):
            without(plain)
            check("it ends cleanly", plain.stop() == 0)
        check("a folder in the repository is refused", not inside.start() and "is in the repository" in inside.said(), inside.said())
    finally:
        for one in (node, small, plain, inside):
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Denylists against two real daemons: what is denied is neither given out, kept, fetched nor served, and a line that is appended counts; and a
daemon that serves nothing at all.

Usage: tests/smoke/denylists.py; HEARTH_BUILD names another build folder.
"""
import os
import shutil
import sys
import tempfile
import time

from bad_input import Node, check, counts
from commands import expect, said


def deny(node, name, *lines):
    with open(os.path.join(node.path, "denylists", name), "a") as file:
        file.write("".join(line + "\n" for line in lines))


def verdict(node, path, wanted, seconds=10):
    """What `denylist check` says, and that the rules in force came to be as many as the files have: then it counts."""
    until = time.monotonic() + seconds
    while True:
        out = said(node, "denylist", "check", path).strip()
        code = node.run("block", "get", "--offline", path)[0] if path.startswith("/ipfs/") and path.count("/") == 2 else None
        if out.startswith(wanted) and (code is None or (code == 0) != wanted.startswith("denied")):
            return True
        if time.monotonic() > until:
            print(out, code)
            return False
        time.sleep(0.1)


def blocked(node, cid, path, kept):
    text = f"{path} is blocked and cannot be provided"
    for words in (["cat", path], ["ls", path], ["resolve", path], ["pin", "add", path], ["refs", path], ["block", "get", path]):
        expect(node, f"{' '.join(words[:-1])} of what is denied", words, 1, "", {"refs": "is blocked", "block": "not allowed"}.get(words[0], text))
    for words in (["cat", "--offline", path], ["get", "--offline", "-o", "/dev/null", path], ["dag", "export", path]):
        expect(node, f"{' '.join(words[:2])} of what is denied", words, 1, None, "blocked")
    check("other content is given out", said(node, "cat", kept) == "kept\n")
    check("what is denied stays stored", node.run("block", "stat", cid)[0] == 0)


def between_nodes(a, b, cid, kept):
    """b asks a, which denies the one and gives the other; then b denies by itself."""
    code, out, err = b.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{a.port()}/p2p/{a.peer()}")
    check("two nodes are connected", code == 0, err)
    check("the other node gets what is allowed", said(b, "--timeout=20s", "cat", kept) == "kept\n")
    code, out, err = b.run("--timeout=3s", "cat", cid)
    check("and waits in vain for what is denied", code == 124, f"{code} {out} {err}")
    deny(b, "own.deny", f"/ipfs/{kept}")
    check("an own list is in force on the other node", verdict(b, f"/ipfs/{kept}", "denied by own.deny:1"))
    expect(b, "which does not give it out though it has it", ["cat", kept], 1, "", "blocked")


def run(folder):
    a, b = Node(folder, "a", DISCOVERY__MDNS="false"), Node(folder, "b", DISCOVERY__MDNS="false")
    for node in (a, b):
        check("Daemon is ready", node.start(), node.said())
    try:
        bad, kept = os.path.join(folder, "bad"), os.path.join(folder, "kept")
        for path in (bad, kept):
            with open(path, "w") as file:
                file.write(os.path.basename(path) + "\n")
        cid, other = (said(a, "add", "-Q", path).strip() for path in (bad, kept))
        root = said(a, "add", "-Q", "-r", "-w", bad, kept).split()[-1]
        expect(a, "no list, no rule", ["denylist", "check", cid], 0, "no rule matches\n")
        deny(a, "a.deny", "version: 1", "name: A list", "---", "# one", f"/ipfs/{cid} reason=test", "nonsense", f"/ipfs/{root}/bad*")
        check("a new list is in force", verdict(a, f"/ipfs/{cid}", "denied by a.deny:5"))
        expect(a, "denylist ls", ["denylist", "ls"], 0, "a.deny  2 rules, 1 lines are none  A list\n")
        blocked(a, cid, f"/ipfs/{cid}", other)
        expect(a, "a path that is denied", ["cat", f"/ipfs/{root}/x/../bad"], 1, "", "blocked")
        expect(a, "another path of the same folder", ["cat", f"/ipfs/{root}/kept"], 0, "kept\n")
        between_nodes(a, b, cid, other)
        check("what watches the lists is restarted", a.run("actors", "restart", "bitswap")[0] == 0)
        deny(a, "b.deny", f"!/ipfs/{cid}")
        check("a later list allows it again", verdict(a, f"/ipfs/{cid}", "allowed by b.deny:1"))
        check("then it is served", said(b, "--timeout=20s", "cat", cid) == "bad\n")
        os.unlink(os.path.join(a.path, "denylists", "b.deny"))
        check("a list that is removed does not count", verdict(a, f"/ipfs/{cid}", "denied by a.deny:5"))
    finally:
        for node in (a, b):
            node.stop()


def silent(folder):
    """A daemon that gives nothing and still fetches."""
    a, b = (Node(folder, name, DISCOVERY__MDNS="false", **more) for name, more in (("silent", {"BITSWAP__SERVERENABLED": "false"}), ("other", {})))
    try:
        for node in (a, b):
            check("Daemon is ready", node.start(), node.said())
        mine, theirs = os.path.join(folder, "mine"), os.path.join(folder, "theirs")
        for path in (mine, theirs):
            with open(path, "w") as file:
                file.write(os.path.basename(path) + "\n")
        mine, theirs = said(a, "add", "-Q", mine).strip(), said(b, "add", "-Q", theirs).strip()
        b.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{a.port()}/p2p/{a.peer()}")
        check("a node that serves nothing fetches", said(a, "--timeout=20s", "cat", theirs) == "theirs\n")
        code, _, _ = b.run("--timeout=3s", "cat", mine)
        check("and gives nothing", code == 124)
    finally:
        for node in (a, b):
            node.stop()


def main():
    folder = tempfile.mkdtemp(prefix="hearth-denylists-")
    try:
        run(folder)
        silent(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

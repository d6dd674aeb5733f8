#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the command prints and how it exits, against a real daemon: lines as IPFS users know them, JSON, exit statuses.

Usage: tests/smoke/commands.py; HEARTH_BUILD names another build folder.
"""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from bad_input import HEARTH, STRANGER, Node, check, control_call, counts

ABSENT = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def tree(folder):
    """a/ {g, x/ {f}}, b/ {h}: what a depth-first walk tells from a breadth-first one; g and f are one block."""
    root = os.path.join(folder, "tree")
    for name, content in (("a/x/f", "1\n"), ("a/g", "1\n"), ("b/h", "3\n")):
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "w") as file:
            file.write(content)
    return root


def expect(node, name, args, status, stdout=None, stderr=""):
    code, out, err = node.run(*args)
    good = code == status and (stdout is None or out.decode() == stdout) and stderr in err
    return check(name, good, f"exit {code}, {out!r}, {err!r}")


def said(node, *args):
    return node.run(*args)[1].decode()


def links(node, cid):
    return [link["Hash"] for link in json.loads(said(node, "ls", "--enc=json", cid))["Objects"][0]["Links"]]


def refs(node, root):
    a, b = links(node, root)
    g, x = links(node, a)
    f, h = links(node, x)[0], links(node, b)[0]
    check("two files of one content are one block", f == g)
    lines = "".join(f"{cid}\n" for cid in (a, g, x, f, b, h))
    expect(node, "refs -r goes depth first", ["refs", "-r", root], 0, lines)
    expect(node, "refs -r -u prints each once", ["refs", "-r", "-u", root], 0, lines.replace(f"{x}\n{f}\n", f"{x}\n"))
    expect(node, "refs --max-depth", ["refs", "-r", "--max-depth=1", root], 0, f"{a}\n{b}\n")
    expect(node, "refs -e", ["refs", "-e", root], 0, f"{root} -> {a}\n{root} -> {b}\n")
    expect(node, "refs --format", ["refs", "--format=<linkname>: <dst>", f"/ipfs/{root}/a"], 0, f"g: {g}\nx: {x}\n")
    expect(node, "refs --enc=json", ["refs", "--enc=json", f"ipfs://{root}/b"], 0, json.dumps({"Ref": h, "Err": ""}, separators=(",", ":")) + "\n")
    expect(node, "refs of what is not there", ["refs", f"{root}/c"], 4, "", "no entry of that name")


def lists(node, root):
    listed = json.loads(said(node, "ls", "--enc=json", root))
    want = [("a", 1), ("b", 1)]
    check("ls --enc=json has Kubo's form", [(link["Name"], link["Type"]) for link in listed["Objects"][0]["Links"]] == want, listed)
    rows = [json.loads(line) for line in said(node, "sql", "--enc=json", "select 1 as n, null as z, x'00ff' as b; select name from actors").splitlines()]
    check("sql --enc=json keeps types", rows[0] == {"n": 1, "z": None, "b": "uAP8"} and {"name": "control"} in rows, rows)
    expect(node, "sql --header", ["sql", "--header", "select 1 as a, 2 as b"], 0, "a|b\n1|2\n")
    expect(node, "sql is read-only", ["sql", "delete from actors"], 1, None, "readonly")
    help_text = said(node, "swarm")
    check("a group by itself lists what is in it", "swarm connect" in help_text and "block get" not in help_text, help_text)


def symlinks(node, root, folder):
    link = os.path.join(folder, "link")
    os.symlink("tree/b/h", link)
    inside = said(node, "add", "-Q", "-w", link).strip()
    itself = links(node, inside)[0]
    expect(node, "a symlink that is named is added as one", ["add", "-Q", link], 0, f"{itself}\n")
    followed = links(node, f"{root}/b")[0]
    expect(node, "--dereference-args follows it", ["add", "-Q", "--dereference-args", link], 0, f"{followed}\n")


def archives(node, folder):
    """tar and gzip of other hands read what get -a and -C write: names and targets of any length, modes, times, bytes."""
    root = os.path.join(folder, "packed")
    long = os.path.join(*(letter * 90 for letter in "abc"))
    os.makedirs(os.path.join(root, long))
    files = {"empty": b"", "odd": os.urandom(70001), "block": os.urandom(512), os.path.join(long, "deep"): b"deep"}
    for name, content in files.items():
        with open(os.path.join(root, name), "wb") as file:
            file.write(content)
    os.symlink("t" * 200, os.path.join(root, "link"))
    os.utime(os.path.join(root, "odd"), (-5, -5))
    os.chmod(os.path.join(root, "odd"), 0o640)
    cid = said(node, "add", "-r", "-Q", "--preserve-mode", "--preserve-mtime", root).strip()
    out = os.path.join(folder, "packed-out")
    for flags, path in ((["-a"], out + ".tar"), (["-a", "-C", "-l", "9"], out + ".tar.gz")):
        expect(node, f"get {' '.join(flags)}", ["get", *flags, "-o", out, cid], 0, "", f"Saving archive to {path}")
        with tarfile.open(path) as tar:
            entries = {member.name.removeprefix(cid).lstrip("/"): member for member in tar}
            got = {name: tar.extractfile(member).read() for name, member in entries.items() if member.isreg()}
        check(f"get {' '.join(flags)}: the files", got == files, sorted(got))
        check(f"get {' '.join(flags)}: a symlink", entries["link"].linkname == "t" * 200)
        check(f"get {' '.join(flags)}: mode and time", (entries["odd"].mode, entries["odd"].mtime) == (0o640, -5), entries["odd"])
        check(f"get {' '.join(flags)}: folders", entries[""].isdir() and entries[long].isdir(), sorted(entries))
    expect(node, "get -C of a file", ["get", "-C", "-o", out, f"{cid}/odd"], 0, "", f"Saving archive to {out}.gz")
    with gzip.open(out + ".gz") as file:
        check("get -C: the bytes", file.read() == files["odd"])
    expect(node, "get -C of a folder", ["get", "-C", "-o", out + "2", cid], 1, "", "is no regular file")
    check("get -C of a folder leaves nothing", not os.path.exists(out + "2.gz"))


def batches(node, folder):
    """Several blocks in one command: each is answered for, and what is larger than an answer comes in several."""
    names = [os.path.join(folder, f"block{i}") for i in range(5)]
    data = [os.urandom(700_000) for _ in names]
    for name, block in zip(names, data):
        with open(name, "wb") as file:
            file.write(block)
    cids = said(node, "block", "put", *names).split()
    check("block put of five files prints five CIDs", len(set(cids)) == 5, cids)
    code, out, err = node.run("--offline", "block", "get", *cids)
    check("block get of five gives them in order", code == 0 and out == b"".join(data), f"exit {code}, {len(out)} bytes, {err}")
    page = json.loads(control_call(node.file("run/control.sock"), json.dumps({"op": "block get many", "args": {"cid": cids}}).encode()))["result"]
    check("one answer holds 1 MiB and says that more is left", [block["cid"] for block in page["blocks"]] == cids[:1] and page["more"], page["more"])
    code, out, err = node.run("--offline", "block", "get", cids[0], ABSENT, "nonsense", cids[1])
    check("block get: the absent one is named, the others come", code == 4 and out == data[0] + data[1] and ABSENT in err and '"nonsense"' in err, f"exit {code}, {err}")
    expect(node, "block stat of two", ["block", "stat", cids[0], cids[1]], 0, "".join(f"Key: {cid}\nSize: 700000\n" for cid in cids[:2]))
    expect(node, "block has", ["block", "has", cids[0], ABSENT], 4, f"{cids[0]} 700000\n{ABSENT} absent\n")
    expect(node, "block put of standard input", ["block", "put", "--cid-codec=dag-cbor", "-"], 0, "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku\n")
    name = os.path.join(folder, "large")
    with open(name, "wb") as file:
        file.truncate(2 * 1024 * 1024 + 1)
    expect(node, "a block over 2 MiB is refused, those before it are stored", ["block", "put", names[0], name], 1, f"{cids[0]}\n", "at most 2097152 bytes")
    expect(node, "block rm of several", ["block", "rm", *cids[:3]], 0, "".join(f"removed {cid}\n" for cid in cids[:3]))
    expect(node, "block rm: an absent one is named, the others go", ["block", "rm", cids[0], cids[3]], 4, f"removed {cids[3]}\n", cids[0])
    expect(node, "block rm --force --quiet", ["block", "rm", "-f", "-q", cids[0], cids[4]], 0, "")
    since = time.monotonic()
    code, out, err = node.run("--timeout=1s", "block", "get", ABSENT, "bafkqabtimvwgy3yk")
    check("one block that nobody has costs its own result", code == 124 and out == b"hello\n" and ABSENT in err, f"exit {code}, {out}, {err}")
    check("a batch ends by its deadline", time.monotonic() - since < 3)


def notes(node, root):
    """Metadata: put, update, get, query, rm; both names of a node have one note; kept over a restart and without the block."""
    v0 = said(node, "cid", "format", "-v", "0", root).strip()
    expect(node, "metadata put", ["metadata", "put", v0, "name=a tree", "size=3", "tags=[1,\"two\",{\"x\":null}]"], 0, "")
    got = json.loads(said(node, "metadata", "get", root))
    check("metadata get by the other version", got["metadata"] == {"name": "a tree", "size": 3, "tags": [1, "two", {"x": None}]} and got["stored"] is True and got["cid"] == root, got)
    expect(node, "metadata update sets and removes", ["metadata", "update", root, "size=4", "tags"], 0, "")
    expect(node, "metadata put about an absent block", ["metadata", "put", ABSENT, "name=a tooth"], 0, "")
    tree_line, tooth_line = f'{root} {{"name":"a tree","size":4}}\n', f'{ABSENT} (absent) {{"name":"a tooth"}}\n'
    expect(node, "metadata query", ["metadata", "query"], 0, "".join(sorted((tree_line, tooth_line), key=lambda line: line[:59])))
    expect(node, "metadata query by key", ["metadata", "query", "--key=size"], 0, tree_line)
    expect(node, "metadata query by value", ["metadata", "query", "-k", "name", "--value=a tooth"], 0, tooth_line)
    expect(node, "metadata query by a number", ["metadata", "query", "-k", "size", "--value", "4"], 0, tree_line)
    expect(node, "metadata query by prefix", ["metadata", "query", "-k", "name", "--prefix", "a t"], 0, tooth_line + tree_line)
    expect(node, "metadata query: a value needs a key", ["metadata", "query", "--value=4"], 1, "", "name it")
    expect(node, "v_metadata", ["sql", f"select key, value, stored from v_metadata where cid = '{root}'"], 0, 'name|"a tree"|1\nsize|4|1\n')
    check("kept over a restart", node.stop() == 0 and node.start() and said(node, "metadata", "query", "-k", "size") == tree_line)
    expect(node, "metadata rm", ["metadata", "rm", root], 0)
    expect(node, "metadata rm of nothing", ["metadata", "rm", root], 4, "", root)
    expect(node, "metadata get of nothing", ["metadata", "get", root], 4, "", root)
    expect(node, "metadata put: too much", ["metadata", "put", root, *(f"{key}=" + "y" * 4000 for key in "abcde")], 1, "", "16384 bytes")
    expect(node, "metadata put: a key without a value", ["metadata", "put", root, "x"], 2, "", "key=value")


def reasons(node, root):
    """why: what is known of a stored and pinned block, and of one that is not here."""
    told = json.loads(said(node, "why", "--enc=json", root))
    check("why: stored and pinned", told["stored"] and told["tier"] in ("memory", "disk") and told["segment"] > 0 and told["pins"] == [{"cid": root, "kind": "recursive", "name": ""}], told)
    check("why: provided and reachable", "no routing system" in told["provided"] and told["connections"] == 0 and "/tcp/" in told["addresses"][0] and told["silent"] == [], told)
    before = told["accesses"]
    node.run("block", "get", root)
    deadline = time.monotonic() + 10  # the actor that counts is told by a cast
    while told["accesses"] == before and time.monotonic() < deadline:
        told = json.loads(said(node, "why", "--enc=json", root))
    check("why: uses are counted", told["accesses"] == before + 1 and abs(told["last_used_at"] / 1e9 - time.time()) < 60, told)
    deadline = time.monotonic() + 10  # what pins hold is counted beside
    while told["counting"] and time.monotonic() < deadline:
        told = json.loads(said(node, "why", "--enc=json", root))
    below = json.loads(said(node, "why", "--enc=json", links(node, root)[0]))
    check("why: held by its pin, and what is below by a link", told["held"] == 1 and below["held"] == 1 and below["pins"] == [], (told, below))
    text = said(node, "why", root)
    check("why, for people", f"{root}\nstored:       yes, " in text and f"pinned:       recursive, {root}\n" in text and "wanted now:   by nobody\n" in text, text)
    told = json.loads(said(node, "why", "--enc=json", ABSENT))
    check("why: an absent block", not told["stored"] and told["pins"] == [] and not told["wanted_by_us"] and "segment" not in told, told)
    waiting = subprocess.Popen([HEARTH, "--timeout=20s", "block", "get", ABSENT], env=node.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not json.loads(said(node, "why", "--enc=json", ABSENT))["wanted_by_us"] and time.monotonic() < deadline:
            time.sleep(0.05)
        check("why: this node wants it", "wanted now:   by this node\n" in said(node, "why", ABSENT))
    finally:
        waiting.kill()
        waiting.wait()
    expect(node, "why: no CID", ["why", "nonsense"], 1, "", "nonsense")


def errors(node):
    expect(node, "log level", ["log", "level", "debug"], 0, "Changed log level to debug\n")
    expect(node, "log level of all", ["log", "level", "all", "info"], 0, "Changed log level to info\n")
    expect(node, "log level of a part", ["log", "level", "bitswap", "info"], 1, "", "bitswap")
    expect(node, "no such log level", ["log", "level", "loud"], 1, "", "loud")
    expect(node, "no such multibase", ["--cid-base=base1", "version"], 2, "", "base1")
    expect(node, "no such command", ["swarm", "fly"], 2, "", "swarm fly")
    expect(node, "no such flag", ["add", "--recurive"], 2, "", "--recurive")
    expect(node, "an absent block to remove is named", ["block", "rm", ABSENT], 4, "", ABSENT)
    expect(node, "an absent pin to drop is named", ["pin", "rm", ABSENT], 4, "", ABSENT)
    expect(node, "a block nobody has is named", ["--timeout=1s", "block", "get", ABSENT], 124, "", ABSENT)
    for words in (["cat"], ["get"], ["ls"], ["refs"], ["block", "get"], ["block", "stat"], ["pin", "add"]):
        expect(node, f"--offline {' '.join(words)} asks nobody", ["--offline", *words, ABSENT], 4, "", ABSENT)
    expect(node, "a peer without address", ["ping", STRANGER], 4, "", "address")
    expect(node, "a peer that is not there", ["ping", f"/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}"], 1, "", STRANGER)


def main():
    folder = tempfile.mkdtemp(prefix="hearth-commands-", dir="/tmp")
    node = Node(folder, "data")
    try:
        if check("Daemon is ready", node.start(), node.said()):
            root = said(node, "add", "-rQ", tree(folder)).strip()
            refs(node, root)
            lists(node, root)
            symlinks(node, root, folder)
            archives(node, folder)
            batches(node, folder)
            notes(node, root)
            reasons(node, root)
            errors(node)
            check("it ends cleanly", node.stop() == 0)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

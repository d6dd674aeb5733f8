#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the command prints and how it exits, against a real daemon: lines as IPFS users know them, JSON, exit statuses.

Usage: tests/smoke/commands.py; HEARTH_BUILD names another build folder.
"""
import base64
import gzip
import json
import os
import re
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
MAP_CBOR = "bafyreihltcnuuyqp2jm24aqydpnlj7b6w3ogwrplomrjtg5rifv44mmjey"  # ipld/codec-fixtures map-1_pair: {"a": 1}
MAP_JSON = "baguqeeraafnl2724yv5c3wklowipaswybbbhhec64m7mltv6vzrco2ux7bra"


def dags(node, root):
    """dag put, get, resolve: Kubo's flags, output and CIDs; paths through values into folders."""
    expect_in(node, "dag put", ["dag", "put"], b' {"a" : 1}\n', f"{MAP_CBOR}\n")
    expect_in(node, "dag put --store-codec", ["dag", "put", "--store-codec=dag-json"], b'{"a":1}', f"{MAP_JSON}\n")
    expect_in(node, "dag put of dag-cbor", ["dag", "put", "--input-codec=dag-cbor"], b"\xa1\x61a\x01", f"{MAP_CBOR}\n")
    expect_in(node, "dag put --enc=json", ["dag", "put", "--enc=json", "-"], b'{"a":1}', f'{{"Cid":{{"/":"{MAP_CBOR}"}}}}\n')
    expect(node, "dag get", ["dag", "get", MAP_CBOR], 0, '{"a":1}')
    expect(node, "dag get of a value", ["dag", "get", f"/ipfs/{MAP_JSON}/a"], 0, "1")
    check("dag get --output-codec", node.run("dag", "get", "--output-codec=dag-cbor", MAP_JSON)[1] == b"\xa1aa\x01")
    top = node.run("dag", "put", data=f'{{"list":[{{"tree":{{"/":"{root}"}}}},7],"x":{{"y":"z"}}}}'.encode())[1].decode().strip()
    expect(node, "dag get through values", ["dag", "get", f"{top}/x/y"], 0, '"z"')
    expect(node, "dag resolve inside a block", ["dag", "resolve", f"/ipfs/{top}/x/y"], 0, f"{top}/x/y\n")
    expect(node, "dag resolve to a link", ["dag", "resolve", f"{top}/list/0/tree"], 0, f"{root}\n")
    expect(node, "dag resolve --enc=json", ["dag", "resolve", "--enc=json", f"{top}/list/1"], 0, f'{{"Cid":{{"/":"{top}"}},"RemPath":"list/1"}}\n')
    expect(node, "a path goes on into a folder", ["cat", f"/ipfs/{top}/list/0/tree/b/h"], 0, "3\n")
    expect(node, "refs of dag-cbor", ["refs", top], 0, f"{root}\n")
    expect(node, "pin add of dag-cbor", ["pin", "add", top], 0, f"pinned {top} recursively\n")
    node_json = json.loads(said(node, "dag", "get", root))
    check("dag get of a folder has its links", [link["Name"] for link in node_json["Links"]] == ["a", "b"], node_json)
    again = node.run("dag", "put", "--store-codec=dag-pb", data=json.dumps(node_json).encode())[1].decode().strip()
    check("dag put of that is the folder", again == root, again)
    expect(node, "dag get of nothing", ["dag", "get", f"{top}/x/q"], 4, "", "no such key or index")
    expect(node, "dag get as what it is not", ["dag", "get", "--output-codec=dag-pb", top], 1, "", "dag-pb")
    expect(node, "dag get in no codec", ["dag", "get", "--output-codec=xml", top], 2, "", "xml")
    expect(node, "cat of dag-cbor", ["cat", top], 1, "", "only raw and dag-pb blocks are files")
    expect(node, "cat of a value", ["cat", f"{top}/x/y"], 1, "", "ends inside a block")
    code, out, err = node.run("dag", "put", "--input-codec=dag-cbor", data=b"\xa2\x61b\x01\x61a\x02")
    check("dag put of dag-cbor out of order", code == 1 and "from byte" in err, (code, out, err))
    expect_in(node, "dag put of loose cbor", ["dag", "put", "--input-codec=cbor"], b"\xa2\x61b\x01\x61a\x02",
              node.run("dag", "put", data=b'{"a":2,"b":1}')[1].decode())
    return top


def expect_in(node, name, args, data, stdout):
    code, out, err = node.run(*args, data=data)
    return check(name, code == 0 and out.decode() == stdout, f"exit {code}, {out!r}, {err!r}")


def cars(node, folder, root, top):
    """A CAR that is exported is imported elsewhere: the same blocks, the same bytes when it is exported again."""
    car = os.path.join(folder, "tree.car")
    expect(node, "dag export -o", ["dag", "export", "-o", car, f"/ipfs/{top}/list/0/tree"], 0, "")
    with open(car, "rb") as file:
        data = file.read()
    check("dag export to standard output", node.run("dag", "export", root)[1] == data)
    whole = node.run("dag", "export", top)[1]
    check("dag export goes through dag-cbor", len(whole) > len(data), len(whole))
    expect(node, "dag export of what is not here", ["--offline", "dag", "export", "-o", car + "2", ABSENT], 4, "", ABSENT)
    check("that leaves no file", not os.path.exists(car + "2"))
    other = Node(folder, "data2")
    try:
        if not check("a second daemon is ready", other.start(), other.said()):
            return
        expect(other, "dag import", ["dag", "import", "--stats", car], 0, f"Pinned root\t{root}\tsuccess\nImported 6 blocks ({block_bytes(data)} bytes)\n")
        check("dag export of it is the same", other.run("dag", "export", "--progress=false", root)[1] == data)
        check("its root is pinned", root in said(other, "pin", "ls", "--type=recursive", "-q"))
        check("repo gc keeps what it pinned", other.run("repo", "gc")[0] == 0 and other.run("--offline", "dag", "export", root)[1] == data)
        expect_in(other, "dag import of standard input", ["dag", "import", "--enc=json"], whole, f'{{"Root":{{"Cid":{{"/":"{top}"}},"PinErrorMsg":""}}}}\n')
        large = os.path.join(folder, "large")
        with open(large, "wb") as file:
            file.write(os.urandom(9 * 1024 * 1024 + 5))
        cid = said(node, "add", "-Q", large).strip()
        check("dag export of a large file", node.run("dag", "export", "-o", car, cid)[0] == 0)
        expect(other, "dag import of a large CAR, which the daemon reads", ["dag", "import", car], 0, f"Pinned root\t{cid}\tsuccess\n")
        check("its bytes are there", other.run("--offline", "get", "-o", large + "2", cid)[0] == 0 and open(large + "2", "rb").read() == open(large, "rb").read())
        with open(car, "rb") as file:
            half = file.read()[:5 * 1024 * 1024]
        code, out, err = other.run("dag", "import", data=half)
        check("a CAR that is cut off", code == 1 and "standard input: byte " in err and "of the CAR: the stream ends too early" in err, (code, out, err))
        code, out, err = other.run("dag", "import", data=b"")
        check("nothing is no CAR", code == 1 and "too early" in err, (code, out, err))
        third = node.run("dag", "put", data=f'[{{"/":"{ABSENT}"}}]'.encode())[1].decode().strip()
        block = node.run("block", "get", third)[1]
        lone = header_of(data, third) + section_of(third, block)
        code, out, err = other.run("dag", "import", data=lone)
        check("a root with a missing block is not pinned", code == 4 and "FAILED" in err and third in err, (code, out, err))
        expect_in(other, "unless nobody wants it to be", ["dag", "import", "--pin-roots=false", "--stats"], lone, f"Imported 1 blocks ({len(block)} bytes)\n")
        check("it ends cleanly", other.stop() == 0)
    finally:
        other.stop()


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def block_bytes(car):
    """Bytes of the blocks in a CAR whose CIDs have 36 bytes."""
    length, at = read_varint(car, 0)
    at += length
    total = 0
    while at < len(car):
        length, at = read_varint(car, at)
        total += length - 36
        at += length
    return total


def cid_bytes(cid):
    return base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))


def header_of(car, root):
    """The header of a CAR of one root, with another one."""
    length, at = read_varint(car, 0)
    return car[:at + length - 36 - 9] + cid_bytes(root) + car[at + length - 9:at + length]


def section_of(cid, block):
    body = cid_bytes(cid) + block
    assert len(body) < 128
    return bytes([len(body)]) + body


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
    wish = {"cid": root, "stored": True, "min": 2, "max": 4, "critical": 7}
    expect(node, "replicate set", ["replicate", "set", v0, "--min", "2", "--critical=7"], 0)
    check("replicate get", json.loads(said(node, "replicate", "get", root)) == wish)
    check("replicate ls", json.loads(said(node, "replicate", "ls"))["wishes"] == [wish])
    check("why tells the wish", "wished:       in 2 to 4 places, 7" in said(node, "why", root))
    expect(node, "v_replication", ["sql", "select min, max, critical, stored from v_replication"], 0, "2|4|7|1\n")
    expect(node, "replicate set: min over max", ["replicate", "set", root, "--min", "5"], 1, "", "at least")
    expect(node, "replicate set: too many", ["replicate", "set", root, "--critical", "65"], 2, "", "1 to 64")
    expect(node, "replicate rm", ["replicate", "rm", root], 0)
    expect(node, "replicate get of nothing", ["replicate", "get", root], 4, "", root)
    expect(node, "metadata put: too much", ["metadata", "put", root, *(f"{key}=" + "y" * 4000 for key in "abcde")], 1, "", "16384 bytes")
    expect(node, "metadata put: a key without a value", ["metadata", "put", root, "x"], 2, "", "key=value")


def reasons(node, root):
    """why: what is known of a stored and pinned block, and of one that is not here."""
    told = json.loads(said(node, "why", "--enc=json", root))
    check("why: stored and pinned", told["stored"] and told["tier"] in ("memory", "disk") and told["segment"] > 0 and told["pins"] == [{"cid": root, "kind": "recursive", "name": ""}], told)
    check("why: provided and reachable", told["provided"] in ("not yet", "yes") and told["connections"] == 0 and "/tcp/" in told["addresses"][0] and told["silent"] == [], told)
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
    leaf = links(node, links(node, root)[0])[0]
    check("why --roots finds the pin above", f"reached from: {root}\n" in said(node, "why", "--roots", leaf))
    found = [json.loads(line) for line in said(node, "why", "--roots", "--enc=json", leaf).splitlines()]
    check("why --roots --enc=json", found[1] == {"roots": [root], "complete": True}, found)
    check("why --roots: below no pin", "reached from: no recursive pin\n" in said(node, "why", "-r", ABSENT))
    told = json.loads(said(node, "why", "--enc=json", ABSENT))
    check("why: an absent block", not told["stored"] and told["provided"].startswith("no: it is not stored") and told["pins"] == [] and not told["wanted_by_us"] and "segment" not in told, told)
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


def traces(node, root):
    """--trace: a number under which all that a command's requests did is told, as a tree."""
    code, out, err = node.run("--trace", "cat", f"/ipfs/{root}/a/g")
    number = re.match(r"trace (\d+): `hearth trace \1`", err)
    check("--trace prints its number", code == 0 and out == b"1\n" and number is not None, err)
    if number is None:
        return
    text = said(node, "trace", number[1])
    lines = text.splitlines()
    check("trace: a tree with times", lines[0].startswith(f"trace {number[1]}, began ") and re.search(r"^ +\+\d+\.\d{3}  control: read  ok, in ", text, re.M) and re.search(r"^ +\+\d+\.\d{3}    control -> bitswap: fetch  ok, in \d+\.\d{3}, waited ", text, re.M) and re.search(r"^ +\+\d+\.\d{3}      bitswap -> tiered_storage: block_get  ok", text, re.M), text)
    told = json.loads(said(node, "trace", "--enc=json", number[1]))
    check("trace --enc=json", told["whole"] and [hop["depth"] for hop in told["hops"]][:2] == [0, 1] and all(hop["code"] == "ok" for hop in told["hops"] if "code" in hop), told)
    answer = json.loads(said(node, "query", '{"op":"version"}'))
    check("an answer has the number of its trace", f"trace {answer['trace']}, began" in said(node, "trace", str(answer["trace"])), answer)
    expect(node, "trace: a number that no request had yet", ["trace", "1000000"], 4, "", "no request had trace 1000000 yet")


def large(node, folder):
    """A large file is written by the daemon itself, or sent when it takes no files: the same bytes, mode and time."""
    path, out = os.path.join(folder, "film"), os.path.join(folder, "film-out")
    door = node.file("run/files.sock")
    with open(path, "wb") as file:
        file.write(os.urandom(5_000_000))
    os.chmod(path, 0o640)
    os.utime(path, (1000, 1000))
    inside = said(node, "add", "-w", "-Q", "--preserve-mode", "--preserve-mtime", path).strip() + "/film"
    for name in ("written by the daemon", "sent"):
        with open(out, "wb") as file:
            file.write(b"x" * 6_000_000)
        expect(node, f"get of a large file, {name}", ["get", "-o", out, inside], 0, "", "Saving file(s) to film-out")
        with open(out, "rb") as got, open(path, "rb") as want:
            check(f"get of a large file, {name}: the bytes", got.read() == want.read())
        check(f"get of a large file, {name}: mode and time", (os.stat(out).st_mode & 0o7777, os.stat(out).st_mtime) == (0o640, 1000))
        if os.path.exists(door):
            os.rename(door, door + ".away")
    os.rename(door + ".away", door)
    expect(node, "get of a large file into what is none", ["get", "-o", "/dev/null", inside], 0, "")


def pins(folder):
    """What pins hold, how they are listed, and what a collection leaves: on a node of its own."""
    node = Node(folder, "pins")
    if not check("pins: the daemon is ready", node.start(), node.said()):
        return
    root = said(node, "add", "-rQ", os.path.join(folder, "tree")).strip()
    blocks = said(node, "refs", "-ru", root).split()
    deadline = time.monotonic() + 10  # what pins hold is counted beside
    while node.run("pin", "ls")[2] and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = dict(line.split(" ", 1) for line in said(node, "pin", "ls").splitlines())
    check("pin ls: the root is recursive, what it reaches is indirect",
          lines.pop(root) == "recursive" and set(lines.values()) == {"indirect"} and set(blocks) <= set(lines), lines)
    expect(node, "pin ls --count", ["pin", "ls", "--count"], 0, "1\n")
    expect(node, "pin ls of one below", ["pin", "ls", blocks[0]], 0, f"{blocks[0]} indirect\n")
    expect(node, "pin ls of one that is not", ["pin", "ls", ABSENT], 4, "", f"path '{ABSENT}' is not pinned")
    expect(node, "pin ls of no type", ["pin", "ls", "-t", "odd"], 2, "", "--type")
    expect(node, "pin verify --verbose", ["pin", "verify", "--verbose"], 0, f"{root} ok\n")
    expect(node, "a block below a pin is not removed", ["block", "rm", blocks[0]], 1, "", "pinned")
    first, second = (said(node, "block", "put", "--pin", name).strip() for name in (os.path.join(node.path, "config.yaml"), __file__))
    expect(node, "pin update", ["pin", "update", first, second], 0, f"updated {first} to {second}\n")
    expect(node, "pin update of what is not pinned", ["pin", "update", first, second], 4, "", first)
    expect(node, "pin add with a name", ["pin", "add", "-n", "a name", second], 0, f"pinned {second} recursively\n")
    check("pin ls --names", f"{second} recursive a name\n" in said(node, "pin", "ls", "--names"))
    expect(node, "pin add --progress", ["pin", "add", "--progress", "--recursive=false", second], 0, f"pinned {second} directly\n", "")
    expect(node, "an identity CID can be pinned", ["pin", "add", "bafkqaaa"], 0, "pinned bafkqaaa recursively\n")
    expect(node, "repo gc --dry-run", ["repo", "gc", "--dry-run"], 0, f"would remove {first}\n")
    expect(node, "repo gc -q", ["repo", "gc", "-q"], 0, f"{first}\n")
    check("what is pinned outlives it", node.run("--offline", "get", "-o", os.path.join(node.path, "kept"), root)[0] == 0)
    expect(node, "pin rm of several", ["pin", "rm", root, second, "bafkqaaa"], 0,
           f"unpinned {root}\nunpinned {second}\nunpinned bafkqaaa\n")
    gone = said(node, "repo", "gc").splitlines()
    check("repo gc removes the rest", set(gone) == {f"removed {cid}" for cid in [root, *blocks]} or len(gone) >= len(set(blocks)), gone)
    expect(node, "the direct pin stays", ["pin", "ls"], 0, f"{second} direct\n")
    check("pins: it ends cleanly", node.stop() == 0)


def errors(node):
    expect(node, "log level", ["log", "level", "debug"], 0, "Changed log level to debug\n")
    expect(node, "log level of all", ["log", "level", "all", "info"], 0, "Changed log level to info\n")
    expect(node, "log level of a part", ["log", "level", "bitswap", "info"], 1, "", "bitswap")
    expect(node, "no such log level", ["log", "level", "loud"], 1, "", "loud")
    expect(node, "stats dht of one that is alone", ["stats", "dht", "lan"], 0, "DHT lan (0 peers):\n")
    expect(node, "a peer that nobody knows", ["routing", "findpeer", "12D3KooWSTBjkR9h8nV7cGvmsbjUUQEaqAGfEdfBvxUxRWrAnHgF"], 4, "", "knows where")
    expect(node, "what is not here is not provided", ["routing", "provide", ABSENT], 4, "", "not stored here")
    expect(node, "a key of no namespace", ["routing", "get", "/x/y"], 1, "", "/x/y")
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
            pins(folder)
            batches(node, folder)
            notes(node, root)
            reasons(node, root)
            traces(node, root)
            cars(node, folder, root, dags(node, root))
            large(node, folder)
            errors(node)
            check("it ends cleanly", node.stop() == 0)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

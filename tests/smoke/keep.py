#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a node keeps, tried on real daemons and real disks: damage that heals from a peer, segments that are wrong or gone, a backup made while it works and its restore,
space that comes back, a disk of 16 MiB that fills up and gets room again, one whose syncs fail for a while.

Needs build/hearth; the small disk needs root, mkfs.ext4 and a loop device, and is skipped without.
Usage: tests/smoke/keep.py [name of a group ...]; HEARTH_BUILD names another build folder.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from bad_input import HEARTH, START_S, Node, check, counts, eventually, fill, say


def segments(node):
    return sorted(name for name in os.listdir(node.file("segments")) if name.endswith(".seg"))


def segment_bytes(node):
    """Of the disk, whatever the files' length is."""
    return sum(os.stat(os.path.join(node.file("segments"), name)).st_blocks * 512 for name in segments(node))


def flip(node, offset):
    with open(os.path.join(node.file("segments"), segments(node)[0]), "r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 0x40]))


def figure(node, name):
    found = re.search(rf'"{name}":(\d+)', node.run("repo", "stat", "--enc=json")[1].decode())
    return int(found.group(1)) if found else None


def healing(folder):
    here, there = Node(folder, "here"), Node(folder, "there")
    data = os.urandom(3_000_000)
    if not check("healing: two nodes start", here.start() and there.start(), here.said() + there.said()):
        return
    cid = there.add(data)
    check("healing: both have it", here.add(data) == cid)
    check("healing: a whole store verifies", b"verify complete, all blocks validated." in here.run("repo", "verify")[1])
    here.stop()
    for offset in (5_000, 1_500_000):
        flip(here, offset)
    if not check("healing: starts on a damaged segment", here.start(), here.said()):
        return
    code, out, err = here.run("repo", "verify")
    check("healing: repo verify finds both", code == 1 and out.count(b" was corrupt (") == 2, f"exit {code}: {out} {err}")
    check("healing: they are in quarantine", figure(here, "quarantined") == 2, here.run("repo", "stat")[1])
    check("healing: repo quarantine lists them", here.run("repo", "quarantine")[1].count(b"\n") == 2)
    check("healing: --status tells", b"Quarantined:  2" in here.run("repo", "verify", "--status")[1])
    code, _, err = here.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{there.port()}/p2p/{there.peer()}")
    check("healing: connects", code == 0, err)
    code, out, err = here.run("repo", "verify", "--heal", timeout=120)
    check("healing: --heal brings them back", code == 0, f"exit {code}: {out} {err}")
    check("healing: nothing is in quarantine", figure(here, "quarantined") == 0, here.run("repo", "quarantine")[1])
    there.stop()
    check("healing: the bytes are right", here.reads(cid, data))
    here.stop()
    flip(here, 2_500_000)
    check("healing: starts again", here.start(), here.said())
    code, out, err = here.run("repo", "verify", "--drop")
    check("healing: --drop forgets what is damaged", code == 0 and b", removed" in out, f"exit {code}: {out} {err}")
    here.refuses("healing: but a pin that holds it is told of", 1, "are missing", "repo", "verify")
    check("healing: without the pin it can be dropped", here.run("pin", "rm", cid)[0] == 0 and here.run("repo", "verify", "--drop")[0] == 0)
    check("healing: then all is well", here.run("repo", "verify")[0] == 0)


def cut(path):
    os.truncate(path, os.path.getsize(path) // 3)


def overwrite(path):
    with open(path, "r+b") as file:
        for at in range(0, os.path.getsize(path), 300_000):
            file.seek(at)
            file.write(os.urandom(5000))


def wrong_segments(folder):
    """Segments that are corrupt, cut, swapped, missing; then all of them, as on a disk that is not mounted, and for good."""
    here, there = Node(folder, "here", DATASTORE__STORAGEMAX="64MiB"), Node(folder, "there")
    if not check("segments: two nodes start", here.start() and there.start(), here.said() + there.said()):
        return
    data = os.urandom(12_000_000)  # segments of 2 MiB
    cid = there.add(data)
    check("segments: both have it", here.add(data) == cid)
    check("segments: something is noted of it", here.run("metadata", "put", cid, "name=film")[0] == 0)
    address = f"/ip4/127.0.0.1/tcp/{there.port()}/p2p/{there.peer()}"

    def heals(label):
        check(f"{label}: connects", here.run("swarm", "connect", address)[0] == 0)
        code, out, err = here.run("repo", "verify", "--heal", timeout=120)
        check(f"{label}: heals", code == 0, f"exit {code}: {out[-300:]} {err}")
        check(f"{label}: nothing is in quarantine", figure(here, "quarantined") == 0, here.run("repo", "quarantine")[1][:300])
        check(f"{label}: the bytes are right", here.reads(cid, data))

    def path(number):
        return os.path.join(here.file("segments"), segments(here)[number])

    def swap(first):
        second, beside = path(4), first + ".x"
        for old, new in [(first, beside), (second, first), (beside, second)]:
            os.rename(old, new)
    for number, (what, damage) in enumerate([("corrupt", overwrite), ("cut", cut), ("missing", os.unlink), ("swapped", swap)]):
        here.stop()
        damage(path(number))
        if not check(f"segments: starts with one that is {what}", here.start(), here.said()):
            return
        code, out, err = here.run("repo", "verify")
        check(f"segments: {what}: repo verify finds it", code == 1 and b" was corrupt (" in out and "--heal" in err, f"exit {code}: {out[-300:]} {err}")
        heals(f"segments: {what}")
    here.stop()
    away = os.path.join(folder, "away")
    os.rename(here.file("segments"), away)
    os.mkdir(here.file("segments"))
    for turn in ("once", "and again"):
        check(f"segments: none there: refused {turn}", not here.start() and here.process.wait(START_S) == 1 and re.search(
            rf"Error: .*{re.escape(here.file('segments'))} has none of the [0-9]+ segments.*mount the disk.*blocks\.db\.rebuild", here.said()), here.said())
    check("segments: none there: nothing is written", os.listdir(here.file("segments")) == [])
    os.rmdir(here.file("segments"))
    os.rename(away, here.file("segments"))
    check("segments: back again: starts", here.start(), here.said())
    check("segments: back again: all is there", here.reads(cid, data) and figure(here, "quarantined") == 0)
    here.stop()
    shutil.rmtree(here.file("segments"))
    os.mkdir(here.file("segments"))
    with open(here.file("blocks.db.rebuild"), "w", encoding="ascii"):
        pass
    if not check("segments: lost for good: starts after that was said", here.start(), here.said()):
        return
    check("segments: lost for good: the pin is kept", cid.encode() in here.run("pin", "ls", "--type=recursive")[1])
    check("segments: lost for good: what was noted too", b"film" in here.run("metadata", "get", cid)[1], here.run("metadata", "get", cid))
    heals("segments: lost for good")
    here.healthy("segments: healthy")


def backup(folder):
    node, copy = Node(folder, "node"), os.path.join(folder, "copy")
    if not check("backup: starts", node.start(), node.said()):
        return
    kept = [(data, node.add(data)) for data in (os.urandom(5_000_000), b"small", os.urandom(300_000))]
    check("backup: a key of a name", node.run("key", "gen", "site")[0] == 0)
    names = node.run("key", "list", "-l")[1].splitlines()[-1:]
    adding = threading.Thread(target=lambda: [node.add(os.urandom(2_000_000)) for _ in range(10)])
    adding.start()
    code, out, err = node.run("repo", "backup", copy, timeout=120)
    adding.join()
    check("backup: made and checked while something is added", code == 0 and b"all blocks validated" in out, f"exit {code}: {out} {err}")
    check("backup: leaves nothing in the repository", not os.path.exists(node.file("backup.db")))
    check("backup: says what is not in it", b"identity.key" in out, out)
    late = os.urandom(1_000_000)
    kept.append((late, node.add(late)))
    code, out, err = node.run("repo", "backup", copy, timeout=120)
    check("backup: again into the same folder", code == 0, f"exit {code}: {out} {err}")
    for wait in (0, 0.05, 0.2, 0.6):  # killed on the way: the folder stays the backup that it was, and the next run goes on
        late = os.urandom(3_000_000)
        kept.append((late, node.add(late)))
        killed = subprocess.Popen([HEARTH, "repo", "backup", copy], env=node.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        killed.kill()
        killed.wait()
    code, out, err = node.run("repo", "backup", copy, timeout=120)
    check("backup: busy for a minute at most after one that was killed", code == 0 or "busy" in err, f"exit {code}: {err}")
    done = code == 0 or eventually(lambda: node.run("repo", "backup", copy, timeout=120)[0] == 0, 80)
    check("backup: goes on after it was killed", done and not os.path.exists(os.path.join(copy, "blocks.db.part")))
    pins = sorted(node.run("pin", "ls")[1].splitlines())
    other = Node(folder, "other")
    check("backup: another store starts", other.start(), other.said())
    other.add(b"of another store")
    other.refuses("backup: the folder of another store is refused", 1, "another store", "repo", "backup", copy)
    other.refuses("restore: a repository that has a daemon is refused", 1, "another hearth daemon", "repo", "restore", copy)
    other.stop()
    other.refuses("restore: a repository that has blocks is refused", 1, "has blocks already", "repo", "restore", copy)
    node.stop()
    new = Node(folder, "new")
    check("restore: init", new.run("init")[0] == 0)
    new.refuses("restore: no backup", 1, "no complete backup", "repo", "restore", folder)
    with open(new.file("restore.incomplete"), "w", encoding="ascii"):
        pass
    check("restore: no daemon starts beside one that was interrupted", not new.start() and "restore" in new.said(), new.said())
    code, out, err = new.run("repo", "restore", copy, timeout=120)
    check("restore: goes on, checks all", code == 0 and b"all blocks validated" in out, f"exit {code}: {out} {err}")
    if not check("restore: starts", new.start(), new.said()):
        return
    check("restore: all is there", all(new.reads(cid, data) for data, cid in kept))
    check("restore: the keys of names too", names[0] in new.run("key", "list", "-l")[1].splitlines() and oct(os.stat(new.file("keystore")).st_mode & 0o777) == "0o700", names)
    check("restore: all pins too", set(sorted(new.run("pin", "ls")[1].splitlines())) >= set(pins))
    check("restore: verifies", new.run("repo", "verify")[0] == 0)
    check("restore: takes more", new.add(b"more") is not None)
    new.stop()
    os.unlink(new.file("blocks.db"))
    if check("restore: starts when its catalogue is lost", new.start(), new.said()):
        # what is pinned itself comes from the journal, before the start ends; what that reaches is counted behind it, and said to be
        roots = {line for line in pins if not line.endswith(b" indirect")}
        code, out, err = new.run("pin", "ls")
        check("restore: the pins outlive the catalogue", code == 0 and set(out.splitlines()) >= roots, f"exit {code}: {out} {err}, wanted {roots}")
        check("restore: what is not counted yet is said to be missing", set(out.splitlines()) >= set(pins) or "counted" in err, f"{out} {err}")
        check("restore: what they reach is counted again", eventually(lambda: set(new.run("pin", "ls")[1].splitlines()) >= set(pins)),
              new.run("pin", "ls"))


def backup_again(folder):
    """Into the same folder each time, with segments of 2 MiB: what was open then is sealed now, and longer."""
    node, copy = Node(folder, "node", DATASTORE__STORAGEMAX="64MiB"), os.path.join(folder, "copy")
    if not check("backup again: starts", node.start(), node.said()):
        return
    for turn in range(8):
        for _ in range(4):
            node.add(os.urandom(300_000))
        code, out, err = node.run("repo", "backup", copy, timeout=120)
        check(f"backup again: turn {turn}: made and checked", code == 0, f"exit {code}: {out} {err}")
    code, out, _ = node.run("repo", "backup", copy, timeout=120)
    check("backup again: nothing new, nothing copied", code == 0 and b" 0 segments copied" in out, out)
    code, out, err = node.run("repo", "gc", timeout=60)
    check("backup again: a collection right after it ends", code == 0, f"exit {code}: {out} {err}")


def space(folder):
    node = Node(folder, "node", DATASTORE__STORAGEMAX="64MiB")
    if not check("space: starts", node.start(), node.said()):
        return
    kept = os.urandom(2_000_000)
    cid = node.add(kept)
    for turn in range(3):
        code, out, err = node.run("add", "-Q", "--pin=false", data=os.urandom(45_000_000), timeout=60)
        if not check(f"space: turn {turn}: takes 45 MB of 64 MiB", code == 0, err):
            return
        root = out.decode().strip()
        blocks = node.run("refs", "-r", root)[1].decode().split() + [root]
        code, _, err = node.run("block", "rm", *blocks, timeout=60)
        check(f"space: turn {turn}: removed", code == 0, err)
        check(f"space: turn {turn}: the space is given back", eventually(lambda: figure(node, "disk_bytes") < 20_000_000),
              node.run("repo", "stat")[1] + node.run("sql", "select * from v_segments")[1] + node.said()[-800:].encode())
    code, out, err = node.run("add", "-Q", "--pin=false", data=os.urandom(45_000_000), timeout=60)
    check("space: unpinned again", code == 0, err)
    code, out, err = node.run("repo", "gc", timeout=60)
    check("space: repo gc", code == 0, err)
    check("space: what it collects is given back too", eventually(lambda: figure(node, "disk_bytes") < 20_000_000), node.run("repo", "stat")[1])
    check("space: and to the disk", eventually(lambda: segment_bytes(node) < 40_000_000), segment_bytes(node))
    check("space: what was kept is there", node.reads(cid, kept))
    told = node.run("repo", "stat", "-H")[1].decode()
    check("space: repo stat -H has Kubo's fields and ours", all(re.search(rf"^{name}: +\S", told, re.M) for name in (
        "NumObjects", "RepoSize", "StorageMax", "RepoPath", "Version", "DeadBytes", "Quarantine", "LastScrub")), told)
    node.kill_9()
    check("space: after kill -9 too", node.start() and node.reads(cid, kept), node.said())
    check("space: verifies", node.run("repo", "verify")[0] == 0)


READER = """
import sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True, isolation_level=None)
db.execute("begin")
db.execute("select count(*) from blocks").fetchone()
print("holds", flush=True)
sys.stdin.read()
"""


def long_reader(folder):
    """A stranger keeps a transaction open while the catalogue grows: the log cannot be reset, the daemon says who it is, all goes on."""
    node = Node(folder, "node")
    if not check("long reader: starts", node.start(), node.said()):
        return
    reader = subprocess.Popen([sys.executable, "-c", READER, node.file("blocks.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        check("long reader: it holds a transaction", reader.stdout.readline() == b"holds\n")
        data = os.urandom(24_000_000)
        code, out, err = node.run("add", "-Q", "-s", "size-128", data=data, timeout=180)
        if not check("long reader: 190 thousand small blocks are added", code == 0, err):
            return
        check("long reader: the log has grown", eventually(lambda: os.path.getsize(node.file("blocks.db-wal")) > 64 << 20))
        check("long reader: the daemon names the process", eventually(lambda: f"process {reader.pid} has held" in node.said()), node.said()[-600:])
        check("long reader: all is there", node.reads(out.decode().strip(), data))
    finally:
        reader.stdin.close()
        reader.wait()
    check("long reader: the log starts over once it has gone", eventually(
        lambda: node.add(os.urandom(1000)) is not None and os.path.getsize(node.file("blocks.db-wal")) < 16 << 20), os.path.getsize(node.file("blocks.db-wal")))
    node.healthy("long reader: healthy")


def small_disk(folder):
    disk, image = os.path.join(folder, "disk"), os.path.join(folder, "image")
    os.mkdir(disk)
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    made = shutil.which("mkfs.ext4") and subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], capture_output=True).returncode == 0
    if not made or subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True).returncode != 0:
        say("SKIP", "small disk", "no right to mount an ext4 of 16 MiB on a loop device, or no mkfs.ext4")
        return
    node, filler = Node(folder, "disk/repo"), os.path.join(disk, "filler")
    try:
        if not check("small disk: starts on 16 MiB of ext4", node.start(), node.said()):
            return
        kept = []
        for _ in range(20):
            data = os.urandom(900_000)
            code, out, err = node.run("add", "-Q", data=data)
            if code != 0:
                break
            kept.append((out.decode().strip(), data))
        check("small disk: an add is refused and says what to do", code == 1 and re.search(r"no space.*Datastore\.StorageMax|disk is full", err), err)
        check("small disk: something had been taken", len(kept) > 2, len(kept))
        fill(filler)
        node.refuses("small disk: not a byte left", 1, r"no space|full", "add", "-Q", data=os.urandom(500_000))
        check("small disk: repo stat says read_only", b'"read_only":true' in node.run("repo", "stat", "--enc=json")[1])
        check("small disk: reads go on", all(node.reads(*k) for k in kept))
        os.unlink(filler)
        small = os.urandom(100_000)
        check("small disk: writes resume by themselves", eventually(lambda: node.add(small) is not None), node.run("add", "-Q", data=small)[2])
        check("small disk: repo stat says so", b'"read_only":true' not in node.run("repo", "stat", "--enc=json")[1])
        check("small disk: all is there", all(node.reads(*k) for k in kept), [node.run("cat", k[0], "--timeout", "5s")[2] for k in kept])
        check("small disk: verifies", node.run("repo", "verify")[0] == 0, str(node.run("repo", "verify")) + node.said()[-1500:])
        # what state could not write is tried again with pauses of half a minute at most
        check("small disk: healthy", eventually(lambda: node.run("diag", "healthy")[0] == 0, 60), node.run("diag", "healthy"))
    finally:
        node.stop()
        subprocess.run(["umount", "-l", disk], capture_output=True)


def failing_sync(folder):
    """A disk that cannot sync: nothing is acknowledged that might be lost, and all goes on when it can again."""
    library, plan = os.path.join(os.path.dirname(HEARTH), "tests", "failing_sync.so"), os.path.join(folder, "plan")
    if not os.path.exists(library):
        say("SKIP", "failing sync", f"{library} is not built")
        return
    node = Node(folder, "node")
    node.env |= {"LD_PRELOAD": library, "TEST_SYNC_FAILS": plan}
    if not check("failing sync: starts", node.start(), node.said()):
        return
    kept = [(node.add(data), data) for data in (os.urandom(3_000_000), b"small")]
    for what, end in [("segments", ".seg"), ("the catalogue's log", "blocks.db-wal")]:
        with open(plan, "w", encoding="ascii") as file:
            file.write(end)
        for turn in range(3):  # the third in a row ends a life of the actor that stores
            node.refuses(f"failing sync: {what}: add {turn + 1} is refused", 1, r"input/output error|is down", "add", "-Q", data=os.urandom(300_000))
        check(f"failing sync: {what}: the daemon says what fails", "input/output error" in node.said(), node.said())
        check(f"failing sync: {what}: reads go on", eventually(lambda: all(node.reads(*k) for k in kept)), node.said()[-800:])
        node.refuses(f"failing sync: {what}: still refused", 1, r"input/output error|is down", "add", "-Q", data=os.urandom(300_000))
        os.unlink(plan)
        data = os.urandom(200_000)
        check(f"failing sync: {what}: writes resume by themselves", eventually(lambda: node.add(data) is not None), node.said()[-800:])
        kept.append((node.add(data), data))
        check(f"failing sync: {what}: healthy again", eventually(lambda: node.run("diag", "healthy")[0] == 0), node.run("diag", "healthy"))
    node.kill_9()
    check("failing sync: starts after kill -9", node.start(), node.said())
    check("failing sync: all is there", all(node.reads(*k) for k in kept))
    check("failing sync: verifies", node.run("repo", "verify")[0] == 0, node.run("repo", "verify"))


GROUPS = {"healing": healing, "segments": wrong_segments, "backup": backup, "backup_again": backup_again, "space": space, "long_reader": long_reader, "small_disk": small_disk,
          "failing_sync": failing_sync}


def own_mounts():
    """Again in a private mount namespace, where that is allowed."""
    if os.environ.get("KEEP_INSIDE"):
        return
    os.environ["KEEP_INSIDE"] = "1"
    for how in (["unshare", "--mount", "--propagation", "private"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if shutil.which("unshare") and subprocess.run([*how, "true"], capture_output=True).returncode == 0:
            os.execvp(how[0], [*how, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def main():
    own_mounts()
    for name in sys.argv[1:] or GROUPS:
        folder = tempfile.mkdtemp(prefix="hearth-keep-", dir="/tmp")
        try:
            GROUPS[name](folder)
        except Exception as error:  # a group that breaks is a failure, not the end of the rest
            say("FAIL", name, repr(error))
        finally:
            for node in Node.all:
                node.stop()
            Node.all.clear()
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

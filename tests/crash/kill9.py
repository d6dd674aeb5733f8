#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: kill9.py [--build DIR] [--smoke] [--seed N] [--times N] [--jobs N] [--only JOB]

Kills real daemons, and commands that write by themselves, with SIGKILL at random moments of what they do, and checks after each restart that all
that was acknowledged is there, and nothing that was removed:

    adds          files that `hearth add` printed a CID for are read back byte for byte, and pinned
    fetches       the same of files that `hearth cat` printed, from another node
    removals      … while three quarters of what is stored are removed, so that compaction empties segments all the time; no removed block is back
    collections   … while files are unpinned, pinned again and collected
    imports       graphs that `hearth dag import` pinned are exported again byte for byte
    backups       what there is after a kill of daemon or command is no backup, or the last one that was complete, which is restored and compared
    restores      a repository whose restore was killed takes no daemon, until the restore was run again
    demotions     … while blocks leave for a cold tier in a folder and come back, and packs are emptied; no removed block is back
    migrations    a catalogue of version 1 is that or a whole one of this version, and the next start ends what was begun

kill -9 keeps the page cache, so this proves the order of writes inside the process and a clean restart; power loss is crash_replay's part. A
command that fails while its daemon lives is an error too. Each job works in a repository of its own, --jobs of them at a time.
Prints SKIP and exits 0 while there is no daemon to kill."""
import argparse
import concurrent.futures
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import version_1
from node import READY_S, Node

SIZES = [0, 1, 1000, 100_000, 300_000, 3_000_000]
SMALL = SIZES[:-1]


# ---- what jobs share ----

class Moments:
    """Random moments spread over work that ends by itself: how long it takes here is learnt from the times that it came to its end."""

    def __init__(self, rnd, seconds):
        self.rnd, self.seconds, self.cut = rnd, seconds, 0

    def kill(self, node, work, **more):
        took = node.kill_during(work, self.rnd.uniform(0, self.seconds), **more)
        self.cut += took is None
        self.seconds = self.seconds * 1.03 if took is None else took * 1.2


def some(rnd, things, count=5):
    return rnd.sample(sorted(things), min(count, len(things)))


def digest(data):
    return hashlib.sha256(data).digest()


def add(node, rnd, kept, sizes, *options):
    """A file of random bytes; once its CID is printed it is in kept, with the digest of its bytes."""
    data = rnd.randbytes(rnd.choice(sizes))
    file = node.path.parent / f"{node.path.name}.file"
    file.write_bytes(data)
    cid = node.do("add", "-Q", *options, str(file)).strip()
    kept[cid] = digest(data)
    return cid


def pins(node):
    return set(node.run("pin", "ls", "--type=recursive", "--quiet").stdout.decode().split())


def check(node, kept, cids, pinned=True):
    listed = pins(node) if pinned else set()
    for cid in cids:
        got = node.run("--offline", "cat", cid).stdout
        if digest(got) != kept[cid]:
            raise RuntimeError(f"{cid} was acknowledged, but reads back wrong ({len(got)} bytes)")
    missing = set(kept) - listed if pinned else ()
    if missing:
        raise RuntimeError(f"{len(missing)} files were acknowledged, but their pins are gone: {min(missing)}")


def end(node, kept, pinned=True):
    """The last start: all of it is there, and whole."""
    node.start()
    check(node, kept, kept, pinned)
    node.run("pin", "verify")
    node.run("repo", "verify")
    node.stop()


# ---- the jobs: each kills so many times and says what it saw ----

def adds(build, root, rnd, times):
    node, kept = Node(build, root, "node"), {}

    def work():
        while True:
            add(node, rnd, kept, SIZES)
    for _ in range(times):
        node.start()
        check(node, kept, some(rnd, kept))
        node.kill_during(work, rnd.uniform(0, 0.8))
    end(node, kept)
    return f"{len(kept)} acknowledged files, all there"


def fetches(build, root, rnd, times):
    source, node, kept = Node(build, root, "source"), Node(build, root, "node"), {}
    moments = Moments(rnd, 0.4)
    source.start()
    for _ in range(times):
        fresh = {}
        for _ in range(4):
            add(source, rnd, fresh, [1000, 300_000, 3_000_000])
        node.start()
        check(node, kept, some(rnd, kept), False)

        def work():
            node.do("swarm", "connect", source.address)
            for cid in fresh:
                done = node.run("cat", cid, check=False)
                if done.returncode != 0:
                    node.failed(f"cat {cid}: {done.stderr.decode(errors='replace')}")
                if digest(done.stdout) != fresh[cid]:
                    raise RuntimeError(f"{cid} was fetched wrong")
                kept[cid] = fresh[cid]
        moments.kill(node, work)
    end(node, kept, False)
    source.stop()
    return f"{moments.cut} in the middle; {len(kept)} fetched files, all there"


def removals(build, root, rnd, times):
    """Most of what is stored is removed at once, so that segments are emptied and unlinked all the time."""
    node, kept, gone = Node(build, root, "node", HEARTH_DATASTORE__STORAGEMAX="64MiB"), {}, set()

    def work():
        while True:
            add(node, rnd, kept, SMALL[:-1])
            cid = add(node, rnd, {}, [6_000_000], "--pin=false")
            blocks = [cid, *node.do("--offline", "refs", "-r", cid).split()]
            node.do("block", "rm", *blocks)
            gone.update(blocks)
    for _ in range(times):
        node.start()
        check(node, kept, some(rnd, kept))
        for block in some(rnd, gone):
            if node.run("--offline", "block", "stat", block, check=False).returncode == 0:
                raise RuntimeError(f"{block} was removed, but is back")
        node.run("repo", "gc")  # what was added, but not removed before the kill
        node.kill_during(work, rnd.uniform(0, 2))
    segments = sorted(int(path.stem, 16) for path in (node.path / "segments").iterdir())
    end(node, kept)
    return f"{len(kept)} acknowledged files, all there; {len(gone)} removed blocks, none back; {segments[-1] - len(segments)} segments were emptied"


def collections(build, root, rnd, times):
    """What is pinned for certain is whole after each restart and each collection."""
    node, kept, collected = Node(build, root, "node", HEARTH_DATASTORE__STORAGEMAX="64MiB"), {}, 0

    def work():
        nonlocal collected
        while True:
            for _ in range(3):
                add(node, rnd, kept, SMALL)
            for cid in some(rnd, kept, max(len(kept) // 4, len(kept) - 60)):
                data = kept.pop(cid)
                node.do("pin", "rm", cid)
                if rnd.random() < 0.3:
                    node.do("--offline", "pin", "add", cid)
                    kept[cid] = data
            collected += node.do("repo", "gc").count("removed")
    for _ in range(times):
        node.start()
        check(node, kept, some(rnd, kept))
        node.run("pin", "verify")
        node.kill_during(work, rnd.uniform(0, 1.5))
    end(node, kept)
    return f"{len(kept)} pinned files, all there; {collected} blocks collected"


def demotions(build, root, rnd, times):
    """More is stored than the disk takes, so that packs are written, read, rewritten and removed all the time."""
    cold = root / "cold"
    cold.mkdir()
    node, kept, gone = Node(build, root, "node", HEARTH_DATASTORE__STORAGEMAX="24MiB", HEARTH_DATASTORE__STORAGEGCWATERMARK="0",
                            HEARTH_TIERS__COLD__KIND="directory", HEARTH_TIERS__COLD__PATH=str(cold), HEARTH_TIERS__COLD__PACKBYTES="1MiB",
                            HEARTH_TIERS__SETTLETIME="0s"), {}, set()

    def work():
        while True:
            add(node, rnd, kept, SIZES)
            cid = add(node, rnd, {}, [3_000_000], "--pin=false")
            blocks = [cid, *node.do("--offline", "refs", "-r", cid).split()]
            node.do("tier", "move", "--to=cold", *blocks)
            for one in some(rnd, kept, 3):
                node.do("tier", "move", "-r", f"--to={rnd.choice(['cold', 'disk'])}", one)
            node.do("block", "rm", *blocks)
            gone.update(blocks)
    for _ in range(times):
        node.start()
        check(node, kept, some(rnd, kept))
        for block in some(rnd, gone):
            if node.run("--offline", "block", "stat", block, check=False).returncode == 0:
                raise RuntimeError(f"{block} was removed, but is back")
        node.kill_during(work, rnd.uniform(0, 8))
    node.start()
    check(node, kept, kept)
    node.run("pin", "verify")
    node.run("repo", "verify")
    node.run("tier", "verify")
    packs = len(list(cold.glob("*.pack")))
    node.stop()
    return f"{len(kept)} acknowledged files, all there; {len(gone)} removed blocks, none back; {packs} packs at the end"


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def random_car(rnd):
    """A CAR of a dag-cbor list of links to raw blocks; its bytes and its root's CID."""
    leaves = [rnd.randbytes(rnd.choice([10, 1000, 200_000])) for _ in range(rnd.randrange(1, 200))]
    cids = [b"\x01\x55\x12\x20" + digest(leaf) for leaf in leaves]
    links = b"".join(b"\xd8\x2a\x58\x25\0" + cid for cid in cids)
    node = b"\x99" + len(leaves).to_bytes(2, "big") + links if len(leaves) > 255 else b"\x98" + bytes([len(leaves)]) + links
    if len(leaves) < 24:
        node = bytes([0x80 | len(leaves)]) + links
    root = b"\x01\x71\x12\x20" + digest(node)
    header = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\0" + root + b"\x67version\x01"
    sections = [cid + block for cid, block in zip([root, *cids], [node, *leaves])]
    return b"".join(varint(len(part)) + part for part in [header, *sections])


def imports(build, root, rnd, times):
    node, file, kept = Node(build, root, "node"), root / "graph.car", {}
    moments = Moments(rnd, 0.4)

    def check_graphs(roots):
        listed = pins(node)
        for cid in roots:
            if cid not in listed or digest(node.run("--offline", "dag", "export", cid).stdout) != kept[cid]:
                raise RuntimeError(f"{cid} was imported and pinned, but is not there any more or not whole")

    def work():
        for _ in range(3):
            car = random_car(rnd)
            file.write_bytes(car)
            told = node.do("dag", "import", "--enc=text", str(file))
            kept[next(word for word in told.split() if word.startswith("b"))] = digest(car)
    for _ in range(times):
        node.start()
        check_graphs(some(rnd, kept, 3))
        node.run("pin", "verify")
        moments.kill(node, work)
    node.start()
    check_graphs(kept)
    node.run("repo", "verify")
    node.stop()
    return f"{moments.cut} in the middle; {len(kept)} imported graphs, all there and whole"


def backups(build, root, rnd, times):
    """The daemon is killed, or the command and then the daemon. Old files go, so that segments do too."""
    node, other, copy = Node(build, root, "node", HEARTH_DATASTORE__STORAGEMAX="64MiB"), Node(build, root, "restored"), root / "copy"
    kept, whole, refused, restored = {}, None, 0, 0
    moments = Moments(rnd, 0.4)
    for _ in range(times):
        if rnd.random() < 0.25:
            shutil.rmtree(copy, ignore_errors=True)
            whole = None
        node.start()
        check(node, kept, some(rnd, kept))
        for cid in some(rnd, kept, max(0, len(kept) - 15)):
            kept.pop(cid)
            node.run("pin", "rm", cid)
        node.run("repo", "gc")
        for _ in range(3):
            add(node, rnd, kept, SIZES)
        command = node.client("repo", "backup", str(copy))

        def work():
            nonlocal whole
            told = command.communicate()[1]
            if command.returncode != 0:
                node.failed(f"repo backup: exit {command.returncode}: {told.decode(errors='replace')}")
            whole = dict(kept)
        moments.kill(node, work, before_kill=command.kill if rnd.random() < 0.5 else lambda: None)
        other.clear()
        other.run("init")
        if (copy / "blocks.db").exists():
            other.run("repo", "restore", str(copy))
            other.start()
            there = kept if set(kept) <= pins(other) or whole is None else whole  # it may have been killed when it only verified its copy
            check(other, there, some(rnd, there, 20))
            whole = dict(there)
            other.kill()
            restored += 1
            continue
        if whole is not None:
            raise RuntimeError("a backup was complete, but is not there any more")
        done = other.run("repo", "restore", str(copy), check=False)
        if done.returncode == 0 or b"no complete backup" not in done.stderr:
            raise RuntimeError(f"half a backup was restored: {done.stderr.decode(errors='replace')}")
        refused += 1
    end(node, kept)
    return f"{moments.cut} in the middle; {restored} were restored and compared, {refused} were none yet and refused"


def restores(build, root, rnd, times):
    """It is the command that is killed."""
    source, node, copy = Node(build, root, "source", HEARTH_DATASTORE__STORAGEMAX="64MiB"), Node(build, root, "node"), root / "copy"
    kept, cut, length, refused = {}, 0, 0.4, 0
    source.start()
    for _ in range(12):
        add(source, rnd, kept, SIZES[3:])
    source.run("repo", "backup", str(copy))
    source.stop()
    for _ in range(times):
        node.clear()
        node.run("init")
        command = node.client("repo", "restore", str(copy))
        try:
            command.communicate(timeout=rnd.uniform(0, length))
            length *= 0.97
        except subprocess.TimeoutExpired:
            command.kill()
            command.communicate()
            cut += 1
            length *= 1.005
        half = (node.path / "restore.incomplete").exists()
        if half:
            if not node.refuses_to_start("a restore was interrupted"):
                raise RuntimeError("a daemon started on half a restore")
            refused += 1
        if half or not (node.path / "blocks.db").exists():  # else it had only not yet said that it was done
            node.run("repo", "restore", str(copy))
        node.start()
        check(node, kept, some(rnd, kept, 3))
        node.kill()
    end(node, kept)
    return f"{cut} in the middle; {refused} daemons were refused, each restore was ended by the next"


def migrations(build, root, rnd, times):
    node, kept = Node(build, root, "node"), {}
    node.start()
    for _ in range(5):
        add(node, rnd, kept, SIZES)
    add(node, rnd, kept, [6_000_000], "-s", "size-128")
    node.stop()
    rows = version_1.make(node.path, root / "old.db")
    moments, middle, again = Moments(rnd, 1), 0, False
    for _ in range(times):
        if not again:
            version_1.put(root / "old.db", node.path)
        settled = node.spawn()
        moments.kill(node, lambda: settled.wait(READY_S))
        old = version_1.check(node.path, root, rows) == 1
        middle += old
        again = old and rnd.random() < 0.3  # the one that goes on where this one was killed is killed too
        if again:
            continue
        node.start()
        check(node, kept, some(rnd, kept, 2))
        node.kill()
        if version_1.check(node.path, root, rows) == 1:
            raise RuntimeError("the start after the kill did not end the migration")
    end(node, kept)
    return f"{middle} of them still had the old catalogue; {rows} rows, all there"


JOBS = [demotions, backups, migrations, restores, imports, removals, collections, fetches, adds]  # what takes longest first


# ---- all of them ----

def run_job(job, build, root, seed, times):
    root.mkdir()
    try:
        return True, f"killed {times} times during {job.__name__}: {job(build, root, random.Random(seed), times)}"
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return False, f"{job.__name__}, seed {seed}: {error}"
    finally:
        for node in Node.all:
            node.kill()
        Node.all.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--smoke", action="store_true", help="5 kills a job instead of 125")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, help="kills a job")
    parser.add_argument("--jobs", type=int, default=8, help="so many jobs at a time")
    parser.add_argument("--only", choices=[job.__name__ for job in JOBS])
    args = parser.parse_args()
    build = args.build.resolve()
    if not all(os.access(build / name, os.X_OK) for name in ("hearth", "hearthd")):
        print(f"SKIP   kill -9: {build}/hearth and hearthd are not built")
        return 0
    times = args.times or (5 if args.smoke else 125)
    root = Path(tempfile.mkdtemp(prefix="hk9-"))
    red = 0
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        running = [pool.submit(run_job, job, build, root / job.__name__, args.seed + i, times)
                   for i, job in enumerate(JOBS) if args.only in (None, job.__name__)]
        for done in concurrent.futures.as_completed(running):
            good, text = done.result()
            red += not good
            print(f"{'green' if good else 'RED  '}  {text}", flush=True)
    if red:
        print(f"RED    {red} jobs; their repositories and logs are in {root}")
        return 1
    shutil.rmtree(root)
    print(f"green  {times * len(running)} kills in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())

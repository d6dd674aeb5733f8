#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: kill9.py [--build DIR] [--smoke] [--seed N] [--times N]

Kills the real daemon with SIGKILL at random moments of an add, of a fetch, of removals with the compaction that follows and a backup
beside it, and of pins, unpins and collections, and checks after each restart that all that was acknowledged is there, and that no removed block is back: each file that `hearth add` has printed a CID for is read back byte for byte, and its pin is listed. kill -9
keeps the page cache, so this proves the order of writes inside the process and a clean restart; power loss is crash_replay's part.
Prints SKIP and exits 0 while there is no daemon to kill."""
import argparse
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

READY_S = 20
COMMAND_S = 60


class Node:
    """One daemon in a repository of its own, on loopback only."""

    def __init__(self, build, root, name, **settings):
        self.hearth = str(build / "hearth")
        self.path = root / name
        self.path.mkdir(mode=0o700)
        self.env = dict(os.environ, HEARTH_PATH=str(self.path), HEARTH_ADDRESSES__SWARM="/ip4/127.0.0.1/tcp/0",
                        HEARTH_BOOTSTRAP="", HEARTH_DISCOVERY__MDNS="false", **settings)
        self.process = None
        self.address = None
        self.log = open(root / f"{name}.log", "ab")

    def start(self):
        self.process = subprocess.Popen([self.hearth, "daemon"], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.log, start_new_session=True)
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self.process.stdout, ready), daemon=True).start()
        if not ready.wait(READY_S):
            self.kill()
            raise RuntimeError(f"{self.path.name}: not ready within {READY_S} s; see its log")

    def _read(self, out, ready):
        peer = None
        for line in out:
            text = line.decode(errors="replace")
            self.log.write(line)
            found = re.search(r"PeerID: (\S+)", text)
            peer = found.group(1) if found else peer
            found = re.search(r"listening on (/ip4/127\.0\.0\.1/tcp/\d+)", text, re.I)
            if found:
                self.address = found.group(1)
            if "Daemon is ready" in text:
                if self.address and peer and "/p2p/" not in self.address:
                    self.address += "/p2p/" + peer
                ready.set()
        self.log.flush()

    def run(self, *args, check=True):
        done = subprocess.run([self.hearth, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=COMMAND_S)
        if check and done.returncode != 0:
            raise RuntimeError(f"hearth {' '.join(args)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done

    def kill(self):
        """SIGKILL to the daemon and its nanny at once: nothing of it may tidy up."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._wait_for_locks()

    def _wait_for_locks(self):
        """A process that was killed in the middle of a sync ends when that does, on a busy disk seconds later."""
        deadline = time.monotonic() + READY_S
        for name in ("daemon.lock", "repo.lock"):
            path = self.path / name
            while path.exists():
                with open(path, "rb") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if time.monotonic() > deadline:
                            raise RuntimeError(f"{path} is still held {READY_S} s after its daemon was killed")
                time.sleep(0.02)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.path.name}: did not stop within 15 s")


def check(node, acked, pinned):
    listed = node.run("pin", "ls").stdout.decode()
    for cid, data in acked.items():
        got = node.run("--offline", "cat", cid).stdout
        if got != data:
            raise RuntimeError(f"{cid} was acknowledged, but reads back wrong ({len(got)} of {len(data)} bytes)")
        if pinned and cid not in listed:
            raise RuntimeError(f"{cid} was acknowledged, but its pin is gone")


def adds(node, rnd, root, count, result):
    """Adds files until the daemon is gone; what was printed is acknowledged."""
    for i in range(count):
        data = rnd.randbytes(rnd.choice([0, 1, 1000, 300_000, 3_000_000]))
        file = root / f"file{i}"
        file.write_bytes(data)
        done = node.run("add", "-Q", str(file), check=False)
        if done.returncode != 0:
            return
        result[done.stdout.decode().strip()] = data


def kill_during(node, rnd, work):
    """Runs work in a thread, kills the node within 0.4 s, waits for work to notice."""
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(rnd.uniform(0, 0.4))
    node.kill()
    thread.join(COMMAND_S + 5)
    if thread.is_alive():
        raise RuntimeError("a client hangs after its daemon was killed")


def during_adds(build, root, rnd, times):
    node = Node(build, root, "adder")
    acked = {}
    for i in range(times):
        node.start()
        check(node, dict(rnd.sample(sorted(acked.items()), min(5, len(acked)))), True)
        kill_during(node, rnd, lambda: adds(node, rnd, root, 50, acked))
    node.start()
    check(node, acked, True)
    node.stop()
    print(f"green  killed {times} times during adds: {len(acked)} acknowledged files, all there")


def during_fetches(build, root, rnd, times):
    source = Node(build, root, "source")
    source.start()
    files = {}
    adds(source, rnd, root, 20, files)
    node = Node(build, root, "fetcher")
    acked = {}

    def fetch():
        if node.run("swarm", "connect", source.address, check=False).returncode != 0:
            return
        for cid in rnd.sample(sorted(files), len(files)):
            done = node.run("cat", cid, check=False)
            if done.returncode != 0:
                return
            acked[cid] = done.stdout

    for i in range(times):
        node.start()
        check(node, dict(rnd.sample(sorted(acked.items()), min(5, len(acked)))), False)
        kill_during(node, rnd, fetch)
    node.start()
    for cid, data in acked.items():
        if data != files[cid]:
            raise RuntimeError(f"{cid} was fetched wrong")
    check(node, acked, False)
    node.stop()
    source.stop()
    print(f"green  killed {times} times during fetches: {len(acked)} fetched files, all there")


def during_removals(build, root, rnd, times):
    """Most of what is stored is removed at once, so that segments are emptied and unlinked all the time."""
    node = Node(build, root, "remover", HEARTH_DATASTORE__STORAGEMAX="64MiB")
    copy = root / "copy"
    acked = {}
    gone = set()

    def work():
        for i in range(20):
            before = dict(acked)
            adds(node, rnd, root, 1, acked)
            if acked == before:
                return
            file = root / "passing"
            file.write_bytes(rnd.randbytes(6_000_000))
            done = node.run("add", "-Q", "--pin=false", str(file), check=False)
            if done.returncode != 0:
                return
            cid = done.stdout.decode().strip()
            blocks = node.run("--offline", "refs", "-r", cid, check=False).stdout.decode().split()
            for block in [cid, *blocks]:
                if node.run("block", "rm", block, check=False).returncode != 0:
                    return
                gone.add(block)
            if i == 1:
                node.run("repo", "backup", str(copy), check=False)

    for _ in range(times):
        node.start()
        check(node, dict(rnd.sample(sorted(acked.items()), min(5, len(acked)))), True)
        for block in rnd.sample(sorted(gone), min(5, len(gone))):
            if node.run("--offline", "block", "stat", block, check=False).returncode == 0:
                raise RuntimeError(f"{block} was removed, but is back")
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(rnd.uniform(0, 3))
        node.kill()
        thread.join(COMMAND_S + 5)
        if thread.is_alive():
            raise RuntimeError("a client hangs after its daemon was killed")
    node.start()
    check(node, acked, True)
    node.run("repo", "verify")
    node.stop()
    print(f"green  killed {times} times during removals: {len(acked)} acknowledged files, all there; {len(gone)} removed blocks, none back")


def during_collections(build, root, rnd, times):
    """Files are added, unpinned, pinned again and collected: what is pinned for certain is whole after each restart and each collection."""
    node = Node(build, root, "collector", HEARTH_DATASTORE__STORAGEMAX="64MiB")
    acked = {}
    collected = 0

    def work():
        nonlocal collected
        for _ in range(20):
            adds(node, rnd, root, 2, acked)
            for cid in rnd.sample(sorted(acked), len(acked) // 3):
                data = acked.pop(cid)
                if node.run("pin", "rm", cid, check=False).returncode != 0:
                    return
                if rnd.random() < 0.5 and node.run("--offline", "pin", "add", cid, check=False).returncode == 0:
                    acked[cid] = data
            done = node.run("repo", "gc", check=False)
            collected += done.stdout.count(b"removed")
            if done.returncode != 0:
                return

    for _ in range(times):
        node.start()
        check(node, dict(rnd.sample(sorted(acked.items()), min(5, len(acked)))), True)
        node.run("pin", "verify")
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(rnd.uniform(0, 2))
        node.kill()
        thread.join(COMMAND_S + 5)
        if thread.is_alive():
            raise RuntimeError("a client hangs after its daemon was killed")
    node.start()
    node.run("repo", "gc")
    check(node, acked, True)
    node.run("pin", "verify")
    node.run("repo", "verify")
    node.stop()
    print(f"green  killed {times} times during collections: {len(acked)} pinned files, all there; {collected} blocks collected")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int)
    args = parser.parse_args()
    build = args.build.resolve()
    if not all(os.access(build / name, os.X_OK) for name in ("hearth", "hearthd")):
        print(f"SKIP   kill -9: {build}/hearth and hearthd are not built")
        return 0
    times = args.times or (5 if args.smoke else 50)
    root = Path(tempfile.mkdtemp(prefix="hk9-"))
    try:
        during_adds(build, root, random.Random(args.seed), times)
        during_fetches(build, root, random.Random(args.seed + 1), times)
        during_removals(build, root, random.Random(args.seed + 2), times)
        during_collections(build, root, random.Random(args.seed + 3), times)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"RED    {error}; logs in {root}")
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())

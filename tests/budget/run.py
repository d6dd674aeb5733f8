#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The memory budget under mixed load: one daemon in a cgroup of 64 MiB with 96 peers.

Three of them are hearth daemons with 1 GiB each, which the daemon fetches and pins; the other 93 (budget_peers) ask for 1,000 blocks each,
over and over; files are added; control queries are asked all the time. At the end the daemon must be alive and never restarted, nobody
turned away, every round of every peer finished, and 99 of 100 control queries answered within 50 ms. Prints what memory that took.

Usage: tests/budget/run.py [--short] [--seconds N]; HEARTH_BUILD names another build folder. Needs the right to make a memory cgroup, else
it is skipped; --short is two minutes with smaller sources.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
from bad_input import HEARTH, Node, SOCKET_S, check, counts, say, spawned_children  # noqa: E402
from cgroup import Cgroup, status_kib  # noqa: E402
from sp_client import Requester  # noqa: E402

LOADER = os.path.join(os.path.dirname(HEARTH), "tests/budget_peers")
LIMIT, PEERS, SOURCES, BLOCKS, BLOCK_BYTES = 64 << 20, 96, 3, 1000, 64 << 10
PAUSE_MS, ADD_BYTES, ADD_EVERY_S, QUERY_EVERY_S = 30000, 32 << 20, 15, 0.02
P99_MS, ROUND_S, PREPARE_S = 50, 60, 900
QUERIES = ["id", "swarm peers", "accounts", "actors", "repo stat", "bitswap stat", "pin ls", "events"]


# ---- load ----

class Queries(threading.Thread):
    """Asks one query after the other over one connection and remembers how long each took."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.requester, self.stopping = Requester(node.file("run/control.sock"), SOCKET_S), False
        self.took, self.refused, self.late = {name: [] for name in QUERIES}, [], []

    def run(self):
        while not self.stopping:
            for name in QUERIES:
                began = time.monotonic()
                answer = self.requester.ask(json.dumps({"op": name}).encode())
                self.took[name].append((time.monotonic() - began) * 1000)
                if answer is None or b'"ok":true' not in answer.replace(b" ", b"")[:4096]:
                    self.refused.append((name, (answer or b"no answer")[:200]))
                    if answer is None:
                        self.requester.open()
                began = time.monotonic()
                time.sleep(QUERY_EVERY_S)
                self.late.append((time.monotonic() - began - QUERY_EVERY_S) * 1000)

    def stop(self):
        self.stopping = True
        self.join()
        self.requester.close()


class Adds(threading.Thread):
    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.stopping, self.done, self.failed, self.slowest = node, threading.Event(), 0, [], 0.0

    def run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            code, _, err = self.node.run("add", "-Q", data=os.urandom(ADD_BYTES), timeout=300)
            self.done += code == 0
            self.slowest = max(self.slowest, time.monotonic() - began)
            if code != 0:
                self.failed.append(f"exit {code}: {err}")
            self.stopping.wait(max(0.0, ADD_EVERY_S - (time.monotonic() - began)))

    def stop(self):
        self.stopping.set()
        self.join()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def accounts(node):
    code, out, err = node.run("query", "accounts", "--enc=json")
    answer = json.loads(out) if code == 0 else {}
    return answer.get("result", answer).get("accounts", [])


def add_random(node, size):
    """The CID of size random bytes, added as they are made."""
    source = subprocess.Popen(["head", "-c", str(size), "/dev/urandom"], stdout=subprocess.PIPE)
    done = subprocess.run([HEARTH, "add", "-Q"], env=node.env, stdin=source.stdout, capture_output=True, timeout=PREPARE_S)
    source.wait()
    if done.returncode != 0:
        raise RuntimeError(f"cannot add: {done.stderr.decode()}")
    return done.stdout.decode().strip()


class Confined(Node):
    """The daemon under test: in the cgroup, profile test."""

    def __init__(self, folder, group):
        super().__init__(folder, "confined")
        self.launcher = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group.path]
        del self.env["HEARTH_ADDRESSES__SWARM"]  # the profile sets it
        self.run("init", "--profile", "test")


def prepare(folder, group, source_bytes):
    sources = [Node(folder, f"source{i}") for i in range(SOURCES)]
    for source in sources:
        if not source.start():
            raise RuntimeError(source.said())
    roots = [add_random(source, source_bytes) for source in sources]
    node = Confined(folder, group)
    if not node.start():
        raise RuntimeError(node.said())
    code, out, err = node.run("add", "-Q", "--chunker", f"size-{BLOCK_BYTES}", data=os.urandom(BLOCKS * BLOCK_BYTES), timeout=120)
    root = out.decode().strip()
    code, out, err = node.run("refs", "-r", "-u", root)
    cids = [cid for cid in out.decode().split() if cid.startswith("bafkrei")]
    if code != 0 or len(cids) != BLOCKS:
        raise RuntimeError(f"{len(cids)} blocks instead of {BLOCKS}: {err}")
    return node, sources, roots, cids


def connect(node, sources):
    for source in sources:
        code, _, err = node.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{source.port()}/p2p/{source.peer()}")
        check("connected to a source", code == 0, err)


def watch(node, group, until, fetches):
    """Samples memory each second; the highest of each figure, and when each fetch was done."""
    top, began, finished = {"resident": 0, "anonymous": 0, "anonymous_and_cached": 0, "peers": 0}, time.monotonic(), {}
    while time.monotonic() < until and node.alive():
        daemon = spawned_children(node.process.pid)
        anonymous, cached = group.stat()
        top["anonymous"] = max(top["anonymous"], anonymous)
        top["anonymous_and_cached"] = max(top["anonymous_and_cached"], anonymous + cached)
        top["resident"] = max([top["resident"]] + [status_kib(pid, "VmHWM") * 1024 for pid in daemon])
        for i, fetch in enumerate(fetches):
            if i not in finished and fetch.poll() is not None:
                finished[i] = (fetch.returncode, time.monotonic() - began)
        time.sleep(1)
    return top, finished


def mib(value):
    return f"{value / 2**20:.1f} MiB"


# ---- verdict ----

def judge_queries(queries):
    everything = [ms for values in queries.took.values() for ms in values]
    for name, values in queries.took.items():
        print(f"# {name:<13} {len(values):>6} asked, median {percentile(values, 0.5):6.1f} ms, p99 {percentile(values, 0.99):6.1f} ms, most {max(values, default=0):6.1f} ms")
    p99 = percentile(everything, 0.99)
    print(f"# all           {len(everything):>6} asked, median {percentile(everything, 0.5):6.1f} ms, p99 {p99:6.1f} ms")
    print(f"# beside that: a sleep of this test, which asks nothing of the node, ends {percentile(queries.late, 0.99):.1f} ms late (p99): what the machine's load costs one wake")
    check("no control query was refused", everything and not queries.refused, queries.refused[:3])
    check(f"p99 of control queries under {P99_MS} ms", everything and p99 < P99_MS, f"{p99:.1f} ms")


def judge_peers(text):
    try:
        peers = json.loads(text)
    except ValueError:
        check("the peers report", False, text)
        return
    print(f"# peers: {text.strip()}")
    check("every peer is still connected, none was turned away or lost", peers["connected"] == peers["peers"] and peers["lost"] == 0 and peers["refused"] == 0, peers)
    check(f"every peer got its {BLOCKS} blocks, again and again", peers["fewest_rounds"] >= 1 and peers["stalls"] == 0, peers)
    check("nothing wrong came, nothing was said to be absent", peers["rejected"] == 0 and peers["dont_haves"] == 0, peers)


def judge_node(node, group, top, first_pid):
    check("alive, in its first life", node.alive() and spawned_children(node.process.pid) == first_pid and "restart" not in node.said(), node.said()[-600:])
    check("the kernel killed nobody for memory", group.kills() == 0)
    code, out, err = node.run("query", "actors", "--enc=json")
    answer = json.loads(out) if code == 0 else {}
    restarts = {row["name"]: row["restarts"] for row in answer.get("result", answer).get("actors", [])}
    check("no actor was restarted", restarts and not any(restarts.values()), restarts or err)
    code, _, err = node.run("diag", "healthy")
    check("healthy", code == 0, err)
    for row in accounts(node):
        print(f"# account {row['name']:<12} limit {mib(row['limit_bytes']):>9}  peak {mib(row['peak_bytes']):>9}  left now {mib(row['used_bytes']):>9}  refused {row['refused']}")
    print(f"# resident peak of the daemon {mib(top['resident'])}; anonymous memory of the cgroup at most {mib(top['anonymous'])}")
    print(f"# the cgroup's own peak {mib(group.number('peak'))}: it counts the page cache too, which grows to the limit and is dropped on demand")
    check(f"anonymous memory within the budget of {mib(LIMIT)}", 0 < top["anonymous"] <= LIMIT, mib(top["anonymous"]))


def play(folder, group, seconds, source_bytes):
    node, sources, roots, cids = prepare(folder, group, source_bytes)
    first_pid = spawned_children(node.process.pid)
    print(f"# prepared: {SOURCES} sources of {mib(source_bytes)}, {BLOCKS} blocks of {BLOCK_BYTES} bytes; now {seconds} s of load", flush=True)
    loader = subprocess.Popen([LOADER, str(node.port()), str(PEERS - SOURCES), str(seconds + 600), str(PAUSE_MS)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    loader.stdin.write("\n".join(cids) + "\n")
    loader.stdin.close()
    connect(node, sources)
    queries, adds = Queries(node), Adds(node)
    fetches = [subprocess.Popen([HEARTH, "pin", "add", root, "--timeout", "3600s"], env=node.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for root in roots]
    try:
        queries.start()
        adds.start()
        top, finished = watch(node, group, time.monotonic() + seconds, fetches)
        _, out, _ = node.run("swarm", "peers")
        check(f"{PEERS} peers are connected", len(out.split(b"\n")) - 1 == PEERS, len(out.split(b"\n")) - 1)
        queries.stop()
        adds.stop()
        loader.send_signal(signal.SIGTERM)
        judge_peers(loader.stdout.read())
        judge_queries(queries)
        print(f"# fetches of {mib(source_bytes)}: " + ", ".join(f"{took:.0f} s" for _, took in finished.values()))
        check("all sources were fetched", len(finished) == SOURCES and all(code == 0 for code, _ in finished.values()), finished)
        print(f"# adds of {mib(ADD_BYTES)}: {adds.done}, slowest {adds.slowest:.1f} s")
        check("all adds were taken", adds.done > 0 and not adds.failed, adds.failed[:3])
        judge_node(node, group, top, first_pid)
        check("stops in order", node.stop() == 0, node.said()[-400:])
    finally:
        for process in [loader, *fetches]:
            if process.poll() is None:
                process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=int)
    options = parser.parse_args()
    seconds = options.seconds or (120 if options.short else 600)
    try:
        group = Cgroup("budget", LIMIT)
    except OSError as error:
        say("SKIP", "the budget", f"no memory cgroup can be made here: {error}")
        print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
        return 0
    folder = tempfile.mkdtemp(prefix="hearth-budget-", dir="/tmp")
    try:
        play(folder, group, seconds, (128 << 20) if options.short else (1 << 30))
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "the budget", repr(error))
    finally:
        for node in Node.all:
            node.stop()
        group.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

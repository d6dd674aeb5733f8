#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two nodes under steady load while their actors end, fail and stall, ten times a second.

Each client is a command at a time: adds to either node, fetches each way of what was added, questions; objects up to 1 MiB, tries and deadline are the
command's own. Meanwhile `hearth chaos` orders exits, failures and stalls up to 2 s, over all actors of both nodes. What must hold: every
acknowledged object is read back whole, at the end and after a restart; every request is answered within its deadline; at most one in a thousand
of gets, adds and questions fails; memory, accounts and descriptors at the end are what they were in the beginning.

Usage: tests/chaos/load.py [--seconds N] [--backend inproc|ipc] [--seed N] [--calm]; HEARTH_BUILD names another build folder. On ipc actors also hang for good
and are killed. --calm orders nothing: the load alone.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
from bad_input import HEARTH, Node, check, counts, eventually, say, spawned_children  # noqa: E402
from sp_client import Requester  # noqa: E402

ORDERS_A_SECOND, STALL_MS, DEADLINE_S, GRACE_S = 10, 2000, 30, 5
FAILED_MOST = 0.001
OBJECT_MAX = 1 << 20
PAUSE_S = {"add": 0.25, "get": 0.25, "query": 0.1}  # between two requests of a client
QUERIES = [["id"], ["actors"], ["accounts"], ["repo", "stat"], ["swarm", "peers"], ["bitswap", "stat"], ["events", "-n", "5"], ["pin", "ls"]]
PIPES_MAX = 160  # nng makes two for each mailbox's socket, those to senders when one first finds it full
PAUSED_S = 0.5
FROZEN_S = 3  # a machine that stands still for so long is not judged


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def object_of(seed):
    """Bytes that need not be kept: sizes are even on a logarithmic scale, each eighth is as large as can be."""
    dice = random.Random(seed)
    size = OBJECT_MAX if dice.random() < 0.125 else int(2 ** dice.uniform(0, 20))
    return dice.randbytes(size)


class Clock(threading.Thread):
    """Knows when everything stood still, this process too."""

    def __init__(self):
        super().__init__(daemon=True)
        self.frozen, self.paused, self.ended = [], [], False

    def run(self):
        last = time.monotonic()
        while not self.ended:
            time.sleep(0.1)
            now = time.monotonic()
            if now - last > PAUSED_S:
                self.paused.append((last, now))
            if now - last > FROZEN_S:
                self.frozen.append((last, now))
            last = now

    def excuses(self, since, until):
        return any(a < until and b > since for a, b in self.frozen)

    def ran(self, since, until):
        """How long it was, without the time that everything stood still."""
        return until - since - sum(min(b, until) - max(a, since) for a, b in self.paused if a < until and b > since)


class Load:
    """What the clients share: what was acknowledged, how requests ended."""

    def __init__(self, clock):
        self.lock, self.clock = threading.Lock(), clock
        self.objects, self.seeds = {"a": [], "b": []}, iter(range(1, 1 << 60))
        self.done, self.failed, self.late, self.wrong, self.excused, self.took = {}, [], [], [], 0, {}

    def ended(self, kind, since, code, err, late):
        now = time.monotonic()
        with self.lock:
            self.done[kind] = self.done.get(kind, 0) + 1
            self.took.setdefault(kind, []).append(now - since)
            if (code != 0 or late) and self.clock.excuses(since, now):
                self.excused += 1
            elif late:
                self.late.append((kind, round(now - since, 1)))
            elif code != 0:
                self.failed.append((kind, code, round(now - since, 1), err.strip()[-300:]))


class Client(threading.Thread):
    def __init__(self, load, kind, node, other, number, scratch):
        super().__init__(daemon=True)
        self.load, self.kind, self.node, self.other, self.stop = load, kind, node, other, threading.Event()
        self.dice, self.file = random.Random(number), os.path.join(scratch, f"client-{number}")

    def command(self, *words):
        since = time.monotonic()
        code, out, err = self.node.run(*words, "--timeout", f"{DEADLINE_S}s", timeout=DEADLINE_S + GRACE_S)
        self.load.ended(self.kind, since, code, f"{' '.join(words)}: {err}", code is None)
        return code, out

    def add(self):
        seed = next(self.load.seeds)
        data = object_of(seed)
        with open(self.file, "wb") as file:
            file.write(data)
        code, out = self.command("add", "-Q", self.file)
        if code == 0:
            with self.load.lock:
                self.load.objects[self.node.name].append((out.decode().strip(), seed))

    def get(self):
        """One that the other node acknowledged: a new one mostly, so that it has to come from there."""
        with self.load.lock:
            known = self.load.objects[self.other.name]
            cid, seed = known[-1 - min(int(self.dice.expovariate(0.2)), len(known) - 1)] if known else (None, None)
        if cid is None:
            return
        whole = object_of(seed)
        if self.dice.random() < 0.5:
            code, out = self.command("cat", cid)
        else:
            code, _ = self.command("get", cid, "-o", self.file)
            out = b""
            if code == 0:
                with open(self.file, "rb") as file:
                    out = file.read()
        if code == 0 and out != whole:
            with self.load.lock:
                self.load.wrong.append((cid, len(out), len(whole)))

    def query(self):
        self.command(*self.dice.choice(QUERIES))

    def run(self):
        while not self.stop.is_set():
            getattr(self, self.kind)()
            self.stop.wait(PAUSE_S[self.kind])


class Chaos(threading.Thread):
    """Orders over the control socket; one that finds it closed is given again to another actor."""

    def __init__(self, nodes, rate, seed, hard):
        super().__init__(daemon=True)
        self.nodes, self.rate, self.dice, self.stop = nodes, rate, random.Random(seed), threading.Event()
        self.hard, self.given, self.missed, self.doors = hard, {}, 0, {}

    def order(self, node, actor, order, value):
        door = self.doors.get(node.name) or Requester(node.file("run/control.sock"), 0.5)
        args = {"actor": actor, "order": order, "value": value}
        answer = door.ask(json.dumps({"op": "chaos", "args": args, "timeout_ms": 400}).encode())
        if answer is None:
            door.close()
            door = None
        self.doors[node.name] = door
        return answer is not None and json.loads(answer).get("ok", False)

    def choose(self):
        kinds = ["exit", "fail", "stall"] + (["hang", "kill"] if self.hard else [])
        kind = self.dice.choices(kinds, [30, 20, 50, 1, 5][:len(kinds)])[0]
        return kind, int(STALL_MS ** self.dice.random()) if kind == "stall" else 0

    def kill(self, node, actor):
        """On ipc an actor is a process that bears its name."""
        for pid in spawned_children(node.daemon()):
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == actor[:15]:
                    os.kill(pid, 9)
                    return True
        return False

    def run(self):
        began, turn = time.monotonic(), 0
        while not self.stop.wait(max(0, began + turn / self.rate - time.monotonic())):
            turn += 1
            node = self.dice.choice(self.nodes)
            actor, (kind, value) = self.dice.choice(node.actors), self.choose()
            good = self.kill(node, actor) if kind == "kill" else self.order(node, actor, kind, value)
            self.given[kind] = self.given.get(kind, 0) + good
            self.missed += not good
            if time.monotonic() - began - turn / self.rate > 1:
                began = time.monotonic() - turn / self.rate  # what was not given in time is not made up for at once


class LoadNode(Node):
    def __init__(self, folder, name, port, backend):
        super().__init__(folder, name)
        self.name, self.port_number, self.backend, self.actors = name, port, backend, []
        self.env |= {"HEARTH_ADDRESSES__SWARM": f"/ip4/127.0.0.1/tcp/{port}", "HEARTH_CHAOS__ENABLED": "true", "HEARTH_CHAOS__INTENSITY": "0",
                     "HEARTH_ROUTING__TYPE": "none", "HEARTH_DISCOVERY__MDNS": "false", "HEARTH_DATASTORE__STORAGEMAX": "40GB"}
        code, out, err = self.run("init")
        self.address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{out.decode().split()[-1]}"

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([HEARTH, "daemon", "--backend", self.backend], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return eventually(lambda: self.run("diag", "healthy")[0] == 0, 20)

    def daemon(self):
        return spawned_children(self.process.pid)[0]

    def processes(self):
        mine, found = [self.process.pid], []
        while mine:
            pid = mine.pop()
            found.append(pid)
            mine += spawned_children(pid)
        return found[1:]

    def ask(self, *words):
        code, out, err = self.run(*words, "--enc", "json", timeout=10)
        return json.loads(out) if code == 0 else {}

    def look(self):
        """Memory, descriptors and accounts as they are now."""
        rss = descriptors = pipes = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/status") as file:
                rss += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024
            for name in os.listdir(f"/proc/{pid}/fd"):
                try:
                    kind = os.readlink(f"/proc/{pid}/fd/{name}")
                except FileNotFoundError:
                    continue  # closed meanwhile
                pipes += kind.startswith("pipe:")
                descriptors += not kind.startswith("pipe:")
        accounts = {row["name"]: row["used_bytes"] for row in self.ask("accounts").get("accounts", [])}
        return {"rss": rss, "fd": descriptors, "pipes": pipes, "accounts": accounts}

    def restarts(self):
        return {row["name"]: row["restarts"] for row in self.ask("actors").get("actors", [])}

    def unread(self, objects):
        """Those that are not here as they were added, by hash; many a command."""
        bad = []
        for at in range(0, len(objects), 32):
            some = objects[at:at + 32]
            code, out, err = self.run("cat", "--offline", *[cid for cid, _ in some], "--timeout", "60s", timeout=90)
            want = hashlib.sha256()
            for _, seed in some:
                want.update(object_of(seed))
            if code == 0 and hashlib.sha256(out).digest() == want.digest():
                continue
            for cid, seed in some:
                code, out, err = self.run("cat", "--offline", cid, "--timeout", "20s", timeout=30)
                if code != 0 or out != object_of(seed):
                    bad.append((cid, code, len(out), err))
        return bad


def has_backend(backend):
    return subprocess.run([HEARTH, "daemon", "--backend", backend, "--help"], capture_output=True).returncode == 0


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0


def run_load(nodes, options, scratch, clock):
    load, a, b = Load(clock), *nodes
    plan = [("add", a, b), ("add", b, a), ("get", a, b), ("get", b, a), ("query", a, b), ("query", b, a)]
    clients = [Client(load, kind, node, other, number, scratch) for number, (kind, node, other) in enumerate(plan)]
    chaos = Chaos(nodes, ORDERS_A_SECOND, options.seed, options.backend == "ipc")
    looks = []
    for thread in clients + ([] if options.calm else [chaos]):
        thread.start()
    for _ in range(4):
        time.sleep(options.seconds / 4)
        looks.append([node.look() for node in nodes])
        total = sum(load.done.values())
        print(f"# {total} requests, {len(load.failed)} failed, {len(load.late)} late; "
              + ", ".join(f"{node.name}: {look['rss'] / 2**20:.1f} MiB, {look['fd']} descriptors" for node, look in zip(nodes, looks[-1])), flush=True)
    for thread in clients:
        thread.stop.set()
    for thread in clients:
        thread.join(DEADLINE_S + GRACE_S + 5)
    chaos.stop.set()
    if not options.calm:
        chaos.join(5)
        for node in nodes:
            for actor in node.actors:
                chaos.order(node, actor, "calm", 0)
    return load, chaos, looks


def judge(load, looks, before, nodes):
    total, failed = sum(load.done.values()), len(load.failed)
    for kind, took in sorted(load.took.items()):
        print(f"# {kind}: {load.done[kind]} requests, p50 {percentile(took, 0.5) * 1000:.0f} ms, p99 {percentile(took, 0.99) * 1000:.0f} ms, slowest {max(took):.1f} s")
    for row in load.failed[:20]:
        print(f"# failed: {row}")
    if load.excused:
        print(f"# {load.excused} requests that failed are not judged: the machine stood still {len(load.clock.frozen)} times")
    check("there was load", total >= 20, total)
    check(f"every request was answered within {DEADLINE_S} s", not load.late, load.late[:5])
    check(f"at most {FAILED_MOST:.1%} of {total} requests failed", failed <= total * FAILED_MOST, f"{failed}")
    check("what was fetched is what was added", not load.wrong, load.wrong[:5])
    for node, quiet in zip(nodes, before):
        now = node.look()
        rss = [look[nodes.index(node)]["rss"] / 2**20 for look in looks]
        check(f"{node.name}: memory is flat", rss[3] <= max(rss[0], rss[1]) * 1.1 + 4, [round(r, 1) for r in rss])
        check(f"{node.name}: no descriptor is left behind", now["fd"] <= quiet["fd"] + 8 and now["pipes"] <= PIPES_MAX, (quiet, now))
        held = {name: (quiet["accounts"].get(name, 0), used) for name, used in now["accounts"].items()
                if name not in ("memory_tier", "memory tier", "code", "sqlite") and used > quiet["accounts"].get(name, 0) + (256 << 10)}
        check(f"{node.name}: no account holds more than before", bool(now["accounts"]) and not held, held)


def keeps(nodes, load, when):
    for node in nodes:
        bad = node.unread(load.objects[node.name])
        check(f"{node.name}: all {len(load.objects[node.name])} acknowledged objects are whole {when}", not bad, bad[:3])


def play(folder, options, clock):
    nodes = [LoadNode(folder, name, free_port(), options.backend) for name in ("a", "b")]
    for node, other in (nodes, nodes[::-1]):
        node.env["HEARTH_PEERING__PEERS"] = other.address
    for node in nodes:
        if not check(f"{node.name} starts", node.start(), node.said()[-600:]):
            return
        node.actors = list(node.restarts())
    for node, other in (nodes, nodes[::-1]):  # warm: what is opened once is open
        cid = node.add(os.urandom(OBJECT_MAX))
        other.run("cat", cid)
    before = [node.look() for node in nodes]
    load, chaos, looks = run_load(nodes, options, folder, clock)
    healthy = [eventually(lambda n=node: n.run("diag", "healthy")[0] == 0, 30) for node in nodes]
    check("both are healthy when it is over", all(healthy), [node.said()[-300:] for node in nodes])
    restarts = {node.name: node.restarts() for node in nodes}
    print(f"# orders: {chaos.given}, {chaos.missed} not taken; restarts: {restarts}")
    given = sum(chaos.given.get(kind, 0) for kind in ("exit", "fail"))
    counted = sum(sum(rows.values()) for rows in restarts.values())
    check("restarts are counted", options.calm or counted >= given * 0.5, f"{counted} of {given} ends")
    check("the processes are the same", options.backend == "ipc" or clock.frozen or all("nanny" not in node.said() for node in nodes), [node.said()[-300:] for node in nodes])
    time.sleep(2)
    judge(load, looks, before, nodes)
    keeps(nodes, load, "at the end")
    for node in nodes:
        check(f"{node.name} stops in order", node.stop() == 0, node.said()[-300:])
        check(f"{node.name} starts again", node.start(), node.said()[-300:])
    keeps(nodes, load, "after a restart")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--backend", default="inproc")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    options = parser.parse_args()
    print(f"# seed {options.seed}, {options.seconds:.0f} s on {options.backend}", flush=True)
    if not has_backend(options.backend):
        say("SKIP", f"chaos on {options.backend}", "this daemon has no such backend")
        return 0
    folder = tempfile.mkdtemp(prefix="hearth-load-", dir="/tmp")
    clock = Clock()
    clock.start()
    try:
        play(folder, options, clock)
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "chaos", repr(error))
    finally:
        clock.ended = True
        for node in Node.all:
            node.stop()
        if options.keep:
            print(f"# left: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two nodes under steady load while their actors end, fail and stall, ten times a second.

Each client is a command at a time: adds to either node, fetches each way of what was added, questions; objects up to 1 MiB, tries and deadline are the
command's own. Meanwhile `hearth chaos` orders exits, failures and stalls up to 2 s, over all actors of both nodes. What must hold: every
acknowledged object is read back whole, at the end and after a restart; every request is answered within its deadline; at most one in a thousand
of gets, adds and questions fails; memory, accounts and descriptors at the end are what they were in the beginning.

Usage: tests/chaos/load.py [inproc] [ipc] [--seconds N] [--seed N] [--calm]; HEARTH_BUILD names another build folder. On ipc actors also hang for good
are frozen and killed, which is done to their processes. --calm orders nothing: the load alone. What a process that hangs keeps waiting is answered
when the 30 s are over that it has, so on ipc a request has 60 s.
"""
import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
from bad_input import HEARTH, Node, check, counts, eventually, say  # noqa: E402
from sp_client import Requester  # noqa: E402

ORDERS_A_SECOND, STALL_MS, GRACE_S, ORDER_S, AGAIN_S = 10, 2000, 5, 0.5, 1
DEADLINE_S = {"inproc": 30, "ipc": 60}
KINDS = {"exit": 30, "fail": 20, "stall": 50}
KILLS = {"kill": 10}  # of processes
HANG_S = 40  # from one hang or frozen process to the next: one at a time, for each lasts 30 s and more
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


def children_of(pid):
    """Of all its threads: root starts processes from one of its own."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ends
    return found


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

    def __init__(self, clock, deadline_s):
        self.lock, self.clock, self.deadline_s, self.began = threading.Lock(), clock, deadline_s, time.monotonic()
        self.objects, self.seeds = {"a": [], "b": []}, iter(range(1, 1 << 60))
        self.failed, self.late, self.wrong, self.excused, self.took = [], [], [], 0, {}

    def ended(self, kind, since, code, said, late):
        now = time.monotonic()
        row = (kind, code, f"at {since - self.began:.1f} s", f"after {now - since:.1f} s", said.strip()[-300:])
        with self.lock:
            self.took.setdefault(kind, []).append(now - since)
            if (code != 0 or late) and self.clock.excuses(since, now):
                self.excused += 1
            elif late:
                self.late.append(row)
            elif code != 0:
                self.failed.append(row)

    def total(self):
        return sum(len(took) for took in self.took.values())


class Client(threading.Thread):
    def __init__(self, load, kind, node, other, number, scratch):
        super().__init__(daemon=True)
        self.load, self.kind, self.node, self.other, self.stop = load, kind, node, other, threading.Event()
        self.dice, self.file = random.Random(number), os.path.join(scratch, f"client-{number}")

    def command(self, *words):
        since = time.monotonic()
        deadline_s = self.load.deadline_s
        code, out, err = self.node.run(*words, "--timeout", f"{deadline_s}s", timeout=deadline_s + GRACE_S)
        self.load.ended(self.kind, since, code, f"{self.node.name}: {' '.join(words)}: {err}", code is None)
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


class Turns:
    """So many a second for all that take them, each by the one that is free; what was not taken in time is not made up for at once."""

    def __init__(self, rate):
        self.lock, self.step, self.next, self.hangs = threading.Lock(), 1 / rate, time.monotonic(), itertools.cycle(("hang", "freeze"))
        self.hang_at = self.next + 1

    def wait_s(self):
        now = time.monotonic()
        with self.lock:
            self.next = max(self.next + self.step, now - 1)
            return max(0, self.next - now)

    def hang(self):
        """The kind of hang whose turn it is, else None."""
        with self.lock:
            if time.monotonic() < self.hang_at:
                return None
            self.hang_at += HANG_S
            return next(self.hangs)


class Chaos(threading.Thread):
    """Gives orders to the actors of one node, over its control socket; while that is closed, its turns are the other node's. Kills and freezes by itself."""

    def __init__(self, node, turns, seed, hard):
        super().__init__(daemon=True)
        self.node, self.turns, self.dice, self.stop = node, turns, random.Random(f"{seed} {node.name}"), threading.Event()
        self.kinds, self.hard, self.given, self.missed, self.door = KINDS | (KILLS if hard else {}), hard, {}, {}, None
        self.hanging = None  # the process that does, which the watchdog is to find

    def order(self, actor, order, value):
        self.door = self.door or Requester(self.node.file("run/control.sock"), ORDER_S)
        args = {"actor": actor, "order": order, "value": value}
        answer = self.door.ask(json.dumps({"op": "chaos", "args": args, "timeout_ms": int(ORDER_S * 800)}).encode())
        if answer is None:
            self.door.close()
            self.door = None
        return answer is not None and json.loads(answer).get("ok", False)

    def signal(self, actor, number):
        """On ipc an actor is a process that says whose it is."""
        pid = self.node.process_of(actor)
        if pid == self.hanging:
            return False
        try:
            os.kill(pid, number)
        except (ProcessLookupError, TypeError):
            return False
        return True

    def give(self, actor, kind):
        if kind == "kill":
            return self.signal(actor, signal.SIGKILL)
        if kind == "freeze":
            return self.signal(actor, signal.SIGSTOP)
        return self.order(actor, kind, int(STALL_MS ** self.dice.random()) if kind == "stall" else 0)

    def run(self):
        while not self.stop.wait(self.turns.wait_s()):
            actor = self.dice.choice(self.node.actors)
            kind = (self.turns.hang() if self.hard else None) or self.dice.choices(list(self.kinds), list(self.kinds.values()))[0]
            hangs = self.node.process_of(actor) if kind in ("hang", "freeze") else None
            good = self.give(actor, kind)
            self.hanging = hangs or self.hanging
            count = self.given if good else self.missed
            count[actor, kind] = count.get((actor, kind), 0) + 1
            if self.door is None and kind not in ("kill", "freeze"):
                self.stop.wait(AGAIN_S)
        for actor in self.node.actors:
            self.order(actor, "calm", 0)


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

    def processes(self):
        """Without the nanny: root's, then on ipc one for each actor."""
        mine, found = [self.process.pid], []
        while mine:
            pid = mine.pop()
            found.append(pid)
            mine += children_of(pid)
        return found[1:]

    def process_of(self, actor):
        for pid in self.processes()[1:]:
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == actor[:15]:
                        return pid
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
        return None

    def ask(self, *words):
        code, out, err = self.run(*words, "--enc", "json", timeout=10)
        return json.loads(out) if code == 0 else {}

    def look(self):
        """Memory, descriptors and accounts as they are now."""
        pss = descriptors = pipes = 0
        pids = self.processes()
        for pid in pids:
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    pss += sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
                kinds = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
            except (FileNotFoundError, ProcessLookupError):
                continue  # closed meanwhile, or ended
            pipes += sum(kind.startswith("pipe:") for kind in kinds)
            descriptors += sum(not kind.startswith("pipe:") for kind in kinds)
        accounts = {row["name"]: row["used_bytes"] for row in self.ask("accounts").get("accounts", [])}
        return {"pss": pss, "fd": descriptors, "pipes": pipes, "processes": len(pids), "accounts": accounts}

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
                for _ in range(3):  # no answer, be it of a machine that stands still, says nothing of the object
                    code, out, err = self.run("cat", "--offline", cid, "--timeout", "20s", timeout=30)
                    if code is not None:
                        break
                if code != 0 or out != object_of(seed):
                    bad.append((cid, code, len(out), err))
        return bad


def has_backend(backend):
    return subprocess.run([HEARTH, "daemon", "--backend", backend, "--help"], capture_output=True).returncode == 0


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0


def run_load(nodes, options, scratch, clock):
    load, a, b = Load(clock, DEADLINE_S[options.backend]), *nodes
    plan = [("add", a, b), ("add", b, a), ("get", a, b), ("get", b, a), ("query", a, b), ("query", b, a)]
    clients = [Client(load, kind, node, other, number, scratch) for number, (kind, node, other) in enumerate(plan)]
    turns = Turns(ORDERS_A_SECOND)
    chaos = [] if options.calm else [Chaos(node, turns, options.seed, options.backend == "ipc") for node in nodes]
    looks = []
    for thread in clients + chaos:
        thread.start()
    for quarter in range(1, 5):
        time.sleep(max(0, load.began + options.seconds * quarter / 4 - time.monotonic()))
        looks.append([node.look() for node in nodes])
        print(f"# {load.total()} requests, {len(load.failed)} failed, {len(load.late)} late; "
              + ", ".join(f"{node.name}: {look['pss'] / 2**20:.1f} MiB, {look['fd']} descriptors" for node, look in zip(nodes, looks[-1])), flush=True)
    for thread in chaos:  # first: what hangs now is back before the last requests' deadlines
        thread.stop.set()
    for thread in clients:
        thread.stop.set()
    for thread in clients + chaos:
        thread.join(load.deadline_s + GRACE_S + 5)
    return load, chaos, looks


def sum_up(load, chaos, before, after, nodes):
    """What happened, in figures."""
    total, failed = load.total(), len(load.failed)
    print(f"# {total} requests, {failed} failed ({failed / max(total, 1):.2%}), {len(load.late)} without an answer")
    for kind, took in sorted(load.took.items()):
        bad = sum(row[0] == kind for row in load.failed)
        print(f"# {kind}: {len(took)} requests, {bad} failed, p50 {percentile(took, 0.5) * 1000:.0f} ms, p99 {percentile(took, 0.99) * 1000:.0f} ms, slowest {max(took):.1f} s")
    if load.excused:
        print(f"# {load.excused} requests that failed are not judged: the machine stood still {len(load.clock.frozen)} times")
    for row in load.failed[:20]:
        print(f"# failed: {row}")
    for thread in chaos:
        print(f"# orders to {thread.node.name}, {sum(thread.missed.values())} not taken:")
        for actor in thread.node.actors:
            given = {kind: count for (name, kind), count in sorted(thread.given.items()) if name == actor}
            print(f"#   {actor}: {', '.join(f'{kind} {count}' for kind, count in given.items())}; {thread.node.restarts().get(actor)} restarts")
    for node, quiet, now in zip(nodes, before, after):
        print(f"# {node.name}: memory {quiet['pss'] / 2**20:.1f} MiB before, {now['pss'] / 2**20:.1f} after; "
              f"descriptors {quiet['fd']} and {now['fd']}; processes {quiet['processes']} and {now['processes']}")


def judge(load, looks, before, after, nodes):
    total, failed = load.total(), len(load.failed)
    check("there was load", total >= 20, total)
    check(f"every request was answered within {load.deadline_s} s", not load.late, load.late[:5])
    check(f"at most {FAILED_MOST:.1%} of {total} requests failed", failed <= total * FAILED_MOST, f"{failed}")
    check("what was fetched is what was added", not load.wrong, load.wrong[:5])
    for number, (node, quiet, now) in enumerate(zip(nodes, before, after)):
        pss = [look[number]["pss"] / 2**20 for look in looks]
        check(f"{node.name}: memory is flat", pss[3] <= max(quiet["pss"] / 2**20, pss[0], pss[1]) * 1.1 + 4, [round(r, 1) for r in pss])
        check(f"{node.name}: no process is left behind", now["processes"] == quiet["processes"], (quiet["processes"], now["processes"]))
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
    time.sleep(2)
    after = [node.look() for node in nodes]
    sum_up(load, chaos, before, after, nodes)
    given = sum(count for thread in chaos for (_, kind), count in thread.given.items() if kind not in ("stall", "freeze", "hang"))
    counted = sum(sum(node.restarts().values()) for node in nodes)
    check("restarts are counted", counted >= given * 0.5, f"{counted} of {given} ends")
    check("the nodes are the same", clock.frozen or all("nanny" not in node.said() for node in nodes), [node.said()[-300:] for node in nodes])
    judge(load, looks, before, after, nodes)
    keeps(nodes, load, "at the end")
    for node in nodes:
        check(f"{node.name} stops in order", node.stop() == 0, node.said()[-300:])
        check(f"{node.name} starts again", node.start(), node.said()[-300:])
    keeps(nodes, load, "after a restart")


def run_on(backend, options):
    options.backend = backend
    print(f"# seed {options.seed}, {options.seconds:.0f} s on {backend}, {DEADLINE_S[backend]} s for each request", flush=True)
    if not has_backend(backend):
        say("SKIP", f"chaos on {backend}", "this daemon has no such backend")
        return
    folder, clock = tempfile.mkdtemp(prefix="hearth-load-", dir="/tmp"), Clock()
    clock.start()
    try:
        play(folder, options, clock)
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "chaos", repr(error))
    finally:
        clock.ended = True
        for node in Node.all:
            node.stop()
        Node.all.clear()
        if options.keep:
            print(f"# left: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backends", nargs="*", help=" or ".join(DEADLINE_S))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    options = parser.parse_args()
    for backend in options.backends or ["inproc"]:
        if backend not in DEADLINE_S:
            parser.error(f"{backend}: no backend of the daemon")
        run_on(backend, options)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

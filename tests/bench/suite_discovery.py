# SPDX-License-Identifier: MIT
"""What the DHT and many peers cost: requests a second, memory of an idle connection, CPU and traffic of a node that only keeps its peers.

The peers are those of kad_peers.c: a thousand in a thread, each with a key and an address of its own, of which nothing comes that was not asked for.
"""
import contextlib
import json
import os
import resource
import subprocess
import time

from peers import Hearth, Kubo
from ruler import KIB, Contender, Meter, Target, cpu_seconds, program, ratio, resident_bytes, suite_result

PROTOCOL = "/ipfs/lan/kad/1.0.0"
FILES = 15000  # descriptors: of a node and of the peers' program each
BUDGET_MIB = 384  # for 10,000 connections: its tables are what counts
SERVER_TOLD, IDLE_TOLD = "DHT on, Noise", "DHT on, Noise, else as it comes"


def hearth(lab, name, high, **settings):
    return Hearth(lab, name=name, HEARTH_SWARM__CONNMGR__LOWWATER=str(high), HEARTH_SWARM__CONNMGR__HIGHWATER=str(high),
                  HEARTH_ROUTING__TYPE="dht", HEARTH_ROUTING__LOOPBACKADDRESSESONLANDHT="true", HEARTH_SWARM__TRANSPORTS__SECURITY="noise",
                  **settings)


class RoomyKubo(Kubo):
    """Trims no connection of so many."""

    def __init__(self, lab, name, high):
        super().__init__(lab, name=name, security=("noise",), routing="dht")
        self.high = high

    def configure(self):
        super().configure()
        path = os.path.join(self.repo, "config")
        with open(path, encoding="utf-8") as kept:
            config = json.load(kept)
        config["Swarm"]["ConnMgr"] = {"Type": "basic", "LowWater": self.high, "HighWater": self.high, "GracePeriod": "20s"}
        with open(path, "w", encoding="utf-8") as kept:
            json.dump(config, kept)


KINDS = {"hearth": hearth, "Kubo": RoomyKubo}


class Crowd:
    """Peers that are only there."""

    def __init__(self, programs, node, count):
        # pylint: disable=consider-using-with  # it ends with close()
        self.child = subprocess.Popen([programs["discovery"], "hold", str(node.port), str(count), PROTOCOL], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.count = count
        self.first = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise ValueError(f"the peers' program ended with {self.child.wait(10)}")
        state = json.loads(line)
        if state["up"] != self.count:
            raise ValueError(f"{state['up']} of {self.count} peers are connected, {state['lost']} were lost")
        return state

    def ask(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.read()

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait(30)


@contextlib.contextmanager
def started(node):
    try:
        yield node.start()
    finally:
        node.stop()


def held(lab, programs, kind, count, seconds):
    """Resident memory that each connection takes, when all have been quiet for a while."""
    settings = {"HEARTH_MEMORY__BUDGET": f"{BUDGET_MIB}MiB"} if kind == "hearth" else {}
    with started(KINDS[kind](lab, f"{kind}-holds", count + 64, **settings)) as node:
        pid = node.process.child.pid
        time.sleep(2)
        before = resident_bytes(pid)
        with contextlib.closing(Crowd(programs, node, count)) as crowd:
            cpu = cpu_seconds(pid)
            time.sleep(seconds)
            used = cpu_seconds(pid) - cpu
            crowd.ask()
            return {"value": (resident_bytes(pid) - before) / count / KIB, "core_percent": 100 * used / seconds,
                    "connected_s": crowd.first["connected_s"]}


class Idle:
    """Nodes that only keep their peers, all in the same time: CPU by window, bytes on the connections over all windows."""

    def __init__(self, lab, programs, counts, seconds, windows):
        self.lab, self.programs, self.counts, self.seconds, self.windows = lab, programs, counts, seconds, windows
        self.found = None

    def measure(self):
        with contextlib.ExitStack() as stack:
            watched = {}
            for kind, make in KINDS.items():
                for count in self.counts:
                    node = stack.enter_context(started(make(self.lab, f"{kind}-{count}-idle", 2 * count)))
                    watched[kind, count] = (node.process.child.pid, stack.enter_context(contextlib.closing(Crowd(self.programs, node, count))))
            time.sleep(20 if self.seconds >= 60 else 5)  # identify is over, and the first look around
            cpu = {key: [cpu_seconds(pid)] for key, (pid, _) in watched.items()}
            began = time.monotonic()
            first = {key: crowd.ask() for key, (_, crowd) in watched.items()}
            for _ in range(self.windows):
                time.sleep(self.seconds)
                for key, (pid, _) in watched.items():
                    cpu[key].append(cpu_seconds(pid))
            self.found = {}
            minutes = (time.monotonic() - began) / 60
            for key, (_, crowd) in watched.items():
                last = crowd.ask()
                moved = {way: last[way] - first[key][way] for way in ("in_bytes", "out_bytes", "asked_by_node")}
                self.found[key] = {"percents": [100 * (b - a) / self.seconds for a, b in zip(cpu[key], cpu[key][1:])],
                                   "bytes_per_min": (moved["in_bytes"] + moved["out_bytes"]) / minutes, **moved}

    def take(self, kind, count):
        if self.found is None:
            self.measure()
        return self.found[kind, count]

    def cpu(self, kind, count):
        percents = self.take(kind, count)["percents"]
        return {"value": sum(percents) / len(percents), "most": max(percents)}

    def traffic(self, kind, count):
        found = self.take(kind, count)
        return {"value": found["bytes_per_min"] / KIB, "asked_by_node": found["asked_by_node"]}


def served(programs, node, count, flight, seconds):
    """The whole of a run has its CPU time, the rate is of the time after the first."""
    with Meter(node=node) as meter:
        sample = program([programs["discovery"], "ask", str(node.port), str(count), PROTOCOL, str(flight), str(seconds)])
    if sample["lost"] or sample["closer"] < 15:
        raise ValueError(f"answers name {sample['closer']} peers, {sample['lost']} peers were lost")
    return {**sample, **meter.result, "us": 1e6 * meter.result["node_cpu_s"] / sample["answers"]}


def summary(row, key="median"):
    return lambda: row.summary()[key] if row.samples else None


def serving(lab, programs, options):
    asking, flight, seconds = 64, 32, (2 if options.quick else 10)
    nodes = {kind: lab.start(make(lab, f"{kind}-server", 2 * asking)) for kind, make in KINDS.items()}
    rows = {kind: Contender(f"{kind}, FIND_NODE and GET_PROVIDERS in turn", lambda node=node: served(programs, node, asking, flight, seconds),
                            SERVER_TOLD, unit="answers/s") for kind, node in nodes.items()}
    rows.update({f"{kind} CPU": Contender(f"{kind}, CPU of the node for each", lambda kind=kind: {"value": rows[kind].samples[-1]["us"]}, SERVER_TOLD, unit="us",
                                          less=True) for kind in KINDS})
    note = (f"Answers: {asking} peers, which are the table too, ask on one stream each with {flight} requests under way, from the same cores; hearth lets a peer "
            "have 2,000 a second. An answer names 20 peers with two addresses each. CPU is that of whole runs, connecting included.")
    return rows, [Target("DHT requests/s, peers on the same cores", summary(rows["hearth"]), 20e3),
                  Target("DHT requests/s / Kubo", lambda: ratio(rows["hearth"], rows["Kubo"]), 1)], note


def holding(lab, programs, options):
    counts = {"hearth": 200, "Kubo": 100} if options.quick else {"hearth": 10000, "Kubo": 1000}
    seconds = 2 if options.quick else 60
    told = {"hearth": f"budget of {BUDGET_MIB} MiB, high water raised, Noise", "Kubo": "high water raised, Noise"}
    rows = {kind: Contender(f"{kind}, {count:,} idle connections", lambda kind=kind, count=count: held(lab, programs, kind, count, seconds), told[kind],
                            unit="KiB each", less=True, rounds=1 if options.quick else 3) for kind, count in counts.items()}
    note = (f"Connections: each with Noise, Yamux and identify from an address and a key of its own; what resident memory has grown by after {seconds} s of rest, parted "
            "among them, the DHT's tables and all else included.")
    return rows, [Target(f"resident KiB of each of {counts['hearth']:,} idle connections", summary(rows["hearth"]), 24, less=True)], note


def quotient(rows):
    """None too when nothing moved: windows of a second or two are for showing that it runs."""
    return ratio(rows["hearth"], rows["Kubo"]) if rows["Kubo"].samples and rows["Kubo"].samples[-1]["value"] else None


def resting(lab, programs, options):
    few, many = (5, 10) if options.quick else (20, 100)
    seconds, windows = (2, 1) if options.quick else (60, 10)
    idle = Idle(lab, programs, (few, many), seconds, windows)
    cpu = {kind: Contender(f"{kind}, CPU with {many} idle peers", lambda kind=kind: idle.cpu(kind, many), IDLE_TOLD, unit="% of a core", less=True,
                           rounds=1) for kind in KINDS}
    traffic = {kind: Contender(f"{kind}, traffic with {few} idle peers", lambda kind=kind: idle.traffic(kind, few), IDLE_TOLD, unit="KiB/min", less=True,
                               rounds=1) for kind in KINDS}
    note = (f"Idle: {windows} windows of {seconds} s, all nodes at once. The peers serve the DHT and begin nothing, so the traffic, both ways together, is what the "
            "node begins, and the answers: a Yamux ping each 30 s for the most part.")
    targets = [Target(f"% of a core with {many} idle peers, most of {windows} x {seconds} s", summary(cpu["hearth"], "most"), 1, less=True),
               Target(f"traffic with {few} idle peers / Kubo", lambda: quotient(traffic), 1.1, less=True)]
    return [*cpu.values(), *traffic.values()], targets, note


def discovery(lab, programs, options):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    rows, targets, notes = [], [], []
    for part in (serving, holding, resting):
        more, asked, note = part(lab, programs, options)
        rows += more.values() if isinstance(more, dict) else more
        targets += asked
        notes.append(note)
    return suite_result("Discovery", rows, targets, options.rounds, notes)

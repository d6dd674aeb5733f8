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
SPARE = 500  # of these, for other things than connections
WATER_MAX = 10000  # of Swarm.ConnMgr.HighWater: so many are not trimmed
BUDGET_MIB = 384  # for 10,000 connections: its tables are what counts
SERVER_TOLD, IDLE_TOLD = "DHT on, Noise", "DHT on, Noise, else as it comes"


def hearth(lab, name, high, **settings):
    high = min(high, WATER_MAX)
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
    """
    Nodes that only keep their peers, all in the same time, from the beginning of the suite on: what moves on their connections does not depend
    on what else the machine does. Their CPU is measured when that is nothing.
    """

    def __init__(self, lab, programs, count, quick):
        self.seconds, self.windows = (2, 1) if quick else (60, 2)
        self.settle, self.until = (5, 15) if quick else (30, 630)  # the first look around is over; the one ten minutes later, too
        self.began = time.monotonic()
        self.watched, self.percents = {}, None
        with contextlib.ExitStack() as stack:
            for kind, make in KINDS.items():
                node = stack.enter_context(started(make(lab, f"{kind}-idle", 2 * count)))
                self.watched[kind] = node.process.child.pid, stack.enter_context(contextlib.closing(Crowd(programs, node, count)))
            self.pass_until(self.settle)
            self.first = {kind: (time.monotonic(), crowd.ask()) for kind, (_, crowd) in self.watched.items()}
            self.stack = stack.pop_all()  # until close(), unless something failed

    def close(self):
        self.stack.close()

    def pass_until(self, seconds):
        time.sleep(max(0, self.began + seconds - time.monotonic()))

    def cpu(self, kind):
        if self.percents is None:
            seen = {one: [cpu_seconds(pid)] for one, (pid, _) in self.watched.items()}
            for _ in range(self.windows):
                time.sleep(self.seconds)
                for one, (pid, _) in self.watched.items():
                    seen[one].append(cpu_seconds(pid))
            self.percents = {one: [100 * (b - a) / self.seconds for a, b in zip(all_of, all_of[1:])] for one, all_of in seen.items()}
        percents = self.percents[kind]
        return {"value": sum(percents) / len(percents), "most": max(percents)}

    def traffic(self, kind):
        """KiB a minute, and how much of it was what (kad_peers.h)."""
        self.pass_until(self.until)
        began, first = self.first[kind]
        last = self.watched[kind][1].ask()
        minutes = (time.monotonic() - began) / 60

        def per_minute(now, before):
            return sum(now[way] - before[way] for way in ("in_bytes", "out_bytes")) / KIB / minutes

        return {"value": per_minute(last, first), "requests": sum(last["asked_by_node"]) - sum(first["asked_by_node"]), "minutes": minutes,
                **{f"{what}_kib": per_minute(moved, first[what]) for what, moved in last.items() if isinstance(moved, dict)}}


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
    asking, flight, seconds = 64, 32, (2 if options.quick else 5)
    rounds = min(options.rounds, 5)
    nodes = {kind: lab.start(make(lab, f"{kind}-server", 2 * asking)) for kind, make in KINDS.items()}
    rows = {kind: Contender(f"{kind}, FIND_NODE and GET_PROVIDERS in turn", lambda node=node: served(programs, node, asking, flight, seconds),
                            SERVER_TOLD, unit="answers/s", rounds=rounds) for kind, node in nodes.items()}
    rows.update({f"{kind} CPU": Contender(f"{kind}, CPU of the node for each", lambda kind=kind: {"value": rows[kind].samples[-1]["us"]}, SERVER_TOLD, unit="us",
                                          less=True, rounds=rounds) for kind in KINDS})
    note = (f"Answers: {asking} peers, which are the table too, ask on one stream each with {flight} requests under way, from the same cores; hearth lets a peer "
            "have 2,000 a second. An answer names 20 peers with two addresses each. CPU is that of whole runs, connecting included.")
    return rows, [Target("DHT requests/s, peers on the same cores", summary(rows["hearth"]), 20e3),
                  Target("DHT requests/s / Kubo", lambda: ratio(rows["hearth"], rows["Kubo"]), 1)], note


def holding(lab, programs, options, files):
    counts = {"hearth": 200, "Kubo": 100} if options.quick else {"hearth": min(10000, files - SPARE), "Kubo": 1000}
    seconds = 2 if options.quick else 35
    told = {"hearth": f"budget of {BUDGET_MIB} MiB, high water raised, Noise", "Kubo": "high water raised, Noise"}
    rows = {kind: Contender(f"{kind}, {count:,} idle connections", lambda kind=kind, count=count: held(lab, programs, kind, count, seconds), told[kind],
                            unit="KiB each", less=True, rounds=1 if options.quick else 3) for kind, count in counts.items()}
    note = (f"Connections: each with Noise, Yamux and identify from an address and a key of its own; what resident memory has grown by after {seconds} s of rest, parted "
            "among them, the DHT's tables and all else included.")
    return rows, [Target(f"resident KiB of each of {counts['hearth']:,} idle connections", summary(rows["hearth"]), 24, less=True)], note


def resting(idle, count, quick):
    def each(what, unit, take):
        return {kind: Contender(f"{kind}, {what} with {count} idle peers", lambda kind=kind: take(kind), IDLE_TOLD, unit=unit, less=True) for kind in KINDS}

    def part(key):
        return lambda kind: {"value": traffic[kind].samples[-1][key]}

    cpu = each("CPU", "% of a core", idle.cpu)
    traffic = each("traffic", "KiB/min", idle.traffic)
    pings = each("pings among it", "KiB/min", part("muxer_kib"))
    requests = each("requests of the DHT", "requests", part("requests"))
    note = (f"Idle: CPU in {idle.windows} windows of {idle.seconds} s with nothing else running. The traffic is that of {idle.settle} to {idle.until} s after the peers "
            "came and holds one refresh of each node: Kubo looks itself up each 10 min and parts of the key space each 20 in effect, hearth both each 10: without that a thousand nodes did not all find each other. The peers serve the DHT and "
            "begin nothing, so it is what the node begins, and the answers, both ways together: Yamux pings for the most part. What is asked for is that a node costs "
            "its peers no more than Kubo does.")
    targets = [Target(f"% of a core with {count} idle peers, most of {idle.windows} x {idle.seconds} s", summary(cpu["hearth"], "most"), 1, less=True),
               Target(f"traffic with {count} idle peers / Kubo", lambda: None if quick else ratio(traffic["hearth"], traffic["Kubo"]), 1, less=True)]
    return [one for rows in (cpu, traffic, pings, requests) for one in rows.values()], targets, note


def raise_descriptors():
    """As many as are wanted, or as there may be; returns the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def discovery(lab, programs, options):
    files = raise_descriptors()
    idle_peers = 10 if options.quick else 100
    with contextlib.closing(Idle(lab, programs, idle_peers, options.quick)) as idle:
        rows, targets, notes = [], [], []
        for more, asked, note in (serving(lab, programs, options), holding(lab, programs, options, files)):
            rows += more.values()
            targets += asked
            notes.append(note)
        last, asked, note = resting(idle, idle_peers, options.quick)
        return suite_result("Discovery", rows, targets + asked, options.rounds, notes + [note], last)

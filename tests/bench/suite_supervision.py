# SPDX-License-Identifier: MIT
"""What it costs to be able to fail: failure to the next answer, processes beside threads, and what the runtime notes all the time."""
import json
import os
import shutil
import signal
import statistics
import sys
import threading
import time

import bookkeeping
from harness import expect, expect_same_file, wait_until
from peers import Hearth
from ruler import GIB, MB, MIB, Contender, Meter, Target, program, pss_bytes, ratio, suite_result, tree
from suite_cpu import compile_erlang
from suite_transfer import CONFIGURATION, DURABLE

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "smoke"))
from sp_client import Requester  # noqa: E402  pylint: disable=wrong-import-position

BACKENDS = ("inproc", "ipc")
PSS_EACH_S = 0.5


def median(row):
    return lambda: row.summary()["median"] if row.samples else None


# --- failure to the next answer ---------------------------------------------------------

class Runs:
    """One run's figures as several contenders: the first runs, the others take what it has found."""

    def __init__(self, name, run, less=True, unit="us"):
        self.run, self.found = run, None
        self.rows = [Contender(f"{name}, {part}", lambda part=part: self.take(part), unit=unit, less=less) for part in ("p50", "p99")]

    def take(self, part):
        if part == "p50":
            self.found = self.run()
        return {"value": self.found[f"{part}_us"]}


class Wounded:
    """A daemon whose actors fail one after the other, and a client that asks for what needs the one that has failed."""

    NEEDS = {"bitswap": {"op": "bitswap stat"}, "tiered_storage": {"op": "repo stat"}, "connection_manager": {"op": "swarm peers"},
             "heat_tracker": {"op": "heat top"}}

    def __init__(self, lab, backend, times):
        self.node = lab.start(Hearth(lab, name=f"wounded-{backend}", flags=("--backend", backend, "--chaos"), HEARTH_CHAOS__INTENSITY="0"))
        self.backend, self.times = backend, times
        self.client = Requester(os.path.join(self.node.repo, "run", "control.sock"), 30)
        lab.stack.callback(self.client.close)

    def ask(self, request):
        answer = json.loads(self.client.ask(json.dumps(request).encode()))
        expect(answer["ok"], f"{request}: {answer}")
        return answer

    def fail(self, actor):
        if self.backend == "inproc":
            self.ask({"op": "chaos", "args": {"actor": actor, "order": "fail"}})
            return
        for pid in tree(self.node.process.child.pid):
            with open(f"/proc/{pid}/comm", encoding="ascii") as kept:
                if kept.read().strip() == actor[:15]:
                    os.kill(pid, signal.SIGKILL)
                    return
        expect(False, f"no process of {actor}")

    def run(self):
        took = []
        for _ in range(self.times):
            for actor, request in self.NEEDS.items():
                began = time.monotonic()
                self.fail(actor)
                self.ask(request)
                took.append(1e6 * (time.monotonic() - began))
                self.healthy()
        took.sort()
        return {"p50_us": took[len(took) // 2], "p99_us": took[len(took) * 99 // 100]}

    def healthy(self):
        def told():
            return self.ask({"op": "diag healthy"})["result"]["healthy"]
        wait_until("all actors again", 30, told, every=0.005)


def failures(lab, programs, options):
    """Rows and the two that are judged."""
    count, fewer, times = ("50", "20", 2) if options.quick else ("2000", "300", 10)
    command = programs["supervision"]
    made = [("actors on inproc, one ends as failed", lambda: program([command, "--backend=inproc", "exit", count])),
            ("actors on ipc, one ends as failed", lambda: program([command, "--backend=ipc", "exit", fewer])),
            ("actors on ipc, its process is killed", lambda: program([command, "--backend=ipc", "kill", fewer]))]
    for backend, how in zip(BACKENDS, ("fails", "has its process killed")):
        made.append((f"daemon on {backend}, an actor {how}", Wounded(lab, backend, times).run))
    folder = lab.directory("erlang")
    if compile_erlang(folder, "supervision"):
        made.append(("Erlang/OTP: a gen_server under a supervisor", lambda: program(["erl", "-noshell", "-pa", folder, "-s", "supervision", "main", count])))
    rows = [row for name, run in made for row in Runs(name, run).rows]
    targets = [Target("failure to first answer, inproc, us, p50", median(rows[0]), 5e3, less=True),
               Target("failure to first answer, ipc, us, p50, ended as failed", median(rows[2]), 50e3, less=True),
               Target("failure to first answer, ipc, us, p50, killed", median(rows[4]), 50e3, less=True),
               Target("failure to first answer, a whole daemon on inproc, us, p50", median(rows[6]), 5e3, less=True),
               Target("failure to first answer, a whole daemon on ipc, us, p50", median(rows[8]), 50e3, less=True)]
    return rows, targets


# --- calls between processes -------------------------------------------------------------

def calls(lab, programs, options):
    seconds = "0.3" if options.quick else "0.7"
    names = {"call": "call, one at a time", "calls64": "calls, 64 in flight", "casts": "casts"}
    folder = lab.directory("erlang-mailbox")
    has_erlang = compile_erlang(folder, "mailbox")

    def row(name, *command):
        return Contender(name, lambda: {"value": program(command)["per_s"]}, unit="/s")
    rows = [row("two processes over a bare Unix socket and back", programs["mailbox"], "sockets", seconds),
            row("plain nng over ipc://, one-lane PUSH/PULL and back", programs["mailbox"], "--backend=ipc", "pushpull", seconds)]
    for mode, text in names.items():
        rows += [row(f"{text}, {backend}", programs["mailbox"], f"--backend={backend}", mode, seconds) for backend in BACKENDS]
        if has_erlang:
            rows.append(row(f"{text}, Erlang/OTP", "erl", "-noshell", "-pa", folder, "-s", "mailbox", "main", mode, seconds))
    return rows


# --- a file between nodes on processes, and on threads ------------------------------------

class Sampler(threading.Thread):
    """The most that the nodes had as PSS; with two nodes on the machine, what they map of the same files counts for each as if it were alone."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.most, self.done = nodes, {name: 0 for name in nodes}, threading.Event()

    def run(self):
        while not self.done.wait(PSS_EACH_S):
            for name, node in self.nodes.items():
                self.most[name] = max(self.most[name], pss_bytes(node.process.child.pid, beside_another=True))

    def stop(self):
        self.done.set()
        self.join()
        return self.most


class Course:
    """A repository with one file; for each transfer a node is started on it, and a fresh one that fetches."""

    def __init__(self, lab, programs, size):
        self.lab, self.size, self.path = lab, size, lab.file(size)
        self.binaries = {"with": None, "without": os.path.join(os.path.dirname(programs["hearthd-without"]), "hearth")}
        if not os.path.exists(self.binaries["without"]):
            shutil.copy(Hearth(lab, name="for-its-name").binary, self.binaries["without"])  # it starts the hearthd beside it
        self.provider = self.make("provider", "inproc")
        self.provider.start()
        self.cid = self.provider.add(self.path, seconds=600)
        self.provider.stop()

    def make(self, name, backend, binary="with"):
        node = Hearth(self.lab, name=name, flags=("--backend", backend), HEARTH_SWARM__TRANSPORTS__SECURITY="noise")
        node.binary = self.binaries[binary] or node.binary
        return node

    def serve(self, backend, binary):
        node = self.make("provider-again", backend, binary)
        node.repo, node.env = self.provider.repo, {**node.env, "HEARTH_PATH": self.provider.repo}
        return node.start()

    def run(self, backend, how, binary="with", watch=None):
        provider = self.serve(backend, binary)
        fetcher = self.make("fetcher", backend, binary)
        out = self.lab.path("out")
        try:
            fetcher.start()
            fetcher.connect(provider.addr)
            nodes = {"provider": provider, "fetcher": fetcher}
            watcher = (watch or Sampler)(nodes)
            watcher.start()
            with Meter(**nodes) as meter:
                if how == "get":
                    fetcher.get(self.cid, out, 600)
                else:
                    fetcher.hearth("pin", "add", self.cid, seconds=600)
            found = watcher.stop()
            if how == "get":
                expect_same_file(self.path, out)
                os.unlink(out)
        finally:
            fetcher.stop()
            provider.stop()
            self.lab.forget(fetcher.home)
            self.lab.forget(provider.home)
        return {**meter.result, **({f"{name}_pss_bytes": value for name, value in found.items()} if watch is None else found)}


def at_rest(lab, backend):
    node = lab.start(Hearth(lab, name=f"rest-{backend}", flags=("--backend", backend)))
    time.sleep(3)
    value = pss_bytes(node.process.child.pid)
    node.stop()
    lab.forget(node.home)
    return {"value": value / MIB}


def cpu_of(sample):
    return sample["provider_cpu_s"] + sample["fetcher_cpu_s"]


def transfers(lab, programs, options):
    size = 64 * MIB if options.quick else GIB
    course = Course(lab, programs, size)
    texts = {"get": "written out as a file", "pin": "into the store"}

    def row(text, *how):
        return Contender(text, lambda: course.run(*how), CONFIGURATION["hearth"], DURABLE["hearth"], amount=size / MB)
    rows = {(backend, how): row(f"{size // MIB} MiB {text}, {backend}", backend, how) for how, text in texts.items() for backend in BACKENDS}
    without = row(f"{size // MIB} MiB into the store, inproc, nothing noted", "inproc", "pin", "without")
    rest = {backend: Contender(f"at rest, {backend}", lambda backend=backend: at_rest(lab, backend), unit="MiB PSS", less=True) for backend in BACKENDS}
    share = Contender("bookkeeping, share of samples", lambda: course.run("inproc", "pin", "with", bookkeeping.Profile), unit="%", less=True)

    def overhead():
        pairs = list(zip(rows["inproc", "pin"].samples, without.samples))
        return statistics.median(100 * (1 - cpu_of(b) / cpu_of(a)) for a, b in pairs) if pairs else None

    def most(backend):
        found = [sample[f"{side}_pss_bytes"] for how in texts for sample in rows[backend, how].samples for side in ("provider", "fetcher")]
        return max(found) / MIB if found else None
    targets = [Target("ipc / inproc, into the store", lambda: ratio(rows["ipc", "pin"], rows["inproc", "pin"]), 0.5),
               Target("ipc / inproc, written out", lambda: ratio(rows["ipc", "get"], rows["inproc", "get"]), 0.5),
               Target("a node on ipc at rest, MiB PSS over its processes", median(rest["ipc"]), 96, less=True),
               Target("a node on ipc while it transfers, most of both sides, MiB PSS", lambda: most("ipc"), 96, less=True),
               Target("the runtime's bookkeeping, % of both nodes' CPU: pairs with a daemon that notes nothing", overhead, 3, less=True),
               Target("the runtime's bookkeeping, % of both nodes' samples", median(share), 3, less=True)]
    notes = [f"On inproc a node had at most {{inproc:.0f}} MiB as PSS while it transferred, on ipc {{ipc:.0f}} MiB.", bookkeeping.NOTE]
    order = [rows["inproc", "pin"], without, rows["ipc", "pin"], rows["inproc", "get"], rows["ipc", "get"], *rest.values()]
    return order, targets, lambda: [notes[0].format(**{backend: most(backend) or 0 for backend in BACKENDS}), notes[1]], [share]


def supervision(lab, programs, options):
    rows, targets = failures(lab, programs, options)
    rows += calls(lab, programs, options)
    more, more_targets, notes, last = transfers(lab, programs, options)
    if not bookkeeping.has_perf():
        last = []
    result = suite_result("Supervision and processes", [*more, *rows], targets + more_targets, options.rounds, last=last)
    result["notes"] += notes()
    return result

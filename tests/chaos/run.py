#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile peers against a real daemon: the rows of docs/internals/attacks.md over sockets.

The daemon runs with profile test in a memory cgroup of 64 MiB (without the right to make one: without it), and no address is exempt from the limits: each
attacker has an address of 127.0.0.0/8 of its own. During each row an honest client asks for a ping, a block and a FIND_NODE, over and over. A row
ends with four checks: what it expects, the same process lives, memory grew by no more than the row's bound, and the honest client was
always served within a second, less what a second daemon, which nobody attacks, took to serve the same at the same time: that is the machine's.

Usage: tests/chaos/run.py [--short|--full] [--mix SECONDS] [row ...]; --short leaves out what takes long, --full plays millions where the others play
thousands, --mix plays all at once for so long. HEARTH_BUILD names another build folder.
"""
import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
sys.path.insert(0, os.path.join(TOP, "tests/budget"))
from bad_input import HEARTH, STRANGER, Node, check, counts, descendants, say  # noqa: E402
from cgroup import Cgroup, status_kib  # noqa: E402
from peer import Honest, Keys, Peer, Sources, seed_of  # noqa: E402
import rows_protocols  # noqa: E402
import rows_transport  # noqa: E402
from name_server import NameServer  # noqa: E402

SERVED_S = float(os.environ.get("CHAOS_SERVED_S", "1"))
SETTINGS = {"HEARTH_SWARM__PERIPEXEMPT": "", "HEARTH_ROUTING__LOOPBACKADDRESSESONLANDHT": "true"}
ROWS = rows_transport.ROWS + rows_protocols.ROWS
ALONE = {"T10", "T13 memory"}  # starts the daemon again; looks at memory that others move


class Victim(Node):
    """The daemon, in the cgroup where there is one."""

    def __init__(self, folder, group, name="victim"):
        super().__init__(folder, name)
        del self.env["HEARTH_ADDRESSES__SWARM"]  # the profile sets it
        self.env |= SETTINGS
        self.run("init", "--profile", "test")
        if group:
            self.launcher = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group.path]

    def start_command(self, *args):
        return subprocess.Popen([HEARTH, *args], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class World:
    """What the rows share."""

    def __init__(self, folder, group, short, full=False):
        self.folder, self.group, self.short, self.full, self.stranger = folder, group, short, full, STRANGER
        self.keys, self.sources, self.peers = Keys(), Sources(), 0
        self.names, self.mixed = NameServer(rows_protocols.name_records(STRANGER)), False
        self.node = Victim(folder, group)
        self.node.env["HEARTH_DNS__SERVERS"] = self.names.address
        if not self.node.start():
            raise RuntimeError(self.node.said())
        self.block = os.urandom(4096)
        code, out, err = self.node.run("block", "put", "--cid-codec=raw", data=self.block)
        code, out, err = self.node.run("cid", "format", "-b", "base16", out.decode().strip())
        self.cid = bytes.fromhex(out.decode().strip()[1:])
        other = Victim(folder, None, "control")
        if not other.start() or other.run("block", "put", "--cid-codec=raw", data=self.block)[0] != 0:
            raise RuntimeError(other.said())
        self.control = Honest(other.port(), Sources(19000), self.keys, self.cid, self.block)
        self.control.start()
        self.adopt()

    def adopt(self):
        self.port, self.pids = self.node.port(), descendants(self.node.process.pid)[1:]
        self.honest = Honest(self.port, self.sources, self.keys, self.cid, self.block)
        self.honest.start()

    def restart(self):
        self.honest.stop()
        self.node.stop()
        if not self.node.start():
            raise RuntimeError(self.node.said())
        self.adopt()

    def check(self, name, good, detail=""):
        return check(f"{self.row}: {name}", good, detail)

    def many(self, full, short):
        return short if self.short else full

    def full_size(self, full, usual):
        return full if self.full and not self.mixed else usual

    def scratch(self, name):
        return os.path.join(self.folder, name)

    def unique(self, name):
        """For what the daemon remembers from one play of a row to the next."""
        return f"{name} {os.urandom(8).hex()}"

    def peer(self, **more):
        self.peers += 1
        return self.peer_of(seed_of(f"hostile {self.peers}"), **more)

    def peer_of(self, seed, **more):
        return Peer(self.port, next(self.sources), seed, **more)

    def rss(self):
        return sum(status_kib(pid, "VmRSS") for pid in self.pids) * 1024

    def forget_peak(self):
        for pid in self.pids:
            forget_peak(pid)

    def peak_kib(self):
        return sum(status_kib(pid, "VmHWM") for pid in self.pids)

    def cpu_ns(self):
        total = 0
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        return total

    def slow(self, sock, data):
        """A byte each 5 s until the node hangs up."""
        for byte in data:
            try:
                sock.sendall(bytes([byte]))
                sock.settimeout(5)
                while sock.recv(4096):
                    pass
                return
            except TimeoutError:
                continue
            except OSError:
                return

    def lives(self):
        return self.node.alive() and descendants(self.node.process.pid)[1:] == self.pids and "restart" not in self.node.said()


def forget_peak(pid):
    try:
        with open(f"/proc/{pid}/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def play(w, name, row, bound_mib):
    w.row = name
    w.forget_peak()
    before, began = w.rss(), time.monotonic()
    honest, mark = w.honest, len(w.honest.took)
    try:
        row(w)
    except Exception as error:  # said as a failure of its row; the next is played all the same
        w.check("is played to its end", False, repr(error))
    honest, mark = w.honest, mark if w.honest is honest else 0  # a row may have started the daemon again
    deadline = time.monotonic() + 5
    while len(honest.took) - mark < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    took = honest.since(mark, w.control)
    served = bool(took) and None not in took and max(took) <= SERVED_S
    grown = (w.peak_kib() * 1024 - before) / 2**20
    w.check(f"the honest client was served {len(took)} times within {SERVED_S:g} s", served and honest.lost == 0,
            (len(took), max([t for t in took if t] or [0]), took.count(None), honest.faults[-3:], honest.lost))
    w.check(f"memory grew by no more than {bound_mib} MiB", grown <= bound_mib, f"{grown:.1f} MiB")
    w.check("the same process lives", w.lives(), w.node.said()[-400:])
    print(f"# {name}: {time.monotonic() - began:.1f} s, memory +{grown:.1f} MiB, honest client slowest {max([t for t in took if t] or [0]) * 1000:.0f} ms", flush=True)
    honest.faults.clear()
    honest.lost = 0


# ---- all at once ----

def attack(w, turn, row, until, told):
    """A process: plays a row until the end, over and over, and tells how often, and how many of its expectations held."""
    os.nice(19)  # it is the node that is measured, on a machine that both share
    w.keys, w.sources, w.peers = Keys(), Sources(1000 * (turn + 1)), 1000 * (turn + 1)
    w.mixed, times, held, broken = True, 0, 0, []
    sys.stdout = open(os.devnull, "w")

    def judge(name, good, detail=""):
        nonlocal held
        held += bool(good)
        if not good:
            broken.append(name)
        return good

    w.check = judge
    while time.monotonic() < until:
        try:
            row(w)
            times += 1
        except Exception as error:  # a peer that is turned away while others are many is no fault
            broken.append(repr(error))
            time.sleep(0.2)
    told.put((turn, times, held, broken))
    w.keys.close()


def mix(w, seconds):
    """All rows at once. Peers may be turned away then, so what each expects is told and not judged; the node and its honest peer are."""
    w.row, w.short, rows = "all at once", True, [row for row in ROWS if row[0] not in ALONE]
    began, mark, told = time.monotonic(), len(w.honest.took), multiprocessing.Queue()
    w.forget_peak()
    processes = [multiprocessing.Process(target=attack, args=(w, turn, row[1], began + seconds, told)) for turn, row in enumerate(rows)]
    with Honest.dialling:
        for process in processes:
            process.start()
    for _ in processes:
        turn, times, held, broken = told.get(timeout=seconds + 120)
        print(f"# {rows[turn][0]}: played {times} times, {held} of {held + len(broken)} answers as when alone{', not: ' + broken[-1][:100] if broken else ''}", flush=True)
    for process in processes:
        process.join()
    took = w.honest.since(mark, w.control)
    slow = [t for t in took if t is None or t > SERVED_S]
    peak = w.peak_kib() / 1024
    print(f"# {time.monotonic() - began:.0f} s, peak of the daemon {peak:.1f} MiB, honest client {len(took)} times, slowest {max([t for t in took if t] or [0]) * 1000:.0f} ms, dialled again {w.honest.lost} times")
    w.check(f"the honest client was always served within {SERVED_S:g} s", len(took) > 10 and not slow, (len(took), slow, w.honest.faults[-3:]))
    most = 64 if len(w.pids) == 1 else 64 + 8 * len(w.pids)  # what processes share is counted by each
    w.check(f"the daemon stays under {most} MiB", 0 < peak < most, peak)
    w.check("the same process lives", w.lives(), w.node.said()[-400:])
    w.check("it is healthy", w.node.run("diag", "healthy")[0] == 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--mix", type=int, metavar="SECONDS")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    try:
        group = Cgroup("chaos", 64 << 20)
    except OSError as error:
        group = None
        say("SKIP", "the cgroup", f"no memory cgroup can be made here: {error}")
    folder = tempfile.mkdtemp(prefix="hearth-chaos-", dir="/tmp")
    world = None
    try:
        world = World(folder, group, options.short, options.full)
        for name, row, bound_mib, smoke in ROWS if options.mix is None else []:
            if name.split()[0] in options.rows or not options.rows and (smoke or not options.short):
                play(world, name, row, bound_mib)
        if options.mix is not None:
            mix(world, options.mix)
        world.honest.stop()
        world.control.stop()
        world.row = "at the end"
        if group:
            world.check("the kernel killed nobody for memory", group.kills() == 0)
        world.check("the daemon stops in order", world.node.stop() == 0, world.node.said()[-400:])
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "chaos", repr(error))
    finally:
        if world:
            world.keys.close()
        for node in Node.all:
            node.stop()
        if group:
            group.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The store with much in it: a synthetic repository, and the store's own speed beside the disk, flatfs and memcpy."""
import os
import shutil
import time

from peers import Hearth, Process
from ruler import KIB, MB, MIB, Contender, Target, program, ratio, suite_result
from suite_transfer import DURABLE

BUDGET_MIB, ROOMY_MIB = 64, 192
START_SECONDS = 60


def median(row):
    return row.summary()["median"] if row.samples else None


class Kept:
    """A repository of many blocks and pins; each figure of it is a contender."""

    def __init__(self, lab, programs, options):
        self.lab, self.programs = lab, programs
        self.blocks, self.pins = (100_000, 10_000) if options.quick else (10_000_000, 1_000_000)
        self.small, self.large = (5_000, 100) if options.quick else (100_000, 2_000)
        self.asked = 1_000_000 if options.quick else 5_000_000
        self.node = Hearth(lab, name="kept", HEARTH_MEMORY__BUDGET=f"{BUDGET_MIB}MB")
        os.makedirs(self.node.repo, mode=0o700)
        self.made = program([programs["kept"], self.node.repo, str(self.blocks), str(self.pins)], seconds=3600)
        self.salt = 1

    def store(self, *arguments):
        return program([self.programs["store"], *(str(argument) for argument in arguments)], seconds=900)

    def start(self):
        """The daemon from exec to ready; its memory; and the pins counted by the command while it runs."""
        node = self.node
        began = time.monotonic()
        node.process = Process(node.label, [node.binary, "daemon"], node.env, node.home)
        node.process.wait_line("^Daemon is ready", START_SECONDS)
        took = time.monotonic() - began
        sample = {"value": 1000 * took, "node_peak_bytes": node.memory_bytes("VmHWM")}
        began = time.monotonic()
        node.hearth("pin", "ls", "--count")
        sample["count_ms"] = 1000 * (time.monotonic() - began)
        node.stop()
        return sample

    def has(self, mib):
        """With a budget of mib; the filter in the repository is of the last one."""
        return program([self.programs["store"], "has", self.node.repo, str(self.asked), "1024"], seconds=900, BENCH_BUDGET_MIB=str(mib))

    def put_here(self):
        self.salt += 1
        return self.store("put", self.node.repo, self.small, 4 * KIB, 4096, self.salt)

    def put_empty(self, count, size, flight):
        folder = self.lab.directory("empty")
        try:
            return self.store("put", folder, count, size, flight, 0)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def flatfs(self):
        folder = self.lab.path("flatfs")
        try:
            return program([self.lab.tools.bring("flatfs"), folder, str(self.large), str(256 * KIB)], seconds=900)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def collect(self):
        """A million blocks that nothing keeps are collected while others are read."""
        folder = self.lab.path("garbage")
        dead, live = (20_000, 2_000) if self.blocks < 1_000_000 else (1_000_000, 50_000)
        try:
            program([self.programs["kept"], folder, str(dead + live), str(live)], seconds=3600)
            sample = self.store("collect", folder, live, 1000, 10)
            if sample["gone"] != dead:
                raise ValueError(f"{sample['gone']} blocks were collected of {dead}")
            return sample
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write_alone(self, source):
        out = self.lab.path("written")
        try:
            return program([self.programs["pipeline"], "write", source, out])
        finally:
            os.unlink(out)


def kept(lab, programs, options):
    k = Kept(lab, programs, options)
    size = 256 * KIB
    amount = k.large * size / MB
    source = lab.file(k.large * size)
    filled = lab.directory("filled")
    k.store("put", filled, k.large, size, 64, 0)
    cached = 8
    accounts = f"accounts of {BUDGET_MIB} MiB"
    told = f"{k.blocks:,} blocks, {k.pins:,} pins"
    start = Contender(f"start with {told}", k.start, f"budget of {BUDGET_MIB} MiB", "clean stop before", unit="ms", less=True)
    has = Contender(f"has of absent CIDs, {k.blocks:,} blocks", lambda: k.has(BUDGET_MIB), f"batches of 1,024, {accounts}", unit="CIDs/s")
    roomy = Contender(f"the same with a budget of {ROOMY_MIB} MiB", lambda: k.has(ROOMY_MIB), f"batches of 1,024, accounts of {ROOMY_MIB} MiB",
                      unit="CIDs/s")
    small = Contender("puts of 4 KiB into an empty store", lambda: k.put_empty(k.small, 4 * KIB, 4096), f"4,096 under way, {accounts}",
                      DURABLE["hearth"], unit="blocks/s")
    here = Contender(f"puts of 4 KiB beside {k.blocks:,} blocks", k.put_here, f"4,096 under way, {accounts}", DURABLE["hearth"], unit="blocks/s")
    large = Contender("puts of 256 KiB", lambda: k.put_empty(k.large, size, 64), f"64 under way, {accounts}", DURABLE["hearth"], unit="MB/s",
                      amount=amount)
    disk = Contender("write alone", lambda: k.write_alone(source), "pread, pwrite", DURABLE["pipeline"], amount=amount)
    flat = Contender("flatfs", k.flatfs, "go-ds-flatfs as Kubo uses it, batches of 8 MiB", "each file and folder synced", amount=amount)
    get = Contender("gets of 256 KiB, warm", lambda: k.store("get", filled, k.large, size, 16), f"16 under way, no memory tier, {accounts}",
                    amount=amount)
    pread = Contender("pread of the same, warm", lambda: k.store("pread", filled, k.large, size), "two threads", amount=amount)

    def memory():
        sample = k.store("memory", filled, k.large * 10, size, cached)
        sample["copy"] = sample["memcpy_s"] / sample["seconds"]
        return sample
    hot = Contender("gets of 256 KiB out of memory, copied out", memory, f"{cached} blocks in turn, {accounts}", amount=10 * amount)
    # value of put is blocks/s; the row of large blocks is bytes
    for row in (large,):
        row.run = lambda run=row.run: {key: value for key, value in run().items() if key != "value"}
    targets = [
        Target(f"start with {told}, ms", lambda: median(start), 2000, less=True),
        Target("its peak memory, MiB", lambda: start.summary()["node_peak_bytes"] / MIB if start.samples else None, 64, less=True),
        Target("pin ls --count, ms", lambda: start.summary()["count_ms"] if start.samples else None, 10, less=True),
        Target("has of absent CIDs, millions a second", lambda: median(has) and median(has) / 1e6, 2),
        Target(f"has of absent CIDs with a budget of {ROOMY_MIB} MiB, millions a second", lambda: median(roomy) and median(roomy) / 1e6, 2),
        Target("puts of 4 KiB into an empty store, thousands a second", lambda: median(small) and median(small) / 1e3, 100),
        Target("puts of 4 KiB into this one, thousands a second", lambda: median(here) and median(here) / 1e3, 30),
        Target("puts of 256 KiB / write alone", lambda: ratio(large, disk), 0.8),
        Target("puts of 256 KiB / flatfs", lambda: ratio(large, flat), 3),
        Target("gets, warm / pread", lambda: ratio(get, pread), 0.7),
        Target("gets out of memory / memcpy", lambda: hot.summary()["copy"] if hot.samples else None, 0.6),
    ]
    garbage = Contender("p99 of gets beside a collection of a million", k.collect, f"1,000 gets a second, {accounts}", unit="ms", less=True, rounds=1)
    targets.append(Target("p99 of gets beside a collection / without", lambda: garbage.summary()["beside_p99_ms"] / garbage.summary()["alone_p99_ms"]
                          if garbage.samples else None, 2, less=True))
    rows = [start, garbage, has, roomy, small, here, large, disk, flat, get, pread, hot]
    return suite_result(f"The store with {told}", rows, targets, options.rounds,
                        [f"The repository was made in {k.made['seconds']:.0f} s by the store's own writers."])

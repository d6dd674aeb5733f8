# SPDX-License-Identifier: MIT
"""Traces replayed through a running daemon with three tiers: what a get costs under each policy, beside no tiering at all."""
import base64
import functools
import hashlib
import os
import random
import statistics
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "smoke"))

# pylint: disable=wrong-import-position
from harness import Skip
from ruler import KIB, MIB, Contender, Target, ratio, suite_result
from tiered_node import TieredNode, together
from trace_sample import Sample

TRACES = ("OLTP.lis.zst", "P6.lis.zst", "sprite.trace.gz", "2_pools.trace.gz", "multi3.trace.gz", "w_cloudphysics.oracleGeneral.bin", "zipf_1.0")
REQUESTS, REQUESTS_QUICK = 10000, 2000
WARM_SHARE = 20                    # percent of the requests: replayed first, not counted
MEMORY_SHARE, DISK_SHARE = 5, 25   # percent of the blocks; the cold tier has room for all
DEMOTE_TO = 75                     # percent of the disk: what its policy fills
LATENCY_S = 0.005
CLIENTS = 2
BLOCK_MIN, BLOCK_MAX = KIB, 64 * KIB
POLICIES = {"hearth": {"HEARTH_TIERS__POLICY": "hearth"}, "lru": {"HEARTH_TIERS__POLICY": "lru"},
            "no tiering": {"HEARTH_TIERS__POLICY": "hearth", "HEARTH_TIERS__PROMOTERATE": "0", "HEARTH_TIERS__DEMOTERATE": "0",
                           "HEARTH_TIERS__PREFETCH": "false"}}
NOTE = f"""Of each trace as many requests as stand for it: all requests for some of its objects, chosen by the hash of their names, over its whole time
(of zipf_1.0, whose draws are independent, the first ones). Each object is a block of its own, all of one size. All are stored first, in an order by chance;
the disk ({DISK_SHARE} % of them) keeps what it has room for, the rest is in the cold tier. Each run begins with that and with a daemon that knows nothing of
their use. {CLIENTS} clients read: each takes the next request of the trace when its last is answered. The first {WARM_SHARE} % of the requests are not counted.
No tiering: what did not fit on the disk stays in the cold tier; the memory tier caches as with hearth. In `tier-sim` the same requests are replayed through the
policy alone, in a tier of {DEMOTE_TO} % of the disk, to which demotion goes, that is empty at first.""".replace("\n", " ")


def traces_folder():
    """The traces lie beside the test vectors."""
    given = os.environ.get("HEARTH_TRACES") or os.path.join(os.path.dirname(os.environ.get("HEARTH_VECTORS", "/nowhere")), "traces")
    if not os.path.isdir(given):
        raise Skip("no traces: HEARTH_VECTORS names the folder beside them, or HEARTH_TRACES their own")
    return given


class Replay:
    """A sample of a trace, its blocks, and the node that has them."""

    def __init__(self, lab, sample, latency_s, memory_bytes):
        self.lab, self.sample, self.memory_bytes = lab, sample, memory_bytes
        self.size = max(BLOCK_MIN, min(BLOCK_MAX, memory_bytes * 100 // MEMORY_SHARE // sample.objects))
        self.footprint = sample.objects * self.size
        self.storage_max = max(MIB, self.footprint * DISK_SHARE // 100)
        self.name = f"{sample.name}, {'folder' if latency_s is None else 's3'}"
        self.latency_s, self.node = latency_s, None
        self.cids = [self.cid(number) for number in range(sample.objects)]
        self.warm = len(sample.requests) * WARM_SHARE // 100

    def block(self, number):
        """Seeded content; its CID is computed here."""
        return random.Random(number).randbytes(self.size)

    def cid(self, number):
        binary = b"\x01\x55\x12\x20" + hashlib.sha256(self.block(number)).digest()
        return "b" + base64.b32encode(binary).decode().lower().rstrip("=")

    def prepare(self):
        if self.node is None:
            order = list(range(self.sample.objects))
            random.Random(self.name).shuffle(order)
            node = TieredNode(self.lab, self.name.replace(", ", "-"), self.latency_s, self.storage_max)
            node.fill(self.block(number) for number in order)
            self.node = node
        self.node.back()

    def run(self, policy):
        self.prepare()
        clients = []
        try:
            clients = self.node.start(CLIENTS, **POLICIES[policy])
            result = self.measure(clients)
            if (result["promoted_per_hit_byte"] > 0) != (policy != "no tiering"):
                raise RuntimeError(f"{policy}: {result['promoted_per_hit_byte']} bytes promoted for each byte hit")
            return result
        finally:
            self.node.stop(clients)

    def measure(self, clients):
        """Each get is asked before where its block is; what it took is told by where that was."""
        took = {"memory": [], "disk": [], "cold": []}

        def read(client, cid):
            tier = client.ask("tier stat", cid=cid)["result"]["tier"]
            answer, seconds = client.timed("block get", cid=cid)
            if not answer["ok"]:
                raise RuntimeError(f"block get: {answer['error']}")
            took[tier].append(1000 * seconds)

        cids = [self.cids[number] for number in self.sample.requests]
        together(clients, read, cids[:self.warm])
        for values in took.values():
            values.clear()
        promoted, asked = promoted_bytes(clients[0]), self.bucket_requests()
        together(clients, read, cids[self.warm:])
        return self.summary(took, promoted_bytes(clients[0]) - promoted, self.bucket_requests() - asked)

    def bucket_requests(self):
        return 0 if self.node.bucket is None else self.node.bucket.requests()

    def summary(self, took, promoted, asked):
        hot = took["memory"] + took["disk"]
        everything = hot + took["cold"]
        return {"value": statistics.mean(everything), "p99_ms": percentile(everything, 99), "hot_p99_ms": percentile(hot, 99),
                "hit_percent": 100 * len(hot) / len(everything), "memory_percent": 100 * len(took["memory"]) / len(everything),
                "promoted_per_hit_byte": promoted / (len(hot) * self.size) if hot else 0, "requests_per_1000": 1000 * asked / len(everything),
                **{f"{tier}_ms": statistics.median(values) for tier, values in took.items() if values}}

    def simulated(self, program, policy):
        """Hits in percent that tier-sim counts in the same requests, the warm-up's left out as here."""
        slots = self.storage_max * DEMOTE_TO // 100 // self.size
        path = os.path.join(self.lab.root, "requests.keys")
        hits = []
        for count in (self.warm, len(self.sample.requests)):
            with open(path, "w", encoding="ascii") as out:
                out.writelines(f"{number + 1}\n" for number in self.sample.requests[:count])
            done = subprocess.run([program, "--format", "keys", "--policy", policy, "--size", str(slots), path], check=True, stdout=subprocess.PIPE, text=True)
            hits.append(float(done.stdout.split()[1]) * count)
        return (hits[1] - hits[0]) / (len(self.sample.requests) - self.warm)

    def note(self):
        sample = self.sample
        return (f"{self.name}: {len(sample.requests):,} of {sample.total:,} requests, {sample.objects:,} blocks of {self.size:,} bytes; "
                f"memory {self.memory_bytes / self.footprint:.0%}, disk {self.storage_max / self.footprint:.0%} of them.")


def promoted_bytes(client):
    return client.tiers()["disk"].get("promoted_bytes", 0)


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] if values else 0


def of(above, below, key):
    """Median of the ratios of a figure within the rounds."""
    pairs = [(a[key], b[key]) for a, b in zip(above.samples, below.samples) if b[key]]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def memory_tier_bytes(lab):
    """What the budget of these daemons leaves for the memory tier."""
    node = TieredNode(lab, "probe", None, 64 * MIB)
    clients = []
    try:
        clients = node.start(1)
        rows = clients[0].ask("accounts")["result"]["accounts"]
        return next(row["limit_bytes"] for row in rows if row["name"].replace("_", " ") == "memory tier")
    finally:
        node.stop(clients)


def row_of(replay):
    return {policy: Contender(f"{replay.name}: {policy}", functools.partial(replay.run, policy), "64 MiB budget", "synced puts", unit="ms", less=True)
            for policy in POLICIES}


def targets_of(replay, row):
    """A folder answers as fast as the disk: beside no tiering there is nothing to win."""
    hearth, lru, none = row.values()
    targets = [Target(f"{replay.name}: a get, hearth / lru", lambda: ratio(hearth, lru), 1.05, less=True)]
    if replay.latency_s is not None:
        targets.append(Target(f"{replay.name}: a get, hearth / no tiering", lambda: ratio(hearth, none), 1, less=True))
    return targets + [Target(f"{replay.name}: p99 of gets from memory and disk, with moves / without", lambda: of(hearth, none, "hot_p99_ms"), 1.5, less=True)]


def mean_target(rows):
    """Of the traces with a bucket."""
    def mean():
        ratios = [ratio(row["hearth"], row["lru"]) for row in rows]
        return statistics.mean(ratios) if ratios and None not in ratios else None
    return Target("a get, hearth / lru, mean of the traces with a bucket", mean, 1, less=True)


def table_of(rows, replays, program):
    """What the rows say besides what a get takes."""
    lines = []
    for row in rows:
        name, _, policy = row["name"].partition(": ")
        replay = next(one for one in replays if one.name == name)
        sim = f"{replay.simulated(program, policy):.1f}" if policy in ("hearth", "lru") else ""
        lines.append([row["name"], f"{row['hit_percent']:.1f} ({row['memory_percent']:.1f})", sim, f"{row['p99_ms']:.2f}", f"{row['hot_p99_ms']:.2f}",
                      f"{row['promoted_per_hit_byte']:.3f}", f"{row['requests_per_1000']:.0f}" if replay.latency_s is not None else "",
                      ", ".join(f"{row[tier + '_ms']:.2f}" if tier + "_ms" in row else "none" for tier in ("memory", "disk", "cold"))])
    return {"head": ["", "% from memory or disk (memory)", "tier-sim", "p99 ms", "p99 ms but for cold", "bytes promoted per byte hit",
                     "S3 requests per 1,000 gets", "median ms of a get from memory, disk, cold"], "lines": lines}


def tiers(lab, programs, options):
    """Every trace under each policy with an S3 bucket; the skewed one with a folder too."""
    folder, limit = traces_folder(), REQUESTS_QUICK if options.quick else REQUESTS
    memory = memory_tier_bytes(lab)
    samples = [Sample(os.path.join(folder, file), limit) for file in (TRACES[-1:] if options.quick else TRACES)]
    replays = [Replay(lab, sample, LATENCY_S, memory) for sample in samples] + [Replay(lab, samples[-1], None, memory)]
    rows = [row_of(replay) for replay in replays]
    targets = [mean_target(rows[:-1])] + [target for replay, row in zip(replays, rows) for target in targets_of(replay, row)]
    result = suite_result("Three tiers", [one for row in rows for one in row.values()], targets, 1 if options.quick else min(options.rounds, 3),
                          [NOTE, f"The bucket answers {1000 * LATENCY_S:.0f} ms after a request has come; the folder lies on the disk and has no time of its own."])
    result["notes"] += [replay.note() for replay in replays]
    result["table"] = table_of(result["rows"], replays, programs["tier-sim"])
    return result

# SPDX-License-Identifier: MIT
"""Traces replayed through a running daemon with three tiers: what a get costs under each policy, beside no tiering at all."""
import base64
import gzip
import hashlib
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "smoke"))

# pylint: disable=wrong-import-position
from harness import Skip
from peers import Hearth
from ruler import KIB, MIB, Contender, Target, ratio, suite_result
from slow_bucket import Bucket
from sp_client import Requester

TRACES = ("OLTP.lis.zst", "P6.lis.zst", "sprite.trace.gz", "2_pools.trace.gz", "multi3.trace.gz", "zipf_1.0",
          "w_cloudphysics.oracleGeneral.bin")
REQUESTS, REQUESTS_QUICK = 6000, 400
MEMORY_SHARE, DISK_SHARE = 5, 25  # percent of the footprint; the cold tier has room for all
LATENCY_S = 0.010
BLOCK_MIN, BLOCK_MAX = KIB, 64 * KIB
SETTINGS = {"HEARTH_TIERS__SETTLETIME": "1s", "HEARTH_TIERS__COLD__PACKBYTES": "1MiB", "HEARTH_TIERS__DEMOTERATE": "64MiB",
            "HEARTH_TIERS__COLD__REQUESTRATE": "10000", "HEARTH_TIERS__COLD__REQUESTBURST": "10000", "HEARTH_MEMORY__BUDGET": "64MiB",
            "HEARTH_DATASTORE__STORAGEGCWATERMARK": "0"}
POLICIES = {"hearth": {"HEARTH_TIERS__POLICY": "hearth"}, "lru": {"HEARTH_TIERS__POLICY": "lru"},
            "no tiering": {"HEARTH_TIERS__POLICY": "hearth", "HEARTH_TIERS__PROMOTERATE": "0", "HEARTH_TIERS__DEMOTERATE": "0",
                           "HEARTH_TIERS__PREFETCH": "false"}}


def traces_folder():
    """The traces lie beside the test vectors."""
    given = os.environ.get("HEARTH_TRACES") or os.path.join(os.path.dirname(os.environ.get("HEARTH_VECTORS", "/nowhere")), "traces")
    if not os.path.isdir(given):
        raise Skip("no traces: HEARTH_VECTORS names the folder beside them, or HEARTH_TRACES their own")
    return given


def keys_of(path, limit):
    """The objects of the first requests of a trace, as they are named there."""
    keys = []
    if path.endswith(".bin"):
        with open(path, "rb") as file:
            for _, key, _, _ in struct.iter_unpack("<IQIq", file.read(24 * limit)):
                keys.append(key)
        return keys
    if path.endswith(".zst"):
        with subprocess.Popen(["zstd", "-dc", path], stdout=subprocess.PIPE, text=True) as unpacked:
            for line in unpacked.stdout:
                first, count = (int(field) for field in line.split()[:2])
                keys += range(first, first + count)
                if len(keys) >= limit:
                    break
            unpacked.kill()
        return keys[:limit]
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="ascii") as file:
        for line in file:
            if line.strip() not in ("", "*"):
                keys.append(line.strip())
            if len(keys) == limit:
                break
    return keys


class Blocks:
    """Seeded content of one size for each object; its CID is computed here."""

    def __init__(self, size):
        self.size = size

    def bytes(self, number):
        return random.Random(number).randbytes(self.size)

    def cid(self, number):
        binary = b"\x01\x55\x12\x20" + hashlib.sha256(self.bytes(number)).digest()
        return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


class Node:
    """A daemon with three tiers, and one connection to its control socket."""

    def __init__(self, lab, name, kind, bucket, storage_max):
        more = {"HEARTH_TIERS__COLD__KIND": kind, "HEARTH_DATASTORE__STORAGEMAX": str(storage_max), **SETTINGS}
        if kind == "s3":
            more.update(HEARTH_TIERS__COLD__ENDPOINT=bucket.endpoint, HEARTH_TIERS__COLD__BUCKET="bench", HEARTH_TIERS__COLD__PREFIX=f"{name}/",
                        HEARTH_TIERS__COLD__ACCESSKEY="key", HEARTH_TIERS__COLD__SECRETKEY="secret")
        else:
            more.update(HEARTH_TIERS__COLD__PATH=lab.directory(f"{name}-cold"))
        self.lab, self.peer, self.requester = lab, Hearth(lab, name=name, listen=(), **more), None

    def start(self, **settings):
        self.peer.env.update(settings)
        self.peer.start()
        self.requester = Requester(os.path.join(self.peer.repo, "run", "control.sock"), 120)

    def stop(self):
        if self.requester is not None:
            self.requester.close()
        self.peer.stop()

    def ask(self, op, **args):
        """On a busy machine the daemon may open its control socket anew: then once more."""
        for _ in range(2):
            answer = self.requester.ask(json.dumps({"op": op, "args": args, "timeout_ms": 100000}).encode())
            if answer is not None:
                return json.loads(answer)
            self.requester.open()
        raise RuntimeError(f"{op}: no answer")

    def put(self, data):
        """Tried again while room is made."""
        for _ in range(1200):
            answer = self.ask("block put", data="u" + base64.urlsafe_b64encode(data).decode().rstrip("="))
            if answer["ok"]:
                return answer["result"]["cid"]
            if answer["error"]["code"] != "busy":
                raise RuntimeError(f"block put: {answer['error']}")
            time.sleep(0.1)
        raise RuntimeError("block put: busy for two minutes")

    def tiers(self):
        return {row["tier"]: row for row in self.ask("tier ls")["result"]["tiers"]}

    def settle(self):
        """Until nothing is on its way to the cold tier."""
        for _ in range(900):
            if self.tiers()["disk"].get("waiting", 0) == 0:
                return
            time.sleep(0.1)


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] if values else 0


def replay(node, cids, size):
    """Each get waits for the one before, and is asked before where its block is. Milliseconds, and what they say of tiers."""
    before, took, hot = node.tiers(), [], []
    for cid in cids:
        tier = node.ask("tier stat", cid=cid)["result"]["tier"]
        began = time.monotonic()
        answer = node.ask("block get", cid=cid)
        took.append(time.monotonic() - began)
        if tier != "cold":
            hot.append(took[-1])
        if not answer["ok"]:
            raise RuntimeError(f"block get: {answer['error']}")
    after = node.tiers()
    promoted = after["disk"].get("promoted_bytes", 0) - before["disk"].get("promoted_bytes", 0)
    return {"value": 1000 * statistics.mean(took), "hit_percent": 100 * len(hot) / len(took), "p99_ms": 1000 * percentile(took, 99),
            "hot_p99_ms": 1000 * percentile(hot, 99), "promoted_per_hit_byte": promoted / (len(hot) * size) if hot else 0}


def run(lab, trace, kind, policy):
    """All blocks are stored first, which fills the disk and the cold tier; then the trace is read by a daemon that was started anew."""
    bucket = Bucket(LATENCY_S) if kind == "s3" else None
    name = f"{trace['name']}-{policy}".replace(" ", "-")
    node = Node(lab, name, kind, bucket, trace["storage_max"])
    try:
        node.start()
        for number in range(trace["objects"]):
            expected = trace["cids"][number]
            if node.put(trace["blocks"].bytes(number)) != expected:
                raise RuntimeError("another CID came back")
        node.settle()
        node.stop()
        node.start(**POLICIES[policy])
        if bucket is not None:
            bucket.forget()
        sample = replay(node, [trace["cids"][number] for number in trace["requests"]], trace["blocks"].size)
        if bucket is not None:
            sample["s3_requests_per_1000"] = 1000 * bucket.requests() / len(trace["requests"])
        return sample
    finally:
        node.stop()
        lab.forget(node.peer.home)
        if bucket is not None:
            bucket.close()


def load(folder, file, limit, memory_bytes):
    """A trace's first requests, its objects numbered as they come; blocks are as large as makes memory its share of the footprint."""
    numbers = {}
    requests = [numbers.setdefault(key, len(numbers)) for key in keys_of(os.path.join(folder, file), limit)]
    size = max(BLOCK_MIN, min(BLOCK_MAX, memory_bytes * 100 // MEMORY_SHARE // len(numbers)))
    blocks = Blocks(size)
    return {"name": file.split(".")[0], "requests": requests, "objects": len(numbers), "blocks": blocks,
            "cids": [blocks.cid(number) for number in range(len(numbers))],
            "storage_max": max(MIB, len(numbers) * size * DISK_SHARE // 100)}


def memory_tier_bytes(lab):
    """What the budget of these daemons leaves for the memory tier."""
    node = Node(lab, "probe", "directory", None, 64 * MIB)
    try:
        node.start()
        rows = node.ask("accounts")["result"]["accounts"]
        return next(row["limit_bytes"] for row in rows if row["name"].replace("_", " ") == "memory tier")
    finally:
        node.stop()


def tiers(lab, _programs, options):
    """Every trace under each policy with an S3 bucket; the skewed one with a folder too."""
    folder, limit = traces_folder(), REQUESTS_QUICK if options.quick else REQUESTS
    memory = memory_tier_bytes(lab)
    names = TRACES[-2:-1] if options.quick else TRACES
    contenders, targets, notes = [], [], []
    for file in names:
        trace = load(folder, file, limit, memory)
        notes.append(f"{trace['name']}: its first {len(trace['requests']):,} requests, {trace['objects']:,} blocks of {trace['blocks'].size:,} bytes; "
                     f"memory {memory / trace['objects'] / trace['blocks'].size:.0%}, disk {trace['storage_max'] / trace['objects'] / trace['blocks'].size:.0%} of them")
        for kind in ("s3", "directory") if file == "zipf_1.0" else ("s3",):
            rows = {policy: Contender(f"{trace['name']}, {kind}: {policy}",
                                      lambda trace=trace, kind=kind, policy=policy: run(lab, trace, kind, policy),
                                      "64 MiB budget", "synced puts", unit="ms", less=True) for policy in POLICIES}
            contenders += rows.values()
            targets += [Target(f"{trace['name']}, {kind}: a get beside LRU", lambda rows=rows: ratio(rows["hearth"], rows["lru"]), 1.05, less=True),
                        Target(f"{trace['name']}, {kind}: a get beside no tiering", lambda rows=rows: ratio(rows["hearth"], rows["no tiering"]), 1, less=True),
                        Target(f"{trace['name']}, {kind}: p99 of gets from memory and disk, with and without moves", lambda rows=rows: of(rows, "hot_p99_ms"),
                               1.5, less=True)]
    result = suite_result("Three tiers", contenders, targets, 1 if options.quick else min(options.rounds, 3), notes)
    result["notes"] += [f"{row['name']}: {row['hit_percent']:.1f} % from memory or disk, p99 {row['p99_ms']:.2f} ms ({row['hot_p99_ms']:.2f} without the cold tier), "
                        f"{row['promoted_per_hit_byte']:.3f} bytes promoted per byte hit"
                        + (f", {row['s3_requests_per_1000']:.0f} S3 requests per 1,000 gets" if "s3_requests_per_1000" in row else "")
                        for row in result["rows"]]
    result["notes"].append(f"The bucket answers after {1000 * LATENCY_S:.0f} ms; the folder lies on the same disk and has no time of its own.")
    return result


def of(rows, key):
    """Median of the ratios of a figure, with moves over without."""
    pairs = list(zip(rows["hearth"].samples, rows["no tiering"].samples))
    return statistics.median(a[key] / b[key] for a, b in pairs if b[key]) if pairs else None

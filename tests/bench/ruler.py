# SPDX-License-Identifier: MIT
"""The ruler: contenders that take turns, and what each of them took.

A suite is a list of rows; a row is a list of contenders that do the same work. Each round runs every contender of the suite once, one after
the other, so that a slow minute of the machine falls on all of them. What counts are medians over the rounds, and medians of the ratios
within a round. CPU time and peak memory (VmHWM) are those of all processes of a node.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MB = 1e6


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


# --- what processes take ------------------------------------------------------------

def tree(pid):
    """The process and all below it. Children are listed by the thread that started them."""
    yield pid
    below = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as kept:
                below += kept.read().split()
    except OSError:
        return
    for child in below:
        yield from tree(int(child))


def cpu_seconds(pid):
    """User and system time of a tree, with the children that it has waited for."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/stat", encoding="ascii", errors="replace") as kept:
                fields = kept.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15])
    return total / TICKS


def memory_bytes(pid, what="VmHWM"):
    """VmHWM (peak) or VmRSS (now), summed over a tree."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/status", encoding="ascii", errors="replace") as kept:
                total += sum(int(line.split()[1]) * KIB for line in kept if line.startswith(what + ":"))
        except OSError:
            continue
    return total


def resident_bytes(pid):
    """
    What a tree keeps resident now: all of its largest process and what the others hold for themselves. Not PSS: that parts the pages of
    libraries among all nodes on the machine, so that fifty peers would make each of them look small.
    """
    whole, private = [], []
    for one in tree(pid):
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as kept:
            rows = {line.split(":")[0]: int(line.split()[1]) * KIB for line in kept if line.endswith("kB\n")}
        whole.append(rows["Rss"])
        private.append(rows["Private_Clean"] + rows["Private_Dirty"])
    largest = whole.index(max(whole))
    return whole[largest] + sum(private) - private[largest]


def pss_bytes(pid, beside_another=False):
    """
    PSS summed over a tree: pages that its processes share count once. beside_another: as many processes of the same programs are on the machine
    beside it, so the pages of files count for half; they are given back, as if it were alone.
    """
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as kept:
                rows = {line.split(":")[0]: int(line.split()[1]) * KIB for line in kept if line.endswith("kB\n")}
        except OSError:
            continue
        total += rows.get("Pss", 0) + (rows.get("Pss_File", 0) if beside_another else 0)
    return total


def own_children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Meter:
    """What a piece of work took: wall time, and the CPU time of each node and of the commands that drove them."""

    def __init__(self, **nodes):
        self.nodes = {name: node.process.child.pid for name, node in nodes.items()}
        self.result = {}

    def __enter__(self):
        self.cpu = {name: cpu_seconds(pid) for name, pid in self.nodes.items()}
        self.commands = own_children_cpu()
        self.began = time.monotonic()
        return self

    def __exit__(self, *problem):
        self.result["seconds"] = time.monotonic() - self.began
        for name, pid in self.nodes.items():
            self.result[f"{name}_cpu_s"] = cpu_seconds(pid) - self.cpu[name]
            self.result[f"{name}_peak_bytes"] = memory_bytes(pid)
        self.result["commands_cpu_s"] = own_children_cpu() - self.commands


def program(arguments, seconds=300, **environment):
    """Runs a benchmark program that prints one line of JSON."""
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, timeout=seconds, text=True, env={**os.environ, **environment})
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- contenders and rounds ------------------------------------------------------------

class Contender:
    """One side of a row. run() does the work once and returns what it took, with at least "seconds" or "value"."""

    def __init__(self, name, run, configuration="", durability="", unit="MB/s", amount=0, rounds=None, less=False):
        self.name, self.run = name, run
        self.configuration, self.durability = configuration, durability
        self.unit, self.amount = unit, amount  # value = amount / seconds when run() gives no value
        self.rounds = rounds  # fewer than the suite's, for what takes minutes
        self.less = less  # less is better
        self.samples = []

    def take(self):
        sample = self.run()
        if "value" not in sample:
            sample["value"] = self.amount / sample["seconds"]
        self.samples.append(sample)

    def summary(self):
        values = [sample["value"] for sample in self.samples]
        row = {"name": self.name, "unit": self.unit, "runs": len(values), "median": statistics.median(values),
               "low": min(values), "high": max(values), "values": values, "less_is_better": self.less,
               "configuration": self.configuration, "durability": self.durability}
        if self.unit == "MB/s":
            row["amount_gb"] = self.amount / 1000
        for key in sorted({key for sample in self.samples for key in sample} - {"value", "seconds"}):
            found = [sample[key] for sample in self.samples if key in sample]
            row[key] = max(found) if key.endswith("_peak_bytes") else statistics.median(found)
        return row


def ratio(above, below):
    """Median of the ratios of the rounds that both ran in."""
    pairs = list(zip(above.samples, below.samples))
    return statistics.median(a["value"] / b["value"] for a, b in pairs) if pairs else None


class Target:
    """A figure that is asked for: value() against a bound."""

    def __init__(self, text, value, bound, less=False):
        self.text, self.value, self.bound, self.less = text, value, bound, less

    def judge(self):
        value = self.value()
        if value is None:
            return None
        met = value <= self.bound if self.less else value >= self.bound
        return {"text": self.text, "value": value, "bound": self.bound, "less": self.less, "met": met}


def run_rounds(contenders, rounds):
    """Every contender once a round. One that fails is left out from then on, and its reason is returned: the others go on."""
    failed = {}
    for number in range(rounds):
        for one in contenders:
            if one.name in failed or (one.rounds is not None and number >= one.rounds):
                continue
            began = time.monotonic()
            try:
                one.take()
            except Exception as problem:  # whatever stops one contender must not stop the run
                failed[one.name] = f"{type(problem).__name__}: {problem}"
                say(f"{one.name}: {failed[one.name]}")
                continue
            say(f"round {number + 1}/{rounds}  {one.name}: {one.samples[-1]['value']:.4g} {one.unit}  "
                f"({time.monotonic() - began:.1f} s)")
    return failed


def suite_result(title, contenders, targets, rounds, notes=(), last=()):
    """last: contenders that run once, when the others are done."""
    failed = {**run_rounds(contenders, rounds), **run_rounds(last, 1)}
    rows = [one.summary() for one in (*contenders, *last) if one.samples]
    return {"title": title, "rounds": rounds, "rows": rows, "failed": failed, "notes": list(notes),
            "targets": [judged for judged in (target.judge() for target in targets) if judged is not None]}

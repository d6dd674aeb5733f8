#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make bench: hearth beside a plain pipeline, Kubo, Helia, plain TCP, the disk and the hash, all in one run.

Absolute figures move from machine to machine and from minute to minute. So every contender of a suite runs once in each round, one after the
other; what counts are medians over the rounds and ratios within one. README.md in this folder says what each suite does.
"""
import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "interop")]

# pylint: disable=wrong-import-position
import harness
import report
import suite_cpu
import suite_discovery
import suite_idle
import suite_kept
import suite_store
import suite_supervision
import suite_tiers
import suite_transfer
from ruler import say
from tools import Tools

SUITES = {"large": suite_transfer.large, "pairs": suite_transfer.pairs, "relay": suite_transfer.relay, "add": suite_store.add,
          "folder": suite_store.folder, "kept": suite_kept.kept, "ready": suite_store.ready, "idle": suite_idle.idle, "handshakes": suite_cpu.handshakes,
          "mailbox": suite_cpu.mailbox, "supervision": suite_supervision.supervision, "heat": suite_cpu.heat, "tiers": suite_tiers.tiers,
          "discovery": suite_discovery.discovery}
PROGRAMS = ("pipeline", "relay", "handshake", "mailbox", "supervision", "store", "kept", "heat", "discovery")
ROUNDS, ROUNDS_QUICK = 7, 1


class Lab(harness.Lab):
    """Directories and peers of one suite, on the disk that --tmp names."""

    def forget(self, directory):
        """Frees what a fetcher has stored: 1 GiB a round would fill a disk."""
        shutil.rmtree(directory, ignore_errors=True)


def build(folder):
    """A release build of its own, with the benchmarks; returns the paths of the programs."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DHEARTH_BENCH=ON"], **quiet)
    subprocess.run(["ninja", "-C", folder, "benchmarks", "hearth", "hearthd", "tier-sim"], **quiet)
    folder = os.path.abspath(folder)
    os.environ["HEARTH_BUILD"] = folder
    return {**{name: os.path.join(folder, "tests", f"bench_{name}") for name in PROGRAMS}, "tier-sim": os.path.join(folder, "tier-sim"),
            "hearthd-without": os.path.join(folder, "without", "hearthd")}


def machine():
    about = harness.machine()
    with open("/proc/meminfo", encoding="ascii") as kept:
        about["memory_gib"] = round(int(kept.readline().split()[1]) / (1 << 20))
    about["load_before"] = os.getloadavg()[0]
    about["kernel"] = ".".join(platform.release().split(".")[:2])
    return about


def run_suite(name, tools, programs, options):
    lab = Lab(f"bench {name}", tools)
    began = time.monotonic()
    try:
        result = SUITES[name](lab, programs, options)
    except (harness.Skip, harness.Failed) as problem:
        result = {"title": name, "rounds": 0, "rows": [], "targets": [], "notes": [], "failed": {name: str(problem)}}
        say(f"{name}: {problem}")
    finally:
        lab.close()
    result.update(machine=machine(), date=time.strftime("%Y-%m-%d"), seconds=round(time.monotonic() - began), quick=options.quick)
    return result


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="SUITE", help="one of " + ", ".join(SUITES) + " (repeatable, or with commas)")
    parser.add_argument("--quick", action="store_true", help="one round of small sizes: shows that all of it runs, measures nothing")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "bench-results"), help="folder for results.json, results.md, *.svg")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "bench"))
    options = parser.parse_args()
    options.rounds = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    chosen = [name for text in options.only or () for name in text.split(",") if name]
    unknown = set(chosen) - set(SUITES)
    if unknown:
        parser.error(f"no suite is named {', '.join(sorted(unknown))}")
    options.only = chosen or list(SUITES)
    return options


def kept_results(path):
    """What earlier runs left: a run of some suites replaces those only."""
    if not os.path.exists(path):
        return {"suites": {}, "versions": {}}
    with open(path, encoding="utf-8") as kept:
        return json.load(kept)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # peers end with the run
    programs = build(options.build)
    tools = Tools()
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "results.json")
    results = kept_results(path)
    for name in options.only:
        say(f"suite {name}")
        results["suites"][name] = run_suite(name, tools, programs, options)
        results["versions"].update(tools.versions)
        with open(path, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1, sort_keys=True)
            out.write("\n")
        print(report.suite_text(results["suites"][name]), flush=True)
    report.write_all(results, options.out)
    done = [results["suites"][name] for name in options.only]
    missed = [t for suite in done for t in suite["targets"] if not t["met"]]
    failed = [name for suite in done for name in suite["failed"]]
    say(f"{sum(len(s['targets']) for s in done) - len(missed)} targets met, {len(missed)} missed, {len(failed)} contenders failed; "
        f"results in {os.path.relpath(options.out)}")
    return 1 if failed else 0  # a missed figure is a result; a contender that failed is none


if __name__ == "__main__":
    sys.exit(main())

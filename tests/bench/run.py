#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the mailbox's measurements beside plain nng, an eventfd ping-pong and Erlang/OTP, and prints a table and JSON.

Absolute figures move from machine to machine and from minute to minute, so the measurements are interleaved: each round runs every
one of them once, and what counts are medians over the rounds and ratios within one. Exit code 1 when a target is missed.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OWN = ["eventfd", "pushpull", "call", "calls64", "casts"]
ERLANG = ["call", "calls64", "casts"]
# name, what it is, value of the medians, target, whether less is better
TARGETS = [
    ("call_over_pushpull", "call round trip / one-lane PUSH/PULL round trip", 1.2, True),
    ("calls64_per_s", "calls/s with 64 in flight", 200e3, False),
    ("casts_per_s", "casts/s", 1e6, False),
]


def build(folder):
    """Configures and builds the benchmark in a release build of its own; returns the program's path."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DHEARTH_BENCH=ON"], **quiet)
    subprocess.run(["ninja", "-C", folder, "bench_mailbox"], **quiet)
    return os.path.join(folder, "tests", "bench_mailbox")


def compile_erlang(folder):
    """Compiles mailbox.erl into folder; False when there is no Erlang here."""
    if shutil.which("erlc") is None or shutil.which("erl") is None:
        return False
    subprocess.run(["erlc", "-o", folder, os.path.join(HERE, "mailbox.erl")], check=True)
    return True


def measure(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def rounds(program, beam_folder, count, seconds):
    """All measurements, count times; {name: [per_s, ...]}."""
    results = {}
    for number in range(count):
        print(f"round {number + 1} of {count}", file=sys.stderr)
        commands = [[program, mode, str(seconds)] for mode in OWN]
        if beam_folder:
            commands += [["erl", "-noshell", "-pa", beam_folder, "-s", "mailbox", "main", mode, str(seconds)] for mode in ERLANG]
        for command in commands:
            line = measure(command)
            results.setdefault(line["name"], []).append(line["per_s"])
    return results


def summary(results):
    rows = {}
    for name, values in results.items():
        median = statistics.median(values)
        spread = (max(values) - min(values)) / median if median else 0.0
        rows[name] = {"per_s": round(median), "us": round(1e6 / median, 3), "spread": round(spread, 3), "runs": len(values)}
    # The ratio of each round, then its median: both ran within the same seconds.
    ratios = [nng / call for nng, call in zip(results["pushpull"], results["call"])]
    values = {
        "call_over_pushpull": round(statistics.median(ratios), 3),
        "calls64_per_s": rows["calls64"]["per_s"],
        "casts_per_s": rows["casts"]["per_s"],
    }
    return rows, values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "bench"))
    parser.add_argument("--json", help="write the results to this file too")
    options = parser.parse_args()
    program = build(options.build)
    with tempfile.TemporaryDirectory() as folder:
        beam_folder = folder if compile_erlang(folder) else None
        if beam_folder is None:
            print("SKIPPED: Erlang/OTP is not installed (erlang-base)", file=sys.stderr)
        results = rounds(program, beam_folder, options.rounds, options.seconds)
    rows, values = summary(results)
    print(f"{'measurement':<18}{'per second':>14}{'us':>10}{'spread':>9}")
    for name, row in rows.items():
        print(f"{name:<18}{row['per_s']:>14,}{row['us']:>10.3f}{row['spread']:>8.0%}")
    missed = 0
    for name, text, target, less in TARGETS:
        met = values[name] <= target if less else values[name] >= target
        missed += not met
        print(f"{'met   ' if met else 'MISSED'} {text}: {values[name]:,} (target {'<=' if less else '>='} {target:,})")
    text = json.dumps({"measurements": rows, "targets": values, "rounds": options.rounds, "seconds": options.seconds}, sort_keys=True)
    print(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

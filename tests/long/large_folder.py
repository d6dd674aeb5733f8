#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One folder of a million entries through the real daemon: add, ls, refs, cat, dag stat, get.

The daemon's memory is told after each step and must stay under its budget; what is got is compared with what was added.
usage: large_folder.py [--entries N] [--directory DIR]     (some minutes and 5 GB; BUILD names the folder of the binaries)
"""
import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEARTH = os.path.join(TOP, os.environ.get("HEARTH_BUILD", "build"), "hearth")
BUDGET_KIB, START_SECONDS, STEP_SECONDS, CONTENTS = 64 * 1024, 30, 3600, 1000


def make_folder(root, entries):
    """Names as people give them; a thousand different contents, so that the folder is what is measured."""
    os.makedirs(root)
    sources = root + ".contents"
    os.makedirs(sources)
    for number in range(CONTENTS):
        with open(os.path.join(sources, str(number)), "wb") as file:
            file.write(b"content %d" % number)
    for number in range(entries):
        os.link(os.path.join(sources, str(number % CONTENTS)), os.path.join(root, f"entry-{number:07d}.txt"))


class Daemon:
    def __init__(self, home):
        self.env = {**os.environ, "HEARTH_PATH": os.path.join(home, "repo"), "HEARTH_BOOTSTRAP": "",
                    "HEARTH_ADDRESSES__SWARM": "/ip4/127.0.0.1/tcp/0", "HEARTH_DISCOVERY__MDNS": "false"}
        backend = ["--backend", os.environ["BACKEND"]] if "BACKEND" in os.environ else []
        with open(os.path.join(home, "log"), "wb") as log:
            self.child = subprocess.Popen([HEARTH, "daemon", *backend], env=self.env, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while b"Daemon is ready" not in open(os.path.join(home, "log"), "rb").read():
            if time.monotonic() > end or self.child.poll() is not None:
                sys.exit("the daemon did not start")
            time.sleep(0.05)

    def peak_kib(self):
        """VmHWM of the daemon, which is the nanny's child."""
        with open(f"/proc/{self.child.pid}/task/{self.child.pid}/children", encoding="ascii") as kept:
            pid = kept.read().split()[0]
        with open(f"/proc/{pid}/status", encoding="ascii") as kept:
            return next(int(line.split()[1]) for line in kept if line.startswith("VmHWM"))

    def stop(self):
        self.child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(20)
        self.child.kill()

    def step(self, what, *arguments, out=None):
        """Runs a command, tells its time and the daemon's peak, and returns its output."""
        began = time.monotonic()
        done = subprocess.run([HEARTH, *arguments], env=self.env, stdout=out or subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=STEP_SECONDS, check=False)
        took, peak = time.monotonic() - began, self.peak_kib()
        print(f"{what:10} {took:8.1f} s   peak {peak / 1024:5.1f} MiB", flush=True)
        if done.returncode != 0:
            sys.exit(f"{what}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        if peak > BUDGET_KIB:
            sys.exit(f"{what}: over the budget of {BUDGET_KIB // 1024} MiB")
        return done.stdout


def same(sent, received, entries):
    """Whether each entry is there with its content, by sampling contents and counting names."""
    names = os.listdir(received)
    if len(names) != entries:
        sys.exit(f"{len(names)} of {entries} entries were got")
    for number in range(0, entries, max(1, entries // 5000)):
        name = f"entry-{number:07d}.txt"
        with open(os.path.join(sent, name), "rb") as one, open(os.path.join(received, name), "rb") as other:
            if one.read() != other.read():
                sys.exit(f"{name}: other bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--directory", default=None, help="where to work; else the temporary directory")
    args = parser.parse_args()
    home = tempfile.mkdtemp(prefix="hearth-large-", dir=args.directory)
    daemon = None
    try:
        sent, received = os.path.join(home, "folder"), os.path.join(home, "received")
        make_folder(sent, args.entries)
        daemon = Daemon(home)
        print(f"{'start':10}              peak {daemon.peak_kib() / 1024:5.1f} MiB", flush=True)
        cid = daemon.step("add", "add", "-r", "-Q", sent).decode().strip()
        listed = daemon.step("ls", "ls", cid).count(b"\n")
        if listed != args.entries:
            sys.exit(f"ls names {listed} of {args.entries} entries")
        number = args.entries // 2
        if daemon.step("cat", "cat", f"{cid}/entry-{number:07d}.txt") != b"content %d" % (number % CONTENTS):
            sys.exit("cat: other bytes")
        daemon.step("refs", "refs", cid)
        told = json.loads(daemon.step("dag stat", "dag", "stat", "--enc=json", cid))
        print(f"           {told['UniqueBlocks']} blocks, {told['TotalSize']} bytes")
        daemon.step("get", "get", "-o", received, cid)
        same(sent, received, args.entries)
        print(f"folder of {args.entries} entries: passed")
    finally:
        if daemon is not None:
            daemon.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()

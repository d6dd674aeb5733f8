# SPDX-License-Identifier: MIT
"""Cases, deadlines, temporary files and reports of the interop tests.

A case is a function that takes a Lab and is registered with @case. The Lab
owns what the case starts: it hands out directories and data, and ends every
peer when the case is over, however it ends. All waiting is under a deadline,
and a case as a whole is under one too (SIGALRM in the main thread), so that a
peer that hangs costs a FAIL and never the run.
"""
import contextlib
import fnmatch
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

from trees import RAW, cid_v1

KIB, MIB = 1 << 10, 1 << 20


class Skip(Exception):
    """The case cannot run here; the text says what is missing."""


class Failed(Exception):
    """The case ran and what it saw is wrong."""


class Timeout(Failed):
    """Something did not happen before its deadline."""


class Deadline:
    """A moment that is not to be passed."""

    def __init__(self, seconds, what):
        self.what, self.seconds = what, seconds
        self.at = time.monotonic() + seconds

    def left(self):
        left = self.at - time.monotonic()
        if left <= 0:
            raise Timeout(f"{self.what}: nothing within {self.seconds:g} s")
        return left


def expect(condition, text):
    if not condition:
        raise Failed(text)


def wait_until(what, seconds, probe, every=0.05):
    """Waits until probe() is true and returns what it returned."""
    deadline = Deadline(seconds, what)
    while True:
        found = probe()
        if found:
            return found
        time.sleep(min(every, deadline.left()))


# --- cases -------------------------------------------------------------------

class Case:
    def __init__(self, name, run, needs, deadline, long):
        self.name, self.run, self.needs = name, run, needs
        self.deadline, self.long = deadline, long


CASES = []


def add_case(name, run, needs, deadline=120, long=False):
    """Registers run(lab). `needs` names the programs (kubo, helia, hearth) that are
    brought before the deadline starts; `long` cases are left out by --short."""
    CASES.append(Case(name, run, needs, deadline, long))


def case(name, needs, deadline=120, long=False):
    def register(run):
        add_case(name, run, needs, deadline, long)
        return run
    return register


class Lab:
    """What one case has: a directory, random data, and peers that end with it."""

    def __init__(self, name, tools):
        self.name, self.tools = name, tools
        self.figures = {}
        self.stack = contextlib.ExitStack()
        self.root = tempfile.mkdtemp(prefix="hearth-interop-")
        self.stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        # Data differs between cases and runs, so no block is there by accident.
        self.random = random.Random(f"{name} {time.time_ns()}")
        self.count = 0

    def path(self, name):
        self.count += 1
        return os.path.join(self.root, f"{self.count}-{name}")

    def directory(self, name):
        made = self.path(name)
        os.makedirs(made, mode=0o700)
        return made

    def file(self, size, name="data"):
        """A file of `size` random bytes."""
        made = self.path(name)
        with open(made, "wb") as out:
            while size > 0:
                piece = min(size, 16 * MIB)
                out.write(self.random.randbytes(piece))
                size -= piece
        return made

    def absent_cid(self):
        """The CID of a random block that nobody has."""
        return cid_v1(self.random.randbytes(64), RAW)

    def start(self, peer):
        """Starts a peer (or anything with start and stop) and ends it with the case."""
        self.stack.callback(peer.stop)
        peer.start()
        return peer

    def close(self):
        self.stack.close()


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while piece := data.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def expect_same_file(sent, received):
    expect(os.path.isfile(received), f"{received} is missing")
    expect(os.path.getsize(sent) == os.path.getsize(received),
           f"{os.path.getsize(received)} bytes arrived, {os.path.getsize(sent)} were sent")
    expect(sha256_file(sent) == sha256_file(received), "the bytes differ (SHA-256)")


def listing(root):
    """{relative path: SHA-256, symlink target, or None for a directory}."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                content = "-> " + os.readlink(path)
            elif os.path.isdir(path):
                content = None
            else:
                content = sha256_file(path)
            found[os.path.relpath(path, root)] = content
    return found


def expect_same_tree(sent, received):
    ours, theirs = listing(sent), listing(received)
    missing = sorted(set(ours) - set(theirs))
    extra = sorted(set(theirs) - set(ours))
    differ = sorted(name for name in set(ours) & set(theirs) if ours[name] != theirs[name])
    expect(not (missing or extra or differ),
           f"trees differ: missing {missing[:3]}, extra {extra[:3]}, changed {differ[:3]}")


# --- running -----------------------------------------------------------------

@contextlib.contextmanager
def alarm(seconds, name):
    def ring(_signo, _frame):
        raise Timeout(f"{name}: the case took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_case(one, tools, verbose):
    """Runs one case; returns its record for the report."""
    began = time.monotonic()
    lab = Lab(one.name, tools)
    result, reason = "ok", ""
    try:
        try:
            for program in one.needs:
                tools.bring(program)
            with alarm(one.deadline, one.name):
                one.run(lab)
        finally:
            with alarm(60, f"end of {one.name}"):
                lab.close()
    except Skip as skipped:
        result, reason = "SKIP", str(skipped)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as problem:  # a defect in a case must not stop the others
        known = isinstance(problem, Failed)
        result, reason = "FAIL", str(problem) if known else f"{type(problem).__name__}: {problem}"
        if verbose or not known:
            traceback.print_exc(file=sys.stderr)
    return {"name": one.name, "result": result, "reason": reason,
            "seconds": round(time.monotonic() - began, 3), "figures": lab.figures}


def figures_text(figures):
    return "  ".join(f"{name}={value}" for name, value in figures.items())


def print_record(record):
    text = f"{record['result']:<4} {record['name']}"
    if record["result"] == "ok":
        text += f"  ({record['seconds']:.1f} s)  {figures_text(record['figures'])}"
    else:
        text += f"  {record['reason']}"
    print(text.rstrip(), flush=True)


def machine():
    model = ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    return {"cores": os.cpu_count(), "cpu": model, "system": platform.platform()}


def chosen(patterns, short):
    def wanted(one):
        if short and one.long:
            return False
        return not patterns or any(fnmatch.fnmatch(one.name, p) or p in one.name for p in patterns)
    return [one for one in CASES if wanted(one)]


def run_all(cases, tools, json_out=None, verbose=False):
    """Runs the cases in order; returns the exit status of the program."""
    records = []
    for one in cases:
        records.append(run_case(one, tools, verbose))
        print_record(records[-1])
    tally = {kind: sum(r["result"] == kind for r in records) for kind in ("ok", "FAIL", "SKIP")}
    if json_out:
        with open(json_out, "w", encoding="utf-8") as out:
            json.dump({"machine": machine(), "versions": tools.versions, "cases": records}, out, indent=1)
            out.write("\n")
    print(f"{tally['ok']} passed, {tally['FAIL']} failed, {tally['SKIP']} skipped", flush=True)
    return 1 if tally["FAIL"] else 0

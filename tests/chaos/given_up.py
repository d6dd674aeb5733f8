#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Adds and fetches of real daemons, on threads and with a process for each actor, whose command is interrupted or killed at moments spread over its
time: once what outlives a request for a while has ended, no descriptor, want, transfer, stream or byte of an account is held that was not held before.

The first round makes grow what grows once; what the second leaves behind is compared with it. The simulator does the same at each single boundary
between messages (tests/unit/actors/test_boundaries).
Usage: tests/chaos/given_up.py [inproc] [ipc]; HEARTH_BUILD names another build folder, MOMENTS (24) how many of each round.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "smoke"))
from bad_input import HEARTH, Node, check, counts  # noqa: E402
from commands import said  # noqa: E402

FILE_BYTES, QUIET_S, LOOK_S = 6_000_000, 200, 2
MOMENTS = int(os.environ.get("MOMENTS", "24"))
HELD = ("mailbox", "receive", "send", "uploads")  # accounts; the others are of what is stored, and of caches


def family(pid):
    children = [child for task in os.listdir(f"/proc/{pid}/task") for child in read(f"/proc/{pid}/task/{task}/children").split()]
    return [pid] + [found for child in children for found in family(int(child))]


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def descriptors(pid):
    """Open ones but for segments, of which there are as many as there is data."""
    links = [os.path.join(f"/proc/{pid}/fd", name) for name in os.listdir(f"/proc/{pid}/fd")]
    return sum(os.path.lexists(link) and "/segments/" not in os.readlink(link) for link in links)


def measure(node):
    """What the node's processes hold, by name."""
    held = {"descriptors": sum(descriptors(pid) for pid in family(node.process.pid))}
    accounts = json.loads(said(node, "accounts", "--enc=json"))["accounts"]
    held |= {row["name"]: row["used_bytes"] for row in accounts if row["name"] in HELD}
    for table in ("wants", "transfers"):
        held[table] = int(said(node, "sql", f"select count(*) from {table}").split()[-1])
    held["streams"] = sum(row["used"] for row in json.loads(said(node, "swarm", "resources", "--enc=json"))["resources"] if "treams" in row["name"])
    return held


def no_more(now, before):
    return all(now[name] <= before[name] for name in now)


def settled(nodes, before):
    """The last measures: those that hold no more than before (None: in which nothing is under way), or what there is when the time is over."""
    deadline = time.monotonic() + QUIET_S
    while True:
        now = [measure(node) for node in nodes]
        quiet = all(now[i][name] == 0 for name in ("wants", "transfers", "streams") for i in range(len(nodes)))
        if (quiet if before is None else all(no_more(a, b) for a, b in zip(now, before))) or time.monotonic() > deadline:
            return now
        time.sleep(LOOK_S)


def fresh_file(folder):
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write(os.urandom(FILE_BYTES))
    return path


def disturb(node, command, seconds, blow):
    process = subprocess.Popen([HEARTH, *command], env=node.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(blow)
    process.wait()


def took(node, command):
    began = time.monotonic()
    code, _, err = node.run(*command)
    check(f"undisturbed: {command[0]}", code == 0, err)
    return time.monotonic() - began


def play_round(here, there, folder):
    add = took(here, ["add", "-Q", fresh_file(folder)])
    fetch = took(here, ["cat", said(there, "add", "-Q", fresh_file(folder)).strip()])
    for i in range(MOMENTS):
        blow = signal.SIGINT if i % 2 == 0 else signal.SIGKILL
        disturb(here, ["add", "-Q", fresh_file(folder)], add * i / MOMENTS, blow)
        cid = said(there, "add", "-Q", fresh_file(folder)).strip()
        disturb(here, ["cat", cid], fetch * i / MOMENTS, blow)
    took(here, ["add", "-Q", fresh_file(folder)])
    took(here, ["cat", cid])


def run(folder, backend):
    print(f"--- {backend}")
    Node.flags = ["--backend", backend]
    folder = os.path.join(folder, backend)
    os.mkdir(folder)
    alone = {"DISCOVERY__MDNS__ENABLED": "false", "ROUTING__TYPE": "none"}
    here, there = nodes = Node(folder, "here", **alone), Node(folder, "there", **alone)
    try:
        if not check("two nodes start", here.start() and there.start(), here.said() + there.said()):
            return
        check("they connect", here.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{there.port()}/p2p/{there.peer()}")[0] == 0)
        play_round(here, there, folder)
        before = settled(nodes, None)
        play_round(here, there, folder)
        now = settled(nodes, before)
        for name, a, b in zip(("who asks", "who is asked"), now, before):
            check(f"{name} holds no more than before", no_more(a, b), {key: (b[key], a[key]) for key in a if a[key] > b[key]})
            check(f"{name} wants nothing", a["wants"] == 0 and a["transfers"] == 0, a)
            print(f"      {name}: {a}")
        check("the nodes are well", all(node.run("diag", "healthy")[0] == 0 for node in nodes))
    finally:
        for node in nodes:
            node.stop()


def main():
    folder = tempfile.mkdtemp(prefix="hearth-given-up-")
    try:
        for backend in sys.argv[1:] or ("inproc", "ipc"):
            run(folder, backend)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

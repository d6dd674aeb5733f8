#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests to real daemons, with a thread and with a process for each actor: what they caused is told, also of one that a peer answered;
what was found by the deadline is printed and said to be a part; what is given up ends everywhere, and is in nobody's way.

Usage: tests/smoke/requests.py [inproc] [ipc]; HEARTH_BUILD names another build folder.
"""
import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

from bad_input import HEARTH, STRANGER, Node, check, counts, eventually
from commands import ABSENT, said
from delegated import Handler, Router

PART = "the time was over"
UPLOADS_MAX, UPLOAD_S = 16, 0.2


class Patient(Router):
    """Names one peer and then says no more until the other side hangs up, which it notes."""

    def __init__(self):
        super().__init__()
        self.RequestHandlerClass = Hanging
        self.begun = self.ended = 0


class Hanging(Handler):
    def do_GET(self):
        router = self.server
        self.say(200, "application/x-ndjson", None)
        self.wfile.write((json.dumps(router.peer) + "\n").encode())
        self.wfile.flush()
        router.begun += 1
        select.select([self.connection], [], [], 60)
        router.ended += 1


def traced(node, *command):
    """What a command caused, as text; and its number."""
    code, _, err = node.run("--trace", *command)
    number = re.search(r"trace (\d+): `hearth trace", err)
    if not check("--trace prints a number", code == 0 and number is not None, err):
        return "", "0"
    return said(node, "trace", number[1]), number[1]


def traces(here, there, folder):
    path = os.path.join(folder, "film")
    with open(path, "wb") as file:
        file.write(os.urandom(1_000_000))
    cid = said(there, "add", "-Q", path).strip()
    here.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{there.port()}/p2p/{there.peer()}")
    text, number = traced(here, "cat", cid)
    for hop in (r"    control -> bitswap: fetch  ok, in ", r"      bitswap -> tiered_storage: block_get  not_found, in ", r"      bitswap -> tiered_storage: block_put  ok, in "):
        check(f"trace of a fetch:{hop.strip()}", re.search(r"^ +\+\d+\.\d{3}" + hop, text, re.M), text[:2000])
    check("trace of a fetch: the lane of the disk", "tiered_storage, job of lane disk  ok" in text, text[:2000])
    told = json.loads(said(here, "trace", "--enc=json", number))
    hops = told["hops"]
    calls = [hop for hop in hops if hop.get("what") == "call"]
    check("times are in order", all(hop["sent"] <= hop.get("received", hop["sent"]) for hop in calls if "sent" in hop), calls[:3])
    code, out, err = there.run("trace", number)
    check("the other node has no part of it", code == 4, (code, out, err))
    text, _ = traced(there, "cat", cid)
    check("and its own requests have theirs", "control -> bitswap: fetch" in text or "control -> tiered_storage" in text, text[:1000])


def parts(here, router, giver):
    code, out, err = here.run("--timeout=3s", "routing", "findprovs", ABSENT)
    check("findprovs: what was found by the deadline", code == 0 and out.decode().split() == [giver], (code, out, err))
    check("and that it is a part", PART in err, err)
    code, out, err = here.run("--timeout=3s", "--enc=json", "routing", "findprovs", ABSENT)
    check("findprovs --enc=json says so, too", code == 0 and json.loads(out)["partial"] is True, (code, out, err))


def blocks(here):
    """One block that nobody has costs its own result."""
    there = said(here, "add", "-Q", __file__).strip()
    began = time.monotonic()
    code, out, err = here.run("--timeout=2s", "block", "stat", there, ABSENT)
    check("block stat of two: the one that is here", there in out.decode(), (code, out, err))
    check("and an error for the other, in time", code == 124 and ABSENT in err and time.monotonic() - began < 8, (code, out, err))


def links(here, folder):
    """A root of which one child is missing: what is known is printed."""
    os.makedirs(os.path.join(folder, "tree"), exist_ok=True)
    for name in ("a", "b"):
        with open(os.path.join(folder, "tree", name), "wb") as file:
            file.write(os.urandom(3_000_000 if name == "b" else 10))
    root = said(here, "add", "-rQ", "--pin=false", os.path.join(folder, "tree")).strip()
    gone = said(here, "ls", root).splitlines()
    missing = [line.split()[0] for line in gone if line.endswith(" b")][0]
    here.run("block", "rm", missing)
    code, out, err = here.run("--timeout=2s", "refs", "-r", root)
    check("refs -r: what is known by the deadline", len(out.split()) >= 2 and code == 124, (code, out, err))
    code, out, err = here.run("--timeout=3s", "ls", root)
    check("ls: the names that are known", b"a" in out.split() and code in (0, 124), (code, out, err))


def given_up(here, router):
    """The client is gone: the router is hung up on long before its time is over."""
    begun, ended = router.begun, router.ended
    command = subprocess.Popen([HEARTH, "--timeout=14s", "routing", "findprovs", ABSENT], env=here.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check("findprovs: the router is asked", eventually(lambda: router.begun > begun, 10))
    command.kill()
    command.wait()
    check("given up, it is hung up on", eventually(lambda: router.ended == router.begun and router.ended > ended, 6), (router.begun, router.ended))


def killed_uploads(here):
    """More clients die in the middle of an upload than there may be uploads: theirs yield their places."""
    for _ in range(UPLOADS_MAX + 4):
        command = subprocess.Popen([HEARTH, "add", "-Q", "-"], env=here.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):  # of one that was refused
            os.write(command.stdin.fileno(), bytes(65536))
            command.wait(UPLOAD_S)
        command.kill()
        command.wait()
    began = time.monotonic()
    code, out, err = here.run("--timeout=15s", "add", "-Q", __file__)
    check("add after uploads whose clients were killed", code == 0 and time.monotonic() - began < 10, (code, out, err))


def run(folder, backend):
    print(f"--- {backend}")
    Node.flags = ["--backend", backend]
    folder = os.path.join(folder, backend)
    os.mkdir(folder)
    router = Patient()
    alone = {"DISCOVERY__MDNS__ENABLED": "false", "ROUTING__TYPE": "none"}
    here, there = Node(folder, "here", **alone, ROUTING__DELEGATEDROUTERS=router.url("/routing/v1")), Node(folder, "there", **alone)
    try:
        if not check("two nodes start", here.start() and there.start(), here.said() + there.said()):
            return
        router.peer = {"Schema": "peer", "ID": STRANGER, "Addrs": ["/ip4/127.0.0.1/tcp/1"], "Protocols": ["transport-bitswap"]}
        traces(here, there, folder)
        parts(here, router, STRANGER)
        blocks(here)
        links(here, folder)
        given_up(here, router)
        killed_uploads(here)
        check("the node is well", here.run("diag", "healthy")[0] == 0)
    finally:
        here.stop()
        there.stop()
        router.shutdown()


def main():
    folder = tempfile.mkdtemp(prefix="hearth-requests-")
    try:
        for backend in sys.argv[1:] or ("inproc", "ipc"):
            run(folder, backend)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

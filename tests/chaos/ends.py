#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Failures that no restart within the process mends: a thread that hangs for good, an actor that fails at once each time.

Usage: tests/chaos/ends.py [hang] [escalation]; HEARTH_BUILD names another build folder.
"""
import os
import shutil
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
from bad_input import Node, check, counts, eventually, say, spawned_children  # noqa: E402
from load import Clock  # noqa: E402

BACK_S, ESCALATED = 35, 70
CLOCK = Clock()


def start(folder, name, **settings):
    node = Node(folder, name, CHAOS__ENABLED="true", DISCOVERY__MDNS="false", ROUTING__TYPE="none", **settings)
    check(f"{name}: the node starts", node.start(), node.said()[-400:])
    return node


def daemon_of(node):
    children = spawned_children(node.process.pid) if node.alive() else []
    return children[0] if children else None


def hang(folder):
    """No thread can be ended: the watchdog finds it after 30 s, the process ends, the nanny starts another."""
    node = start(folder, "hang")
    data, first = os.urandom(3 << 20), daemon_of(node)
    cid = node.add(data)
    began = time.monotonic()
    check("hang: the order is taken", node.run("chaos", "bitswap", "hang")[0] == 0)
    back = eventually(lambda: daemon_of(node) not in (None, first) and node.run("diag", "healthy", timeout=5)[0] == 0, BACK_S + 25)
    time.sleep(0.2)  # for the clock to have seen the last moment
    took = CLOCK.ran(began, time.monotonic())
    check(f"hang: the node is back within {BACK_S} s", back and took <= BACK_S, f"{took:.1f} s; {node.said()[-400:]}")
    print(f"# back after {took:.1f} s")
    check("hang: the nanny stayed", node.alive())
    check("hang: it says who was stuck", "bitswap stuck" in node.said(), node.said()[-400:])
    check("hang: the data are whole", node.run("cat", "--offline", cid)[1] == data)
    check("hang: and others can be added", node.add(b"after") is not None)
    check("hang: clean end", node.stop() == 0, node.said()[-400:])


def escalation(folder):
    """More restarts than the intensity end the tree with 70; the sixth such end in a minute ends the nanny too."""
    node = start(folder, "escalation", CHAOS__INTENSITY="2")
    kept = os.urandom(100_000)
    cid, lives, deadline = node.add(kept), set(), time.monotonic() + 55
    while node.alive() and time.monotonic() < deadline:
        life = daemon_of(node)
        if life is not None and life not in lives and node.run("chaos", "state", "start-fails", "1000", timeout=5)[0] == 0:
            lives.add(life)
        time.sleep(0.05)
    code = node.process.poll()
    check("escalation: the nanny ends with 70 at last", code == ESCALATED, f"{code} after {len(lives)} lives; {node.said()[-600:]}")
    check("escalation: after it had started the tree again", len(lives) == 5 or len(lives) == 6, len(lives))
    said = node.said()
    check("escalation: each end was one with 70", said.count("the daemon ended by exit code 70") == len(lives), said[-600:])
    check("escalation: root says that it passed its intensity", "root escalated" in said, said[-600:])
    check("escalation: the next start finds what was kept", node.start() and node.reads(cid, kept), node.said()[-400:])
    check("escalation: clean end", node.stop() == 0, node.said()[-400:])


CASES = {"hang": hang, "escalation": escalation}


def main():
    folder = tempfile.mkdtemp(prefix="hearth-ends-", dir="/tmp")
    CLOCK.start()
    try:
        for name in sys.argv[1:] or CASES:
            CASES[name](folder)
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "ends", repr(error))
    finally:
        CLOCK.ended = True
        for node in Node.all:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

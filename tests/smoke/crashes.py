#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a crash leaves behind, and who brings the daemon back: a fault in an actor, SIGKILL, a thread that hangs for good, too many crashes, a peer whose
bytes were handled at two crashes in a row, the nanny as process 1, and what a service manager hears of all that.

Needs build/hearth and build/tests/crashing.so. Usage: tests/smoke/crashes.py [name of a group ...]; HEARTH_BUILD names another build folder.
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from bad_input import HEARTH, Node, check, counts, eventually, say, spawned_children

LIBRARY = os.path.join(os.path.dirname(HEARTH), "tests", "crashing.so")
BACK_S = 35  # from the moment a thread hangs until its successor answers


class Clock:
    """Seconds that this process ran: where all processes are frozen for a while, as on a machine that is shared, that time does not count."""

    def __init__(self):
        self.ran, self.last = 0.0, time.monotonic()

    def tick(self):
        now = time.monotonic()
        self.ran += min(now - self.last, 1.0)
        self.last = now
        return self.ran


class Crashing(Node):
    """A node whose threads can be made to fail."""

    def __init__(self, folder, name, **settings):
        super().__init__(folder, name, **settings)
        self.plan_path = os.path.join(folder, name + ".plan")
        self.env |= {"LD_PRELOAD": LIBRARY, "TEST_CRASH": self.plan_path}

    def plan(self, text):
        with open(self.plan_path + ".new", "w") as file:
            file.write(text)
        os.rename(self.plan_path + ".new", self.plan_path)

    def run(self, *args, **more):
        env, self.env = self.env, {k: v for k, v in self.env.items() if k != "LD_PRELOAD"}
        try:
            return super().run(*args, **more)
        finally:
            self.env = env

    def daemon(self):
        """The process id of the daemon behind the nanny."""
        children = spawned_children(self.process.pid)
        return children[0] if len(children) == 1 else None

    def lives(self):
        return self.said().count("Daemon is ready")

    def comes_back(self, lives, seconds=15):
        return eventually(lambda: self.lives() >= lives and self.run("id")[0] == 0, seconds)

    def crashes(self):
        """The rows of state.db, newest first; the state actor writes them soon after the start."""
        code, out, _ = self.run("sql", "--enc=json", "select * from v_crashes")
        return [json.loads(line) for line in out.splitlines()] if code == 0 else []

    def crashed(self, count):
        return self.crashes() if eventually(lambda: len(self.crashes()) >= count, 10) else []


def fault(folder):
    node = Crashing(folder, "fault")
    if not check("fault: starts", node.start(), node.said()):
        return
    first = node.daemon()
    node.plan("bitswap reply fault")
    node.run("bitswap", "stat", "--timeout", "2s")
    check("fault: the daemon is back", node.comes_back(2), node.said())
    check("fault: another process, the same nanny", node.alive() and node.daemon() not in (None, first))
    rows = node.crashed(1)
    if not check("fault: one row in state.db", len(rows) == 1, rows):
        return
    row = rows[0]
    check("fault: the signal", row["cause"].startswith("signal 11"), row)
    check("fault: the actor, its thread and its life", row["actor"] == "bitswap" and row["thread"] == "bitswap" and row["epoch"] == 1, row)
    check("fault: the message that was handled", row["message"] == "bitswap_stat" and re.fullmatch("[0-9a-f]{64}", row["digest"]), row)
    check("fault: the address", row["address"] == "0x8", row)
    check("fault: the backtrace leads to the program", row["backtrace"].startswith("crashing.so+0x") and "hearthd+0x" in row["backtrace"], row)
    check("fault: one line of log", node.said().count("the daemon had crashed: signal 11") == 1 and "handling bitswap_stat" in node.said(), node.said())
    code, out, err = node.run("actors", "crashes")
    check("fault: actors crashes", code == 0 and b"signal 11" in out and b"in bitswap" in out and b"handling bitswap_stat" in out, f"{out} {err}")
    check("fault: events tell too", b"bitswap crash: signal 11" in node.run("events", "-n", "100")[1], node.run("events", "-n", "100")[1])
    node.plan("state reply abort")
    node.run("events", "--timeout", "2s")
    check("fault: the daemon is back again", node.comes_back(3), node.said())
    rows = node.crashed(2)
    check("fault: a row more, kept over the restart", len(rows) == 2 and rows[0]["cause"].startswith("signal 6"), rows)
    check("fault: a clean end", node.stop() == 0)
    check("fault: and a start", node.start())
    check("fault: the rows are still there", len(node.crashes()) == 2, node.crashes())


def killed(folder):
    node = Crashing(folder, "killed")
    if not check("killed: starts", node.start(), node.said()):
        return
    os.kill(node.daemon(), signal.SIGKILL)
    check("killed: the daemon is back", node.comes_back(2), node.said())
    rows = node.crashed(1)
    check("killed: the row says so and blames nobody", len(rows) == 1 and rows[0]["cause"].startswith("signal 9") and rows[0]["actor"] == "", rows)


def hung(folder):
    node = Crashing(folder, "hung")
    if not check("hung: starts", node.start(), node.said()):
        return
    node.plan("bitswap recv hang")
    clock, began = Clock(), time.monotonic()
    node.run("bitswap", "stat", "--timeout", "100ms")
    check("hung: the thread hangs", eventually(lambda: not os.path.exists(node.plan_path), 5))
    check("hung: the others still answer", node.run("id")[0] == 0)
    while node.lives() < 2 and clock.tick() < BACK_S:
        time.sleep(0.1)
    back = node.lives() >= 2 and node.run("bitswap", "stat")[0] == 0
    took = f"{clock.tick():.1f} s ({time.monotonic() - began:.1f} by the clock)"
    check(f"hung: nanny and daemon are back within {BACK_S} s: after {took}", back, node.said()[-600:])
    rows = node.crashed(1)
    check("hung: the row blames the actor", rows and rows[-1]["cause"] == "stuck" and rows[-1]["actor"] == "bitswap", rows)


def escalation(folder):
    node = Crashing(folder, "escalation")
    if not check("escalation: starts", node.start(), node.said()):
        return
    began = time.monotonic()
    for n in range(6):
        if not check(f"escalation: life {n + 1}", eventually(lambda: node.lives() > n and node.daemon() is not None, 20), node.said()):
            return
        os.kill(node.daemon(), signal.SIGKILL)
        eventually(lambda: node.daemon() is None or node.lives() > n + 1, 5)
    took = time.monotonic() - began
    try:
        code = node.process.wait(10)
    except subprocess.TimeoutExpired:
        code = None
    check("escalation: six crashes in a minute end the nanny with 70", code == 70 and took < 60, f"exit {code} after {took:.0f} s")
    node.process = None
    check("escalation: nothing is left; it starts again", node.start(), node.said())
    check("escalation: the records died with the nanny but for those written", 1 <= len(node.crashes()) <= 6, node.crashes())


def crash_by(node, other, lives):
    """Connects, then crashes with the peer's bytes in hand."""
    address = f"/ip4/127.0.0.1/tcp/{node.port_now()}/p2p/{node.peer()}"
    code, _, err = other.run("swarm", "connect", address)
    if code != 0:
        return False, err
    node.plan("connection_mana readv fault")
    other.run("ping", "-n", "1", node.peer(), "--timeout", "3s")
    return node.comes_back(lives), node.said()


def banned(folder):
    node, other, third = Crashing(folder, "victim"), Node(folder, "peer"), Node(folder, "third")
    node.port_now = lambda: int(re.findall(r"Swarm listening on /ip4/127\.0\.0\.1/tcp/(\d+)", node.said())[-1])
    if not check("banned: three nodes start", node.start() and other.start() and third.start(), node.said() + other.said()):
        return
    for n in (1, 2):
        good, why = crash_by(node, other, n + 1)
        if not check(f"banned: crash {n} with the peer's bytes", good, why):
            return
        rows = node.crashed(n)
        check("banned: the row names the peer", len(rows) == n and rows[0]["peer"] == other.peer() and rows[0]["actor"] == "connection_manager", rows)
        check("banned: the verdict", rows and rows[0]["verdict"] == ("" if n == 1 else "banned"), rows)
    address = f"/ip4/127.0.0.1/tcp/{node.port_now()}/p2p/{node.peer()}"
    code, out, err = other.run("swarm", "connect", address, "--timeout", "5s")
    connected = eventually(lambda: other.peer().encode() in node.run("swarm", "peers")[1], 2)
    check("banned: it is not spoken with", not connected, f"exit {code}: {out} {err}")
    code, _, err = third.run("swarm", "connect", address)
    check("banned: others are", code == 0 and third.peer().encode() in node.run("swarm", "peers")[1], err)


def first_process(folder):
    how = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*how, "true"], capture_output=True).returncode != 0:
        say("SKIP", "first process: needs a pid namespace")
        return
    node = Crashing(folder, "first")
    node.launcher = [*how, "--"]
    if not check("first process: starts", node.start(), node.said()):
        return
    nanny = spawned_children(node.process.pid)[0]
    daemon = spawned_children(nanny)[0]
    with open(f"/proc/{nanny}/status") as file:
        check("first process: the nanny is process 1", re.search(r"NSpid:.*\t1\n", file.read()) is not None)
    orphan = subprocess.run(["nsenter", "-t", str(nanny), "-p", "sh", "-c", "sleep 0.2 & exit 0"], capture_output=True)
    time.sleep(0.5)
    left = [pid for pid in spawned_children(nanny) if pid != daemon]
    check("first process: orphans are reaped", orphan.returncode == 0 and not left, left)
    os.kill(daemon, signal.SIGKILL)
    check("first process: the daemon is back", node.comes_back(2), node.said())
    os.kill(nanny, signal.SIGTERM)
    check("first process: SIGTERM ends it in good order", node.process.wait(15) == 0, node.said())
    node.process = None


# ---- a service manager ----

class Manager:
    """The socket that systemd would listen at."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + name[1:] if name[0] == "@" else name)
        self.heard = []  # (time, process id, lines)

    def hear(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data, extra, _, _ = self.socket.recvmsg(4096, 256)
            except TimeoutError:
                return
            pid = next((struct.unpack("3i", value)[0] for _, kind, value in extra if kind == socket.SCM_CREDENTIALS), None)
            self.heard.append((time.monotonic(), pid, data.decode().split("\n")))
            yield self.heard[-1]

    def waits_for(self, line, seconds=15):
        return any(line in lines for _, _, lines in self.hear(seconds))

    def count(self, line):
        return sum(line in lines for _, _, lines in self.heard)


def service(folder):
    for kind, name in (("path", os.path.join(folder, "notify")), ("abstract name", f"@hearth-smoke-{os.getpid()}")):
        manager = Manager(name)
        node = Crashing(folder, "service" + kind[0])
        node.env |= {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"}
        if not check(f"service ({kind}): starts", node.start(), node.said()):
            return
        check(f"service ({kind}): READY=1", manager.waits_for("READY=1"), manager.heard)
        check(f"service ({kind}): MAINPID is the nanny", f"MAINPID={node.process.pid}" in manager.heard[-1][2], manager.heard)
        before, began = manager.count("WATCHDOG=1"), time.monotonic()
        list(manager.hear(4.2))
        fed, took = manager.count("WATCHDOG=1") - before, time.monotonic() - began
        check(f"service ({kind}): WATCHDOG=1 at half of the time", 3 <= fed <= 5 or took > 5, fed)
        os.kill(node.process.pid, signal.SIGHUP)
        list(manager.hear(0.5))
        check(f"service ({kind}): SIGHUP reloads nothing and says nothing", node.run("id")[0] == 0 and manager.count("RELOADING=1") == 0)
        ready = manager.count("READY=1")
        os.kill(node.daemon(), signal.SIGKILL)
        again = eventually(lambda: [list(manager.hear(0.2)), manager.count("READY=1") > ready][1])
        check(f"service ({kind}): READY=1 again after a crash", again, manager.heard)
        senders = {pid for _, pid, _ in manager.heard}
        check(f"service ({kind}): all by the nanny, so NotifyAccess=main is enough", senders == {node.process.pid}, senders)
        process = node.process
        process.send_signal(signal.SIGTERM)
        check(f"service ({kind}): STOPPING=1", manager.waits_for("STOPPING=1"), manager.heard)
        check(f"service ({kind}): a clean end", process.wait(15) == 0, node.said())
    node.env["NOTIFY_SOCKET"] = "vsock:2:1234"
    check("service: a socket of another kind does no harm", node.start() and node.stop() == 0 and "NOTIFY_SOCKET" in node.said(), node.said())


GROUPS = {"fault": fault, "killed": killed, "escalation": escalation, "banned": banned, "first_process": first_process, "service": service, "hung": hung}


def main():
    for name in sys.argv[1:] or GROUPS:
        folder = tempfile.mkdtemp(prefix="hearth-crashes-", dir="/tmp")
        try:
            GROUPS[name](folder)
        except Exception as error:  # a group that breaks is a failure, not the end of the rest
            say("FAIL", name, repr(error))
        finally:
            for node in Node.all:
                node.stop()
            Node.all.clear()
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

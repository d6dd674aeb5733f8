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
        """Written at once, and in place: the library has it open."""
        file = os.open(self.plan_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(file, text.encode())
        os.close(file)

    def is_carried_out(self):
        return os.path.getsize(self.plan_path) == 0

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
    check("hung: the thread hangs", eventually(node.is_carried_out, 5))
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


# ---- a process for each actor ----

class CrashingProcesses(Crashing):
    flags = ["--backend", "ipc"]

    def daemon(self):
        return spawned_children(self.process.pid)[0]

    def port_now(self):
        """Where it listens: the swarm's process may have begun anew without the daemon."""
        return int(re.findall(rb"/ip4/127\.0\.0\.1/tcp/(\d+)", self.run("id")[1])[-1])

    def comes_back(self, lives, seconds=15):
        return eventually(lambda: len(self.crashes()) >= lives - 1 and self.run("id")[0] == 0, seconds)


def ask(node):
    return node.run("bitswap", "stat", "--timeout", "5s")


def processes(folder):
    node = CrashingProcesses(folder, "processes")
    if not check("processes: starts", node.start(), node.said()):
        return
    daemon = node.daemon()
    for n in (1, 2):
        node.plan("bitswap reply fault")
        ask(node)
        check(f"processes: crash {n} happens", eventually(node.is_carried_out, 5))
        rows = node.crashed(n)
        if not check(f"processes: crash {n} is a row at once", len(rows) == n, rows):
            return
        row = rows[0]
        check("processes: the signal, the actor, its thread and its life", row["cause"].startswith("signal 11") and row["actor"] == row["thread"] == "bitswap" and row["epoch"] == n, row)
        check("processes: the message and the address", row["message"] == "bitswap_stat" and re.fullmatch("[0-9a-f]{64}", row["digest"]) and row["address"] == "0x8", row)
        check("processes: the backtrace leads to the program", row["backtrace"].startswith("crashing.so+0x") and "hearthd+0x" in row["backtrace"], row)
        check("processes: the verdict", row["verdict"] == ("" if n == 1 else "dropped"), row)
    resolved(rows)
    check("processes: the daemon is the same", node.daemon() == daemon)
    check("processes: lines of log", node.said().count("a process had crashed: signal 11") == 2, node.said())
    code, out, err = node.run("actors", "crashes")
    check("processes: actors crashes", code == 0 and out.count(b"handling bitswap_stat") == 2 and b"dropped" in out, f"{out} {err}")
    code, out, err = ask(node)
    check("processes: the third time it is dropped", code != 0 and "two crashes in a row" in err and "dropped a message (bitswap_stat" in node.said(), f"exit {code}: {out} {err}")
    code, out, err = node.run("bitswap", "wantlist")
    check("processes: what else it handles goes on", code == 0, f"exit {code}: {out} {err}")
    check("processes: no third crash", len(node.crashes()) == 2, node.crashes())
    node.plan("state reply abort")
    node.run("events", "--timeout", "5s")
    rows = node.crashed(3)
    check("processes: the state actor's own crash is told by its next life", len(rows) == 3 and rows[0]["actor"] == "state" and rows[0]["cause"].startswith("signal 6"), rows)
    os.kill(daemon, signal.SIGKILL)
    check("processes: root comes back", eventually(lambda: node.lives() >= 2 and node.run("id")[0] == 0, 15), node.said())
    check("processes: its end is a row, too", node.crashed(4) and node.crashes()[0]["actor"] == "", node.crashes())
    code, out, err = ask(node)
    check("processes: what was concluded outlives it", code != 0 and "two crashes in a row" in err, f"exit {code}: {out} {err}")
    check("processes: a clean end", node.stop() == 0, node.said()[-600:])


def resolved(rows):
    """Each process had the program at another address: the same places all the same, which the program's own symbols name."""
    check("processes: both were at the same place", rows[0]["backtrace"] == rows[1]["backtrace"], rows)
    places = [place.split("+")[1] for place in rows[0]["backtrace"].split() if place.startswith("hearthd+")]
    program = os.path.join(os.path.dirname(HEARTH), "hearthd")
    if not shutil.which("addr2line"):
        say("SKIP", "processes: names of the places need addr2line")
        return
    names = subprocess.run(["addr2line", "-f", "-e", program, *places], capture_output=True, text=True).stdout
    check("processes: among them the handler", "report_stat" in names and "ctx_reply" in names, names)


def processes_ban(folder):
    node, other, third = CrashingProcesses(folder, "pvictim"), Node(folder, "ppeer"), Node(folder, "pthird")
    if not check("processes, ban: three nodes start", node.start() and other.start() and third.start(), node.said() + other.said()):
        return
    daemon = node.daemon()
    for n in (1, 2):
        good, why = crash_by(node, other, n + 1)
        if not check(f"processes, ban: crash {n} with the peer's bytes", good, why):
            return
        rows = node.crashes()
        check("processes, ban: the row names the peer", len(rows) == n and rows[0]["peer"] == other.peer() and rows[0]["actor"] == "connection_manager", rows)
        check("processes, ban: the verdict", rows and rows[0]["verdict"] == ("" if n == 1 else "banned"), rows)
    address = f"/ip4/127.0.0.1/tcp/{node.port_now()}/p2p/{node.peer()}"
    code, out, err = other.run("swarm", "connect", address, "--timeout", "5s")
    connected = eventually(lambda: other.peer().encode() in node.run("swarm", "peers")[1], 2)
    check("processes, ban: it is not spoken with", not connected, f"exit {code}: {out} {err}")
    code, _, err = third.run("swarm", "connect", address)
    check("processes, ban: others are", code == 0 and third.peer().encode() in node.run("swarm", "peers")[1], err)
    ban_while_connected(node, third)
    check("processes, ban: the daemon is the same", node.daemon() == daemon)


def ban_while_connected(node, peer):
    """Another actor crashes over what the peer sends; who keeps the connections goes on, and closes them."""
    before = len(node.crashes())
    for n in (1, 2):
        node.plan("bitswap reply fault")
        peer.run("block", "get", f"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52{'zyxw'[n]}y", "--timeout", "3s")
        rows = node.crashed(before + n)
        check(f"processes, ban: crash {n} of bitswap with a peer's bytes", rows and rows[0]["actor"] == "bitswap" and rows[0]["peer"] == peer.peer(), rows[:1])
    check("processes, ban: the verdict there", rows and "banned" in rows[0]["verdict"], rows[:1])
    gone = eventually(lambda: peer.peer().encode() not in node.run("swarm", "peers")[1], 5)
    check("processes, ban: its connection goes at once", gone, node.run("swarm", "peers")[1])


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


GROUPS = {"fault": fault, "killed": killed, "escalation": escalation, "banned": banned, "processes": processes, "processes_ban": processes_ban, "first_process": first_process, "service": service, "hung": hung}


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

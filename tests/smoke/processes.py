#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`hearth daemon --backend ipc` on real daemons: two nodes that exchange blocks; then the process of each actor in turn is killed, crashed and frozen while
the others go on: the daemon stays, the actor comes back, what was acknowledged is there. Memory of a node at rest, as PSS over all its processes.

Usage: tests/smoke/processes.py [exchange] [listening] [clients] [commands] [deaths] [memory] [confinement]; HEARTH_BUILD names another build folder, ONLY the actors that die.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from bad_input import HEARTH, Node, check, counts, eventually, spawned_children
from sp_client import Requester

PSS_KIB_MAX = 96 * 1024
ACTORS = ["state", "tiered_storage", "heat_tracker", "connection_manager", "discovery", "bitswap", "control"]
COMM_MAX = 15  # of the name that the kernel keeps


class Processes(Node):
    flags = ["--backend", "ipc"]

    def daemon(self):
        """The pid of root's process: the nanny's child."""
        return spawned_children(self.process.pid)[0]

    def children(self):
        return spawned_children(self.daemon())

    def of(self, actor):
        """The pid of the actor's process, or None."""
        for pid in self.children():
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() == actor[:COMM_MAX]:
                        return pid
            except OSError:
                pass
        return None

    def connects(self, other):
        return self.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{other.port()}/p2p/{other.peer()}")[0] == 0


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))


def exchange(folder):
    here, there = Processes(folder, "here"), Processes(folder, "there")
    data = os.urandom(3_000_000)
    if not check("exchange: two nodes start", here.start() and there.start(), here.said() + there.said()):
        return
    check("exchange: a process for each actor", all(here.of(actor) for actor in ACTORS), here.children())
    cid = there.add(data)
    check("exchange: one adds", cid is not None, there.said())
    check("exchange: and reads", there.reads(cid, data))
    check("exchange: they connect", here.connects(there), here.said())
    check("exchange: the other fetches", here.reads(cid, data), here.said())
    code, out, err = here.run("shutdown")
    check("exchange: shutdown ends one", code == 0 and eventually(lambda: not here.alive()), err)
    check("exchange: in order", here.process.wait() == 0, here.said())
    check("exchange: SIGTERM the other", there.stop() == 0, there.said())
    check("exchange: what was fetched is kept", here.start() and here.reads(cid, data), here.said())
    here.stop()


def die(node, actor, how, name):
    pid = node.of(actor)
    if not check(f"{name}: has a process", pid is not None):
        return None
    os.kill(pid, how)
    return pid


def comes_back(node, actor, before):
    return eventually(lambda: node.of(actor) not in (None, before))


def deaths(folder):
    node, peer = Processes(folder, "mortal"), Processes(folder, "peer")
    if not check("deaths: two nodes start", node.start() and peer.start(), node.said() + peer.said()):
        return
    root = node.daemon()
    stored = []
    dying = os.environ.get("ONLY", " ".join(ACTORS)).split()
    for actor in dying:
        for how in (signal.SIGKILL, signal.SIGSEGV):
            name = f"deaths: {actor} by {how.name}"
            data = os.urandom(300_000)
            code, out, err = node.run("add", "-Q", data=data, timeout=60)
            cid = out.decode().strip()
            if not check(f"{name}: a block is acknowledged", code == 0, f"exit {code}: {err} {node.said()[-300:]}"):
                continue
            others = {other: node.of(other) for other in ("state", "tiered_storage", "control", "connection_manager") if other != actor}
            began = time.monotonic()
            pid = die(node, actor, how, name)
            if pid is None:
                continue
            check(f"{name}: comes back", comes_back(node, actor, pid), node.said()[-800:])
            check(f"{name}: answers", eventually(lambda: node.run("diag", "healthy")[0] == 0), node.said()[-800:])
            took = time.monotonic() - began
            check(f"{name}: the others go on", all(node.of(other) == was for other, was in others.items() if not goes_with(actor, other)), others)
            stored.append((cid, data))
            check(f"{name}: what was acknowledged is there ({took:.2f} s)", eventually(lambda: node.reads(cid, data), 10), node.said()[-800:])
            check(f"{name}: the daemon is the same", node.daemon() == root)
            time.sleep(7 if len(dying) > 2 else 0)  # ten restarts a minute are an illness
    check("deaths: all that was ever acknowledged is there", all(node.reads(cid, data) for cid, data in stored))
    check("deaths: a peer can still fetch", peer.connects(node) and peer.reads(*stored[0]), peer.said()[-500:])
    frozen(node)
    check("deaths: it ends in order", node.stop() == 0, node.said()[-800:])
    peer.stop()


def goes_with(actor, other):
    """rest_for_one: who is started anew with it."""
    return (actor == "tiered_storage" and other == "heat_tracker") or (actor == "connection_manager" and other in ("bitswap", "discovery"))


def listening(folder):
    """The port that was taken for port 0 outlives the process that listens at it, and who dials between two lives waits instead of being refused."""
    node, peer = Processes(folder, "listening"), Processes(folder, "dialing")
    node.env["HEARTH_ADDRESSES__SWARM"] = "/ip4/127.0.0.1/tcp/0,/ip6/::1/tcp/0"
    if not check("listening: two nodes start", node.start() and peer.start(), node.said() + peer.said()):
        return
    ports = [("127.0.0.1", node.port()), ("::1", int(re.search(r"/ip6/::1/tcp/(\d+)", node.said()).group(1)))]
    for actor, how in (("connection_manager", signal.SIGKILL), ("connection_manager", signal.SIGSEGV), ("connection_manager", signal.SIGABRT)):
        pid = die(node, actor, how, "listening")
        refused = 0
        while node.of(actor) in (None, pid):
            refused += sum(not dials(*port) for port in ports)
        check(f"listening: nobody is refused while it is away ({how.name})", refused == 0, refused)
        check(f"listening: it listens where it did ({how.name})", eventually(lambda: peer.connects(node)), node.said()[-800:])
        check(f"listening: by both families ({how.name})", all(dials(*port) for port in ports))
        told = node.run("id")[1].decode()
        check(f"listening: and says so ({how.name})", f"/tcp/{ports[0][1]}/" in told and f"/tcp/{ports[1][1]}/" in told, told)
    node.stop()
    peer.stop()


def dials(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return True
    except OSError:
        return False


def clients(folder):
    """Who was connected to the control socket comes in again when control was replaced, in order or by a kill; who connects and goes meanwhile shuts nobody out."""
    node = Processes(folder, "clients", CHAOS__ENABLED="true")
    if not check("clients: a node starts", node.start(), node.said()):
        return
    inside = Requester(node.file("run/control.sock"), 10)
    check("clients: one is connected", answers(inside))
    for order in ("fail", "exit", "fail"):
        pid = node.of("control")
        code, _, err = node.run("chaos", "control", order)
        check(f"clients: control ends by {order}", code == 0 and eventually(lambda: node.of("control") not in (None, pid)), err)
        check("clients: and the client comes in again", eventually(lambda: answers_again(inside)))
    for _ in range(3):
        pid, waiting = die(node, "control", signal.SIGKILL, "clients"), []
        while node.of("control") in (None, pid) or len(waiting) < 20:
            client = socket.socket(socket.AF_UNIX)
            if client.connect_ex(node.file("run/control.sock")) == 0:
                waiting.append(client)
            else:
                client.close()
            time.sleep(0.002)
        for client in waiting:
            client.close()
        check(f"clients: after {len(waiting)} came and went, whoever was cut off comes in again", eventually(lambda: answers_again(inside)))
    node.stop()


def answers_again(client):
    client.open()
    return answers(client)


def commands(folder):
    """A command goes on where it was when control's process is killed under it, also one that waits for bytes or begins while nobody listens."""
    node = Processes(folder, "commands", CHAOS__ENABLED="true", CHAOS__INTENSITY="0")
    if not check("commands: a node starts", node.start(), node.said()):
        return
    data, large = os.urandom(1 << 20), os.urandom(64 << 20)
    cid = node.add(large)
    for size in (len(data), 5 << 20):
        add = subprocess.Popen([HEARTH, "add", "-Q", "--timeout", "60s"], env=node.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        add.stdin.write(bytes(size - len(data)) + data[:-100])
        add.stdin.flush()
        die(node, "control", signal.SIGKILL, "commands")
        out, err = add.communicate(data[-100:])
        if size == len(data):
            check("commands: what came through a pipe is sent again", add.returncode == 0 and node.reads(out.decode().strip(), data), err)
        else:
            # A piece was out when control ended, or the next one came to a life that knows of no upload.
            told = (add.returncode == 3 and b"went away" in err) or (add.returncode == 4 and b"no upload" in err)
            check("commands: of much, the end is told", told, err)
    cat = subprocess.Popen([HEARTH, "cat", cid], env=node.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    got = cat.stdout.read(1 << 20)
    die(node, "control", signal.SIGKILL, "commands")
    out, err = cat.communicate()
    check("commands: what is read is whole", cat.returncode == 0 and got + out == large, err)
    for _ in range(20):
        if node.of("control") is not None:
            die(node, "control", signal.SIGKILL, "commands")
        code, _, err = node.run("id")
        if not check("commands: who begins meanwhile is answered", code == 0, err):
            break
    check("commands: a clean end", node.stop() == 0, node.said())


def answers(client):
    answer = client.ask(b'{"op": "id"}')
    return answer is not None and b'"ok": true' in answer.replace(b'":true', b'": true')


def frozen(node):
    """SIGSTOP: what it would answer ends at the deadline, the others answer; SIGCONT, and all is well."""
    pid = node.of("bitswap")
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    code, _, err = node.run("cat", "--timeout=2s", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
    check("deaths: asking the frozen ends at the deadline", code != 0 and time.monotonic() - began < 6, f"{time.monotonic() - began:.1f} s {err}")
    check("deaths: the others answer meanwhile", node.add(b"meanwhile") is not None)
    os.kill(pid, signal.SIGCONT)
    check("deaths: it goes on when it may", eventually(lambda: node.run("diag", "healthy")[0] == 0))


def memory(folder):
    node = Processes(folder, "idle")
    if not check("memory: a node starts", node.start(), node.said()):
        return
    time.sleep(5)
    pids = [node.process.pid, node.daemon(), *node.children()]
    sizes = {pid: pss_kib(pid) for pid in pids}
    total = sum(sizes.values())
    check(f"memory: {len(pids)} processes at rest have {total / 1024:.1f} MiB (PSS) of 96", total <= PSS_KIB_MAX, sizes)
    node.stop()


def confinement(folder):
    node = Processes(folder, "confined")
    if not check("confinement: a node starts", node.start(), node.said()):
        return
    for actor in ACTORS:
        with open(f"/proc/{node.of(actor)}/status") as file:
            text = file.read()
        check(f"confinement: {actor}", "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text, text)
    node.stop()


GROUPS = {"exchange": exchange, "listening": listening, "clients": clients, "commands": commands, "deaths": deaths, "memory": memory, "confinement": confinement}


def main():
    folder = tempfile.mkdtemp(prefix="hearth-processes-")
    try:
        for name in sys.argv[1:] or GROUPS:
            GROUPS[name](folder)
    finally:
        for node in Node.all:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} ok, {counts['FAIL']} failed")
    return counts["FAIL"] != 0


if __name__ == "__main__":
    sys.exit(main())

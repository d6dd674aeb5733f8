#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people, disks and strangers get wrong, done to the real daemon and command.

Each case wants three things: the exit status of the conventions, a message that names the thing, and a daemon that goes on (or that starts
again) with everything it had acknowledged. Needs build/hearth; the full disk needs a private mount namespace and is skipped without.
Usage: tests/smoke/bad_input.py [name of a group ...]; HEARTH_BUILD names another build folder.
"""
import base64
import fcntl
import hashlib
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

from sp_client import GREETING, Requester

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEARTH = os.path.join(TOP, os.environ.get("HEARTH_BUILD", "build"), "hearth")
START_S, STOP_S, COMMAND_S, SOCKET_S = 15, 12, 20, 5
STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"  # well-formed, nobody's here
counts = {"ok": 0, "FAIL": 0, "SKIP": 0}


def say(word, name, reason=""):
    counts[word] += 1
    print(f"{word:<5} {name}{': ' + reason if reason else ''}", flush=True)


def eventually(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def check(name, good, detail=""):
    say("ok" if good else "FAIL", name, "" if good else " ".join(str(detail).split())[:600])
    return good


def spawned_children(pid):
    """Those of all its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return found


def descendants(pid):
    """It, its children, and theirs."""
    return [pid, *(below for child in spawned_children(pid) for below in descendants(child))]


class Node:
    """One repository and, while started, its daemon."""

    all = []
    launcher = []  # words before the command
    flags = ["--backend", os.environ["BACKEND"]] if "BACKEND" in os.environ else []  # of the daemon

    def __init__(self, folder, name, **settings):
        self.path = os.path.join(folder, name)
        self.log = os.path.join(folder, os.path.basename(name) + ".log")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_")}
        self.env |= {"HEARTH_PATH": self.path, "HEARTH_ADDRESSES__SWARM": "/ip4/127.0.0.1/tcp/0", "HEARTH_BOOTSTRAP": ""}
        self.env |= {"HEARTH_" + k: v for k, v in settings.items()}
        self.process = None
        Node.all.append(self)

    def file(self, name):
        return os.path.join(self.path, name)

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*self.launcher, HEARTH, "daemon", *self.flags], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if "Daemon is ready" in self.said():
                return True
            time.sleep(0.02)
        return False

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def port(self):
        return int(re.search(r"Swarm listening on /ip4/127\.0\.0\.1/tcp/(\d+)", self.said()).group(1))

    def peer(self):
        return re.search(r"PeerID: (\w+)", self.said()).group(1)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; the exit status, or None when it had to be killed."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def kill_9(self):
        """The nanny and the daemon, and waits until the repository's lock is free."""
        children = spawned_children(self.process.pid)
        self.process.kill()
        self.process.wait()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + STOP_S
        with open(self.file("daemon.lock")) as lock:
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(0.02)

    def run(self, *args, data=None, timeout=COMMAND_S):
        """(exit status or None after the deadline, stdout, stderr)"""
        try:
            done = subprocess.run([HEARTH, *args], env=self.env, input=data if data is not None else b"", capture_output=True,
                                  timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, b"", f"no end within {timeout} s"
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def refuses(self, name, status, pattern, *args, data=None):
        """The command ends with this status and one `Error:` that matches."""
        code, out, err = self.run(*args, data=data)
        good = code == status and re.search(pattern, err, re.I) and "Error: " in err
        return check(name, good, f"exit {code}, stderr: {err}, stdout: {out[:100]}")

    def healthy(self, name):
        code, out, err = self.run("diag", "healthy")
        return check(name, self.alive() and code == 0, f"exit {code}: {out} {err}")

    def add(self, data):
        code, out, err = self.run("add", "-Q", data=data)
        return out.decode().strip() if code == 0 else None

    def reads(self, cid, data):
        code, out, _ = self.run("cat", cid, "--timeout", "5s")
        return code == 0 and out == data


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def cid_of(codec, function, digest):
    raw = varint(1) + varint(codec) + varint(function) + varint(len(digest)) + digest
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


# ---- configuration, identity, paths ----

def configuration(folder):
    node = Node(folder, "config")
    node.run("init")
    cases = [
        ("unknown key, suggestion", "Datastore:\n  StorageMx: 1GB\n", r"config\.yaml:2: .*StorageMx.*did you mean.*StorageMax"),
        ("unknown section", "Datastoer:\n  StorageMax: 1GB\n", r"config\.yaml:2: .*Datastoer.*did you mean"),
        ("not YAML", "Datastore: [1\n", r"config\.yaml:\d+: not YAML"),
        ("a list at the top", "- a\n- b\n", r"config\.yaml.*mapping"),
        ("a size that is none", "Datastore:\n  StorageMax: many\n", r"Datastore\.StorageMax.*many|many.*Datastore\.StorageMax"),
        ("a number that is none", "Swarm:\n  PerIPMax: -3\n", r"Swarm\.PerIPMax"),
        ("bad multiaddr to listen on", "Addresses:\n  Swarm: [/ip4/1.2.3/tcp/1]\n", r"Addresses\.Swarm.*/ip4/1\.2\.3/tcp/1"),
        ("bootstrap without /p2p/", "Bootstrap: [/ip4/127.0.0.1/tcp/1]\n", r"Bootstrap.*/ip4/127\.0\.0\.1/tcp/1"),
        ("control bytes", "Log:\n  Level: \"\\0\\x1b[2J\"\n", r"Log\.Level"),
        ("an alias bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nBootstrap: [*b,*b,*b,*b]\n", r"config\.yaml"),
        ("larger than the limit", "#" * 3_000_000, r"config\.yaml.*(larger|too large)"),
    ]
    env = dict(node.env)
    del node.env["HEARTH_ADDRESSES__SWARM"], node.env["HEARTH_BOOTSTRAP"]
    for name, text, pattern in cases:
        with open(node.file("config.yaml"), "w") as file:
            file.write(text)
        node.refuses(f"config check: {name}", 1, pattern, "config", "check")
        check(f"... and says no control bytes: {name}", "\x1b" not in node.run("config", "check")[2])
    node.refuses("daemon: larger than the limit", 1, r"config\.yaml", "daemon")
    node.env = env
    os.unlink(node.file("config.yaml"))
    node.env["HEARTH_DATASTORE__STORAGEMX"] = "1GB"
    node.refuses("unknown variable, suggestion", 1, r"HEARTH_DATASTORE__STORAGEMX.*did you mean|did you mean.*STORAGEMAX", "daemon")
    del node.env["HEARTH_DATASTORE__STORAGEMX"]
    node.refuses("--config-file that is not there", 1, r"/nowhere/x\.yaml.*(not found|no such)", "config", "check", "--config-file",
                 "/nowhere/x.yaml")
    node.refuses("unknown profile", 1, r"turbo", "init", "--repo-dir", os.path.join(folder, "p"), "--profile", "turbo")
    node.refuses("unknown command", 2, r"frobnicate", "frobnicate")
    node.refuses("unknown option", 2, r"--frobnicate", "add", "--frobnicate")
    node.refuses("no daemon", 3, r"control\.sock|not running|not reachable", "id")
    used = socket.create_server(("127.0.0.1", 0))
    node.env["HEARTH_ADDRESSES__SWARM"] = f"/ip4/127.0.0.1/tcp/{used.getsockname()[1]}"
    node.refuses("a port in use", 1, rf"/tcp/{used.getsockname()[1]}.*taken", "daemon")
    used.close()


def identity(folder):
    node = Node(folder, "identity")
    node.run("init")
    with open(node.file("identity.key"), "rb") as file:
        good = file.read()
    other = bytes([0x08, 0x02, 0x12, 32]) + bytes(range(1, 33))  # a secp256k1 private key
    rsa = bytes([0x08, 0x00, 0x12]) + varint(600) + bytes(600)
    wrong_half = good[:-1] + bytes([good[-1] ^ 1])
    cases = [("secp256k1", other, r"identity\.key.*another type.*Ed25519"), ("RSA", rsa, r"identity\.key.*(another type|damaged)"),
             ("cut short", good[:20], r"identity\.key.*damaged"), ("empty", b"", r"identity\.key.*damaged"),
             ("random bytes", os.urandom(68), r"identity\.key.*(damaged|another type)"), ("a megabyte", bytes(1 << 20), r"identity\.key"),
             ("halves that do not belong together", wrong_half, r"identity\.key.*damaged")]
    for name, content, pattern in cases:
        with open(node.file("identity.key"), "wb") as file:
            file.write(content)
        node.refuses(f"identity.key: {name}", 1, pattern, "daemon")
        with open(node.file("identity.key"), "rb") as file:
            check(f"... left as it was: {name}", file.read() == content)
    os.unlink(node.file("identity.key"))
    os.mkdir(node.file("identity.key"))
    node.refuses("identity.key: a folder", 1, r"identity\.key", "daemon")


def paths(folder):
    node = Node(folder, "x" * 100)
    node.refuses("socket path too long", 1, r"control socket.*path.*HEARTH_PATH", "daemon")
    node = Node(folder, "file")
    with open(node.path, "w") as file:
        file.write("not a folder")
    node.refuses("HEARTH_PATH is a file", 1, re.escape(node.path), "daemon")
    node = Node("/proc", "hearth")
    node.log = os.path.join(folder, "proc.log")
    node.refuses("HEARTH_PATH cannot be made", 1, r"/proc/hearth", "daemon")


# ---- the command against a running daemon ----

def content(folder, node):
    kept = os.urandom(300_000)
    kept_cid = node.add(kept)
    sha = hashlib.sha256(b"hello").digest()
    cases = [
        ("not a CID", "notacid", 1), ("a CID cut short", kept_cid[:-9], 1), ("an unknown multibase", "?" + kept_cid[1:], 1),
        ("unknown codec", cid_of(0x300001, 0x12, sha), 1), ("unknown hash", cid_of(0x55, 0x3fffff, sha), 1),
        ("md5", cid_of(0x55, 0xd5, sha[:16]), 1), ("sha2-256 of 19 bytes", cid_of(0x55, 0x12, sha[:19]), 1),
        ("identity of 129 bytes", cid_of(0x55, 0, bytes(129)), 1), ("a digest of 200 bytes", cid_of(0x55, 0x12, bytes(200)), 1),
    ]
    for name, cid, status in cases:
        for command in (["cat"], ["get", "-o", os.path.join(folder, "never")], ["block", "get"], ["block", "stat"], ["ls"]):
            if name == "unknown codec" and command[0] == "block":
                continue  # a block's bytes need no codec: it is only absent
            word = " ".join(w for w in command if w.isalpha())
            node.refuses(f"{word}: {name}", status, re.escape(cid[:40]), *command, cid, "--timeout", "3s")
    check("get left nothing behind", not os.path.exists(os.path.join(folder, "never")))
    absent = cid_of(0x55, 0x12, os.urandom(32))
    for command in (["cat"], ["block", "get"]):
        code, _, err = node.run(*command, absent, "--timeout", "1s")
        check(f"{' '.join(command)}: nobody has it", code in (4, 124) and "Error: " in err, f"exit {code}: {err}")
    node.refuses("block put: unknown hash", 1, r"blake9", "block", "put", "--mhtype", "blake9", "-", data=b"x")
    node.refuses("block put: unknown codec", 1, r"nocodec", "block", "put", "--cid-codec", "nocodec", "-", data=b"x")
    node.refuses("block put: over 2 MiB", 1, r"2 ?MiB|2097152|too large|limit", "block", "put", "-", data=bytes((2 << 20) + 1))
    node.refuses("add: no such file", 1, r"/nowhere/film", "add", "/nowhere/film")
    for name, address in [("no multiaddr", "nonsense"), ("bad IPv4", f"/ip4/999.0.0.1/tcp/1/p2p/{STRANGER}"),
                          ("port 65536", f"/ip4/127.0.0.1/tcp/65536/p2p/{STRANGER}"), ("unknown protocol", f"/foo/1/p2p/{STRANGER}"),
                          ("no peer id", "/ip4/127.0.0.1/tcp/1"), ("bad peer id", "/ip4/127.0.0.1/tcp/1/p2p/Qm0O"),
                          ("a kilobyte", "/ip4/127.0.0.1" * 80)]:
        node.refuses(f"swarm connect: {name}", 1, re.escape(address[:40]), "swarm", "connect", address)
    node.refuses("ping: bad peer id", 1, r"nobody", "ping", "nobody")
    wrong = f"/ip4/127.0.0.1/tcp/{node.port()}/p2p/{STRANGER}"
    other = Node(folder, "other")
    if check("a second node starts", other.start(), other.said()):
        other.refuses("swarm connect: wrong peer id", 1, rf"{STRANGER}.*{node.peer()}|{node.peer()}.*{STRANGER}|{STRANGER}.*(other|another|different|expected)",
                      "swarm", "connect", wrong)
        good = f"/ip4/127.0.0.1/tcp/{node.port()}/p2p/{node.peer()}"
        code, out, err = other.run("swarm", "connect", good)
        check("... and the right one connects", code == 0, err)
        closed = f"/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}"
        other.refuses("swarm connect: a closed port", 1, rf"{STRANGER}.*nobody listens",
                      "swarm", "connect", closed)
        other.healthy("the second node is healthy")
    other.stop()
    second = Node(folder, os.path.basename(node.path))
    second.refuses("a second daemon", 1, rf"another hearth daemon.*{re.escape(node.path)}.*shutdown", "daemon")
    check("what was there is there", node.reads(kept_cid, kept))
    node.healthy("healthy after bad content requests")


def car_header(root=None):
    roots = b"\x80" if root is None else b"\x81\xd8\x2a\x58" + bytes([len(root) + 1]) + b"\0" + root
    body = b"\xa2\x65roots" + roots + b"\x67version\x01"
    return varint(len(body)) + body


def graphs(folder, node):
    """CARs and nodes that are none: refused with their place, and what was there before stays."""
    kept = os.urandom(300_000)
    kept_cid = node.add(kept)
    cid = b"\x01\x55\x12\x20" + hashlib.sha256(b"hello").digest()
    good = car_header(cid) + varint(len(cid) + 5) + cid + b"hello"
    at = len(car_header(cid))
    pragma = bytes.fromhex("0aa16776657273696f6e02") + bytes(16)
    cases = [
        ("garbage", b"GIF89a" * 99, r"byte 0 of the CAR: this is no CAR"), ("version 42", bytes.fromhex("0ba16776657273696f6e182a"), r"version"),
        ("a header of 33 MiB", varint(33 << 20) + bytes(99), r"byte 0 .*header"), ("a section of 9 MiB", good + varint(9 << 20) + cid, rf"byte {len(good)} .*8 MiB"),
        ("a block of 5 MiB", good + varint(5 << 20) + cid + bytes(999), rf"byte {len(good)} .*larger"), ("a section of nothing", good + bytes(1), rf"byte {len(good)} .*empty"),
        ("a length of 11 bytes", good + b"\x80" * 10 + b"\x01", rf"byte {len(good)} .*varint"), ("cut off", good[:-1], rf"byte {at} .*too early"),
        ("other bytes", good[:-1] + b"0", rf"byte {at} .*CID"), ("no CID", good + b"\x04\xff\xff\xff\xff", rf"byte {len(good)} .*CID"),
        ("an index past the end", pragma + struct.pack("<QQQ", 51, len(good), 1 << 40) + good, r"index"),
        ("data past the end", pragma + struct.pack("<QQQ", 51, 1 << 40, 0) + good, r"too early"),
        ("data in the header", pragma + struct.pack("<QQQ", 3, len(good), 0) + good, r"data lie"),
    ]
    for name, car, pattern in cases:
        node.refuses(f"dag import: {name}", 1, pattern, "dag", "import", data=car)
    code, out, err = node.run("dag", "import", data=good)
    check("... and a good one goes in", code == 0 and b"success" in out, f"exit {code}: {err}")
    node.refuses("dag import: no such file", 1, r"/nowhere/a\.car", "dag", "import", "/nowhere/a.car")
    node.refuses("dag export: not a CID", 1, r"notacid", "dag", "export", "notacid")
    node.refuses("dag export: no such folder", 1, r"/nowhere/a\.car", "dag", "export", "-o", "/nowhere/a.car", kept_cid)
    inputs = [
        ("a million brackets", b"[" * 1_000_000, r"byte 1025"), ("a key twice", b'{"a":1,"b":2,"a":3}', r"another shape"), ("nothing", b"", r"byte 0"),
        ("half a map", b'{"a":', r"byte 5"), ("a link that is none", b'{"/":"xyz"}', r"byte"), ("a link and more", b'{"/":"bafkqaaa","x":1}', r"byte"),
        ("2^64", b"18446744073709551616", r"byte"), ("3 MiB", b'"' + b"x" * (3 << 20) + b'"', r"2 MiB"),
    ]
    for name, text, pattern in inputs:
        node.refuses(f"dag put: {name}", 1, pattern, "dag", "put", data=text)
    for name, block in [("ten nested maps of 2^30", b"\xba\x40\0\0\0" * 10), ("a million lists", b"\x81" * 1_000_000), ("NaN", bytes.fromhex("f97e00")), ("two values", b"\0\0")]:
        node.refuses(f"dag put: {name}", 1, r"no dag-cbor, from byte", "dag", "put", "--input-codec=dag-cbor", data=block)
        code, out, err = node.run("block", "put", "--cid-codec=dag-cbor", data=block)
        broken = out.decode().strip()
        node.refuses(f"dag get: {name}", 1, r"from byte", "dag", "get", broken)
        node.refuses(f"dag get: a path into {name}", 1, re.escape(broken), "dag", "get", f"{broken}/a")
        node.refuses(f"dag export: {name}", 1, re.escape(broken), "dag", "export", broken)
        node.refuses(f"pin add: {name}", 1, r"walked", "pin", "add", broken)
    check("what was there is there", node.reads(kept_cid, kept))
    node.healthy("healthy after bad graphs")


# ---- strangers at the two doors ----

def poke(address, sent, half_close=True):
    """Sends and reads to the end: "closed", "open" when it is still open after SOCKET_S, and what came."""
    s = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    s.settimeout(SOCKET_S)
    got = b""
    try:
        s.connect(address)
        s.sendall(sent)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        while True:
            part = s.recv(65536)
            if not part:
                return "closed", got
            got += part
    except (ConnectionError, BrokenPipeError):
        return "closed", got
    except socket.timeout:
        return "open", got
    finally:
        s.close()


def token(text):
    line = text.encode() + b"\n"
    return varint(len(line)) + line


def swarm_port(folder, node):
    door = ("127.0.0.1", node.port())
    hello = token("/multistream/1.0.0")
    noise = hello + token("/noise")
    cases = [
        ("nothing", b"", True), ("a cut length", b"\x93", True), ("half a hello", hello[:7], True), ("HTTP", b"GET / HTTP/1.1\r\n\r\n", True),
        ("a length of 2^63", b"\xff" * 8 + b"\x7f", False), ("a length that never ends", b"\xff" * 64, False),
        ("a length in ten bytes for one", b"\x81" + b"\x80" * 8 + b"\x00", False), ("a line of 64 KiB", varint(65536) + b"a" * 65536, False),
        ("random bytes", os.urandom(4096), True), ("noise frame of 0", noise + b"\0\0", False),
        ("noise frame of 15", noise + b"\0\x0f" + bytes(15), False), ("noise frame of 65535, cut", noise + b"\xff\xff" + bytes(100), True),
        ("noise frame of 65535 of zeros", noise + b"\xff\xff" + bytes(65535), False),
        ("TLS cut", hello + token("/tls/1.0.0") + b"\x16\x03\x01\xff\xff" + bytes(100), True),
    ]
    for name, sent, half_close in cases:
        how, _ = poke(door, sent, half_close)
        check(f"swarm port, {name}: closed", how == "closed", how)
    node.healthy("healthy after bad frames to the swarm port")


def control_call(path, payload, timeout=SOCKET_S):
    requester = Requester(path, timeout)
    try:
        return requester.ask(payload)
    finally:
        requester.close()


def control_socket(folder, node):
    door = node.file("run/control.sock")
    head = GREETING
    answer = control_call(door, b'{"op":"id"}')
    check("control socket: a good request", answer is not None and b'"ok":true' in answer.replace(b" ", b""), answer)
    for name, sent in [("nothing", b""), ("half a header", head[:5]), ("not SP", b"GET / HTTP/1.1\r\n"), ("half a length", head + b"\x01\0\0"),
                       ("a frame of 2^63", head + b"\x01" + b"\x80" + bytes(7)), ("a frame of 5 MiB", head + b"\x01" + struct.pack(">Q", 5 << 20)),
                       ("a frame cut", head + b"\x01" + struct.pack(">Q", 1000) + b"\x80\0\0\x01{"),
                       ("no request id", head + b"\x01" + struct.pack(">Q", 2) + b"ab"), ("random bytes", os.urandom(999))]:
        how, _ = poke(door, sent, half_close=True)
        check(f"control socket, {name}: closed", how == "closed", how)
    cases = [
        ("empty body", b"", "usage|invalid"), ("cut JSON", b'{"op":"i', "usage|invalid"), ("cut msgpack", b"\x82\xa2op", "usage|invalid"),
        ("a map of 2^32 pairs", b"\xdf\xff\xff\xff\xff", "usage|invalid"), ("nested a million deep", b"[" * 1_000_000, "usage|invalid"),
        ("msgpack nested a million deep", b"\x91" * 1_000_000, "usage|invalid"), ("random bytes", b"\x82" + os.urandom(500), "usage|invalid"),
        ("unknown operation", b'{"op":"idd"}', "usage.*idd"), ("unknown argument", b'{"op":"id","args":{"colour":1}}', "usage.*colour"),
        ("missing argument", b'{"op":"block get"}', "usage.*cid"), ("argument of another type", b'{"op":"block get","args":{"cid":7}}', "usage.*cid"),
        ("operation twice as a number", b'{"op":7}', "usage|invalid"), ("not UTF-8", b'{"op":"\xff\xfe"}', "usage|invalid"),
        ("an unknown profile", b'{"op":"add open","args":{"profile":"fast"}}', "(usage|invalid).*fast"),
        ("no such upload", b'{"op":"add write","args":{"upload":99,"offset":0,"data":"uAAAA"}}', "not_found"),
        ("a batch of none", b'{"op":"block has","args":{"cid":[]}}', "usage.*cid"), ("a batch of numbers", b'{"op":"block rm many","args":{"cid":[7]}}', "usage.*cid"),
        ("a batch of 1025", json.dumps({"op": "block get many", "args": {"cid": ["x"] * 1025}}).encode(), "usage.*cid"),
        ("a batch of text that is no base64url", b'{"op":"block put many","args":{"data":["u?"]}}', "usage.*base64url"),
        ("a batch with a CID too few", b'{"op":"block put many","args":{"data":["u","u"],"cid":["bafkqaaa"]}}', "invalid.*one for each"),
        ("a batch of unknown hashes", b'{"op":"block put many","args":{"data":["u"],"mhtype":"crc"}}', "unsupported.*crc"),
        ("metadata that is no map", b'{"op":"metadata put","args":{"cid":"bafkqaaa","metadata":[1]}}', "usage.*metadata"),
        ("metadata with an empty key", b'{"op":"metadata put","args":{"cid":"bafkqaaa","metadata":{"":1}}}', "invalid.*key"),
        ("metadata with a long key", json.dumps({"op": "metadata put", "args": {"cid": "bafkqaaa", "metadata": {"k" * 129: 1}}}).encode(), "invalid.*128"),
        ("metadata with 65 keys", json.dumps({"op": "metadata put", "args": {"cid": "bafkqaaa", "metadata": dict.fromkeys(map(str, range(65)))}}).encode(), "too_large.*64 keys"),
        ("metadata of 17 KiB", json.dumps({"op": "metadata update", "args": {"cid": "bafkqaaa", "metadata": {"k": "x" * 17000}}}).encode(), "too_large.*16384 bytes"),
        ("metadata nested deep", json.dumps({"op": "metadata put", "args": {"cid": "bafkqaaa", "metadata": {"k": eval("[" * 40 + "]" * 40)}}}).encode(), "usage|invalid|too_large"),
        ("negative limit", b'{"op":"pin ls","args":{"limit":-1}}', "(usage|invalid).*limit"),
    ]
    for name, body, pattern in cases:
        answer = control_call(door, body)
        text = (answer or b"").decode(errors="replace")
        check(f"control socket, {name}: refused", re.search(pattern, text, re.S) is not None and "ok" in text, repr(answer)[:300])
    node.healthy("healthy after bad frames to the control socket")


def files_socket(folder, node):
    """Open files are handed over here: whatever is no readable regular file is closed again, and files are added all the while."""
    film = os.path.join(folder, "film")
    with open(film, "wb") as file:
        file.write(os.urandom(3 << 20))
    good, sender = struct.pack("<4sIQ", b"hrhf", 1, 7), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened = {"film": os.open(film, os.O_RDONLY), "written": os.open(film, os.O_WRONLY), "folder": os.open(folder, os.O_RDONLY),
              "zeros": os.open("/dev/zero", os.O_RDONLY), "pipe": os.pipe()[0]}
    sender.settimeout(SOCKET_S)
    sender.connect(node.file("run/files.sock"))

    def send(payload, *names):
        socket.send_fds(sender, [payload], [opened[name] for name in names])

    def held():
        pids = descendants(node.process.pid)
        return sum(os.path.realpath(f"/proc/{pid}/fd/{fd}") == film for pid in pids for fd in os.listdir(f"/proc/{pid}/fd"))
    for payload, *names in [(good, "written"), (good, "folder"), (good, "zeros"), (good, "pipe"), (good,), (good, "film", "film"), (good, *["film"] * 200),
                            (good[:5], "film"), (good + b"x", "film"), (b"", "film"), (b"HTTP" + good[4:], "film"), (os.urandom(16), "film")]:
        send(payload, *names)
    for token in range(1000):
        send(good[:8] + struct.pack("<Q", token), "film")
    deadline = time.monotonic() + SOCKET_S
    seen = [held()]  # while they are still coming a newcomer may be open beside the one that it drives out
    while seen[-5:] != [16] * 5 and time.monotonic() < deadline:
        time.sleep(0.02)
        seen.append(held())
    check("files socket: 16 files are kept, no more", seen[-5:] == [16] * 5, seen[-5:])
    code, out, err = node.run("add", "-Q", film)
    with open(film, "rb") as file:
        check("files socket: a file is added as its bytes are", code == 0 and out.decode().strip() == node.add(file.read()), f"exit {code}: {out} {err}")
    os.remove(node.file("run/files.sock"))
    again, _, err = node.run("add", "-Q", film)
    check("files socket: without it, the bytes are sent", again == 0, err)
    node.healthy("healthy after bad datagrams to the files socket")


# ---- room ----

def storage_max(folder):
    node = Node(folder, "small", DATASTORE__STORAGEMAX="8MiB")
    if not check("StorageMax: starts", node.start(), node.said()):
        return
    kept = os.urandom(3_000_000)
    cid = node.add(kept)
    node.refuses("StorageMax: add past it", 1, r"Datastore\.StorageMax", "add", "-Q", data=os.urandom(16_000_000))
    check("StorageMax: what was there is there", cid is not None and node.reads(cid, kept))
    code, out, err = node.run("repo", "verify")
    check("StorageMax: repo verify", code == 0, err)
    node.healthy("StorageMax: healthy")
    node.stop()
    node.env["HEARTH_DATASTORE__STORAGEMAX"] = "64MiB"
    check("StorageMax: raised, starts", node.start(), node.said())
    check("StorageMax: raised, takes more", node.add(os.urandom(16_000_000)) is not None, node.said()[-300:])
    check("StorageMax: raised, the old is there", node.reads(cid, kept))
    node.stop()


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def full_disk(folder):
    disk = os.path.join(folder, "disk")
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True).returncode != 0:
        say("SKIP", "full disk", "no right to mount a tmpfs of 32 MiB in a private mount namespace")
        return
    node = Node(folder, "disk/repo")
    filler = os.path.join(disk, "filler")
    try:
        if not check("full disk: starts on 32 MiB", node.start(), node.said()):
            return
        kept = []
        for _ in range(12):  # what is acknowledged counts
            data = os.urandom(4_000_000)
            code, out, err = node.run("add", "-Q", data=data)
            if code != 0:
                break
            kept.append((out.decode().strip(), data))
        check("full disk: add is refused and says why", code == 1 and re.search(r"no space|disk.*full|full", err, re.I), f"exit {code}: {err}")
        check("full disk: something had been taken", len(kept) > 0, err)
        fill(filler)
        node.refuses("full disk, not a byte left: add", 1, r"no space|full", "add", "-Q", data=os.urandom(1_000_000))
        check("full disk: what was acknowledged is there", all(node.reads(*k) for k in kept))
        check("full disk: the daemon lives", node.alive(), node.said()[-500:])
        code, out, err = node.run("diag", "healthy")
        check("full disk: diag healthy ends and says so", code == 1 and re.search(r"space|full|read.only", out.decode() + err, re.I),
              f"exit {code}: {out} {err}")
        check("full disk: stops cleanly", node.stop() == 0, node.said()[-500:])
        if node.start():
            check("full disk: starts, the acknowledged is there", all(node.reads(*k) for k in kept), node.said()[-500:])
        else:
            check("full disk: a start is refused and says why", re.search(r"no space|full", node.said(), re.I), node.said()[-500:])
            node.stop()
        os.unlink(filler)
        if not node.alive():
            check("space again: starts", node.start(), node.said())
        deadline, cid, data = time.monotonic() + 10, None, os.urandom(50_000)
        while cid is None and time.monotonic() < deadline:
            cid = node.add(data)
        check("space again: add works without a restart", cid is not None and node.reads(cid, data), node.run("add", "-Q", data=data)[2])
        check("space again: all is there", all(node.reads(*k) for k in kept))
        check("space again: repo verify", node.run("repo", "verify")[0] == 0)
        node.healthy("space again: healthy")
    finally:
        node.stop()
        subprocess.run(["umount", "-l", disk], capture_output=True)


# ---- databases ----

def remove(path):
    os.unlink(path)


def remove_all(path):
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)


def overwrite(at, size):
    def damage(path):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(os.urandom(size))
    return damage


def overwrite_half(path):
    """The pages in the middle alone may be of tables that nothing reads at the start."""
    half = os.path.getsize(path) // 2
    overwrite(half, half)(path)


def empty(path):
    os.truncate(path, 0)


def garbage(path):
    remove_all(path)
    with open(path, "wb") as file:
        file.write(os.urandom(20_000))


def databases(folder):
    node = Node(folder, "databases")
    if not check("databases: starts", node.start(), node.said()):
        return
    kept = [(data, node.add(data)) for data in (os.urandom(2_500_000), b"small", os.urandom(300_000))]
    peer = node.peer()
    listing = ("pin", "ls", "--type", "recursive")  # what these hold is counted again beside the other work
    pins = node.run(*listing)[1]
    check("databases: three pins", pins.count(b"recursive") == 3, pins)
    cases = [("state.db", "missing, its log left", remove), ("state.db", "missing", remove_all), ("state.db", "garbage", garbage),
             ("state.db", "pages overwritten", overwrite(100, 6000)), ("state.db", "cut to nothing", empty),
             ("blocks.db", "missing, its log left", remove), ("blocks.db", "missing", remove_all), ("blocks.db", "garbage", garbage),
             ("blocks.db", "pages overwritten", overwrite(100, 9000)), ("blocks.db", "cut to nothing", empty),
             ("blocks.db", "half overwritten", overwrite_half)]
    for name, what, damage in cases:
        node.stop()
        damage(node.file(name))
        label = f"{name} {what}"
        if not check(f"{label}: starts", node.start(), node.said()[-600:]):
            return
        check(f"{label}: same peer", node.peer() == peer)
        def told(name=name):
            return any(name in line and not line.startswith("Databases:") for line in node.said().splitlines())
        # state.db is opened when there is something to write, which may be a moment after the daemon is ready
        check(f"{label}: says what it did", eventually(told), node.said()[-600:])
        check(f"{label}: all is there", all(node.reads(cid, data) for data, cid in kept))
        check(f"{label}: pins kept", sorted(node.run(*listing)[1].split(b"\n")) == sorted(pins.split(b"\n")), node.run(*listing))
        code, _, err = node.run("diag", "healthy")
        check(f"{label}: healthy", code == 0, err)
    check("databases: repo verify", node.run("repo", "verify")[0] == 0)
    node.kill_9()
    check("databases: starts after kill -9", node.start(), node.said())
    check("databases: all is there after kill -9", all(node.reads(cid, data) for data, cid in kept))
    check("databases: clean end", node.stop() == 0)


def with_node(run):
    def group(folder):
        node = Node(folder, "node")
        try:
            if check(f"{run.__name__}: the node starts", node.start(), node.said()):
                run(folder, node)
                check(f"{run.__name__}: clean end", node.stop() == 0, node.said()[-400:])
        finally:
            node.stop()
    return group


GROUPS = {"configuration": configuration, "identity": identity, "paths": paths, "content": with_node(content), "graphs": with_node(graphs),
          "swarm_port": with_node(swarm_port), "control_socket": with_node(control_socket), "files_socket": with_node(files_socket),
          "storage_max": storage_max, "full_disk": full_disk, "databases": databases}


def own_mounts():
    """Again in a private mount namespace, where that is allowed."""
    if os.environ.get("BAD_INPUT_INSIDE"):
        return
    os.environ["BAD_INPUT_INSIDE"] = "1"
    for how in (["unshare", "--mount", "--propagation", "private"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if shutil.which("unshare") and subprocess.run([*how, "true"], capture_output=True).returncode == 0:
            os.execvp(how[0], [*how, sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def main():
    own_mounts()
    began = time.monotonic()
    for name in sys.argv[1:] or GROUPS:
        folder = tempfile.mkdtemp(prefix="hearth-bad-", dir="/tmp")
        since = time.monotonic()
        try:
            GROUPS[name](folder)
        except Exception as error:  # a group that breaks is a failure, not the end of the rest
            say("FAIL", name, repr(error))
        finally:
            for node in Node.all:
                node.stop()
            Node.all.clear()
            shutil.rmtree(folder, ignore_errors=True)
        print(f"      {name}: {time.monotonic() - since:.1f} s", flush=True)
    print(f"      all: {time.monotonic() - began:.1f} s", flush=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

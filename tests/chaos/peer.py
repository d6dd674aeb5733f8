# SPDX-License-Identifier: MIT
"""Peers that say each byte themselves: raw TCP, the secured channel of chaos_peer with Yamux frames by hand, and the honest client
that must be served all the time.

A polite peer answers what the node opens towards it (identify, and what `serve` has handlers for), and pings; a hostile one only listens.
"""
import hashlib
import os
import socket
import struct
import subprocess
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAOS_PEER = os.path.join(TOP, os.environ.get("HEARTH_BUILD", "build"), "tests/chaos_peer")
DATA, WINDOW, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
HELLO = b"\x13/multistream/1.0.0\n"
PING_PROTOCOL, IDENTIFY, PUSH = "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"
BITSWAP, LAN, WAN = "/ipfs/bitswap/1.2.0", "/ipfs/lan/kad/1.0.0", "/ipfs/kad/1.0.0"
PIECE = 64 * 1024
FIRST_WINDOW = 256 * 1024
PATIENCE_S = 10


# ---- bytes ----

def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def read_varint(data, at=0):
    """(value, place behind it), or None while it is cut."""
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at
    return None


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + bytes(value)


def fields(data):
    """[(number, value)] of a protobuf of varints and bytes"""
    found, at = [], 0
    while at < len(data):
        key, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        found.append((key >> 3, value))
    return found


def framed(message):
    return varint(len(message)) + message


def unframed(data):
    """The first whole message of a stream's bytes, or None."""
    head = read_varint(data)
    return bytes(data[head[1]:head[1] + head[0]]) if head and len(data) >= head[0] + head[1] else None


def proposal(protocol):
    return framed(protocol.encode() + b"\n")


def ip4_tcp(address, port):
    return b"\x04" + socket.inet_aton(address) + b"\x06" + struct.pack(">H", port)


def base58(data):
    digits, value, out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(data, "big"), ""
    while value:
        value, rest = divmod(value, 58)
        out = digits[rest] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


class Keys:
    """Ed25519 keys by the node's own engine."""

    def __init__(self):
        self.process = subprocess.Popen([CHAOS_PEER, "keys"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()

    def ask(self, seed, message=b"\0"):
        """(peer id, public key protobuf, signature over the message, static Noise key if the seed is its secret)"""
        with self.lock:
            self.process.stdin.write(f"{seed} {message.hex()}\n".encode())
            self.process.stdin.flush()
            return tuple(bytes.fromhex(word.decode()) for word in self.process.stdout.readline().split())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def seed_of(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


# ---- sources ----

class Sources:
    """Addresses of 127.0.0.0/8 that no other test of this run had, each from a /24 of its own."""

    def __init__(self, first=0):
        self.count, self.lock = first, threading.Lock()

    def __next__(self):
        with self.lock:
            self.count += 1
            return f"127.{10 + self.count // 250 % 80}.{1 + self.count % 250}.{1 + self.count % 7}"


def tcp(port, source, room=None, host="127.0.0.1"):
    sock = socket.socket()
    if room:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.settimeout(PATIENCE_S)
    sock.bind((source, 0))
    sock.connect((host, port))
    return sock


def is_closed(sock, seconds):
    """Reads until the other side hangs up: whether it does so in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            if not sock.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


def header(kind, flags, stream, length):
    return struct.pack(">BBHII", 0, kind, flags, stream, length)


class Refused(Exception):
    pass


class Peer:
    """One secured connection; sock is that of an accepted one, else it dials."""

    def __init__(self, port, source, seed, proof=None, polite=False, sock=None, identify=b"", room=None, host="127.0.0.1"):
        role = "dial" if sock is None else "listen"
        sock = sock or tcp(port, source, room, host)
        sock.setblocking(True)
        self.local, theirs = socket.socketpair()
        self.process = subprocess.Popen([CHAOS_PEER, role, seed, *([proof] if proof else [])], stdin=sock.fileno(), stdout=theirs.fileno())
        sock.close()
        theirs.close()
        self.polite, self.identify, self.serve, self.dialer = polite, identify, {}, role == "dial"
        self.closed, self.waits, self.frames, self.goaway, self.acks = False, bytearray(), 0, None, []
        self.pending, self.sent = {}, {}
        self.heard, self.resets, self.fins, self.granted, self.protocols = {}, set(), set(), {}, {}
        self.line = self.read_line()
        if not self.line.startswith("ok"):
            self.close()
            raise Refused(self.line)

    def read_line(self):
        line = bytearray()
        self.local.settimeout(PATIENCE_S)
        try:
            while not line.endswith(b"\n"):
                byte = self.local.recv(1)
                if not byte:
                    break
                line += byte
        except OSError as error:
            return f"failed {error}"
        return line.decode()

    # -- speaking --

    def command(self, kind, payload, seconds=PATIENCE_S):
        """False: the node does not take it any more."""
        for at in range(0, max(1, len(payload)), PIECE):
            piece = payload[at:at + PIECE]
            whole = struct.pack(">cI", kind, len(piece)) + piece
            self.local.settimeout(seconds)
            try:
                self.local.sendall(whole)
            except OSError as error:
                self.closed = self.closed or not isinstance(error, TimeoutError)
                return False
        return True

    def send(self, plain, seconds=PATIENCE_S):
        return self.command(b"P", plain, seconds)

    def raw(self, data):
        return self.command(b"R", data)

    def deafen(self, deaf=True):
        return self.command(b"D", b"\1" if deaf else b"\0")

    def frame(self, kind, flags, stream, length, payload=b""):
        return self.send(header(kind, flags, stream, length) + payload)

    def data(self, stream, payload, flags=0):
        return self.frame(DATA, flags, stream, len(payload), payload)

    def open(self, stream, protocol, payload=b"", flags=0):
        return self.data(stream, HELLO + proposal(protocol) + payload, SYN | flags)

    def queue(self, stream, payload):
        """Sent as the node gives credit, while listening."""
        self.pending.setdefault(stream, bytearray()).extend(payload)
        self.flush(stream)

    def queued(self, stream):
        return len(self.pending.get(stream, b""))

    def flush(self, stream):
        while self.queued(stream) and stream not in self.resets and not self.closed:
            room = FIRST_WINDOW - 1024 + self.granted.get(stream, 0) - self.sent.get(stream, 0)
            piece = bytes(self.pending[stream][:min(room, PIECE)]) if room > 0 else b""
            if not piece or not self.data(stream, piece):
                return
            del self.pending[stream][:len(piece)]
            self.sent[stream] = self.sent.get(stream, 0) + len(piece)

    # -- listening --

    def pump(self, seconds, until=lambda: False):
        """Lets at most that much time pass until something is true; whether it is."""
        deadline = time.monotonic() + seconds
        while not until() and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.local.settimeout(left)
            try:
                data = self.local.recv(1 << 18)
            except TimeoutError:
                break
            except OSError:
                data = b""
            self.closed = not data
            self.waits += data
            self.take()
        return until()

    def take(self):
        at = 0
        while len(self.waits) >= at + 12:
            _, kind, flags, stream, length = struct.unpack_from(">BBHII", self.waits, at)
            end = at + 12 + (length if kind == DATA else 0)
            if len(self.waits) < end:
                break
            self.hear(kind, flags, stream, length, self.waits[at + 12:end])
            at = end
        del self.waits[:at]

    def hear(self, kind, flags, stream, length, payload):
        self.frames += 1
        if kind == GO_AWAY:
            self.goaway = length
        elif kind == PING and flags & ACK:
            self.acks.append(length)
        elif kind == PING and self.polite:
            self.frame(PING, ACK, 0, length)
        elif kind == WINDOW:
            self.granted[stream] = self.granted.get(stream, 0) + length
            self.flush(stream)
        elif kind == DATA:
            self.heard.setdefault(stream, bytearray()).extend(payload)
            if self.polite and length:
                self.frame(WINDOW, 0, stream, length)
        if flags & RST:
            self.resets.add(stream)
        if flags & FIN:
            self.fins.add(stream)
        if stream and stream % 2 == (0 if self.dialer else 1):
            self.answer(stream)

    def answer(self, stream):
        """What the node opened: negotiated when polite."""
        if not self.polite or stream in self.resets:
            return
        heard = self.heard.setdefault(stream, bytearray())
        if stream not in self.protocols:
            lines = bytes(heard)
            if not lines.startswith(HELLO):
                return
            name = unframed(lines[len(HELLO):])
            if name is None:
                return
            del heard[:len(HELLO) + len(framed(name))]
            name = name.decode().strip()
            self.protocols[stream] = name
            known = name == IDENTIFY or name in self.serve
            self.data(stream, HELLO + (proposal(name) if known else b"\x03na\n"), ACK)
            if name == IDENTIFY:
                self.data(stream, self.identify if isinstance(self.identify, bytes) else self.identify(), FIN)
            if not known:
                return
        handler = self.serve.get(self.protocols[stream])
        if handler:
            handler(self, stream, heard)

    def payload(self, stream, protocol):
        """What came on a stream of ours behind the negotiation, or None before its end."""
        lines = HELLO + proposal(protocol)
        heard = bytes(self.heard.get(stream, b""))
        return heard[len(lines):] if heard.startswith(lines) else None

    def lives(self, value=77, seconds=3):
        """A Yamux ping comes back."""
        self.frame(PING, SYN, 0, value)
        return self.pump(seconds, lambda: value in self.acks)

    def is_shut_out(self, seconds=3):
        self.pump(seconds)
        return self.closed

    def close(self):
        self.local.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve_kad(answer):
    """A handler for Peer.serve: answer gets the request's fields and gives the message."""
    def handler(peer, stream, heard):
        request = unframed(bytes(heard))
        while request is not None:
            del heard[:len(framed(request))]
            peer.questions = getattr(peer, "questions", 0) + 1
            peer.queue(stream, framed(answer(dict(fields(request)))))
            request = unframed(bytes(heard))
    return handler


def identify_of(keys, seed, protocols, **more):
    """A whole identify message, framed; more: further fields by their number as f8=bytes."""
    _, public, _, _ = keys.ask(seed)
    body = field(1, public) + b"".join(field(3, name) for name in (p.encode() for p in protocols)) + field(5, b"ipfs/0.1.0") + field(6, b"chaos")
    for name, value in more.items():
        body += b"".join(field(int(name[1:]), v) for v in (value if isinstance(value, list) else [value]))
    return framed(body)


# ---- the honest client ----

class Stalls(threading.Thread):
    """How long this machine let the test itself wait: sleeps that asked nothing of the node and ended more than 0.1 s late."""

    def __init__(self):
        super().__init__(daemon=True)
        self.late = []
        self.start()

    def run(self):
        while True:
            began = time.monotonic()
            time.sleep(0.02)
            late = time.monotonic() - began - 0.02
            if late > 0.1:
                self.late.append((began, late))

    def since(self, began):
        return sum(late for at, late in self.late if at + late > began)


STALLS = Stalls()


class Honest(threading.Thread):
    """Asks all the time, over one connection, for a ping, a block and who is near a key; remembers how long the three took."""

    dialling = threading.Lock()  # held by who forks, too: the fork has the pipe that a Popen beside it waits for, which then takes as long as the fork lives

    def __init__(self, port, sources, keys, cid, block, dht=True):
        super().__init__(daemon=True)
        self.port, self.sources, self.keys, self.cid, self.block, self.dht = port, sources, keys, cid, block, dht
        self.seed, self.stream, self.lost, self.faults = seed_of("honest"), -1, 0, []
        self.took, self.when, self.stopping, self.peer, self.blocks = [], [], threading.Event(), None, bytearray()

    def dial(self):
        with Honest.dialling:
            self.peer = Peer(self.port, next(self.sources), self.seed, polite=True, identify=identify_of(self.keys, self.seed, [IDENTIFY, PING_PROTOCOL, BITSWAP]))
        self.peer.serve = {BITSWAP: self.on_bitswap}
        self.stream = -1

    def on_bitswap(self, peer, stream, heard):
        self.blocks += heard
        del heard[:]

    def next_stream(self):
        self.stream += 2
        return self.stream

    def ask(self, protocol, payload, answer):
        stream = self.next_stream()
        self.peer.open(stream, protocol, payload)
        good = self.peer.pump(PATIENCE_S, lambda: answer(self.peer.payload(stream, protocol) or b""))
        self.peer.frame(DATA, FIN, stream, 0)
        if not good:
            self.faults.append(f"no answer of {protocol}" + (", closed" if self.peer.closed else ""))
        return good

    def probe(self):
        """Dials if need be, then ping, FIND_NODE and block; how long until all were answered, the machine's own stalls left out; None for never."""
        began, token = time.monotonic(), os.urandom(32)
        if self.peer is None or self.peer.closed:
            self.lost += self.peer is not None
            self.dial()
        good = self.ask(PING_PROTOCOL, token, lambda heard: heard == token)
        if self.dht:
            good = good and self.ask(LAN, framed(field(1, 4) + field(2, os.urandom(32))), lambda heard: (unframed(heard) or b"").startswith(b"\x08\x04"))
        want = field(1, field(1, field(1, self.cid) + field(2, 1) + field(5, 1)) + field(2, 0))
        del self.blocks[:]
        stream = self.next_stream()
        self.peer.open(stream, BITSWAP, framed(want))
        good = good and self.peer.pump(PATIENCE_S, lambda: self.block in self.blocks)
        self.peer.frame(DATA, FIN, stream, 0)
        if not good and not self.faults:
            self.faults.append("no block")
        return max(0.0, time.monotonic() - began - STALLS.since(began)) if good else None

    def run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                took = self.probe()
            except (OSError, Refused) as error:
                self.faults.append(repr(error))
                took = None
            self.took.append(took)
            self.when.append(began)
            self.stopping.wait(0.1)
            if self.peer:
                self.peer.pump(0.01)

    def since(self, mark, control):
        """What each probe took from there on, less what the same probes of a node that nobody attacks took meanwhile: that is the machine's."""
        return [None if took is None else max(0.0, took - max((t or 0.0 for b, t in list(zip(control.when, control.took)) if b < began + took and b + (t or 0.0) > began), default=0.0))
                for began, took in list(zip(self.when, self.took))[mark:]]

    def stop(self):
        self.stopping.set()
        self.join()
        if self.peer:
            self.peer.close()

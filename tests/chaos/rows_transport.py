# SPDX-License-Identifier: MIT
"""Rows T1 to T18 of the attack list: transport, security, muxer, negotiation. Each is a function of the world (run.py); what it checks is
said by its own words, and the runner adds life, memory and the honest client."""
import hashlib
import socket
import struct
import subprocess
import time
from functools import lru_cache
from random import Random

from peer import (BITSWAP, CHAOS_PEER, DATA, FIRST_WINDOW, HELLO, PING, PING_PROTOCOL, SYN, WINDOW, Peer, Refused, field, header, is_closed,
                  proposal, seed_of, tcp)

NOISE = HELLO + b"\x07/noise\n"
PROTOCOL_ERROR = 1


def shut_out_by_go_away(w, name, peer):
    w.check(f"{name}: go-away(1), then closed", peer.is_shut_out() and peer.goaway == PROTOCOL_ERROR, (peer.closed, peer.goaway))
    peer.close()


def t1_connections(w):
    """Connections that never finish the upgrade, each from a source of its own."""
    socks, refused = [], 0
    for n in range(w.many(10000, 1500)):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            sock.bind((f"127.{100 + n // 4000}.{n // 16 % 250}.{1 + n % 16}", 0))
            sock.connect_ex(("127.0.0.1", w.port))
            socks.append(sock)
        except OSError:
            refused += 1
            sock.close()
        if n % 50 == 49:
            time.sleep(0.01)  # the listener's backlog is the kernel's
    time.sleep(1)
    w.check("most were hung up on, 128 at most wait", count_open(socks) <= 128 and refused == 0, (count_open(socks), refused))
    for sock in socks:
        sock.close()


def count_open(socks):
    """Connections that were greeted, or not yet, and not hung up on."""
    left = 0
    for sock in socks:
        try:
            data = sock.recv(4096)
            while data:
                data = sock.recv(4096)
        except BlockingIOError:
            left += 1
        except OSError:
            pass
    return left


def t1_streams(w):
    """Streams without end on one connection: 1,024 at once at most, the rest reset."""
    peer, count = w.peer(), w.many(50000, 5000)
    for n in range(0, count, 100):
        opens = b"".join(header(DATA, SYN, 2 * (n + k) + 1, len(HELLO + proposal(BITSWAP))) + HELLO + proposal(BITSWAP) for k in range(100))
        if not peer.send(opens, 2):
            peer.pump(0.5)
        peer.pump(0.002)
        if peer.closed:
            break
    peer.pump(3, lambda: len([s for s in peer.resets if s % 2]) >= count - 1024)
    reset = len([s for s in peer.resets if s % 2])
    w.check(f"of {count} streams all but 1,024 are reset", peer.closed or reset >= count - 1024, (peer.closed, reset))
    peer.close()


def der(tag, data):
    size = len(data)
    length = bytes([size]) if size < 128 else (lambda raw: bytes([0x80 | len(raw)]) + raw)(size.to_bytes((size.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + length + data


def is_prime(n, random):
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)):
        return False
    odd = (n - 1) & -(n - 1)
    for _ in range(8):
        x = pow(random.randrange(2, n - 1), (n - 1) // odd, n)
        if x != 1 and not any((x := x if step == 0 else x * x % n) == n - 1 for step in range(odd.bit_length() - 1)):
            return False
    return True


@lru_cache
def rsa(bits):
    """(modulus, private exponent) of a key that is a real one, the same each time."""
    random, primes = Random(bits), []
    while len(primes) < 2:
        n = random.getrandbits(bits // 2) | 3 << bits // 2 - 2 | 1
        if n % 65537 != 1 and n not in primes and is_prime(n, random):
            primes.append(n)
    return primes[0] * primes[1], pow(65537, -1, (primes[0] - 1) * (primes[1] - 1))


def rsa_proof(w, seed, modulus, exponent):
    """What a peer proves itself by in Noise, with a key of this modulus; exponent None: with a signature that is none."""
    size = (modulus.bit_length() + 7) // 8
    inner = der(0x30, der(2, modulus.to_bytes(modulus.bit_length() // 8 + 1, "big")) + der(2, b"\1\0\1"))
    spki = der(0x30, der(0x30, der(6, bytes.fromhex("2a864886f70d010101")) + b"\5\0") + der(3, b"\0" + inner))
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(b"noise-libp2p-static-key:" + w.keys.ask(seed)[3]).digest()
    padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(size, "big") if exponent else b"\1" * 1024
    return field(1, b"\x08\0" + field(2, spki)) + field(2, signature)


def t2_rsa(w):
    """1,024 bits with a signature that is right; 8,193 and 65,536 with any; 2,048 is let in."""
    for bits, good in ((2048, True), (1024, False), (8193, False), (65536, False)):
        seed = seed_of(f"rsa {bits}")
        modulus, exponent = rsa(bits) if bits <= 2048 else ((1 << bits) - 1, None)
        with open(w.scratch(f"rsa{bits}"), "wb") as file:
            file.write(rsa_proof(w, seed, modulus, exponent)[:12000])
        before = w.cpu_ns()
        refused = refused_identity(w, w.scratch(f"rsa{bits}"), seed)
        took = (w.cpu_ns() - before) / 1e6
        w.check(f"an RSA key of {bits} bits is {'let in' if good else 'refused'}", refused != good)
        if not good and not w.mixed:
            w.check("and costs under 5 ms of CPU, the honest client's share included", took < 5, took)


def refused_identity(w, how, seed=None):
    """The third message proves nothing: the peer hears no byte of the muxer, and the end."""
    try:
        peer = w.peer_of(seed or seed_of(how), proof=how)
    except Refused:
        return True
    shut = peer.is_shut_out(1 if seed else 3) and peer.frames == 0
    peer.close()
    return shut


def t3_window(w):
    peer = w.peer()
    peer.frame(DATA, SYN, 1, FIRST_WINDOW + 1, b"x")
    shut_out_by_go_away(w, "Data with SYN beyond the window", peer)
    w.check("no half-made stream that greets", 1 not in peer.heard and 1 not in peer.granted, peer.heard)
    peer = w.peer()
    peer.open(1, BITSWAP, b"\x80\x80\x80\x02")  # a message of 4 MiB: it is held, so its credit does not come back at once
    peer.pump(0.3)
    sent = 0
    while not peer.closed and sent < 32 << 20:
        granted = FIRST_WINDOW + peer.granted.get(1, 0)
        peer.frame(DATA, 0, 1, granted + (1 << 20), b"x" * 1000)
        sent += 1 << 20
        peer.pump(0.1)
    shut_out_by_go_away(w, "Data beyond the window of an open stream", peer)


def t4_credit(w):
    peer, token, answered = w.peer(), b"p" * 32, 20 + 18 + 32
    peer.open(1, PING_PROTOCOL, token)
    w.check("an echo", peer.pump(3, lambda: peer.payload(1, PING_PROTOCOL) == token))
    peer.frame(WINDOW, 0, 1, 2**32 - FIRST_WINDOW + answered)  # exactly 2^32
    for n in range(2, 5):
        peer.data(1, token)
        if not w.check(f"credit past 2^32: echo {n}", peer.pump(3, lambda: peer.payload(1, PING_PROTOCOL) == token * n), len(peer.heard.get(1, b""))):
            break
        peer.frame(WINDOW, 0, 1, 2**32 - 1)
    w.check("lives on", peer.lives() and 1 not in peer.resets)
    peer.close()


def say_unheard(peer, frame, most, each, rest_s=0.0):
    """Frames, so many in a piece, by a peer that reads nothing: how many went out until none was taken for a while."""
    taken = 0
    while taken < most and peer.send(b"".join(frame(taken + k) for k in range(each)), 0.5):
        taken += each
        if rest_s:
            time.sleep(rest_s)
    return taken


def t5_never_reads(w):
    """By a peer that reads nothing: a million pings in large pieces, of which one read brings thousands; pings whose pongs fill the way back;
    opens. At most 32 pongs wait, whatever comes; where the answers cannot leave, the node reads no more, and after 10 s the peer is let go."""
    def ping(n):
        return header(PING, SYN, 0, n)

    peer = w.peer(room=4096)
    peer.deafen()
    taken = say_unheard(peer, ping, 1000000, 1000)
    peer.deafen(False)
    deadline, lives = time.monotonic() + 10, False
    while not lives and not peer.closed and time.monotonic() < deadline:
        lives = peer.lives(2**32 - 1, 0.5)  # again and again: what comes with the rest of the flood is dropped like it
    print(f"# {taken} pings ({taken * 12 / 2**20:.1f} MiB) went out in pieces of 1,000, {len(peer.acks) - lives} were answered")
    w.check("pings: all but a few are dropped when their pongs would wait", 0 < len(peer.acks) < taken / 20 or taken < 1000000, (len(peer.acks), taken))
    w.check("pings: it reads again, and is answered", lives)
    peer.close()
    for name, frame, each, rest_s in (("pings in pieces of 32", ping, 32, 0.0005), ("opens", lambda n: header(WINDOW, SYN, 2 * n + 1, 0), 1000, 0)):
        if rest_s and w.short:
            continue
        peer, most = w.peer(room=4096), 4000000
        peer.deafen()
        taken = say_unheard(peer, frame, most, each, rest_s)
        print(f"# {taken} {name} ({taken * 12 / 2**20:.1f} MiB, the kernel's buffers among them) went out")
        w.check(f"{name}: reading pauses", 0 < taken < most and (rest_s or not peer.closed), taken)  # at that pace it may be let go already
        if not w.short:
            w.check(f"{name}: let go when it took nothing for 10 s", gone(peer, 25))
        peer.close()


def gone(peer, seconds):
    """The deaf peer's process ends when the node hangs up on it."""
    try:
        peer.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def t6_unaccepted(w):
    peer = w.peer()
    peer.send(b"".join(header(WINDOW, SYN, 2 * n + 1, 0) for n in range(300)))
    peer.pump(1, lambda: len([s for s in peer.resets if s % 2]) >= 44)
    reset = len([s for s in peer.resets if s % 2])
    w.check("of 300 streams 44 are reset, 256 wait", reset == 44, reset)
    w.check("lives on", peer.lives())
    if not w.short:
        peer.pump(12, lambda: len([s for s in peer.resets if s % 2]) >= 300)
        w.check("and after 10 s the rest is reset", len([s for s in peer.resets if s % 2]) == 300, len(peer.resets))
    peer.close()


def t7_ids(w):
    peer = w.peer()
    peer.frame(WINDOW, SYN, 1, 0)
    peer.frame(WINDOW, SYN, 1, 0)
    shut_out_by_go_away(w, "an id twice", peer)
    peer = w.peer()
    peer.frame(WINDOW, SYN, 200, 0)
    shut_out_by_go_away(w, "an id of the wrong parity", peer)


def t8_flipped(w):
    peer = w.peer()
    w.check("a pong before", peer.lives(1))
    peer.raw(struct.pack(">H", 12 + 16) + bytes(28))
    peer.frame(PING, SYN, 0, 2)  # with the nonce that would follow
    w.check("a frame that does not decrypt: closed at once, no answer to what follows", peer.is_shut_out() and 2 not in peer.acks, peer.acks)
    peer.close()


def t9_identity(w):
    for how in ("empty", "tampered", "foreign", "nokey"):
        w.check(f"a proof of identity that is {how} is refused", refused_identity(w, how))
    with socket.create_server((next(w.sources), 0)) as server:
        address = server.getsockname()
        command = w.node.start_command("swarm", "connect", f"/ip4/{address[0]}/tcp/{address[1]}/p2p/{w.stranger}")
        server.settimeout(5)
        sock, _ = server.accept()
        try:
            peer = Peer(w.port, None, seed_of("another"), sock=sock)
            w.check("another peer than the dialled one is hung up on", peer.is_shut_out() and peer.frames == 0, peer.frames)
            peer.close()
        except Refused:
            w.check("another peer than the dialled one is hung up on", True)
        w.check("and the command says so", command.wait(15) != 0)


def static_key(w):
    sock = tcp(w.port, next(w.sources))
    sock.setblocking(True)
    ours, theirs = socket.socketpair()
    subprocess.run([CHAOS_PEER, "static"], stdin=sock.fileno(), stdout=theirs.fileno(), timeout=10)
    line = ours.recv(200).decode()
    for each in (sock, ours, theirs):
        each.close()
    return line.split()[1] if line.startswith("ok") else None


def t10_static(w):
    first, again = static_key(w), static_key(w)
    w.check("the static key is one in a process", first is not None and first == again, (first, again))
    w.restart()
    other = static_key(w)
    w.check("and another in the next", other is not None and other != first, (first, other))


def t11_lengths(w):
    for length, data in ((0, b""), (15, bytes(15)), (65535, b"\1\2\3")):
        sock = tcp(w.port, next(w.sources))
        sock.sendall(NOISE + struct.pack(">H", length) + data)
        w.check(f"length {length} in the handshake: closed", is_closed(sock, 3))
        sock.close()
        peer = w.peer()
        peer.raw(struct.pack(">H", length) + data)
        if length < 16:
            w.check(f"length {length} after it: closed", peer.is_shut_out())
        else:
            w.check("length 65535 after it: waited for, and an early end is an end", not peer.is_shut_out(0.3))
        peer.close()


def t12_disguise(w):
    disguise = HELLO + proposal(PING_PROTOCOL)
    peer = w.peer()
    peer.open(1, PING_PROTOCOL, disguise[:32])
    w.check("payload like a proposal is payload", peer.pump(3, lambda: peer.payload(1, PING_PROTOCOL) == disguise[:32]), peer.heard.get(1))
    peer.frame(WINDOW, SYN, 3, 0)
    w.check("the header comes unasked", peer.pump(3, lambda: bytes(peer.heard.get(3, b"")) == HELLO), peer.heard.get(3))
    for byte in HELLO + proposal(PING_PROTOCOL):
        peer.data(3, bytes([byte]))
    w.check("a proposal in single bytes is answered", peer.pump(3, lambda: peer.payload(3, PING_PROTOCOL) == b""), peer.heard.get(3))
    peer.close()


def t13_negotiation(w):
    for name, data in (("a length of 2^63", b"\x80" * 9 + b"\1" + b"x" * 100), ("a thousand proposals", HELLO + proposal("/no/such") * 1000)):
        sock = tcp(w.port, next(w.sources))
        sock.sendall(data)
        w.check(f"{name}: closed", is_closed(sock, 3))
        sock.close()
    peer = w.peer()
    peer.data(1, b"\x80" * 9 + b"\1", SYN)
    peer.data(3, HELLO + proposal("/no/such") * 1000, SYN)
    w.check("the same on streams: reset", peer.pump(3, lambda: {1, 3} <= peer.resets) and peer.lives(), peer.resets)
    peer.close()
    if w.short:
        return
    sock, began = tcp(w.port, next(w.sources)), time.monotonic()
    w.slow(sock, NOISE)
    took = time.monotonic() - began
    w.check("a byte each 5 s: closed within 30 s", took < 30, took)
    sock.close()


def t13_memory(w):
    """128 half-open connections that have sent all they may: under 8 KiB each."""
    before, socks = w.rss(), []
    for n in range(120):
        sock = tcp(w.port, next(w.sources))
        sock.sendall(NOISE[:25])
        socks.append(sock)
    time.sleep(0.3)
    grown = (w.rss() - before) / len(socks)
    w.check("a half-open connection costs under 8 KiB", grown < 8192, grown)
    for sock in socks:
        sock.close()


def knock(w, source):
    """A connection that was greeted, or None."""
    sock = socket.socket()
    sock.settimeout(2)
    try:
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", w.port))
        if sock.recv(64):
            return sock
    except OSError:
        pass
    sock.close()
    return None


def t18_flood(w):
    """Connections as fast as they go from all of one /24, each closed again: 64 and what comes with time are let in; then held: 32 stay."""
    began, greeted, socks = time.monotonic(), 0, []
    for n in range(w.many(2000, 600)):
        sock = knock(w, f"127.9.18.{1 + n % 250}")
        greeted += sock is not None
        if sock:
            sock.close()
    allowed = 64 + 4 * 0.2 * (time.monotonic() - began) + 1
    print(f"# {greeted} greeted")
    w.check("at most the burst of a /24 was greeted", 0 < greeted <= allowed, (greeted, allowed))
    for n in range(60):
        sock = knock(w, f"127.9.20.{1 + n}")
        if sock:
            sock.setblocking(False)
            socks.append(sock)
    left = count_open(socks)
    w.check("at most 32 stay", 0 < left <= 32, left)
    for sock in socks:
        sock.close()
    one = []
    for _ in range(40):
        try:
            one.append(tcp(w.port, "127.9.19.1"))
            one[-1].setblocking(False)
        except OSError:
            pass  # hung up on before connect returned
    time.sleep(0.5)
    left = count_open(one)
    w.check("of one address 8 stay", 0 < left <= 8, left)
    for sock in one:
        sock.close()


# name, bound of the growth of memory in MiB, part of the smoke
ROWS = [
    ("T11", t11_lengths, 4, True), ("T13", t13_negotiation, 4, True), ("T13 memory", t13_memory, 4, True), ("T3", t3_window, 8, True), ("T4", t4_credit, 4, True),
    ("T7", t7_ids, 4, True), ("T5", t5_never_reads, 8, True), ("T6", t6_unaccepted, 4, True), ("T1 connections", t1_connections, 16, True),
    ("T1 streams", t1_streams, 16, True), ("T18", t18_flood, 4, True), ("T2", t2_rsa, 4, True), ("T8", t8_flipped, 4, True), ("T9", t9_identity, 4, True),
    ("T10", t10_static, 16, True), ("T12", t12_disguise, 4, True),
]

# SPDX-License-Identifier: MIT
"""Rows P1 to P17 and D18 of the attack list: identify, peer records, the DHT, names. As rows_transport.py."""
import hashlib
import json
import os
import threading
import time

from peer import (DATA, FIN, HELLO, IDENTIFY, LAN, PING_PROTOCOL, PUSH, SYN, Refused, base58, field, fields, framed, header, identify_of, ip4_tcp, proposal,
                  seed_of, serve_kad, unframed, varint)

PUT_VALUE, GET_VALUE, ADD_PROVIDER, GET_PROVIDERS, FIND_NODE = range(5)
PEERS_MAX, PROTOCOLS_MAX, PROVIDERS_OF_A_KEY_MAX = 4096, 64, 64
RECORD_BYTES_MAX = 10 * 1024
HOUR_S = 3600


# ---- identify and peer records ----

def envelope(w, signer, peer, seq, addresses, domain=b"libp2p-peer-record", kind=b"\x03\x01", key=None):
    """A signed peer record, made wrong by its arguments; signer and key are seeds."""
    record = field(1, peer) + field(2, seq) + b"".join(field(3, field(1, a)) for a in addresses)
    parts = b"".join(varint(len(part)) + part for part in (domain, kind, record))
    _, public, signature, _ = w.keys.ask(signer, parts)
    if key:
        public = w.keys.ask(key)[1]
    return field(1, public) + field(2, kind) + field(3, record) + field(5, signature)


def addrs_of(w, peer):
    code, out, _ = w.node.run("swarm", "addrs", "--enc=json")
    return json.dumps([row for row in walk(json.loads(out)) if isinstance(row, dict) and peer in json.dumps(row)]) if code == 0 else ""


def walk(value):
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from walk(each)


def row_of(w, peer, seconds=3):
    """What the daemon keeps of a peer in state.db: (protocols, agent), or None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        code, out, _ = w.node.run("--enc=json", "sql", f"select json_array_length(protocols) as n, agent from peers where peer = '{peer}'")
        rows = [row for row in walk(json.loads(out)) if isinstance(row, dict) and "agent" in row] if code == 0 else []
        if rows:
            return rows[0]["n"], rows[0]["agent"]
        time.sleep(0.2)
    return None


def polite(w, name, identify, **more):
    """A polite peer that says this of itself when asked; waits until it was asked."""
    seed = seed_of(name)
    peer = w.peer_of(seed, polite=True, identify=identify(seed) if callable(identify) else identify, **more)
    peer.name, peer.id = base58(w.keys.ask(seed)[0]), w.keys.ask(seed)[0]
    peer.pump(3, lambda: IDENTIFY in peer.protocols.values())
    peer.pump(0.2)
    return peer


def identify_stream(peer):
    return next((stream for stream, name in peer.protocols.items() if name == IDENTIFY), None)


def p3_identify(w):
    def chunks(seed):
        _, public, _, _ = w.keys.ask(seed)
        return framed(field(1, public) + field(6, b"eleven")) + framed(field(3, b"/x")) * 10

    def oversized(seed):
        whole = identify_of(w.keys, seed, [IDENTIFY])
        return framed(whole[1:] + field(6, b"y" * (8193 - len(whole) - 2)))

    for name, identify in (("eleven chunks", chunks), ("a message of 8,193 bytes", oversized)):
        peer = polite(w, name, identify)
        w.check(f"{name}: reset, the connection lives", identify_stream(peer) in peer.resets and peer.lives(), (peer.protocols, peer.resets, peer.closed))
        peer.close()
    peer = polite(w, "protocols", lambda seed: b"".join(
        [identify_of(w.keys, seed, [IDENTIFY])] + [framed(b"".join(field(3, b"/p%d" % (k * 700 + n)) for n in range(700))) for k in range(8)]))
    row = row_of(w, peer.name)
    w.check("of 5,600 protocols state.db has at most 64", row is not None and 0 < row[0] <= PROTOCOLS_MAX and peer.lives(), row)
    peer.close()


def p4_pushes(w):
    peer, count = polite(w, "pusher", lambda seed: identify_of(w.keys, seed, [IDENTIFY])), 1000
    for n in range(count):
        peer.open(2 * n + 1, PUSH, framed(field(3, b"/x/%d" % n)), FIN)
        if n % 100 == 99:
            peer.pump(0.1)
    peer.pump(2, lambda: len([s for s in peer.resets if s % 2]) >= count - 12)
    heard = count - len([s for s in peer.resets if s % 2])
    w.check("of 1,000 pushes in a second at most 11 are listened to", heard <= 11, heard)
    w.check("the connection lives", peer.lives())
    peer.close()


def p2_records(w):
    def address(n):
        return ip4_tcp(f"127.77.2.{n}", 4000 + n)

    stranger = seed_of("stranger")
    foreign = w.keys.ask(stranger)[0]
    cases = [
        ("the record's peer is another", lambda s, me: envelope(w, s, foreign, 1, [address(1)]), 1),
        ("envelope and record are another's", lambda s, me: envelope(w, stranger, foreign, 1, [address(2)]), 2),
        ("the envelope's key is another's", lambda s, me: envelope(w, s, me, 1, [address(3)], key=stranger), 3),
        ("the domain is another", lambda s, me: envelope(w, s, me, 1, [address(4)], domain=b"libp2p-routing-state"), 4),
        ("the payload type is another", lambda s, me: envelope(w, s, me, 1, [address(5)], kind=b"\x03\x02"), 5),
        ("signed by another", lambda s, me: envelope(w, stranger, me, 1, [address(6)], key=s), 6),
    ]
    for name, make, n in cases:
        peer = polite(w, f"record {n}", lambda seed, make=make: identify_of(w.keys, seed, [IDENTIFY], f8=make(seed, w.keys.ask(seed)[0])))
        known = w.node.run("swarm", "addrs")[1].decode()
        w.check(f"{name}: refused, the connection lives", f"127.77.2.{n}/" not in known and peer.lives(), known[:300])
        peer.close()
    name = w.unique("honest record")
    seed = seed_of(name)
    me = w.keys.ask(seed)[0]
    peer = polite(w, name, identify_of(w.keys, seed, [IDENTIFY], f8=envelope(w, seed, me, 5, [address(10)])))
    w.check("an honest one is believed", "127.77.2.10/" in w.node.run("swarm", "addrs")[1].decode())
    for stream, seq in ((1, 5), (3, 4)):
        peer.open(stream, PUSH, framed(field(8, envelope(w, seed, me, seq, [address(10 + stream)]))), FIN)
        peer.pump(0.5, lambda: stream in peer.fins or stream in peer.resets)
    known = w.node.run("swarm", "addrs")[1].decode()
    w.check("seq replayed and gone back: refused", "127.77.2.11/" not in known and "127.77.2.13/" not in known and "127.77.2.10/" in known, known[:300])
    peer.open(5, PUSH, framed(field(8, envelope(w, seed, me, 6, [address(20)]))), FIN)
    peer.pump(1)
    w.check("a newer one is believed", "127.77.2.20/" in w.node.run("swarm", "addrs")[1].decode())
    peer.close()


def at_once(jobs):
    """Runs them in threads of their own, to the end of each."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def push_records(w, name, records, times):
    """A peer that pushes all of them, over and over, as fast as it goes; how many were taken off its hands."""
    peer, stream, pushed = polite(w, name, lambda seed: identify_of(w.keys, seed, [IDENTIFY])), 1, 0
    for _ in range(times):
        for at in range(0, len(records), 50):
            batch = bytearray()
            for record in records[at:at + 50]:
                body = HELLO + proposal(PUSH) + record
                batch += header(DATA, SYN | FIN, stream, len(body)) + body
                stream += 2
            if peer.closed or not peer.send(bytes(batch), 10):
                break
            pushed += len(records[at:at + 50])
            peer.pump(0.001)
    lives = peer.lives(seconds=10)
    peer.close()
    return pushed, lives


def p1_random_peers(w):
    """Records of peers that nobody met, as pushes; then peers that come with good ones, and go: in full more than the table has room for."""
    before, strangers = peers_known(w), []
    for n in range(w.many(1000, 200)):
        other = seed_of(f"random {n}")
        strangers.append(framed(field(8, envelope(w, other, w.keys.ask(other)[0], 1, [ip4_tcp("127.78.1.1", 4001)]))))
    told = [push_records(w, f"gossip {n}", strangers, w.full_size(100, 1)) for n in range(w.many(10, 1))]
    print(f"# {sum(pushed for pushed, _ in told)} records of others pushed")
    w.check("records of others bring no peer into the table, the connections live", all(lives for _, lives in told) and
            "127.78.1.1/" not in w.node.run("swarm", "addrs")[1].decode(), told)
    come, count = [0], w.full_size(PEERS_MAX + 500, w.many(400, 40))

    def pass_by(turn):
        for n in range(turn, count, 4):
            seed = seed_of(f"passer {n}")
            try:
                polite_quick(w, seed, identify_of(w.keys, seed, [IDENTIFY], f8=envelope(w, seed, w.keys.ask(seed)[0], 1, [ip4_tcp("127.79.1.1", 4001)]))).close()
                come[0] += 1
            except (Refused, OSError):
                pass  # turned away, for others came before it

    at_once([lambda turn=turn: pass_by(turn) for turn in range(4)])
    time.sleep(2)
    now = peers_known(w)
    w.check(f"those who came are at most {PEERS_MAX}", 0 < now <= PEERS_MAX, (before, now))
    if count > PEERS_MAX:
        w.check("and more than that came", come[0] > PEERS_MAX, come)
    print(f"# {before} peers known before, {come[0]} came, {now} known after")


def polite_quick(w, seed, identify):
    peer = w.peer_of(seed, polite=True, identify=identify)
    peer.pump(1, lambda: IDENTIFY in peer.protocols.values())
    return peer


def peers_known(w):
    return number_of(w, "select count(*) from peers")


def number_of(w, query):
    """The one number that a query of state.db gives."""
    code, out, _ = w.node.run("sql", query)
    words = out.split()
    return int(words[-1]) if code == 0 and words and words[-1].isdigit() else 0


# ---- the DHT ----

def ask(peer, message, seconds=3, protocol=LAN):
    """The answer to one request on a stream of its own, or None."""
    peer.next_stream = getattr(peer, "next_stream", -1) + 2
    stream = peer.next_stream
    peer.open(stream, protocol, framed(message))
    peer.pump(seconds, lambda: unframed(peer.payload(stream, protocol) or b"") is not None or stream in peer.resets or stream in peer.fins)
    answer = unframed(peer.payload(stream, protocol) or b"")
    peer.frame(DATA, FIN, stream, 0)
    return answer


def provider(peer_id, address="127.80.1.1"):
    return field(9, field(1, peer_id) + field(2, ip4_tcp(address, 4001)))


def multihash(name):
    return b"\x12\x20" + bytes.fromhex(seed_of(name))


def providers_of(answer):
    return [dict(fields(value)).get(1) for number, value in fields(answer or b"") if number == 9]


def p11_providers(w):
    peer = polite(w, "provider", lambda seed: identify_of(w.keys, seed, [IDENTIFY]))
    foreign = w.keys.ask(seed_of("not me"))[0]
    key = multihash(w.unique("one key"))
    ask(peer, field(1, ADD_PROVIDER) + field(2, key) + provider(foreign), 0.3)
    found = providers_of(ask(peer, field(1, GET_PROVIDERS) + field(2, key)))
    w.check("a foreign provider is not believed", foreign not in found, found)
    ask(peer, field(1, ADD_PROVIDER) + field(2, key) + provider(peer.id), 0.3)
    other = polite(w, "asker", lambda seed: identify_of(w.keys, seed, [IDENTIFY]))
    found = providers_of(ask(other, field(1, GET_PROVIDERS) + field(2, key)))
    w.check("the sender is", found == [peer.id], found)
    one_key, many = multihash(w.unique("flooded")), w.full_size(62500, w.many(10000, 1500))
    flooders = [peer] + [polite(w, f"flooder {n}", lambda seed: identify_of(w.keys, seed, [IDENTIFY])) for n in range(w.full_size(7, 0))]
    began = time.monotonic()
    at_once([lambda each=each: flood(each, one_key, many) for each in flooders])
    sent = sum(each.flooded for each in flooders)
    print(f"# {sent} ADD_PROVIDER of {len(flooders)} peers in {time.monotonic() - began:.0f} s, half of them on one key, the others on a key each")
    other.close()  # nobody answered its keepalive meanwhile
    other = polite(w, "asker", lambda seed: identify_of(w.keys, seed, [IDENTIFY]))
    found = providers_of(ask(other, field(1, GET_PROVIDERS) + field(2, one_key)))
    w.check("on the flooded key each sender is once", 0 < len(found) == len(set(found)) <= len(flooders), len(found))
    crowd, told = multihash(w.unique("crowd")), 0
    for n in range(w.many(PROVIDERS_OF_A_KEY_MAX + 16, 10)):
        seed = seed_of(f"crowd {n}")
        one = w.peer_of(seed)
        me = w.keys.ask(seed)[0]
        one.open(1, LAN, framed(field(1, ADD_PROVIDER) + field(2, crowd) + provider(me)) * 100 + framed(field(1, GET_PROVIDERS) + field(2, crowd)))
        told += one.pump(3, lambda: bool(one.payload(1, LAN)))  # what came before the question was read
        one.close()
    answer = ask(other, field(1, GET_PROVIDERS) + field(2, crowd))
    w.check("a crowd on a key: an answer within 16 KiB, nobody twice", answer is not None and len(answer) < 16384 and
            len(set(providers_of(answer))) == len(providers_of(answer)), len(answer or b""))
    if not w.mixed:
        kept = rows_of_key(w, crowd, min(told, PROVIDERS_OF_A_KEY_MAX))
        print(f"# {told} of a crowd were heard, {kept} are kept")
        w.check(f"and at most {PROVIDERS_OF_A_KEY_MAX} are kept", 0 < kept <= PROVIDERS_OF_A_KEY_MAX and kept >= min(told, PROVIDERS_OF_A_KEY_MAX), (kept, told))
    if w.full_size(True, False):
        held = providers_held(w)
        flood(peer, one_key, 5000)
        now = providers_held(w)
        print(f"# {held} provider records in state.db, {now} after 5,000 keys more")
        w.check("the table is flat at its cap", 0 < now <= held, (held, now))
    for each in [other, *flooders]:
        each.close()


def providers_held(w, seconds=30):
    """Rows of state.db, once no more come: they are written bit by bit."""
    deadline, rows, before = time.monotonic() + seconds, -1, -2
    while rows != before and time.monotonic() < deadline:
        time.sleep(1.5)
        before, rows = rows, number_of(w, "select count(*) from providers")
    return rows


def rows_of_key(w, key, awaited, seconds=60):
    """How many of a key are in state.db, once so many are, and what might come after them has come: a flooded table is a while in writing."""
    deadline, rows = time.monotonic() + seconds, 0
    while rows < awaited and time.monotonic() < deadline:
        time.sleep(1)
        rows = number_of(w, f"select count(*) from v_providers where key = '{hashlib.sha256(key).hexdigest()}'")
    time.sleep(2)
    return number_of(w, f"select count(*) from v_providers where key = '{hashlib.sha256(key).hexdigest()}'")


def flood(peer, key, count, seconds=120):
    """So many on one key, and as many on a key each, on one stream, as its credit allows."""
    peer.next_stream = getattr(peer, "next_stream", -1) + 2
    stream, peer.flooded, deadline = peer.next_stream, 0, time.monotonic() + seconds
    peer.open(stream, LAN)
    tail = provider(peer.id)
    again = framed(field(1, ADD_PROVIDER) + field(2, key) + tail)
    while peer.flooded < 2 * count and time.monotonic() < deadline and not peer.closed:
        peer.queue(stream, b"".join(again + framed(field(1, ADD_PROVIDER) + field(2, b"\x12\x20" + os.urandom(32)) + tail) for _ in range(500)))
        if peer.pump(deadline - time.monotonic(), lambda: peer.queued(stream) == 0):
            peer.flooded += 1000


def invented():
    """A peer id as of an Ed25519 key."""
    return b"\x00\x24\x08\x01\x12\x20" + os.urandom(32)


def p12_closer_peers(w):
    crowd = b"".join(field(8, field(1, invented()) + field(2, ip4_tcp(f"127.81.{n % 250}.1", 9))) for n in range(50000))
    seed = seed_of("crowd teller")
    peer = w.peer_of(seed, polite=True, identify=identify_of(w.keys, seed, [IDENTIFY, LAN]))
    peer.serve = {LAN: serve_kad(lambda request: field(1, request.get(1, 0)) + crowd)}
    peer.pump(2)
    began, command = time.monotonic(), w.node.start_command("routing", "findpeer", w.stranger, "--timeout", "20s")
    peer.pump(20, lambda: command.poll() is not None)
    took = time.monotonic() - began
    w.check("it was asked, and 50,000 closer peers were sent", getattr(peer, "questions", 0) > 0, peer.protocols)
    w.check("the lookup ends, within 5 s of the process's start", command.poll() is not None and took < 5, took)
    w.check("the connection lives, the stream is another matter", peer.lives())
    print(f"# {len(crowd)} bytes of closer peers, {getattr(peer, 'questions', 0)} questions, the lookup took {took:.2f} s")
    if command.poll() is None:
        command.kill()
    command.wait()
    peer.close()


# ---- values ----

def cbor(major, value):
    head = major << 5
    return bytes([head | value]) if value < 24 else next(bytes([head | code]) + value.to_bytes(size, "big") for code, size in ((24, 1), (25, 2), (26, 4), (27, 8))
                                                         if value < 1 << 8 * size)


def cbor_text(text):
    return cbor(3, len(text)) + text.encode()


def cbor_bytes(data):
    return cbor(2, len(data)) + data


def cbor_int(value):
    return cbor(0, value) if value >= 0 else cbor(1, -1 - value)


def ipns(w, seed, sequence, ttl=10**9, seconds=HOUR_S, more=b""):
    """A record of version 2 for the name of a seed, signed, with what it claims."""
    validity = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(time.time() + seconds)).encode()
    data = cbor(5, 5) + cbor_text("TTL") + cbor_int(ttl) + cbor_text("Value") + cbor_bytes(b"/ipfs/bafkqaaa") + cbor_text("Sequence") + cbor_int(sequence)
    data += cbor_text("Validity") + cbor_bytes(validity) + cbor_text("ValidityType") + cbor_int(0)
    return field(8, w.keys.ask(seed, b"ipns-signature:" + data)[2]) + field(9, data) + more


def put(peer, key, value):
    ask(peer, field(1, PUT_VALUE) + field(2, key) + field(3, field(1, key) + field(2, value)), 0.5)


def get(peer, key):
    answer = ask(peer, field(1, GET_VALUE) + field(2, key))
    record = dict(fields(answer or b"")).get(3)
    return None if answer is None else dict(fields(record)).get(2) if record else b""


def d18_ipns(w):
    peer, seed = polite(w, "namer", lambda seed: identify_of(w.keys, seed, [IDENTIFY])), seed_of(w.unique("a name"))
    key = b"/ipns/" + w.keys.ask(seed)[0]
    large = ipns(w, seed, 1)
    for name, record in (("10 KiB + 1", large + field(100, b"x" * (RECORD_BYTES_MAX + 1 - len(large) - 4))), ("a negative TTL", ipns(w, seed, 1, ttl=-1)),
                         ("a negative sequence", ipns(w, seed, -1)), ("another's signature", ipns(w, seed_of("other"), 1))):
        put(peer, key, record)
        kept = get(peer, key)
        w.check(f"{name}: refused, an answer without a record", kept == b"", kept)
    w.check("the large one is of that size", len(large + field(100, b"x" * (RECORD_BYTES_MAX + 1 - len(large) - 4))) == RECORD_BYTES_MAX + 1)
    newest, older = ipns(w, seed, 7), ipns(w, seed, 6)
    put(peer, key, newest)
    w.check("a good one is kept", get(peer, key) == newest)
    put(peer, key, older)
    w.check("a sequence that goes back: refused", get(peer, key) == newest)
    w.check("lives on", peer.lives())
    peer.close()


def p13_expired(w):
    peer, seed = polite(w, "late", lambda seed: identify_of(w.keys, seed, [IDENTIFY])), seed_of(w.unique("late name"))
    key = b"/ipns/" + w.keys.ask(seed)[0]
    put(peer, key, ipns(w, seed, 1, seconds=-60))
    w.check("a record whose time has passed is not taken", get(peer, key) == b"")
    short = ipns(w, seed, 2, seconds=3)
    put(peer, key, short)
    w.check("one that still has seconds is served", get(peer, key) == short)
    peer.pump(4)
    w.check("and not any more after its end", get(peer, key) == b"")
    peer.close()


def name_records(stranger):
    """A circle of names, and a fan of twenty names and twenty addresses at each step."""
    records = {"_dnsaddr.circle.test": [f"dnsaddr=/dnsaddr/circle.test/p2p/{stranger}"]}
    for n in range(2000):
        level = n // 100
        records[f"_dnsaddr.f{n}.test"] = [f"dnsaddr=/dnsaddr/f{(level + 1) * 100 + k}.test/p2p/{stranger}" for k in range(20)] + [
            f"dnsaddr=/ip4/127.82.{level}.{1 + n % 100}/tcp/{9 + k}/p2p/{stranger}" for k in range(20)]
    return records


def p17_names(w):
    for name, first in (("a circle", "circle.test"), ("a fan", "f0.test")):
        w.names.asked.clear()
        began = time.monotonic()
        code, _, _ = w.node.run("swarm", "connect", f"/dnsaddr/{first}/p2p/{w.stranger}", timeout=30)
        w.check(f"{name}: the command ends with a failure within 20 s", code not in (0, None) and time.monotonic() - began < 20, code)
        if not w.mixed:  # else the name server runs in another process
            asked = sum(w.names.asked.values())
            w.check(f"{name}: at most 100 questions, and some", 0 < asked <= 100, asked)
            print(f"# {name}: {asked} questions, {len(w.names.asked)} names")


ROWS = [
    ("P4", p4_pushes, 4, True), ("P3", p3_identify, 4, True), ("P1", p1_random_peers, 8, True), ("P2", p2_records, 4, True), ("P11", p11_providers, 16, True),
    ("P12", p12_closer_peers, 8, True), ("P13", p13_expired, 4, False), ("D18", d18_ipns, 4, True), ("P17", p17_names, 4, True),
]

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Row P14 of docs/internals/attacks.md against a real daemon: 40 Sybils of one /24, next to a key, in the public DHT.

What counts as public is an address of the public network, so all of it happens in a network namespace of its own whose loopback device has such
addresses; without the right to make one it is skipped. The Sybils name each other as closest to whatever is asked and know no provider. One honest peer
of another network knows who provides. At most three Sybils may enter the routing table, and the provider must be found.

Usage: tests/chaos/sybils.py; HEARTH_BUILD names another build folder.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/smoke"))
from bad_input import Node, check, counts, eventually, say  # noqa: E402
from peer import IDENTIFY, WAN, Keys, Peer, Refused, base58, field, identify_of, ip4_tcp, seed_of, serve_kad  # noqa: E402

VICTIM, PORT, HONEST, NETWORK, SYBILS, SEEDS = "45.7.8.9", 4001, "62.5.1.1", "91.3.7", 40, 4000
GET_PROVIDERS = 3
INSIDE = "HEARTH_CHAOS_NAMESPACE"


def nearest(keys, place, count):
    """Seeds whose peer ids are nearest to a place of the key space, among SEEDS."""
    found = [(int.from_bytes(hashlib.sha256(keys.ask(seed)[0]).digest(), "big") ^ place, seed) for seed in (seed_of(f"sybil {n}") for n in range(SEEDS))]
    return [seed for _, seed in sorted(found)[:count]]


def server(keys, seed, address, answer):
    peer = Peer(PORT, address, seed, polite=True, identify=identify_of(keys, seed, [IDENTIFY, WAN], f2=[ip4_tcp(address, 4001)]), host=VICTIM)
    peer.serve = {WAN: serve_kad(answer)}
    return peer


def tables(node):
    code, out, _ = node.run("stats", "dht", "--enc=json")
    answer = json.loads(out) if code == 0 else {}
    return {row["peer"] for table in answer.get("result", answer).get("tables", []) if table["name"] == "wan" for row in table["peers"]}


def play(node, keys):
    multihash = b"\x12\x20" + hashlib.sha256(b"what somebody provides").digest()
    cid = node.run("cid", "format", "-b", "base32", f"f01551220{multihash[2:].hex()}")[1].decode().strip()
    seeds = nearest(keys, int.from_bytes(hashlib.sha256(multihash).digest(), "big"), SYBILS)
    crowd = b"".join(field(8, field(1, keys.ask(seed)[0]) + field(2, ip4_tcp(f"{NETWORK}.{1 + n}", 4001))) for n, seed in enumerate(seeds[:20]))
    provider = keys.ask(seed_of("provider"))[0]
    honest = server(keys, seed_of("one honest server"), HONEST, lambda request: field(1, request.get(1, 0)) + (
        field(9, field(1, provider) + field(2, ip4_tcp("62.5.2.2", 4001))) if request.get(1, 0) == GET_PROVIDERS else b""))
    peers, refused = [honest], 0
    for n, seed in enumerate(seeds):
        try:
            peers.append(server(keys, seed, f"{NETWORK}.{1 + n}", lambda request: field(1, request.get(1, 0)) + crowd))
        except (Refused, OSError):
            refused += 1
    print(f"# {len(peers) - 1} Sybils are connected, {refused} were turned away by the limits")
    stop = threading.Event()
    threads = [threading.Thread(target=listen, args=(peer, stop), daemon=True) for peer in peers]
    for thread in threads:
        thread.start()
    names = {base58(keys.ask(seed)[0]) for seed in seeds}
    check("P14: the honest server enters the table", eventually(lambda: base58(keys.ask(seed_of("one honest server"))[0]) in tables(node), 15), tables(node))
    time.sleep(2)
    entered = len(tables(node) & names)
    check("P14: of the Sybils one to three enter", 1 <= entered <= 3, entered)
    began = time.monotonic()
    code, out, err = node.run("routing", "findprovs", cid, "--timeout", "15s")
    check("P14: the provider is found", base58(provider) in out.decode(), (code, out, err))
    print(f"# {entered} Sybils in the table, found in {time.monotonic() - began:.1f} s")
    check("P14: still at most three", len(tables(node) & names) <= 3, len(tables(node) & names))
    stop.set()
    for thread in threads:
        thread.join()
    for peer in peers:
        peer.close()


def listen(peer, stop):
    while not stop.is_set() and not peer.closed:
        peer.pump(0.2)


def main():
    if INSIDE not in os.environ:
        if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
            say("SKIP", "P14", "no network namespace can be made here")
            print("0 passed, 0 failed, 1 skipped")
            return 0
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, os.path.abspath(__file__)])
    for command in (["link", "set", "lo", "up"], *(["addr", "add", f"{address}/32", "dev", "lo"] for address in
                    [VICTIM, HONEST] + [f"{NETWORK}.{1 + n}" for n in range(SYBILS)])):
        subprocess.run(["ip", *command], check=True)
    folder, keys = tempfile.mkdtemp(prefix="hearth-sybils-", dir="/tmp"), Keys()
    node = Node(folder, "victim", ADDRESSES__SWARM=f"/ip4/{VICTIM}/tcp/{PORT}", DISCOVERY__MDNS="false", ROUTING__TYPE="dhtserver")
    try:
        if check("the daemon starts", node.start(), node.said()):
            play(node, keys)
            check("P14: the process lives, and stops in order", node.alive() and "restart" not in node.said() and node.stop() == 0, node.said()[-400:])
    except Exception as error:  # said as a failure, after which everything is cleaned up
        say("FAIL", "P14", repr(error))
    finally:
        node.stop()
        keys.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Delegated routing against a server on loopback that speaks /routing/v1: what a node fetches by CID alone, and answers that it must survive.

Usage: tests/smoke/delegated.py; HEARTH_BUILD names another build folder.
"""
import http.server
import json
import os
import shutil
import sys
import tempfile
import threading
import time

from bad_input import STRANGER, Node, check, counts, eventually
from commands import ABSENT, said


class Router(http.server.ThreadingHTTPServer):
    """Answers in the way that it is told to: `mode`. It knows one provider."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.asked, self.peer = "json", [], None
        self.record, self.put, self.hangs = None, [], False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, more=""):
        return f"http://127.0.0.1:{self.server_address[1]}{more}"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is expected


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def say(self, status, kind, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body or b"")

    def do_GET(self):
        router, record = self.server, json.dumps(self.server.peer)
        router.asked.append((self.path, self.headers.get("Accept", "")))
        if "/ipns/" in self.path:
            while router.hangs:
                time.sleep(0.05)
            if router.record is None:
                self.say(404, "text/plain", b"nothing")
            else:
                self.say(200, "application/vnd.ipfs.ipns-record", router.record)
            return
        lists = '{"Peers":[%s]}' if "/peers/" in self.path else '{"Providers":[%s]}'
        if router.mode == "json":
            self.say(200, "application/json", (lists % record).encode())
        elif router.mode == "ndjson":
            self.say(200, "application/x-ndjson", (record + "\n" + record + "\n").encode())
        elif router.mode == "slow":  # one peer at once, and the end of the answer never
            self.say(200, "application/x-ndjson", None)
            self.wfile.write((record + "\n").encode())
            self.wfile.flush()
            time.sleep(30)
        elif router.mode == "endless":
            self.say(200, "application/x-ndjson", None)
            while True:
                self.wfile.write((record + "\n").encode() * 100)
        elif router.mode == "huge":
            self.say(200, "application/json", (lists % ('{"x":"' + "y" * 100_000 + '"},' + record)).encode())
        elif router.mode == "nested":
            self.say(200, "application/json", b'{"Providers":[' + b'{"a":[' * 20_000)
        elif router.mode == "busy":
            self.say(429, "text/plain", b"later", Retry_After="2")
        elif router.mode == "ill":
            self.say(500, "text/plain", b"no")
        else:
            self.say(404, "text/plain", b"nothing")

    def do_PUT(self):
        self.server.put.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.say(200, "text/plain")


def provider(node, **more):
    return {"Schema": "peer", "ID": node.peer(), "Addrs": [f"/ip4/127.0.0.1/tcp/{node.port()}"], "Protocols": ["transport-bitswap"], **more}


def write(folder, name):
    with open(os.path.join(folder, name), "w") as file:
        file.write(name + "\n")
    return os.path.join(folder, name)


def found(node, cid=ABSENT, limit="5s"):
    return node.run(f"--timeout={limit}", "routing", "findprovs", cid)[1].decode().split()


def answers(router, node, giver):
    for mode, wanted in (("json", True), ("ndjson", True), ("huge", True), ("endless", True), ("slow", True), ("nested", False), ("none", False)):
        router.mode = mode
        check(f"an answer that is {mode}", found(node) == ([giver.peer()] if wanted else []), found(node))
    router.mode = "json"
    router.peer = provider(giver, Protocols=["transport-ipfs-gateway-http"])
    check("who speaks HTTP alone is no provider for Bitswap", found(node) == [])
    router.peer = provider(giver)
    router.mode = "busy"
    found(node)
    asked = len(router.asked)
    router.mode = "json"
    found(node)
    check("a router that says when to come again is left alone", len(router.asked) == asked, router.asked[asked:])
    until = time.monotonic() + 10
    while len(router.asked) == asked and time.monotonic() < until:
        found(node)
    check("until then", len(router.asked) == asked + 1, router.asked[asked:])
    check("the node is well", node.run("diag", "healthy")[0] == 0)


def names(router, node, giver, cid):
    """All by the routers alone, also when the one who is asked about is connected and serves a DHT."""
    name = said(giver, "name", "publish", "-Q", "--allow-offline", cid).strip()
    router.record = giver.run("name", "get", name)[1]
    check("what a name stands for", said(node, "--timeout=10s", "name", "resolve", "--nocache", name) == f"/ipfs/{cid}\n")
    check("asked for by the name", router.asked[-1] == (f"/routing/v1/ipns/{name}", "application/vnd.ipfs.ipns-record"), router.asked[-1])
    own = said(node, "name", "publish", "-Q", cid).strip()
    check("a name is put there", [path for path, _ in router.put] == [f"/routing/v1/ipns/{own}"], router.put)
    check("as its record", node.run("name", "get", own)[1] == router.put[-1][1], router.put)
    began, router.hangs = time.monotonic(), True
    code, _, err = node.run("--timeout=15s", "name", "resolve", "--dht-timeout=1s", "--nocache", STRANGER)
    check("a name is waited for as long as is said", code == 4 and 0.9 < time.monotonic() - began < 8, (code, err, time.monotonic() - began))
    code, _, err = node.run("name", "resolve", "--dht-timeout=soon", "--dht-record-count=1", STRANGER)
    check("no such time", code == 1 and "no duration" in err, err)
    router.hangs = False
    check("and is asked again after its rest", eventually(lambda: found(node) == [giver.peer()], 10))
    node.run("swarm", "connect", f"/ip4/127.0.0.1/tcp/{giver.port()}/p2p/{giver.peer()}")
    check("no peer enters a table", said(node, "stats", "dht") == "DHT wan (0 peers):\nDHT lan (0 peers):\n", said(node, "stats", "dht"))
    added = said(node, "add", "-Q", __file__).strip()
    code, _, err = node.run("routing", "provide", added)
    check("nothing is provided, and that is said", code == 1 and "Routing.Type delegated" in err, err)
    check("why knows it, too", "Routing.Type says so" in said(node, "why", added), said(node, "why", added))
    check("nothing waits to be provided", said(node, "provide", "stat").startswith("Nothing is provided"))


def run(folder, routing):
    """routing: beside the DHT, without one, or the routers in its place."""
    router = Router()
    folder = os.path.join(folder, routing)
    os.mkdir(folder)
    alone = {"DISCOVERY__MDNS": "false", "BOOTSTRAP": "", "ROUTING__TYPE": routing}
    giver = Node(folder, "giver", **{**alone, "ROUTING__TYPE": "auto" if routing == "delegated" else "none"})  # who provides dials
    asker = Node(folder, "asker", **alone, ROUTING__DELEGATEDROUTERS=router.url("/routing/v1") + ",http://127.0.0.1:1")
    wrong = Node(folder, "wrong", ROUTING__DELEGATEDROUTERS="auto")
    nobody = Node(folder, "nobody", ROUTING__TYPE="delegated")
    try:
        for node in (giver, asker):
            check("Daemon is ready", node.start(), node.said())
        router.peer = provider(giver)
        for mode in ("json", "ndjson"):
            router.mode = mode
            cid = said(giver, "add", "-Q", write(folder, mode)).strip()
            if mode == "json":
                check("a file by its CID alone", said(asker, "--timeout=30s", "cat", cid) == mode + "\n")
                path, accept = router.asked[-1]
                check("it asked for providers", path == f"/routing/v1/providers/{cid}", path)
                check("it takes both forms", "application/x-ndjson" in accept and "application/json" in accept, accept)
        if routing != "none":
            router.mode = "json"
            until = time.monotonic() + 20  # the giver may dial in between, and who is connected is known without asking
            while True:
                asker.run("swarm", "disconnect", giver.peer())
                out = said(asker, "--timeout=10s", "routing", "findpeer", giver.peer()).split()
                if any(path.startswith("/routing/v1/peers/") for path, _ in router.asked) or time.monotonic() > until:
                    break
            check("where a peer is", out == [f"/ip4/127.0.0.1/tcp/{giver.port()}"], out)
            check("asked for as a CID of its key", any(path.startswith("/routing/v1/peers/k51") for path, _ in router.asked), router.asked)
        if routing == "delegated":
            names(router, asker, giver, cid)
        answers(router, asker, giver)
        check("another word than an address is refused", not wrong.start() and "Routing.DelegatedRouters" in wrong.said(), wrong.said())
        check("nobody to delegate to is refused", not nobody.start() and "Routing.Type is delegated" in nobody.said(), nobody.said())
    finally:
        for node in (giver, asker, wrong, nobody):
            node.stop()
        router.shutdown()


def main():
    folder = tempfile.mkdtemp(prefix="hearth-delegated-")
    try:
        for routing in ("none", "auto", "delegated"):
            run(folder, routing)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""WebSocket, IPv6 and names: each with Kubo and Helia, dialled from either side.

In every case the two speak over the address that is meant (each side's own
list of connections says so) and a block crosses in both directions. Names come
from a name server of the case's own.
"""
import re
import socket

from harness import KIB, Skip, add_case, expect, expect_same_file, wait_until
from names import A, AAAA, TXT, Zone
from peers import Hearth, Helia, Kubo

STRANGERS = {"kubo": Kubo, "helia": Helia}
IP4, IP4_WS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"
IP6, IP6_WS = "/ip6/::1/tcp/0", "/ip6/::1/tcp/0/ws"
HOST = "node.hearth.test"
BLOCK = 200 * KIB


def need_ip6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as problem:
        raise Skip(f"no IPv6 loopback: {problem}") from None


def hearth_addr(hearth, peer):
    """The address of hearth's connection with the peer, as its own list has it."""
    lines = hearth.hearth("swarm", "peers").splitlines()
    return next((line for line in lines if line.endswith(peer)), "")


def expect_over(hearth, stranger, pattern, name=None):
    """Both sides name a connection like this; js may keep the name that it was given."""
    wait_until("hearth lists the peer", 10, lambda: hearth.connected(stranger.id))
    ours = hearth_addr(hearth, stranger.id)
    expect(re.search(pattern, ours), f"hearth is connected over {ours}, not {pattern}")
    theirs = [one["addr"] for one in stranger.connections(hearth.id)]
    expect(any(re.search(pattern, addr) or addr == name for addr in theirs), f"the peer is connected over {theirs}, not {pattern}")


def trade(lab, hearth, stranger):
    """A ping and a block each way."""
    stranger.identified(hearth.id)
    lab.figures["hearth_ms"] = round(hearth.ping(stranger.id), 2)
    lab.figures["peer_ms"] = round(stranger.ping(hearth.id), 2)
    for provider, fetcher in ((hearth, stranger), (stranger, hearth)):
        sent, received = lab.file(BLOCK, "block"), lab.path("block")
        fetcher.fetch_block_absent(provider.block_put(sent), received)
        expect_same_file(sent, received)


# --- addresses that are literals ------------------------------------------------

def over_literal(lab, make, hearth_dials, listen, pattern):
    if "/ip6/" in listen:
        need_ip6()
    # Who dials listens elsewhere, so that no other address can serve.
    hearth = lab.start(Hearth(lab, listen=[IP4 if hearth_dials else listen]))
    stranger = lab.start(make(lab, listen=[listen if hearth_dials else IP4]))
    dialler, dialled = (hearth, stranger) if hearth_dials else (stranger, hearth)
    dialler.connect(dialled.addr_like(pattern))
    expect_over(hearth, stranger, pattern)
    trade(lab, hearth, stranger)


# --- names -----------------------------------------------------------------------

def over_name(lab, make, hearth_dials, listen, dial, pattern):
    """dial: the address with {port} for that of the dialled side."""
    if "/ip6/" in listen:
        need_ip6()
    zone = lab.start(Zone(lab))
    hearth = lab.start(Hearth(lab, listen=[listen if not hearth_dials else IP4], prefix=zone.prefix()))
    stranger = lab.start(make(lab, listen=[listen if hearth_dials else IP4], prefix=zone.prefix()))
    dialler, dialled = (hearth, stranger) if hearth_dials else (stranger, hearth)
    literal = dialled.addr_like(pattern)
    zone.add(HOST, A, "127.0.0.1")
    zone.add(HOST, AAAA, "::1")
    zone.add(f"_dnsaddr.{HOST}", TXT, f"dnsaddr=/dnsaddr/more.{HOST}/p2p/{dialled.id}")
    zone.add(f"_dnsaddr.more.{HOST}", TXT, f"dnsaddr=/ip4/127.0.0.1/tcp/9/p2p/{dialler.id}")  # not the one wanted
    zone.add(f"_dnsaddr.more.{HOST}", TXT, f"dnsaddr={literal}")
    name = f"{dial.format(port=literal.split('/')[4])}/p2p/{dialled.id}"
    dialler.connect(name)
    expect(any(HOST in name for name, _ in zone.asked), "nobody asked the case's name server")
    expect_over(hearth, stranger, pattern, name)
    trade(lab, hearth, stranger)


NAMES = {
    "dns4": (IP4, f"/dns4/{HOST}/tcp/{{port}}", "^/ip4/127.0.0.1/tcp/"),
    "dns6": (IP6, f"/dns6/{HOST}/tcp/{{port}}", "^/ip6/::1/tcp/"),
    "dns": (IP6, f"/dns/{HOST}/tcp/{{port}}", "^/ip6/::1/tcp/"),  # of the two addresses one answers
    "dns-ws": (IP4_WS, f"/dns4/{HOST}/tcp/{{port}}/ws", "^/ip4/127.0.0.1/tcp/.*/ws"),
    "dnsaddr": (IP4, f"/dnsaddr/{HOST}", "^/ip4/127.0.0.1/tcp/"),
}

LONG = ("ip6-ws", "dns", "dns6")  # what the others show one by one


def register(stranger, make):
    for hearth_dials in (True, False):
        who = "hearth-dials" if hearth_dials else "peer-dials"
        for name, listen, pattern in (("ws", IP4_WS, "^/ip4/.*/ws"), ("ip6", IP6, "^/ip6/::1/tcp/"),
                                      ("ip6-ws", IP6_WS, "^/ip6/::1/.*/ws")):
            add_case(f"transports/{name}/{stranger}/{who}",
                     lambda lab, d=hearth_dials, at=listen, p=pattern: over_literal(lab, make, d, at, p),
                     needs=["hearth", stranger], long=name in LONG)
        for name, given in NAMES.items():
            add_case(f"transports/{name}/{stranger}/{who}",
                     lambda lab, d=hearth_dials, g=given: over_name(lab, make, d, *g), needs=["hearth", stranger],
                     long=name in LONG)


for one, maker in STRANGERS.items():
    register(one, maker)


# --- hearth with itself: a file over WebSocket ---------------------------------------

def file_over_websocket(lab):
    provider = lab.start(Hearth(lab, name="provider", listen=[IP4_WS]))
    fetcher = lab.start(Hearth(lab, name="fetcher"))
    sent, received = lab.file(64 << 20), lab.path("received")
    cid = provider.add(sent)
    fetcher.connect(provider.addr_like("/ws"))
    took = fetcher.fetch_absent(cid, received, 60)
    expect_same_file(sent, received)
    lab.figures["MB/s"] = round((64 << 20) / took / 1e6, 1)


add_case("transports/ws/hearth-to-hearth-64MiB", file_over_websocket, needs=["hearth"], long=True)

# SPDX-License-Identifier: MIT
"""Peers of one local network find each other by mDNS: nobody is told of anybody.

Each peer runs in a network namespace of its own; the namespaces hang on one
bridge that the case makes (see segment.py). Who found whom is asked of each
side by its own means, then a block crosses both ways.
"""
import time

from harness import KIB, Timeout, case, expect, expect_same_file, wait_until
from peers import Hearth, Helia, Kubo
from segment import Segment

FOUND_SECONDS = 30
EVERYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")


def neighbour_addrs(hearth, peer):
    """The addresses under which hearth's mDNS has found the peer; empty: it has not."""
    for row in hearth.mdns()["neighbours"]:
        if row["peer"] == peer:
            return row["addrs"]
    return []


def wait_found(hearth, other):
    """hearth has found the other by mDNS, at its address on the segment, and is connected with it."""
    found = wait_until(f"{hearth.label} finds {other.label}", FOUND_SECONDS, lambda: neighbour_addrs(hearth, other.id))
    expect(any(a.startswith(f"/ip4/{other.host.address}/tcp/") for a in found), f"found at {found}")
    expect(not any("/127." in a or "/::1/" in a for a in found), f"loopback addresses were told: {found}")
    wait_until(f"{hearth.label} is connected with {other.label}", FOUND_SECONDS, lambda: hearth.connected(other.id))


def exchange(lab, one, other):
    for provider, fetcher in ((one, other), (other, one)):
        sent, received = lab.file(256 * KIB, "block"), lab.path("block")
        fetcher.fetch_block_absent(provider.block_put(sent), received)
        expect_same_file(sent, received)


@case("mdns/hearth-and-kubo", needs=["hearth", "kubo"])
def hearth_and_kubo(lab):
    here, there = Segment(lab, 71, 2).hosts
    kubo = lab.start(Kubo(lab, host=there, listen=EVERYWHERE))
    began = time.monotonic()
    hearth = lab.start(Hearth(lab, host=here, listen=EVERYWHERE))
    wait_found(hearth, kubo)
    lab.figures["hearth found kubo s"] = round(time.monotonic() - began, 2)
    # Kubo dials what it has found, and says so.
    told = kubo.process.take("err", FOUND_SECONDS, "no line about a discovered peer",
                             lambda text: "discovered peer" in text and hearth.id in text)
    expect(f"/ip4/{here.address}/tcp/{hearth.port}" in told, f"kubo found it elsewhere: {told}")
    exchange(lab, hearth, kubo)


@case("mdns/kubo-finds-a-hearth-that-was-there", needs=["hearth", "kubo"])
def kubo_comes_later(lab):
    here, there = Segment(lab, 72, 2).hosts
    hearth = lab.start(Hearth(lab, host=here, listen=EVERYWHERE))
    kubo = lab.start(Kubo(lab, host=there, listen=EVERYWHERE))
    wait_until("kubo is connected with hearth", FOUND_SECONDS, lambda: kubo.connections(hearth.id))
    wait_found(hearth, kubo)
    try:
        exchange(lab, kubo, hearth)
    except Timeout:
        # hearth dials a Kubo that listens already and whose Bitswap has not started, which never hears of connections that were there before it.
        lab.figures["kubo's bitswap came too late"] = 1
        kubo.disconnect(f"/p2p/{hearth.id}")
        wait_until("kubo is connected again", FOUND_SECONDS, lambda: kubo.connections(hearth.id))
        exchange(lab, kubo, hearth)


@case("mdns/hearth-and-helia", needs=["hearth", "helia"])
def hearth_and_helia(lab):
    here, there = Segment(lab, 73, 2).hosts
    helia = lab.start(Helia(lab, host=there, listen=EVERYWHERE[:1]))
    began = time.monotonic()
    hearth = lab.start(Hearth(lab, host=here, listen=EVERYWHERE))
    wait_found(hearth, helia)  # js-libp2p itself dials nobody whom it finds
    lab.figures["hearth found helia s"] = round(time.monotonic() - began, 2)
    found = helia.discovered(hearth.id, FOUND_SECONDS)
    expect(f"/ip4/{here.address}/tcp/{hearth.port}" in found, f"helia found it at {found}")
    helia.identified(hearth.id)
    exchange(lab, hearth, helia)


@case("mdns/helia-dials-the-hearth-it-found", needs=["hearth", "helia"])
def helia_dials(lab):
    here, there = Segment(lab, 74, 2).hosts
    hearth = lab.start(Hearth(lab, host=here, listen=EVERYWHERE))
    helia = lab.start(Helia(lab, host=there, listen=EVERYWHERE[:1]))
    found = helia.discovered(hearth.id, FOUND_SECONDS)
    expect(f"/ip4/{here.address}/tcp/{hearth.port}" in found, f"helia found it at {found}")
    reached = helia.connect(f"/ip4/{here.address}/tcp/{hearth.port}/p2p/{hearth.id}", force=True)
    expect(reached["direction"] == "outbound", f"helia did not dial: {reached}")
    exchange(lab, helia, hearth)


@case("mdns/three-hearths-and-a-stranger", needs=["hearth"])
def three_hearths(lab):
    hosts = Segment(lab, 75, 3).hosts
    elsewhere = Segment(lab, 76, 1).hosts[0]
    nodes = [lab.start(Hearth(lab, name=f"hearth-{n}", host=host, listen=EVERYWHERE)) for n, host in enumerate(hosts)]
    alone = lab.start(Hearth(lab, name="alone", host=elsewhere, listen=EVERYWHERE))
    for node in nodes:
        for other in nodes:
            if other is not node:
                wait_found(node, other)
    exchange(lab, nodes[0], nodes[2])
    expect(alone.mdns()["neighbours"] == [], f"the other segment leaked: {alone.mdns()}")
    found = [row for row in nodes[0].events() if row["event"] == "peer found"]
    expect(len(found) == 2 and all(row["reason"].startswith("mDNS: /ip") for row in found), f"events: {found}")


@case("mdns/no-network-no-harm", needs=["hearth"])
def no_network(lab):
    """A host whose only interface is loopback: told once, and the node works."""
    host = Segment.host(lab, "127.0.0.1", "::1")
    host.ip("link", "set", "lo", "up")
    hearth = lab.start(Hearth(lab, host=host, listen=EVERYWHERE))
    hearth.process.take("err", FOUND_SECONDS, "no word about mDNS", lambda text: "no interface carries multicast" in text)
    expect(hearth.mdns()["links"] == 0, f"joined on nothing: {hearth.mdns()}")
    block = lab.file(KIB, "block")
    expect(hearth.has(hearth.block_put(block)), "the store does not work")


@case("mdns/switched-off", needs=["hearth"])
def switched_off(lab):
    hosts = Segment(lab, 77, 3).hosts
    quiet = lab.start(Hearth(lab, name="quiet", host=hosts[0], listen=EVERYWHERE, HEARTH_DISCOVERY__MDNS="false"))
    nodes = [lab.start(Hearth(lab, name=f"hearth-{n}", host=host, listen=EVERYWHERE)) for n, host in enumerate(hosts[1:])]
    wait_found(nodes[0], nodes[1])
    wait_found(nodes[1], nodes[0])
    expect(not neighbour_addrs(nodes[0], quiet.id), "a node that is switched off was found")
    expect(quiet.mdns()["enabled"] is False, f"{quiet.mdns()}")

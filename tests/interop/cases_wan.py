# SPDX-License-Identifier: MIT
"""The public DHT, `/ipfs/kad/1.0.0`, among hearth and Kubo in an internet that the case makes (segment.Internet).

Five servers are in it from the start. Who comes knows the address of one of them, from its configuration, and nothing
else. Who provides is a client of the DHT, so it is in no routing table: only a provider record leads to it.
"""
import json
import time

from cases_dht import provide, providers
from harness import KIB, add_case, expect, expect_same_file, wait_until
from peers import Hearth, Kubo
from segment import Internet

ANYWHERE = ("/ip4/0.0.0.0/tcp/0",)
ENTER_SECONDS = 30


def hearth(lab, host, name, routing="auto", bootstrap=()):
    return Hearth(lab, name=name, host=host, listen=ANYWHERE, mdns=False, bootstrap=bootstrap, HEARTH_ROUTING__TYPE=routing)


def kubo(lab, host, name, routing="dht", bootstrap=()):
    return Kubo(lab, name=name, host=host, listen=ANYWHERE, mdns=False, bootstrap=bootstrap, routing=routing)


FORMS = {"hearth": hearth, "kubo": kubo}


def table(peer, name="wan"):
    """The ids in one of the peer's routing tables."""
    if isinstance(peer, Hearth):
        tables = json.loads(peer.hearth("stats", "dht", "--enc=json"))["tables"]
        return {row["peer"] for one in tables if one["name"] == name for row in one.get("peers", [])}
    stat = peer.rpc("stats/dht", name)
    return {row["ID"] for bucket in stat["Buckets"] or () for row in bucket["Peers"] or ()}


def wait_entered(peer, count=1):
    wait_until(f"{peer.label} has {count} servers of the public DHT in its table", ENTER_SECONDS,
               lambda: len(table(peer)) >= count)
    expect(not table(peer, "lan"), f"{peer.label} has peers with public addresses in its local table")


class Network:
    """Three servers of hearth and two of Kubo; each knows the first one."""

    def __init__(self, lab, guests):
        self.lab = lab
        hosts = Internet(lab, 5 + guests).hosts
        self.free = hosts[5:]
        self.servers = [lab.start(hearth(lab, hosts[0], "server-0"))]
        self.entrance = [self.servers[0].addr]
        for number, (kind, routing) in enumerate((("hearth", "dht"), ("hearth", "dht"), ("kubo", "dhtserver"),
                                                  ("kubo", "dhtserver")), 1):
            self.servers.append(lab.start(FORMS[kind](lab, hosts[number], f"server-{number}", routing, self.entrance)))
        for server in self.servers:
            wait_entered(server, 3)

    def guest(self, kind, name, **more):
        """A node that knows the entrance only; it has found others when this returns."""
        began = time.monotonic()
        peer = self.lab.start(FORMS[kind](self.lab, self.free.pop(0), name, bootstrap=self.entrance, **more))
        wait_entered(peer)
        self.lab.figures[f"{name}_entered_s"] = round(time.monotonic() - began, 2)
        return peer


def connections(peer, other):
    if isinstance(peer, Kubo):
        return peer.connections(other.id)
    return [line for line in peer.hearth("swarm", "peers", "-v").splitlines() if other.id in line]


def found_and_fetched(lab, source, late):
    sent, received = lab.file(300 * KIB), lab.path("received")
    cid = source.add(sent)
    provide(source, cid)
    early = connections(late, source)
    expect(not early, f"{late.label} is connected with {source.label} before it asks: {early}")
    began = time.monotonic()
    late.fetch_absent(cid, received, 60)
    lab.figures[f"{late.label}_fetch_s"] = round(time.monotonic() - began, 2)
    expect_same_file(sent, received)
    expect(source.id in providers(late, cid), f"{source.label} is not named to {late.label}")


def one_address_only(lab):
    """A fresh hearth finds what Kubo provides, a fresh Kubo what hearth provides: by CID alone."""
    network = Network(lab, 4)
    for provider, fetcher in (("kubo", "hearth"), ("hearth", "kubo")):
        source = network.guest(provider, f"{provider}-source", routing="dhtclient")
        found_and_fetched(lab, source, network.guest(fetcher, f"{fetcher}-fresh"))


add_case("hearth/wan/one-address-only/kubo", one_address_only, ["hearth", "kubo"])

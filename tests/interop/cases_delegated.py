# SPDX-License-Identifier: MIT
"""Kubo's gateway as a router of /routing/v1: who asks it needs no DHT.

The router and the source are nodes of one LAN DHT. hearth is of none, is
connected with nobody, and knows the address of the router's HTTP alone.
"""
import os

from cases_dht import FORMS, join
from cases_names import new_key, publish, resolve
from harness import KIB, case, expect, expect_same_file
from peers import Hearth, Kubo


class Router(Kubo):
    """A Kubo whose gateway answers /routing/v1."""

    def configure_more(self, config):
        config["Addresses"]["Gateway"] = ["/ip4/127.0.0.1/tcp/0"]
        config["Gateway"] = {**config.get("Gateway", {}), "ExposeRoutingAPI": True, "NoFetch": True}

    def url(self):
        with open(os.path.join(self.repo, "gateway"), encoding="ascii") as kept:
            return kept.read().strip()


@case("hearth/delegated/kubo-routes", needs=["hearth", "kubo"])
def kubo_routes(lab):
    router, source = lab.start(Router(lab, name="router", routing="dht")), lab.start(FORMS["kubo"](lab, "source"))
    join(source, router)
    sent = lab.file(300 * KIB)
    cid = source.add(sent)
    source.rpc("routing/provide", cid, seconds=60, sink=lambda piece: None)
    name = new_key(lab, source, "ed25519")
    publish(source, f"/ipfs/{cid}")
    hearth = lab.start(Hearth(lab, HEARTH_ROUTING__TYPE="delegated", HEARTH_ROUTING__DELEGATEDROUTERS=router.url()))
    expect(hearth.hearth("swarm", "peers") == "", "it is connected before it was asked for anything")
    found = hearth.hearth("routing", "findprovs", cid).split()
    expect(found == [source.id], f"the providers are {found}, not {source.id}")
    found = hearth.hearth("routing", "findpeer", source.id).split()
    expect(source.addr.split("/p2p/")[0] in found, f"{source.id} is at {source.addr}, not {found}")
    found = resolve(hearth, name)
    expect(found == f"/ipfs/{cid}", f"{name} is {found}, not /ipfs/{cid}")
    received = lab.path("received")
    expect(not hearth.has(cid), "hearth has it already")
    hearth.get(f"/ipns/{name}", received, 60)
    expect_same_file(sent, received)
    expect(not hearth.connected(router.id), "the router was dialled as a peer")
    tables = hearth.hearth("stats", "dht")
    expect(tables == "DHT wan (0 peers):\nDHT lan (0 peers):\n", f"a peer entered a table: {tables}")


@case("hearth/delegated/name-put-at-kubo", needs=["hearth", "kubo"])
def name_put_at_kubo(lab):
    """What hearth publishes over HTTP a node of the DHT resolves, the change, too."""
    router, late = lab.start(Router(lab, name="router", routing="dht")), lab.start(FORMS["kubo"](lab, "late"))
    join(late, router)
    hearth = lab.start(Hearth(lab, HEARTH_ROUTING__TYPE="delegated", HEARTH_ROUTING__DELEGATEDROUTERS=router.url()))
    name = new_key(lab, hearth, "ed25519")
    for _ in range(2):
        path = f"/ipfs/{hearth.add(lab.file(KIB))}"
        publish(hearth, path)
        found = resolve(late, name)
        expect(found == path, f"Kubo resolves {name} to {found}, not {path}")

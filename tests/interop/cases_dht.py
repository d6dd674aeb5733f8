# SPDX-License-Identifier: MIT
"""The LAN DHT among hearth, Kubo and Helia: what one provides the other finds, and fetches, by its CID alone.

In each case one node is in the middle, and whoever comes late knows only that
one: everything else it has to learn by asking.
"""
import base64
import json
import time

from harness import KIB, add_case, case, expect, expect_same_file, wait_until
from peers import Hearth, Helia, Kubo

FORMS = {
    "hearth": lambda lab, name: Hearth(lab, name=name, HEARTH_ROUTING__TYPE="dht",
                                       HEARTH_ROUTING__LOOPBACKADDRESSESONLANDHT="true"),
    "kubo": lambda lab, name: Kubo(lab, name=name, routing="dht"),
    "helia": lambda lab, name: Helia(lab, name=name, dht="lan"),
}


def table(peer):
    """The ids in the peer's LAN routing table."""
    if isinstance(peer, Hearth):
        tables = json.loads(peer.hearth("stats", "dht", "--enc=json"))["tables"]
        return {row["peer"] for one in tables if one["name"] == "lan" for row in one.get("peers", [])}
    if isinstance(peer, Helia):
        return peer.dht_peers()
    stat = peer.rpc("stats/dht", "lan")
    return {row["ID"] for bucket in stat["Buckets"] or () for row in bucket["Peers"] or ()}


def join(peer, middle):
    peer.connect(middle.addr)
    wait_until(f"{peer.label} and {middle.label} have each other in their tables", 20,
               lambda: middle.id in table(peer) and peer.id in table(middle))


def provide(peer, cid):
    if isinstance(peer, Hearth):
        peer.hearth("routing", "provide", cid)
    elif isinstance(peer, Helia):
        peer.provide(cid, seconds=60)
    else:
        peer.rpc("routing/provide", cid, seconds=60, sink=lambda piece: None)


def providers(peer, cid):
    if isinstance(peer, Hearth):
        return set(peer.hearth("routing", "findprovs", cid, "-n", "5").split())
    if isinstance(peer, Helia):
        return peer.providers(cid, 1, seconds=60)
    found = []
    peer.rpc("routing/findprovs", cid, seconds=60, sink=found.append, num_providers=5)
    events = [json.loads(line) for line in b"".join(found).splitlines()]
    return {who["ID"] for event in events for who in event["Responses"] or () if event["Type"] == 4}


def by_cid_alone(lab, provider, middle, fetcher):
    centre, source = (lab.start(FORMS[kind](lab, name)) for kind, name in ((middle, "middle"), (provider, "source")))
    join(source, centre)
    sent, received = lab.file(300 * KIB), lab.path("received")
    cid = source.add(sent)
    provide(source, cid)
    late = lab.start(FORMS[fetcher](lab, "late"))
    late.connect(centre.addr)
    began = time.monotonic()
    late.fetch_absent(cid, received, 60)
    lab.figures["fetch_s"] = round(time.monotonic() - began, 2)
    expect_same_file(sent, received)
    expect(source.id in providers(late, cid), "the provider is not named")


def register():
    for provider, middle, fetcher in (("hearth", "hearth", "hearth"), ("hearth", "hearth", "kubo"),
                                      ("kubo", "hearth", "hearth"), ("hearth", "kubo", "kubo"),
                                      ("kubo", "kubo", "hearth"), ("hearth", "kubo", "hearth"),
                                      ("hearth", "hearth", "helia"), ("helia", "hearth", "hearth"),
                                      ("hearth", "helia", "hearth"), ("helia", "helia", "hearth"),
                                      ("hearth", "kubo", "helia"), ("helia", "kubo", "hearth")):
        needs = ["hearth", *(one for one in ("kubo", "helia") if one in (provider, middle, fetcher))]
        add_case(f"hearth/dht/by-cid-alone/{provider}-to-{fetcher}-over-{middle}",
                 lambda lab, p=provider, m=middle, f=fetcher: by_cid_alone(lab, p, m, f), needs)


register()


@case("hearth/dht/peers-and-values/kubo", needs=["hearth", "kubo"])
def peers_and_values(lab):
    """Each finds the other's addresses; Kubo a public key that hearth has put, hearth an IPNS record that Kubo has published."""
    centre = lab.start(FORMS["hearth"](lab, "middle"))
    hearth, kubo = lab.start(FORMS["hearth"](lab, "hearth")), lab.start(FORMS["kubo"](lab, "kubo"))
    for peer in (hearth, kubo):
        join(peer, centre)
    expect("/tcp/" in hearth.hearth("routing", "findpeer", kubo.id), "hearth does not find where Kubo is")
    found = []
    kubo.rpc("routing/findpeer", hearth.id, seconds=30, sink=found.append)
    expect(f"/tcp/{hearth.port}".encode() in b"".join(found), f"Kubo was told {found}")
    key = json.loads(hearth.hearth("id", "--enc=json"))["public_key"]
    value = base64.urlsafe_b64decode(key[1:] + "=" * (-len(key[1:]) % 4)) if key.startswith("u") else None
    expect(value is not None, f"the key is told as {key[:20]}")
    path = lab.path("key")
    with open(path, "wb") as out:
        out.write(value)
    hearth.hearth("routing", "put", f"/pk/{hearth.id}", path)
    got = []
    kubo.rpc("routing/get", f"/pk/{hearth.id}", seconds=30, sink=got.append)
    values = [json.loads(line)["Extra"] for line in b"".join(got).splitlines()]
    expect(any(base64.b64decode(extra) == value for extra in values if extra), f"Kubo got {values}")
    cid = kubo.add(lab.file(KIB))
    kubo.rpc("name/publish", f"/ipfs/{cid}", seconds=60)
    record = hearth.try_hearth("routing", "get", f"/ipns/{kubo.id}")
    expect(record[0] == 0 and f"/ipfs/{cid}" in record[1], f"hearth got exit {record[0]}: {record[2].strip()}")


@case("hearth/dht/peers/helia", needs=["hearth", "helia"])
def peers_of_helia(lab):
    """Each finds where the other is, having met only a third node."""
    centre = lab.start(FORMS["hearth"](lab, "middle"))
    hearth, helia = lab.start(FORMS["hearth"](lab, "hearth")), lab.start(FORMS["helia"](lab, "helia"))
    for peer in (hearth, helia):
        join(peer, centre)
    found = hearth.hearth("routing", "findpeer", helia.id)
    expect(f"/tcp/{helia.port}" in found, f"hearth was told {found}")
    found = helia.find_peer(hearth.id)
    expect(any(f"/tcp/{hearth.port}" in addr for addr in found), f"Helia was told {found}")

# SPDX-License-Identifier: MIT
"""The public DHT, `/ipfs/kad/1.0.0`, among hearth, Kubo and Helia in an internet that the case makes (segment.Internet).

Five servers are in it from the start. Who comes knows the address of one of them, from its configuration, and nothing
else. Who provides is a client of the DHT, so it is in no routing table: only a provider record leads to it.
"""
import json
import time

from cases_dht import provide, providers
from cases_names import new_key, publish, resolve
from harness import KIB, Failed, add_case, expect, expect_same_file, wait_until
from peers import Hearth, Helia, Kubo
from segment import Internet

ANYWHERE = ("/ip4/0.0.0.0/tcp/0",)
ENTER_SECONDS = 30


def hearth(lab, host, name, routing="auto", bootstrap=()):
    return Hearth(lab, name=name, host=host, listen=ANYWHERE, mdns=False, bootstrap=bootstrap, HEARTH_ROUTING__TYPE=routing)


def kubo(lab, host, name, routing="dht", bootstrap=()):
    return Kubo(lab, name=name, host=host, listen=ANYWHERE, mdns=False, bootstrap=bootstrap, routing=routing)


def helia(lab, host, name, client=False):
    """It announces a public address only when AutoNAT has confirmed it, or when it is told to."""
    at = f"/ip4/{host.address}/tcp/4001"
    return Helia(lab, name=name, host=host, listen=[at], announce=[at], mdns=False, dht="wan", dht_client=client)


FORMS = {"hearth": hearth, "kubo": kubo}
CLIENT = {"hearth": "autoclient", "kubo": "dhtclient"}


def table(peer, name="wan"):
    """The ids in one of the peer's routing tables."""
    if isinstance(peer, Hearth):
        tables = json.loads(peer.hearth("stats", "dht", "--enc=json"))["tables"]
        return {row["peer"] for one in tables if one["name"] == name for row in one.get("peers", [])}
    if isinstance(peer, Helia):
        return peer.dht_peers() if name == "wan" else set()
    stat = peer.rpc("stats/dht", name)
    return {row["ID"] for bucket in stat["Buckets"] or () for row in bucket["Peers"] or ()}


def wait_entered(peer, count=1):
    wait_until(f"{peer.label} has {count} servers of the public DHT in its table", ENTER_SECONDS,
               lambda: len(table(peer)) >= count)
    expect(not table(peer, "lan"), f"{peer.label} has peers with public addresses in its local table")


class Network:
    """Three servers of hearth and two of Kubo; each knows the first one, which serves because they have dialled it."""

    def __init__(self, lab, guests):
        self.lab = lab
        hosts = Internet(lab, 5 + guests).hosts
        self.free = hosts[5:]
        self.servers = [lab.start(hearth(lab, hosts[0], "server-0"))]
        self.entrance = [self.servers[0].addr]
        for number, kind in enumerate(("hearth", "hearth", "kubo", "kubo"), 1):
            self.servers.append(lab.start(FORMS[kind](lab, hosts[number], f"server-{number}", "dhtserver", self.entrance)))
        for server in self.servers:
            wait_entered(server, 3)

    def guest(self, kind, name, client=False):
        """A node that knows the entrance only; it has found a server when this returns."""
        began = time.monotonic()
        host = self.free.pop(0)
        if kind == "helia":  # its configuration has no such list
            peer = self.lab.start(helia(self.lab, host, name, client))
            peer.connect(self.entrance[0])
        else:
            more = {"routing": CLIENT[kind]} if client else {}
            peer = self.lab.start(FORMS[kind](self.lab, host, name, bootstrap=self.entrance, **more))
        wait_entered(peer)
        self.lab.figures[f"{name}_entered_s"] = round(time.monotonic() - began, 2)
        return peer


def connections(peer, other):
    if not isinstance(peer, Hearth):
        return peer.connections(other.id)
    return [line for line in peer.hearth("swarm", "peers", "-v").splitlines() if other.id in line]


def found_and_fetched(lab, network, provider, fetcher):
    """Who provides has done so before the other one comes: later it might meet it, a server, on its way."""
    source = network.guest(provider, f"{provider}-source", client=True)
    sent, received = lab.file(300 * KIB), lab.path("received")
    cid = source.add(sent)
    provide(source, cid)
    late = network.guest(fetcher, f"{fetcher}-fresh")
    early = connections(late, source)
    expect(not early, f"{late.label} is connected with {source.label} before it asks: {early}")
    began = time.monotonic()
    late.fetch_absent(cid, received, 60)
    lab.figures[f"{late.label}_fetch_s"] = round(time.monotonic() - began, 2)
    expect_same_file(sent, received)
    expect(source.id in providers(late, cid), f"{source.label} is not named to {late.label}")


def one_address_only(lab, stranger):
    """A fresh hearth finds what the stranger provides, a fresh stranger what hearth provides: by CID alone."""
    network = Network(lab, 4)
    for provider, fetcher in ((stranger, "hearth"), ("hearth", stranger)):
        found_and_fetched(lab, network, provider, fetcher)


def names(lab, stranger):
    """What each publishes the other resolves, also when it has changed."""
    network = Network(lab, 2)
    peers = [network.guest(kind, kind) for kind in ("hearth", stranger)]
    for publisher, resolver in (peers, peers[::-1]):
        name = new_key(lab, publisher, "ed25519")
        for size in (3 * KIB, 30 * KIB):
            path = f"/ipfs/{publisher.add(lab.file(size))}"
            published = publish(publisher, path)
            name = name or published
            expect(published == name, f"{published} was published, not {name}")
            began = time.monotonic()
            found = resolve(resolver, name)
            lab.figures[f"{resolver.label}_resolved_s"] = round(time.monotonic() - began, 2)
            expect(found == path, f"{resolver.label} resolves {name} to {found}, not {path}")


def kubo_turns_server(lab):
    """Kubo as it comes, found reachable by AutoNAT of its like, starts to serve: hearth takes it into its table then."""
    hosts = Internet(lab, 6).hosts
    entrance = [lab.start(hearth(lab, hosts[0], "entrance"))]
    known = [entrance[0].addr]
    watcher = lab.start(hearth(lab, hosts[1], "watcher", bootstrap=known))
    kubos = [lab.start(kubo(lab, host, f"kubo-{n}", "dhtserver", known)) for n, host in enumerate(hosts[2:5])]
    for attempt in range(3):  # on a busy machine it may have been dialled back before it is asked
        late = lab.start(kubo(lab, hosts[5], f"kubo-late-{attempt}", "dht", known + [one.addr for one in kubos]))
        if "/ipfs/kad/1.0.0" not in late.protocols:
            break
        late.stop()
    else:
        raise Failed("it serves at once, so nothing is proved")
    watcher.connect(late.addr)
    began = time.monotonic()
    wait_until("hearth has the new server in its table", 200, lambda: late.id in table(watcher), every=1)
    lab.figures["served_s"] = round(time.monotonic() - began, 1)


def reachability(peer):
    return json.loads(peer.hearth("swarm", "addrs", "autonat", "--enc=json"))


def serves_wan(peer):
    tables = json.loads(peer.hearth("stats", "dht", "--enc=json"))["tables"]
    return any(one["name"] == "wan" and one.get("server") for one in tables)


def turns_server(lab):
    """hearth as it comes, which dials and whom nobody knows, serves because AutoNAT of Kubo has dialled it back.

    Another one listens on loopback alone, so that those who try to dial it back meet a closed port: it hears that, and does not.
    """
    hosts = Internet(lab, 6).hosts
    kubos = [lab.start(kubo(lab, hosts[0], "kubo-0", "dhtserver"))]
    for number, host in enumerate(hosts[1:4], 1):
        kubos.append(lab.start(kubo(lab, host, f"kubo-{number}", "dhtserver", [kubos[0].addr])))
    known = [one.addr for one in kubos]
    late, hidden = (lab.start(Hearth(lab, name=name, host=host, listen=listen, mdns=False, bootstrap=known,
                                     HEARTH_ROUTING__TYPE="auto"))
                    for name, host, listen in (("late", hosts[4], ANYWHERE), ("hidden", hosts[5], ("/ip4/127.0.0.1/tcp/0",))))
    expect(reachability(late)["reachability"] == "Unknown" and not serves_wan(late), "it serves at once, so nothing is proved")
    began = time.monotonic()
    wait_until("hearth serves the public DHT", 150, lambda: serves_wan(late), every=1)
    lab.figures["served_s"] = round(time.monotonic() - began, 1)
    found = reachability(late)
    expect(found["reachability"] == "Public", f"it serves, and AutoNAT says {found}")
    expect(late.addr.startswith(found["reachable"][0]), f"{found} does not name {late.addr}")
    wait_until("Kubo has hearth in its table", 90, lambda: any(late.id in table(one) for one in kubos), every=1)
    wait_until("the hidden one is told", 200, lambda: reachability(hidden)["reachability"] == "Private", every=1)
    lab.figures["private_s"] = round(time.monotonic() - began, 1)
    expect(not serves_wan(hidden), "who cannot be dialled serves the public DHT")


add_case("hearth/wan/kubo-turns-server", kubo_turns_server, ["hearth", "kubo"], deadline=300)
add_case("hearth/wan/turns-server", turns_server, ["hearth", "kubo"], deadline=400)
for who in ("kubo", "helia"):
    needs = ["hearth", "kubo", *({who} - {"kubo"})]
    add_case(f"hearth/wan/one-address-only/{who}", lambda lab, who=who: one_address_only(lab, who), needs)
    add_case(f"hearth/wan/names/{who}", lambda lab, who=who: names(lab, who), needs)

# SPDX-License-Identifier: MIT
"""Twelve hearths of one public DHT, parted for a while into seven and five: `make partition`.

Meanwhile each side goes on by itself: what it has is found on it, and what the other has is not. Once packets pass
again everybody finds everything, what was provided before, meanwhile and after. No node is restarted or told anything,
and none has ever used more than its 64 MiB.
"""
import time

from cases_dht import provide
from cases_wan import hearth, table
from harness import KIB, MIB, add_case, expect, expect_same_file, wait_until
from segment import Internet

NODES, SIDE = 12, 7
HEAL_SECONDS = 660  # a node tries a bootstrap peer that it has lost within ten minutes, should it remember nobody else
MEMORY_BYTES = 64 * MIB


class World:
    def __init__(self, lab):
        self.lab = lab
        self.net = Internet(lab, NODES)
        self.nodes = []
        self.kept = {}  # CID -> (file, number of the node that provides it)
        self.tried = set()  # (number, CID) of fetches: what one that timed out had asked for may come all the same
        entrance = []
        for number, host in enumerate(self.net.hosts):
            node = lab.start(hearth(lab, host, f"node-{number}", "dhtserver", entrance))
            self.nodes.append(node)
            if number in (0, SIDE):  # one on each side
                entrance = [*entrance, node.addr]
        for node in self.nodes:
            wait_until(f"{node.label} knows others", 60, lambda node=node: len(table(node)) >= 3)

    def add(self, number):
        sent = self.lab.file(100 * KIB)
        cid = self.nodes[number].add(sent)
        provide(self.nodes[number], cid)
        self.kept[cid] = (sent, number)
        return cid

    def fetch(self, number, cid, seconds):
        """Whether the node gets what it has not had."""
        node, out = self.nodes[number], self.lab.path("received")
        expect((number, cid) in self.tried or not node.has(cid), f"{node.label} had {cid} before the fetch")
        self.tried.add((number, cid))
        status, _, problem = node.try_hearth("get", cid, "-o", out, f"--timeout={seconds}s", seconds=seconds + 10)
        if status != 0:
            expect(status in (node.TIMED_OUT, node.NOT_FOUND), f"{node.label}: get {cid}: exit {status}: {problem.strip()}")
            return False
        expect_same_file(self.kept[cid][0], out)
        return True

    def fetch_across(self, cids, readers):
        """Each from a node of the other side, until all are there; how long the last one took."""
        began = time.monotonic()
        for cid in cids:
            reader = next(readers[self.kept[cid][1] < SIDE])
            wait_until(f"{self.nodes[reader].label} finds {cid}, provided by node-{self.kept[cid][1]}", HEAL_SECONDS,
                       lambda reader=reader, cid=cid: self.fetch(reader, cid, 10))
        return round(time.monotonic() - began, 1)


    def across(self, told):
        """How many nodes of the other side are in what each node tells, in all."""
        ids = [{node.id for node in self.nodes[:SIDE]}, {node.id for node in self.nodes[SIDE:]}]
        return sum(len(ids[number < SIDE] & told(node)) for number, node in enumerate(self.nodes))


def connected(node):
    return {line.rsplit("/", 1)[1].split()[0] for line in node.hearth("swarm", "peers").splitlines()}


def around(numbers):
    while True:
        yield from numbers


def parted_and_healed(lab, seconds, all_lost=False):
    world = World(lab)
    here, there = range(SIDE), range(SIDE, NODES)
    readers = {True: around(there), False: around(here)}  # by whether the provider is on the first side
    before = [world.add(number) for number in (*here, *there)]
    lab.figures["fetch_s"] = world.fetch_across(before[1:2] + before[-1:], readers)
    lab.figures["connections_before"], lab.figures["known_before"] = world.across(connected), world.across(table)
    with world.net.parted(SIDE):
        began = time.monotonic()
        meanwhile = [world.add(number) for side in (here, there) for number in (side[0], side[-1])]
        for cid, reader in ((meanwhile[0], here[2]), (meanwhile[2], there[2])):
            wait_until(f"node-{reader} finds what its own side has", 60, lambda reader=reader, cid=cid: world.fetch(reader, cid, 10))
        expect(not world.fetch(there[1], meanwhile[1], 5), "the network was not parted")
        while time.monotonic() - began < seconds:  # they go on looking for what they cannot find
            expect(not world.fetch(there[1], meanwhile[0], 5), "the network was not parted")
            expect(not world.fetch(here[1], meanwhile[3], 5), "the network was not parted")
        lab.figures["parted_s"] = round(time.monotonic() - began, 1)
        lab.figures["connections_across"], lab.figures["known_across"] = world.across(connected), world.across(table)
        expect(not all_lost or lab.figures["connections_across"] == 0, "connections outlived the time")
    lab.figures["healed_s"] = world.fetch_across(meanwhile, readers)
    lab.figures["old_s"] = world.fetch_across([cid for cid in before[2:-1]], readers)
    after = [world.add(here[3]), world.add(there[3])]
    lab.figures["new_s"] = world.fetch_across(after, readers)
    peaks = [node.memory_bytes("VmHWM") for node in world.nodes]
    lab.figures["peak_MiB"] = round(max(peaks) / MIB, 1)
    expect(max(peaks) < MEMORY_BYTES, f"a node has used {max(peaks)} bytes")


add_case("hearth/partition/short", lambda lab: parted_and_healed(lab, 20), ["hearth"], deadline=400, long=True)
add_case("hearth/partition/long", lambda lab: parted_and_healed(lab, 240, True), ["hearth"], deadline=1500, long=True)

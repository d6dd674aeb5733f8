# SPDX-License-Identifier: MIT
"""What the DHT and many peers cost: requests a second, memory of an idle connection, CPU and traffic of a node that only keeps its peers.

The peers are those of kad_peers.c: a thousand in a thread, each with a key and an address of its own, of which nothing comes that was not asked for.
"""
import json
import resource
import subprocess
import time

from harness import wait_until
from peers import Hearth, Kubo
from ruler import KIB, MIB, Contender, Meter, Target, cpu_seconds, memory_bytes, program, ratio, suite_result, tree

PROTOCOL = "/ipfs/lan/kad/1.0.0"
OPEN = {"HEARTH_ROUTING__TYPE": "dht", "HEARTH_ROUTING__LOOPBACKADDRESSESONLANDHT": "true", "HEARTH_SWARM__TRANSPORTS__SECURITY": "noise"}
FILES = 15000  # descriptors: of the node and of the peers' program each


def hearth(lab, name, high, **settings):
    return lab.start(Hearth(lab, name=name, HEARTH_SWARM__CONNMGR__LOWWATER=str(high), HEARTH_SWARM__CONNMGR__HIGHWATER=str(high), **OPEN, **settings))


def kubo(lab, name):
    return lab.start(Kubo(lab, name=name, security=("noise",), routing="dht"))


class Crowd:
    """Peers that are only there."""

    def __init__(self, programs, node, count):
        # pylint: disable=consider-using-with  # it ends with close()
        self.child = subprocess.Popen([programs["discovery"], "hold", str(node.port), str(count), PROTOCOL], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.count = count
        self.first = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise ValueError(f"the peers' program ended with {self.child.wait(10)}")
        state = json.loads(line)
        if state["up"] != self.count:
            raise ValueError(f"{state['up']} of {self.count} peers are connected, {state['lost']} were lost")
        return state

    def ask(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.read()

    def close(self):
        self.child.stdin.close()
        self.child.wait(30)


def served(programs, node, count, flight, seconds):
    """The whole of a run has its CPU time, the rate is of the time after the first."""
    with Meter(node=node) as meter:
        sample = program([programs["discovery"], "ask", str(node.port), str(count), PROTOCOL, str(flight), str(seconds)])
    if sample["lost"] or sample["closer"] < 15:
        raise ValueError(f"answers name {sample['closer']} peers, {sample['lost']} peers were lost")
    return {**sample, **meter.result}


def discovery(lab, programs, options):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    asking, flight, seconds = (64, 32, 2) if options.quick else (64, 32, 10)
    servers = {"hearth": hearth(lab, "server", 2 * asking), "Kubo": kubo(lab, "kubo-server")}
    told = f"{asking} peers in the table, that ask on one stream each, {flight} requests under way, at most 2,000/s each"
    rate = {name: Contender(f"{name}, FIND_NODE and GET_PROVIDERS in turn", lambda node=node: served(programs, node, asking, flight, seconds),
                            told if name == "hearth" else "profile test, DHT on, the same peers", unit="answers/s") for name, node in servers.items()}
    targets = [Target("DHT requests/s, peers on the same cores", lambda: rate["hearth"].summary()["median"] if rate["hearth"].samples else None, 20e3),
               Target("DHT requests/s / Kubo", lambda: ratio(rate["hearth"], rate["Kubo"]), 1)]
    return suite_result("Discovery", list(rate.values()), targets, options.rounds)

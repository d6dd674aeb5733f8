#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finding peers by names: real daemons, and a name server of the test's own on loopback, now honest, now hostile.

Needs build/hearth. Usage: tests/smoke/discovery.py [name of a group ...]; HEARTH_BUILD names another build folder.
"""
import json
import os
import shutil
import sys
import tempfile
import time

from bad_input import STRANGER, Node, check, counts
from commands import expect
from name_server import NameServer, failure, noise, silent, wrong_id

AUTO_COUNT = 6
WAIT_S = 20


def wait_for(what, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.1)
    return False


def peers(node):
    code, out, _ = node.run("swarm", "peers", "--enc=json")
    return {row["peer"] for row in json.loads(out)["connections"]} if code == 0 else set()


def has_peer(node, other):
    return lambda: other.peer() in peers(node)


def lists(folder):
    """The list in the file: what is added and removed, and what is left alone."""
    node = Node(folder, "lists")
    del node.env["HEARTH_BOOTSTRAP"]
    one, two = (f"/ip4/192.0.2.{n}/tcp/4001/p2p/{STRANGER}" for n in (1, 2))
    expect(node, "bootstrap add without a repository", ["bootstrap", "add", one], 1, "", "hearth init")
    node.run("init")
    expect(node, "bootstrap list", ["bootstrap", "list"], 0, "auto\n")
    code, out, _ = node.run("bootstrap", "list", "--expand-auto")
    public = out.decode().splitlines()
    check("bootstrap list --expand-auto", code == 0 and len(public) == AUTO_COUNT and "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN" in public, out)
    expect(node, "bootstrap is bootstrap list", ["bootstrap"], 0, "auto\n")
    with open(node.file("config.yaml"), "w") as file:
        file.write("# mine\nLog:\n  Level: info # quiet\nBootstrap:\n# of the office\n  - auto\n\n# the last\nRole: worker\n")
    expect(node, "bootstrap add", ["bootstrap", "add", two, one, two], 0, f"added {one}\nadded {two}\n")
    expect(node, "bootstrap add again adds nothing", ["bootstrap", "add", one], 0, "")
    with open(node.file("config.yaml")) as file:
        text = file.read()
    check("the rest of the file is as it was", text == f'# mine\nLog:\n  Level: info # quiet\nBootstrap: ["auto", "{two}", "{one}"]\n\n# the last\nRole: worker\n', text)
    expect(node, "bootstrap rm", ["bootstrap", "rm", one], 0, f"removed {one}\n")
    expect(node, "bootstrap rm of a public one names the others", ["bootstrap", "rm", public[0]], 0, f"removed {public[0]}\n")
    expect(node, "bootstrap list after that", ["bootstrap", "list"], 0, "".join(f"{line}\n" for line in sorted([*public[1:], two])))
    expect(node, "bootstrap rm --all", ["bootstrap", "rm", "--all"], 0)
    expect(node, "bootstrap list of none", ["bootstrap", "list"], 0, "")
    expect(node, "bootstrap add default", ["bootstrap", "add", "default"], 0, "added auto\n")
    expect(node, "bootstrap list --enc=json", ["--enc=json", "bootstrap", "list"], 0, '{"Peers":["auto"]}\n')
    expect(node, "bootstrap add of nothing", ["bootstrap", "add"], 1, "", "no bootstrap peers")
    expect(node, "bootstrap add of an address without a peer", ["bootstrap", "add", "/ip4/192.0.2.1/tcp/4001"], 1, "", "invalid peer address")
    with open(node.file("config.yaml"), "w") as file:
        file.write("{Bootstrap: [auto]}\n")
    expect(node, "a file in another style is left to people", ["bootstrap", "add", one], 1, "", "by hand")
    with open(node.file("config.yaml")) as file:
        check("and not touched", file.read() == "{Bootstrap: [auto]}\n")


def records_for(node):
    """Records of two levels, with what does not belong: another peer, noise, more than one datagram holds."""
    address = f"/ip4/127.0.0.1/tcp/{node.port()}/p2p/{node.peer()}"
    return {
        "_dnsaddr.boot.test": [f"dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}", "v=spf1 -all", "dnsaddr=/nonsense",
                               f"dnsaddr=/dnsaddr/boot.test/p2p/{node.peer()}", f"dnsaddr=/dnsaddr/two.boot.test/p2p/{node.peer()}"],
        "_dnsaddr.two.boot.test": ["x" * 3000, f"dnsaddr=/dnsaddr/boot.test/p2p/{node.peer()}", f"dnsaddr={address}"],
    }


def bootstrap(folder):
    """A node that is told of one name finds who is behind it; then without the name, from what it remembers."""
    server = NameServer()
    target = Node(folder, "target")
    check("the peer starts", target.start(), target.said())
    name = f"/dnsaddr/boot.test/p2p/{target.peer()}"
    server.records = records_for(target)
    node = Node(folder, "node", BOOTSTRAP=name, DNS__SERVERS=server.address)
    check("a node with one bootstrap name starts", node.start(), node.said())
    check("it finds its peer by /dnsaddr", wait_for(has_peer(node, target)), (peers(node), server.asked, node.said()))
    check("a cut answer came by TCP", server.by_tcp >= 1, server.asked)
    check("no name was asked for in a circle", server.asked.get("_dnsaddr.boot.test", 0) <= 2, server.asked)
    code, out, _ = node.run("sql", "select successes from peers")
    check("the dial is remembered", wait_for(lambda: int(node.run("sql", "select sum(successes) from peers")[1].strip() or 0) >= 1), out)
    node.stop()
    server.records = {"_dnsaddr.boot.test": failure}
    check("it starts again", node.start(), node.said())
    check("without the name it finds who it remembers", wait_for(has_peer(node, target)), (peers(node), server.asked, node.said()))
    node.stop()
    fresh = Node(folder, "fresh", BOOTSTRAP=name, DNS__SERVERS=server.address)
    for title, hostile in (("noise", noise), ("answers with a wrong id", wrong_id), ("silence", silent)):
        server.records = {"_dnsaddr.boot.test": hostile}
        server.asked.clear()
        check(f"a node starts with a name server that gives {title}", fresh.start(), fresh.said())
        check("it has asked", wait_for(lambda: server.asked.get("_dnsaddr.boot.test", 0) >= 1), server.asked)
        check("it found nobody, and answers", peers(fresh) == set() and fresh.run("diag", "healthy")[0] == 0)
        check("it ends in good order", fresh.stop() == 0)
    target.stop()
    server.close()


def bootstrap_while_it_runs(folder):
    """A running daemon takes what is written into its file."""
    target = Node(folder, "entrance")
    check("the peer starts", target.start(), target.said())
    address = f"/ip4/127.0.0.1/tcp/{target.port()}/p2p/{target.peer()}"
    node = Node(folder, "newcomer")
    del node.env["HEARTH_BOOTSTRAP"]
    node.run("init")
    node.run("bootstrap", "rm", "--all")
    check("the node starts", node.start(), node.said())
    check("it knows nobody", peers(node) == set(), peers(node))
    code, out, err = node.run("bootstrap", "add", address)
    check("bootstrap add", code == 0 and out.decode() == f"added {address}\n" and err == "", (code, out, err))
    check("it connects at once", wait_for(has_peer(node, target)), (peers(node), node.said()))
    code, out, err = node.run("bootstrap", "rm", address)
    check("bootstrap rm", code == 0 and out.decode() == f"removed {address}\n" and err == "", (code, out, err))
    node.stop()
    target.stop()


def peering(folder):
    """Peers to stay connected with, named while the daemon runs and in its configuration."""
    target = Node(folder, "kept")
    check("the peer starts", target.start(), target.said())
    address = f"/ip4/127.0.0.1/tcp/{target.port()}/p2p/{target.peer()}"
    node = Node(folder, "keeper")
    check("the node starts", node.start(), node.said())
    expect(node, "swarm peering ls of none", ["swarm", "peering", "ls"], 0, "")
    expect(node, "swarm peering add", ["swarm", "peering", "add", address], 0, f"add {target.peer()} success\n")
    check("it is connected", wait_for(has_peer(node, target)), peers(node))
    expect(node, "swarm peering ls", ["swarm", "peering", "ls"], 0, f"{target.peer()}\n\t{address.split('/p2p/')[0]}\n")
    expect(node, "swarm peering by itself says what is in it", ["swarm", "peering"], 0)
    expect(node, "swarm disconnect", ["swarm", "disconnect", address], 0, f"disconnect {target.peer()} success\n")
    check("it comes back", wait_for(has_peer(node, target)), peers(node))
    expect(node, "swarm peering rm", ["swarm", "peering", "rm", target.peer()], 0, f"remove {target.peer()} success\n")
    expect(node, "swarm disconnect for good", ["swarm", "disconnect", target.peer()], 0)
    expect(node, "swarm disconnect of one that is not connected", ["swarm", "disconnect", target.peer()], 4, "",
           f"disconnect {target.peer()} failure: not connected")
    expect(node, "swarm peering ls after that", ["swarm", "peering", "ls"], 0, "")
    expect(node, "swarm peering add of no address", ["swarm", "peering", "add", "/ip4/127.0.0.1/tcp/1"], 1, "", "ends in /p2p/")
    expect(node, "swarm peering rm of no peer", ["swarm", "peering", "rm", "nobody"], 1, "", "peer id")
    node.stop()
    node.env["HEARTH_PEERING__PEERS"] = address
    check("the node starts with Peering.Peers", node.start(), node.said())
    check("it connects", wait_for(has_peer(node, target)), peers(node))
    node.env["HEARTH_DNS__SERVERS"] = "example.org"
    expect(node, "a name server that is none", ["config", "check"], 1, "", "DNS.Servers")
    del node.env["HEARTH_DNS__SERVERS"]
    node.stop()
    target.stop()


CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


def links(folder):
    """DNSLink: where domains lead, and those that lead nowhere."""
    server = NameServer({
        "_dnslink.a.test": ["v=spf1 -all", f"dnslink=/ipfs/{CID}/site"],
        "_dnslink.b.test": ["dnslink=/ipns/a.test/en"],
        "c.test": [f"dnslink=/ipfs/{CID}"],
        "_dnslink.many.test": [*(f"dnslink=/ipns/x{n}.test" for n in range(99)), *(["x" * 600] * 10)],
        "_dnslink.long.test": ["dnslink=/ipfs/" + CID + "/" + "y" * 4000],
        "_dnslink.circle.test": ["dnslink=/ipns/circle.test"],
        "_dnslink.broken.test": failure,
        "_dnslink.silent.test": silent,
    })
    node = Node(folder, "links", DNS__SERVERS=server.address)
    check("the node starts", node.start(), node.said())
    expect(node, "dns", ["dns", "a.test"], 0, f"/ipfs/{CID}/site\n")
    expect(node, "dns of a path", ["dns", "/ipns/a.test/x/y"], 0, f"/ipfs/{CID}/site/x/y\n")
    expect(node, "dns through a domain", ["dns", "b.test"], 0, f"/ipfs/{CID}/site/en\n")
    expect(node, "dns --recursive=false", ["dns", "--recursive=false", "b.test"], 0, "/ipns/a.test/en\n")
    expect(node, "dns of a record at the domain itself", ["dns", "c.test"], 0, f"/ipfs/{CID}\n")
    expect(node, "dns of a long record, by TCP", ["dns", "long.test"], 0, f"/ipfs/{CID}/{'y' * 4000}\n")
    expect(node, "dns of a circle", ["dns", "circle.test"], 1, "", "too many domains")
    check("which was asked for 32 times", server.asked["_dnslink.circle.test"] == 32, server.asked)
    expect(node, "dns of a name without records", ["dns", "absent.test"], 4, "", "no DNSLink record")
    expect(node, "dns of too many records leads on", ["dns", "--recursive=false", "many.test"], 0, "/ipns/x0.test\n")
    expect(node, "dns of a broken server", ["dns", "broken.test"], 1, "", "no name server answers")
    expect(node, "dns of a silent server, in time", ["--timeout=2s", "dns", "silent.test"], 124, "")
    expect(node, "dns of no domain", ["dns", CID], 1, "", "no domain")
    expect(node, "name resolve of a domain", ["name", "resolve", "b.test"], 0, f"/ipfs/{CID}/site/en\n")
    expect(node, "name resolve --recursive=false", ["name", "resolve", "--recursive=false", "/ipns/b.test"], 0, "/ipns/a.test/en\n")
    expect(node, "name resolve of a domain without records", ["name", "resolve", "absent.test"], 4, "", "no DNSLink record")
    expect(node, "name get of a domain", ["name", "get", "a.test"], 1, "", "domain")
    _, out, _ = node.run("add", "-Q", "-w", "--stdin-name=hello", data=b"hello\n")
    server.records["_dnslink.site.test"] = [f"dnslink=/ipfs/{out.decode().strip()}"]
    server.records["_dnslink.www.test"] = ["dnslink=/ipns/site.test"]
    expect(node, "cat of a path below a domain", ["cat", "/ipns/www.test/hello"], 0, "hello\n")
    expect(node, "cat of an ipns: address", ["cat", "ipns://site.test/hello"], 0, "hello\n")
    expect(node, "cat below a domain that leads nowhere", ["cat", "/ipns/absent.test/hello"], 4, "", "no DNSLink record")
    check("the daemon goes on", node.run("diag", "healthy")[0] == 0)
    check("it ends in good order", node.stop() == 0)
    server.close()


GROUPS = {"lists": lists, "bootstrap": bootstrap, "bootstrap_while_it_runs": bootstrap_while_it_runs, "peering": peering, "links": links}


def main():
    wanted = sys.argv[1:] or list(GROUPS)
    folder = tempfile.mkdtemp(prefix="hearth-discovery-")
    try:
        for name in wanted:
            print(f"# {name}", flush=True)
            GROUPS[name](folder)
    finally:
        for node in Node.all:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

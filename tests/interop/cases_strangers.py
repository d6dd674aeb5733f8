# SPDX-License-Identifier: MIT
"""Kubo and Helia exchange files with each other, in all four directions.

This is the ruler: what two established peers reach on this machine, over the
same loopback and with the same way of measuring as hearth's own cases.
"""
from harness import MIB, add_case, case, expect, expect_same_file, expect_same_tree
from peers import Helia, Kubo
from trees import make_tree

PEERS = {"kubo": Kubo, "helia": Helia}


def exchange(lab, provider, fetcher, size, deadline):
    """fetcher gets a file of `size` bytes from provider; notes the seconds and MB/s."""
    sent = lab.file(size)
    received = lab.path("received")
    cid = provider.add(sent, seconds=deadline)
    fetcher.connect(provider.addr)
    took = fetcher.fetch_absent(cid, received, deadline)
    expect_same_file(sent, received)
    lab.figures["MB/s"] = round(size / took / 1e6, 1)
    lab.figures["seconds"] = round(took, 2)


def file_case(provider_name, fetcher_name, mebibytes, long):
    def run(lab):
        provider = lab.start(PEERS[provider_name](lab, name="provider"))
        fetcher = lab.start(PEERS[fetcher_name](lab, name="fetcher"))
        exchange(lab, provider, fetcher, mebibytes * MIB, 240)
    add_case(f"strangers/{provider_name}-to-{fetcher_name}-{mebibytes}MiB", run,
             needs=sorted({provider_name, fetcher_name}), deadline=300, long=long)


for one in PEERS:
    for other in PEERS:
        file_case(one, other, 16, long=False)
for one in PEERS:
    for other in PEERS:
        file_case(one, other, 128, long=True)


@case("strangers/identify-and-ping", needs=["kubo", "helia"])
def identify_and_ping(lab):
    kubo, helia = lab.start(Kubo(lab)), lab.start(Helia(lab))
    helia.connect(kubo.addr)
    seen = helia.identified(kubo.id)
    expect("/ipfs/bitswap/1.2.0" in seen["protocols"], f"Kubo lists {seen['protocols']}")
    seen = kubo.identified(helia.id)
    expect("/ipfs/bitswap/1.2.0" in seen["protocols"], f"Helia lists {seen['protocols']}")
    lab.figures["kubo_ms"] = round(kubo.ping(helia.id), 2)
    lab.figures["helia_ms"] = round(helia.ping(kubo.id), 2)


@case("strangers/tree-both-ways", needs=["kubo", "helia"])
def tree_both_ways(lab):
    """No empty files: Kubo answers HAVE to a want for the empty raw block and never
    sends it, so no peer gets one from Kubo."""
    kubo, helia = lab.start(Kubo(lab)), lab.start(Helia(lab))
    helia.connect(kubo.addr)
    for provider, fetcher in ((kubo, helia), (helia, kubo)):
        sent = make_tree(lab, files=60, bytes_max=3000, empty=False)
        received = lab.path("tree")
        fetcher.fetch_absent(provider.add(sent), received, 60)
        expect_same_tree(sent, received)


@case("strangers/same-cids", needs=["kubo", "helia"])
def same_cids(lab):
    """With the profile named on both sides, the two give one CID to one tree."""
    helia = lab.start(Helia(lab))
    for profile in ("unixfs-v1-2025", "unixfs-v0-2015"):
        kubo = Kubo(lab, profile=profile).init()
        for _ in range(3):
            tree = make_tree(lab, files=40, bytes_max=400_000)
            ours = kubo.ipfs_command("add", "-r", "-Q", "--only-hash", tree).strip()
            theirs = helia.add(tree, profile=profile)
            expect(ours == theirs, f"{profile}: Kubo says {ours}, Helia says {theirs}")


@case("strangers/presence", needs=["kubo", "helia"])
def presence(lab):
    """HAVE and DONT_HAVE from Kubo, as Helia hears them: checks the test's own probe."""
    kubo, helia = lab.start(Kubo(lab)), lab.start(Helia(lab))
    helia.connect(kubo.addr)
    there = kubo.block_put(lab.file(5000))
    nowhere = lab.absent_cid()
    expect(helia.presence(there, kubo.id, 5) is True, "Kubo denies a block that it has")
    expect(helia.presence(nowhere, kubo.id, 5) is False, "Kubo claims a block that nobody has")

# SPDX-License-Identifier: MIT
"""Private networks: hearth and Kubo with one swarm key trade blocks, and nobody without it gets in.

The key is given to hearth by the variable in one case and by Kubo's file in the other; both show the same fingerprint.
"""
import os

from harness import KIB, case, expect, expect_same_file
from peers import Hearth, Kubo

KEY = "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683"
OTHER = "377f1ab022c885ab554482599939b559791442c699c24d8dcf086ab294b8f735"
FINGERPRINT = "45fc986bbc9388a11d939df26f730f0c"
BLOCK = 700 * KIB


def key_file(key):
    return f"/key/swarm/psk/1.0.0/\n/base16/\n{key}\n"


def expect_fingerprint(peer):
    """Both print this line; Kubo's own code is what made the figure."""
    lines = [text for kind, text in peer.process.lines if kind == "out"]
    expect(f"Swarm key fingerprint: {FINGERPRINT}" in lines, f"{peer.label} said {lines}")


def trade(lab, one, other):
    one.connect(other.addr)
    for provider, fetcher in ((one, other), (other, one)):
        sent, received = lab.file(BLOCK, "block"), lab.path("block")
        fetcher.fetch_block_absent(provider.block_put(sent), received)
        expect_same_file(sent, received)


@case("private/hearth-dials-kubo", needs=["hearth", "kubo"])
def hearth_dials_kubo(lab):
    kubo = lab.start(Kubo(lab, swarm_key=key_file(KEY)))
    hearth = lab.start(Hearth(lab, HEARTH_SWARM__KEY=KEY))
    expect_fingerprint(kubo)
    expect_fingerprint(hearth)
    trade(lab, hearth, kubo)


@case("private/kubo-dials-hearth", needs=["hearth", "kubo"])
def kubo_dials_hearth(lab):
    kubo = lab.start(Kubo(lab, swarm_key=key_file(KEY)))
    hearth = Hearth(lab)
    os.makedirs(hearth.repo, mode=0o700)
    with open(os.path.join(hearth.repo, "swarm.key"), "w", encoding="ascii") as kept:
        kept.write(key_file(KEY))
    lab.start(hearth)
    expect_fingerprint(hearth)
    trade(lab, kubo, hearth)


@case("private/strangers-stay-out", needs=["hearth", "kubo"])
def strangers_stay_out(lab):
    kubo = lab.start(Kubo(lab, swarm_key=key_file(KEY)))
    for name, settings in (("no-key", {}), ("other-key", {"HEARTH_SWARM__KEY": OTHER})):
        hearth = lab.start(Hearth(lab, name=name, **settings))
        status, _, said = hearth.try_hearth("swarm", "connect", kubo.addr)
        expect(status != 0, f"{name} connected: {said}")
        expect(not kubo.connections(hearth.id), f"kubo lists {name}")
        kubo.ipfs_failure("swarm", "connect", hearth.addr)
        expect(not hearth.connected(kubo.id), f"{name} lists kubo")

# SPDX-License-Identifier: MIT
"""hearth fetches from three providers at once: hearth, Kubo and Helia mixed; one of them goes away half-way, or lies."""
import json
import threading
import time

from harness import MIB, add_case, expect, expect_same_file
from peers import Hearth, Helia, Kubo

PROVIDERS = {"hearth": Hearth, "kubo": Kubo, "helia": Helia}
DUPLICATES_MAX = 0.02  # of the bytes of the file
LIES_MAX = 8 * MIB  # bytes of a liar before it is not asked any more: what may be outstanding with a peer that was trusted


def received(hearth):
    """(bytes that were wanted, bytes that came in vain), by hearth's own counters."""
    stat = json.loads(hearth.hearth("bitswap", "stat", "--enc=json"))
    return stat["bytes_received"], stat["dup_bytes_received"]


def start_providers(lab, sent):
    """All three hold the file; returns them and its CID."""
    providers = {name: lab.start(make(lab, name=f"provider-{name}")) for name, make in PROVIDERS.items()}
    cids = {name: peer.add(sent, seconds=120) for name, peer in providers.items()}
    expect(len(set(cids.values())) == 1, f"the CIDs differ: {cids}")
    return providers, cids["hearth"]


def stop_half_way(fetcher, provider, size, done, stopped):
    """Runs beside the fetch: ends the provider when half of the file is there."""
    while not done.is_set():
        if received(fetcher)[0] >= size // 2:
            provider.stop()
            stopped.append(time.monotonic())
            return
        time.sleep(0.01)


def three_providers(lab, size, leaver=None):
    sent, out = lab.file(size), lab.path("received")
    providers, cid = start_providers(lab, sent)
    fetcher = lab.start(Hearth(lab, name="fetcher"))
    for peer in providers.values():
        fetcher.connect(peer.addr)
    done, stopped = threading.Event(), []
    helper = threading.Thread(target=stop_half_way, daemon=True,
                              args=(fetcher, providers[leaver] if leaver else None, size, done, stopped))
    if leaver:
        helper.start()
    took = fetcher.fetch_absent(cid, out, 240)
    done.set()
    if leaver:
        helper.join(30)
        expect(stopped, "the file was there before half of it was seen: the provider did not leave in the middle")
    expect_same_file(sent, out)
    wanted, in_vain = received(fetcher)
    lab.figures["MB/s"] = round(size / took / 1e6, 1)
    lab.figures["duplicates_%"] = round(100 * in_vain / size, 2)
    expect(wanted >= size, f"{wanted} bytes were counted for a file of {size}")
    expect(in_vain <= DUPLICATES_MAX * size, f"{in_vain} bytes came twice")


def one_lies(lab, size):
    """Helia earns trust with a file that only it has. Then it sends wrong bytes, under the right prefix: they have another CID."""
    honest, liar = [lab.start(make(lab, name="honest")) for make in (Hearth, Kubo)], lab.start(Helia(lab, name="liar"))
    fetcher = lab.start(Hearth(lab, name="fetcher"))
    for peer in (*honest, liar):
        fetcher.connect(peer.addr)
    bait = lab.file(size // 4)
    fetcher.fetch_absent(liar.add(bait, seconds=120), lab.path("bait"), 120)
    files = [lab.file(size) for _ in range(2)]
    cids = [[peer.add(sent, seconds=120) for peer in (*honest, liar)][0] for sent in files]
    expect(liar.spoil(seconds=120) >= 2 * size // MIB, "the liar has little to lie with")
    lies = []
    for sent, cid in zip(files, cids):
        out, before = lab.path("received"), received(fetcher)[1]
        took = fetcher.fetch_absent(cid, out, 240)
        expect_same_file(sent, out)
        lies.append(received(fetcher)[1] - before)
        lab.figures[f"MB/s_{len(lies)}"] = round(size / took / 1e6, 1)
        lab.figures[f"lies_KiB_{len(lies)}"] = lies[-1] // 1024
    expect(lies[0] > 0, "the liar was never asked")
    expect(lies[0] <= LIES_MAX, f"{lies[0]} bytes of lies were taken")
    expect(lies[1] <= MIB, f"the liar was asked again: {lies[1]} bytes")  # one block, should 30 s have passed


def register():
    needs = list(PROVIDERS)
    add_case("hearth/providers/three/64MiB", lambda lab: three_providers(lab, 64 * MIB), needs, deadline=400)
    add_case("hearth/providers/three/256MiB", lambda lab: three_providers(lab, 256 * MIB), needs, deadline=500, long=True)
    add_case("hearth/providers/one-lies", lambda lab: one_lies(lab, 64 * MIB), needs, deadline=400)
    for name in PROVIDERS:
        add_case(f"hearth/providers/one-leaves/{name}",
                 lambda lab, name=name: three_providers(lab, 128 * MIB, name), needs, deadline=400, long=True)


register()

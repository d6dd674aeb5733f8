# SPDX-License-Identifier: MIT
"""What goes into the store and comes out of it: adding a large file, folders of small files, the start with a million blocks."""
import os
import shutil
import time

from peers import Hearth, Process
from ruler import GIB, KIB, MB, MIB, Contender, Meter, Target, program, ratio, suite_result
from suite_transfer import CONFIGURATION, DURABLE, make


def add_fresh(lab, kind, path):
    """A fresh peer adds the path; the folder of its store goes away after."""
    node = make(lab, kind, f"{kind}-add")
    try:
        node.start()
        with Meter(node=node) as meter:
            node.add(path, seconds=300)
    finally:
        node.stop()
        lab.forget(node.home)
    return meter.result


def add(lab, programs, options):
    """Adding a large file beside its two stages alone."""
    size = 64 * MIB if options.quick else GIB
    path, out = lab.file(size), lab.path("written")

    def stage(*arguments):
        sample = program([programs["pipeline"], *arguments])
        if os.path.exists(out):
            os.unlink(out)
        return sample
    amount = size / MB
    sha = Contender("SHA-256 alone", lambda: stage("hash", path), "OpenSSL, pieces of 1 MiB", "none", amount=amount)
    disk = Contender("write alone", lambda: stage("write", path, out), "pread, pwrite", DURABLE["pipeline"], amount=amount)
    own = Contender("hearth add", lambda: add_fresh(lab, "hearth", path), CONFIGURATION["hearth"], DURABLE["hearth"], amount=amount)
    kubo = Contender("Kubo add", lambda: add_fresh(lab, "Kubo", path), CONFIGURATION["Kubo"], DURABLE["Kubo"], amount=amount)

    def worst():
        found = [ratio(own, sha), ratio(own, disk)]
        return None if None in found else max(found)
    targets = [Target("hearth add / the slower of SHA-256 and synced write", worst, 0.6),
               Target("hearth add / Kubo add", lambda: ratio(own, kubo), 1)]
    return suite_result(f"Adding a file of {size // MIB} MiB", [sha, disk, own, kubo], targets, options.rounds)


def small_files(lab, count):
    root = lab.directory("folder")
    data = lab.random.randbytes(4 * KIB)
    for number in range(count):
        with open(os.path.join(root, f"file-{number:05}"), "wb") as out:
            out.write(number.to_bytes(8, "big") + data[8:])
    return root


def fetch_folder(lab, provider, cid, kind, how):
    node = make(lab, kind, f"{kind}-fetcher")
    try:
        node.start()
        node.connect(provider.addr)
        out = lab.path("out")
        with Meter(provider=provider, fetcher=node) as meter:
            if how == "get" and kind == "hearth":
                node.hearth("get", cid, "-o", out, seconds=600)
            elif how == "get":
                node.ipfs_command("get", "-o", out, cid, seconds=600)
            elif kind == "hearth":
                node.hearth("pin", "add", cid, seconds=600)
            else:
                node.rpc("pin/add", cid, seconds=600)
        shutil.rmtree(out, ignore_errors=True)
    finally:
        node.stop()
        lab.forget(node.home)
    return meter.result


def folder(lab, _programs, options):
    """Many small files: added, fetched into the store, and written out as files."""
    count = 500 if options.quick else 10000
    root = small_files(lab, count)
    kinds = ("hearth", "Kubo")
    providers = {kind: lab.start(make(lab, kind, f"{kind}-provider")) for kind in kinds}
    cids = {kind: providers[kind].add(root, seconds=600) for kind in kinds}
    rows = {}
    for kind in kinds:
        rows[kind, "add"] = Contender(f"{kind} add", lambda kind=kind: add_fresh(lab, kind, root), CONFIGURATION[kind], DURABLE[kind],
                                      unit="files/s", amount=count)
        for how, text in (("pin", "into the store"), ("get", "written out")):
            # Kubo's get takes minutes: it runs in the first round only
            rows[kind, how] = Contender(
                f"{kind} to {kind}, {text}", lambda kind=kind, how=how: fetch_folder(lab, providers[kind], cids[kind], kind, how),
                CONFIGURATION[kind], DURABLE[kind], unit="files/s", amount=count,
                rounds=1 if (kind, how) == ("Kubo", "get") and not options.quick else None)
    targets = [Target("add: hearth / Kubo", lambda: ratio(rows["hearth", "add"], rows["Kubo", "add"]), 5),
               Target("fetch into the store: hearth / Kubo", lambda: ratio(rows["hearth", "pin"], rows["Kubo", "pin"]), 3),
               Target("fetch written out: hearth / Kubo", lambda: ratio(rows["hearth", "get"], rows["Kubo", "get"]), 3)]
    return suite_result(f"A folder of {count:,} files of 4 KiB", list(rows.values()), targets, options.rounds,
                        ["Kubo's fetch written out runs once: it takes minutes."])


def ready(lab, _programs, options):
    """From exec to "Daemon is ready", with a store of many blocks."""
    count = 20_000 if options.quick else 1_000_000
    path = lab.file(count * 64)
    stores = {}
    for name, blocks in (("empty", 0), (f"{count:,} blocks", count)):
        node = Hearth(lab, name=f"store-{blocks}")
        node.start()
        if blocks:
            node.hearth("add", "-Q", "-s", "size-64", path, seconds=600)
        node.stop()
        stores[name] = node

    def start(node):
        began = time.monotonic()
        node.process = Process(node.label, [node.binary, "daemon"], node.env, node.home)
        node.process.wait_line("^Daemon is ready", 60)
        took = time.monotonic() - began
        rss = node.memory_bytes("VmRSS")
        node.stop()
        return {"value": 1000 * took, "node_rss_bytes": rss}
    rows = [Contender(f"store: {name}", lambda node=node: start(node), CONFIGURATION["hearth"], "clean stop before", unit="ms", less=True)
            for name, node in stores.items()]
    targets = [Target(f"ready with {count:,} blocks, ms", lambda: rows[1].summary()["median"] if rows[1].samples else None, 100, less=True)]
    return suite_result("Ready", rows, targets, options.rounds)


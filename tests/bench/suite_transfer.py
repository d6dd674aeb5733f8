# SPDX-License-Identifier: MIT
"""Files between peers: 1 GiB beside the plain pipeline and Kubo, all pairs of hearth, Kubo and Helia, and a path of 60 ms."""
import os
import subprocess

from peers import Helia, Hearth, Kubo
from harness import expect_same_file
from ruler import GIB, MB, MIB, Contender, Meter, Target, program, ratio, suite_result

DURABLE = {"hearth": "each block fdatasynced before it is acknowledged", "Kubo": "fsync off (profile test), flatfs",
           "Helia": "none: blocks in memory", "pipeline": "fdatasync each 32 MiB and at the end"}
CONFIGURATION = {"hearth": "default, 64 MiB budget, Noise", "Kubo": "profile test, no routing, Noise", "Helia": "Noise, Yamux, Bitswap only",
                 "pipeline": "one thread a side, 1 MiB pieces, ChaCha20-Poly1305, SHA-256"}
KINDS = {"hearth": Hearth, "Kubo": Kubo, "Helia": Helia}


def make(lab, kind, name, **settings):
    """A peer that speaks Noise, so that all rows pay for the same cipher."""
    if kind == "hearth":
        return Hearth(lab, name=name, HEARTH_SWARM__TRANSPORTS__SECURITY="noise", **settings)
    return KINDS[kind](lab, name=name, security=("noise",))


class Provider:
    """A peer with one file, kept over all rounds."""

    def __init__(self, lab, kind, path, **settings):
        self.peer = lab.start(make(lab, kind, f"{kind}-provider", **settings))
        self.cid = self.peer.add(path, seconds=300)
        self.addr = self.peer.addr


def fetch(lab, provider, kind, path, how, settings=None, addr=None):
    """A fresh peer fetches the file. `how`: "get" writes it out as a file too, "pin" only into the fetcher's store."""
    fetcher = make(lab, kind, f"{kind}-fetcher", **(settings or {}))
    try:
        fetcher.start()
        fetcher.connect(addr or provider.addr)
        out = lab.path("out")
        with Meter(provider=provider.peer, fetcher=fetcher) as meter:
            if how == "get":
                fetcher.get(provider.cid, out, 300)
            elif kind == "hearth":
                fetcher.hearth("pin", "add", provider.cid, seconds=300)
            else:
                fetcher.rpc("pin/add", provider.cid, seconds=300)
        if how == "get":
            expect_same_file(path, out)
            os.unlink(out)
    finally:
        fetcher.stop()
        lab.forget(fetcher.home)
    return meter.result


def contender(lab, providers, pair, path, how, size):
    kind, fetcher = pair
    text = {"get": "written out as a file", "pin": "into the store"}[how]
    return Contender(f"{kind} to {fetcher}, {text}", lambda: fetch(lab, providers[kind], fetcher, path, how), CONFIGURATION[fetcher],
                     DURABLE[fetcher], amount=size / MB)


def pipeline(lab, programs, path, size):
    out = lab.path("pipeline")

    def run():
        sample = program([programs["pipeline"], "transfer", path, out])
        os.unlink(out)
        return sample
    return Contender("plain pipeline", run, CONFIGURATION["pipeline"], DURABLE["pipeline"], amount=size / MB)


def large(lab, programs, options):
    """One large file; hearth and Kubo each into the store, as the pipeline does, and written out, as people do."""
    size = 64 * MIB if options.quick else GIB
    path = lab.file(size)
    providers = {kind: Provider(lab, kind, path) for kind in ("hearth", "Kubo")}
    plain = pipeline(lab, programs, path, size)
    rows = {(kind, how): contender(lab, providers, (kind, kind), path, how, size) for kind in ("hearth", "Kubo") for how in ("pin", "get")}
    targets = [
        Target("hearth to hearth into the store / plain pipeline", lambda: ratio(rows["hearth", "pin"], plain), 0.8),
        Target("hearth to hearth written out / plain pipeline", lambda: ratio(rows["hearth", "get"], plain), 0.8),
        Target("hearth to hearth / Kubo to Kubo, into the store", lambda: ratio(rows["hearth", "pin"], rows["Kubo", "pin"]), 3),
        Target("hearth to hearth / Kubo to Kubo, written out", lambda: ratio(rows["hearth", "get"], rows["Kubo", "get"]), 3)]
    return suite_result(f"A file of {size // MIB} MiB over loopback", [plain, *rows.values()], targets, options.rounds)


def pairs(lab, _programs, options):
    """Every pair, the same size."""
    size = 32 * MIB if options.quick else 256 * MIB
    path = lab.file(size)
    kinds = ("hearth", "Kubo", "Helia")
    providers = {kind: Provider(lab, kind, path) for kind in kinds}
    rows = {(a, b): contender(lab, providers, (a, b), path, "get", size) for a in kinds for b in kinds}
    targets = [
        Target("Kubo from hearth / Kubo from Kubo", lambda: ratio(rows["hearth", "Kubo"], rows["Kubo", "Kubo"]), 1),
        Target("Helia from hearth / Helia from Helia", lambda: ratio(rows["hearth", "Helia"], rows["Helia", "Helia"]), 1),
        Target("hearth from Kubo / Kubo from Kubo", lambda: ratio(rows["Kubo", "hearth"], rows["Kubo", "Kubo"]), 1),
        Target("hearth from Helia / Helia from Helia", lambda: ratio(rows["Helia", "hearth"], rows["Helia", "Helia"]), 1)]
    return suite_result(f"Pairs: a file of {size // MIB} MiB over loopback, written out", list(rows.values()), targets, options.rounds)


class Path:
    """The relay in front of a port."""

    def __init__(self, lab, programs, port, delay_ms, mbit):
        self.child = subprocess.Popen([programs["relay"], "path", str(port), str(delay_ms), str(mbit)], stdout=subprocess.PIPE, text=True)
        lab.stack.callback(self.stop)
        self.port = int(self.child.stdout.readline())

    def stop(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def relay(lab, programs, options):
    """A path of 30 ms each way and 1 Gbit/s; every transfer over a relay of its own."""
    size = (32 if options.quick else 256) * MIB
    delay_ms, mbit = 30, 1000
    path = lab.file(size)
    source = subprocess.Popen([programs["relay"], "source", str(size // MIB)], stdout=subprocess.PIPE, text=True)
    lab.stack.callback(source.wait)
    lab.stack.callback(source.kill)
    source_port = int(source.stdout.readline())
    large_budget = {"HEARTH_MEMORY__BUDGET": "256MiB"}
    providers = {"default": Provider(lab, "hearth", path), "256 MiB": Provider(lab, "hearth", path, **large_budget),
                 "Kubo": Provider(lab, "Kubo", path)}

    def raw():
        way = Path(lab, programs, source_port, delay_ms, mbit)
        try:
            return program([programs["relay"], "pull", str(way.port)])
        finally:
            way.stop()

    def far(provider, kind, settings=None):
        way = Path(lab, programs, provider.peer.port, delay_ms, mbit)
        try:
            addr = provider.addr.replace(f"/tcp/{provider.peer.port}/", f"/tcp/{way.port}/")
            return fetch(lab, provider, kind, path, "get", settings, addr)
        finally:
            way.stop()

    plain = Contender("plain TCP", raw, "one connection through the same relay", "none", amount=size / MB)
    rows = [plain,
            Contender("hearth to hearth", lambda: far(providers["default"], "hearth"), CONFIGURATION["hearth"], DURABLE["hearth"],
                      amount=size / MB),
            Contender("hearth to hearth, 256 MiB budget", lambda: far(providers["256 MiB"], "hearth", large_budget),
                      "Memory.Budget 256MiB on both sides", DURABLE["hearth"], amount=size / MB),
            Contender("Kubo to Kubo", lambda: far(providers["Kubo"], "Kubo"), CONFIGURATION["Kubo"], DURABLE["Kubo"], amount=size / MB,
                      rounds=3)]  # it is slow there
    targets = [Target("hearth to hearth / plain TCP", lambda: ratio(rows[1], plain), 0.8),
               Target("hearth to hearth with a budget of 256 MiB / plain TCP", lambda: ratio(rows[2], plain), 0.8)]
    return suite_result(f"A file of {size // MIB} MiB over a path of {delay_ms} ms each way at {mbit} Mbit/s, written out", rows, targets,
                        options.rounds)

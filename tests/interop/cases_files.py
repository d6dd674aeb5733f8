# SPDX-License-Identifier: MIT
"""Files and folders cross between hearth and a stranger, and have one CID."""
import os
import time

from harness import MIB, KIB, Failed, add_case, case, expect, expect_same_file, expect_same_tree
from peers import PROFILES, Hearth, Helia, Kubo
from trees import ALL_DIFFER, make_tree, wide_tree

STRANGERS = {"kubo": Kubo, "helia": Helia}
CHUNK = {"unixfs-v1-2025": MIB, "unixfs-v0-2015": 256 * KIB}
PEAK_BYTES, IDLE_BYTES, IDLE_SECONDS = 64 * MIB, 16 * MIB, 60
TREES, TREES_AT_ONCE = 200, 20


def connected(lab, make, to_hearth, profile=PROFILES[0]):
    """(hearth, provider, fetcher), connected; both import with the profile."""
    hearth = lab.start(Hearth(lab, profile=profile))
    stranger = lab.start(make(lab, profile=profile))
    hearth.connect(stranger.addr)
    stranger.identified(hearth.id)
    return (hearth, stranger, hearth) if to_hearth else (hearth, hearth, stranger)


def send_file(lab, provider, fetcher, size, deadline=60):
    """Returns the seconds that the fetch took."""
    sent, received = lab.file(size), lab.path("received")
    took = fetcher.fetch_absent(provider.add(sent, seconds=deadline), received, deadline)
    expect_same_file(sent, received)
    return took


def edges(lab, make, to_hearth, profile):
    """One byte, exactly one chunk, and one byte more."""
    _, provider, fetcher = connected(lab, make, to_hearth, profile)
    for size in (1, CHUNK[profile] - 1, CHUNK[profile], CHUNK[profile] + 1):
        try:
            send_file(lab, provider, fetcher, size)
        except Failed as problem:
            raise Failed(f"file of {size} bytes: {problem}") from None


def empty_file(lab, make, to_hearth, profile):
    """Kubo 0.43 claims the empty raw block but never sends it: what hashes to nothing
    is to be known without asking."""
    _, provider, fetcher = connected(lab, make, to_hearth, profile)
    sent, received = lab.file(0), lab.path("received")
    fetcher.get(provider.add(sent), received, 30)
    expect_same_file(sent, received)


def expect_peak(lab, name, hearth):
    peak = hearth.memory_bytes("VmHWM")
    lab.figures[name] = round(peak / MIB, 1)
    expect(peak < PEAK_BYTES, f"{hearth.label}'s peak was {peak / MIB:.1f} MiB")


def large(lab, make, to_hearth, size):
    hearth, provider, fetcher = connected(lab, make, to_hearth)
    took = send_file(lab, provider, fetcher, size, deadline=280)
    lab.figures["MB/s"] = round(size / took / 1e6, 1)
    lab.figures["seconds"] = round(took, 2)
    expect_peak(lab, "hearth_peak_MiB", hearth)


def send_tree(lab, provider, fetcher, sent, deadline):
    received = lab.path("received")
    took = fetcher.fetch_absent(provider.add(sent, seconds=deadline), received, deadline)
    expect_same_tree(sent, received)
    lab.figures["seconds"] = round(took, 2)


def differing(make, to_hearth, least):
    """Helia asks for a block again that has just come, without sending the want (its want list still holds the ended one), and waits for ever."""
    return ALL_DIFFER if make is Helia and not to_hearth else least


def small_files(lab, make, to_hearth):
    # Helia's importer knows no symlinks; empty files are a case of their own.
    links = 20 if make is Kubo else 0
    _, provider, fetcher = connected(lab, make, to_hearth)
    send_tree(lab, provider, fetcher, make_tree(lab, files=2000, bytes_max=4000, symlinks=links, folders=100, empty=False,
                                                bytes_least=differing(make, to_hearth, 1)), 200)


def sharded_folder(lab, make, to_hearth):
    _, provider, fetcher = connected(lab, make, to_hearth)
    send_tree(lab, provider, fetcher, wide_tree(lab, 5000, bytes_least=differing(make, to_hearth, 0)), 200)


def register():
    for program, make in STRANGERS.items():
        needs = ["hearth", program]
        for to_hearth in (True, False):
            way = f"{program}-to-hearth" if to_hearth else f"hearth-to-{program}"

            def add(name, job, *args, make=make, to_hearth=to_hearth, needs=needs, **more):
                add_case(name, lambda lab: job(lab, make, to_hearth, *args), needs, **more)

            for profile in PROFILES:
                add(f"hearth/file/edges/{profile}/{way}", edges, profile)
                add(f"hearth/file/empty/{profile}/{way}", empty_file, profile)
            add(f"hearth/file/16MiB/{way}", large, 16 * MIB)
            add(f"hearth/file/128MiB/{way}", large, 128 * MIB, deadline=300, long=True)
            add(f"hearth/file/256MiB/{way}", large, 256 * MIB, deadline=330, long=True)
            # `ipfs get` takes 14 ms for each small file, whoever provides it.
            add(f"hearth/tree/2000-files/{way}", small_files, deadline=240, long=way == "hearth-to-kubo")
            add(f"hearth/tree/sharded/{way}", sharded_folder, deadline=240, long=True)


register()


def hearth_to_hearth(lab, size):
    provider, fetcher = lab.start(Hearth(lab, name="provider")), lab.start(Hearth(lab, name="fetcher"))
    fetcher.connect(provider.addr)
    took = send_file(lab, provider, fetcher, size, deadline=280)
    lab.figures["MB/s"] = round(size / took / 1e6, 1)
    lab.figures["seconds"] = round(took, 2)
    expect_peak(lab, "provider_peak_MiB", provider)
    expect_peak(lab, "fetcher_peak_MiB", fetcher)


for mebibytes in (16, 128, 256):
    add_case(f"hearth/file/{mebibytes}MiB/hearth-to-hearth", lambda lab, size=mebibytes * MIB: hearth_to_hearth(lab, size),
             ["hearth"], deadline=330, long=mebibytes > 16)


@case("hearth/memory/idle", needs=["hearth"], long=True)
def idle_memory(lab):
    """Alone for a minute: what the daemon keeps without peers (the nanny apart)."""
    hearth = lab.start(Hearth(lab))
    time.sleep(IDLE_SECONDS)  # the idle time is what is tested
    kept = hearth.memory_bytes("VmRSS")
    lab.figures["idle_MiB"] = round(kept / MIB, 1)
    expect(kept < IDLE_BYTES, f"hearth keeps {kept / MIB:.1f} MiB")


# --- one tree, one CID ------------------------------------------------------------

def some_tree(lab, number):
    """Mostly small; now and then files of several chunks, or a folder that shards."""
    if number % 40 == 39:
        return wide_tree(lab, lab.random.randint(3000, 6000))
    if number % 10 == 9:
        return make_tree(lab, files=4, bytes_max=5 * MIB, symlinks=1)
    return make_tree(lab, files=lab.random.randint(0, 40), bytes_max=lab.random.choice((50, 5000, 300_000)),
                     symlinks=lab.random.choice((0, 0, 2)))


def kubo_cids(kubo, trees):
    """{tree: CID} as Kubo would add them, in one run."""
    names = {os.path.basename(tree): tree for tree in trees}
    found = {}
    for line in kubo.ipfs_command("add", "-r", "--only-hash", *trees, seconds=120).splitlines():
        words = line.split(" ", 2)
        if len(words) == 3 and words[0] == "added" and words[2] in names:
            found[names[words[2]]] = words[1]
    return found


def same_cids(lab, profile, count):
    kubo = Kubo(lab, profile=profile).init()
    hearth = lab.start(Hearth(lab, profile=profile))
    done = 0
    while done < count:
        trees = [some_tree(lab, done + n) for n in range(min(TREES_AT_ONCE, count - done))]
        for tree, cid in kubo_cids(kubo, trees).items():
            ours = hearth.only_hash(tree)
            expect(ours == cid, f"tree {done}: Kubo says {cid}, hearth says {ours}")
            done += 1
    lab.figures["trees"] = done


for one_profile in PROFILES:
    add_case(f"hearth/same-cids/{one_profile}",
             lambda lab, profile=one_profile: same_cids(lab, profile, TREES), ["hearth", "kubo"], deadline=400, long=True)
    add_case(f"hearth/same-cids-short/{one_profile}",
             lambda lab, profile=one_profile: same_cids(lab, profile, TREES_AT_ONCE), ["hearth", "kubo"])

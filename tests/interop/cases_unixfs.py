# SPDX-License-Identifier: MIT
"""What UnixFS can say beside names and bytes: modes, times, layouts, inlined blocks; folders of many entries."""
import json
import os
import shutil

from harness import MIB, add_case, case, expect, expect_same_file, expect_same_tree
from peers import PROFILES, Hearth, Kubo
from trees import make_tree, wide_tree

# What `add` may be told, and what Kubo calls the same.
SAME_FLAGS = (
    ("--max-file-links=3",), ("--max-file-links=2", "--chunker=size-1000"), ("--max-directory-links=4",),
    ("--max-directory-links=4", "--max-hamt-fanout=8"), ("--max-hamt-fanout=64", "--max-directory-links=1"),
    ("--inline",), ("--inline", "--inline-limit=0"), ("--inline", "--inline-limit=128"),
    ("--inline", "--inline-limit=100", "--max-directory-links=2"), ("--inline", "--raw-leaves=false"),
    ("--cid-version=1", "--raw-leaves"), ("--cid-version=0", "--raw-leaves=false"), ("-w",),
    ("--preserve-mode",), ("--preserve-mtime",), ("--preserve-mode", "--preserve-mtime"),
    ("--preserve-mode", "--preserve-mtime", "-w"),
    ("--preserve-mode", "--preserve-mtime", "--max-directory-links=3"),
    ("--preserve-mtime", "--inline", "--inline-limit=128"),
)
# Times before 1970, at it, without and with a fraction.
TIMES_NS = (0, 1, -1, -1_500_000_000, 1_000_000_000, 1_234_567_890_123_456_789, 4_000_000_000_000_000_000)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o1777, 0o444, 0o007)


def dressed_tree(lab):
    """A tree whose entries have all kinds of modes and times, symlinks too."""
    root = make_tree(lab, files=30, bytes_max=9000, symlinks=4, folders=5)
    places = []
    for folder, folders, files in os.walk(root):
        places += [os.path.join(folder, name) for name in folders + files]
    for number, path in enumerate(places):
        if not os.path.islink(path):
            mode = MODES[number % len(MODES)]
            os.chmod(path, mode | 0o700 if os.path.isdir(path) else mode)
    for number, path in enumerate(reversed(places)):
        time = TIMES_NS[number % len(TIMES_NS)]
        os.utime(path, ns=(time, time), follow_symlinks=False)
    os.utime(root, ns=(TIMES_NS[5], TIMES_NS[5]))
    return root


def facts(root, links=True):
    """{path below root: (mode, time in ns)}; a symlink has no mode of its own."""
    told = {}
    for folder, folders, files in os.walk(root):
        for path in [folder] + [os.path.join(folder, name) for name in files + folders]:
            about = os.lstat(path)
            is_link = os.path.islink(path)
            if links or not is_link:
                told[os.path.relpath(path, root)] = (0 if is_link else about.st_mode & 0o777, about.st_mtime_ns)
    return told


def same_flags(lab, profile):
    kubo = Kubo(lab, profile=profile).init()
    hearth = lab.start(Hearth(lab, profile=profile))
    tree = dressed_tree(lab)
    for flags in SAME_FLAGS:
        # Kubo refuses what its profile says of raw leaves together with modes and times.
        theirs = flags
        if profile == PROFILES[0] and any(flag.startswith("--preserve") for flag in flags):
            theirs = (*flags, "--raw-leaves=false")
        # With --only-hash Kubo applies no limit of links to the root, so both really add.
        kubo_cid = kubo.ipfs_command("add", "-r", "-Q", *theirs, tree).split()[-1]
        ours = hearth.hearth("add", "-r", "-Q", *hearth.profile_flags(), *flags, tree).strip()
        expect(ours == kubo_cid, f"{' '.join(flags)}: Kubo says {kubo_cid}, hearth says {ours}")
    lab.figures["combinations"] = len(SAME_FLAGS)


for one_profile in PROFILES:
    add_case(f"hearth/unixfs/same-flags/{one_profile}", lambda lab, profile=one_profile: same_flags(lab, profile),
             ["hearth", "kubo"])


@case("hearth/unixfs/raw-leaves-with-mode-refused", needs=["hearth", "kubo"])
def raw_leaves_refused(lab):
    hearth = lab.start(Hearth(lab))
    kubo = Kubo(lab).init()
    path = lab.file(10)
    status, _, problem = hearth.try_hearth("add", "--raw-leaves=true", "--preserve-mode", path)
    said = "raw-leaves can't be used with UnixFS metadata like mode or modification time"
    expect(status == 1 and said in problem, f"hearth: exit {status}: {problem}")
    problem = kubo.ipfs_failure("add", "--raw-leaves", "--preserve-mode", path)
    expect(said in problem, f"Kubo: {problem}")


def dressed(lab, to_hearth):
    """Modes and times cross and are on the disk afterwards."""
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab, profile=PROFILES[1]))
    hearth.connect(kubo.addr)
    kubo.identified(hearth.id)
    tree, received = dressed_tree(lab), lab.path("received")
    flags = ("-r", "-Q", "--preserve-mode", "--preserve-mtime")
    if to_hearth:
        cid = kubo.ipfs_command("add", *flags, tree).split()[-1]
        hearth.get(cid, received, 60)
    else:
        cid = hearth.hearth("add", *flags, tree).strip()
        kubo.ipfs_command("get", "-o", received, cid, seconds=60)
    expect_same_tree(tree, received)
    # Kubo gives symlinks the time of the copy.
    sent, got = facts(tree, links=to_hearth), facts(received, links=to_hearth)
    for path in sent:
        expect(sent[path] == got[path], f"{path}: mode {sent[path][0]:o} time {sent[path][1]} was sent, "
                                        f"mode {got[path][0]:o} time {got[path][1]} came")


add_case("hearth/unixfs/modes-and-times/kubo-to-hearth", lambda lab: dressed(lab, True), ["hearth", "kubo"])
add_case("hearth/unixfs/modes-and-times/hearth-to-kubo", lambda lab: dressed(lab, False), ["hearth", "kubo"])


def inlined(lab, to_hearth):
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    hearth.connect(kubo.addr)
    kubo.identified(hearth.id)
    tree, received = make_tree(lab, files=60, bytes_max=200, folders=20), lab.path("received")
    flags = ("-r", "-Q", "--inline", "--inline-limit=128", tree)
    cid = kubo.ipfs_command("add", *flags).split()[-1] if to_hearth else hearth.hearth("add", *flags).strip()
    (hearth if to_hearth else kubo).get(cid, received, 60)
    expect_same_tree(tree, received)


add_case("hearth/unixfs/inline/kubo-to-hearth", lambda lab: inlined(lab, True), ["hearth", "kubo"])
add_case("hearth/unixfs/inline/hearth-to-kubo", lambda lab: inlined(lab, False), ["hearth", "kubo"])


def sharded(lab, entries, to_hearth):
    """One folder: added by one side, read by the other by ls, cat and refs, and got."""
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    hearth.connect(kubo.addr)
    kubo.identified(hearth.id)
    tree = wide_tree(lab, entries)
    cid = (kubo if to_hearth else hearth).add(tree, seconds=200)
    names = sorted(os.listdir(tree))
    fetcher = hearth if to_hearth else kubo
    expect(fetcher.ls(cid, seconds=200) == names, "ls names other entries")
    if to_hearth:
        received = lab.path("received")
        hearth.get(cid, received, 200)
        expect_same_tree(tree, received)
        # each shard and each content once; Kubo names the same
        ours = sorted(hearth.hearth("refs", "-r", "-u", cid, seconds=200).split())
        theirs = sorted(kubo.ipfs_command("refs", "-r", "-u", cid, seconds=200).split())
        expect(ours == theirs, f"refs: {len(ours)} here, {len(theirs)} at Kubo")
    one = lab.path("one")
    fetcher.get(f"{cid}/{names[-1]}", one, 60)
    expect_same_file(os.path.join(tree, names[-1]), one)


for way, direction in (("kubo-to-hearth", True), ("hearth-to-kubo", False)):
    add_case(f"hearth/unixfs/hamt-10000/{way}", lambda lab, direction=direction: sharded(lab, 10_000, direction),
             ["hearth", "kubo"], deadline=400, long=True)


@case("hearth/unixfs/hamt-10000/same-cid", needs=["hearth", "kubo"])
def same_large(lab):
    hearth, kubo = lab.start(Hearth(lab)), Kubo(lab).init()
    tree = wide_tree(lab, 10_000)
    theirs = kubo.ipfs_command("add", "-r", "-Q", "--only-hash", tree, seconds=100).split()[-1]
    expect(hearth.only_hash(tree, seconds=100) == theirs, "the CID of a folder of 10,000 differs from Kubo's")


def dag_figures(told):
    """What Kubo and hearth say of some roots, as one value."""
    return (told.get("UniqueBlocks", 0), told.get("TotalSize", 0), told.get("SharedSize", 0), told.get("Ratio"),
            [(root["Cid"], root.get("Size", 0), root.get("NumBlocks", 0)) for root in told["DagStats"]])


@case("hearth/unixfs/dag-stat", needs=["hearth", "kubo"])
def dag_stat(lab):
    """Text and JSON of dag stat are Kubo's, of one root and of several that share blocks."""
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    one, other = make_tree(lab, files=40, bytes_max=300_000, symlinks=3), wide_tree(lab, 6000)
    shutil.copytree(one, os.path.join(other, "the other one"), symlinks=True)
    with open(os.path.join(one, "twice"), "wb") as file:
        file.write(lab.random.randbytes(2 * MIB))
    shutil.copy(os.path.join(one, "twice"), os.path.join(one, "once more"))
    roots = [hearth.add(path, seconds=100) for path in (one, other)]
    expect(roots == [kubo.add(path, seconds=100) for path in (one, other)], "the CIDs differ")
    roots.append(hearth.hearth("add", "-Q", "--inline", lab.file(10)).strip())
    for asked in (roots[:1], roots[1:2], roots, [roots[0], roots[0]], roots[2:]):
        text = hearth.hearth("dag", "stat", *asked, seconds=100)
        theirs = kubo.ipfs_command("dag", "stat", *asked, seconds=100)
        expect(text == theirs, f"text of {len(asked)} roots: {text!r}, Kubo: {theirs!r}")
        ours = json.loads(hearth.hearth("dag", "stat", "--enc=json", *asked, seconds=100))
        # the last line is the sum, those before are its progress
        lines = kubo.ipfs_command("dag", "stat", "--enc=json", "--progress=false", *asked, seconds=100).splitlines()
        expect(dag_figures(ours) == dag_figures(json.loads(lines[-1])), f"JSON: {ours}, Kubo: {lines[-1]}")

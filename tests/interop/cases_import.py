# SPDX-License-Identifier: MIT
"""`hearth import --from-kubo`: a repository that Kubo made, its blocks and pins taken over, and not a byte of it changed."""
import json
import os

from harness import MIB, add_case, case, expect, expect_same_file, sha256_file
from peers import PROFILES, Hearth, Kubo


def fingerprint(root):
    """{path: (kind or hash, mode, owner, mtime)} of all below: what an import must leave as it is."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            what = sha256_file(path) if os.path.isfile(path) else "folder"
            found[os.path.relpath(path, root)] = (what, stat.st_mode, stat.st_uid, stat.st_mtime_ns)
    return found


def tree(lab):
    root = lab.directory("tree")
    for name, size in (("small", 100), ("a/large", 3 * MIB + 17), ("a/b/empty", 0), ("a/b/c/deep", 5000)):
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        os.rename(lab.file(size), os.path.join(root, name))
    return root


def fill(lab, kubo):
    """A folder and a file pinned, one of them by a name, a node pinned directly, a file without a pin, one in `ipfs files`."""
    root, alone, loose, kept = tree(lab), lab.file(2 * MIB + 3), lab.file(MIB + 5), lab.file(300 * 1024)
    cids = {"root": kubo.add(root), "alone": kubo.add(alone), "loose": kubo.add(loose), "kept": kubo.add(kept)}
    kubo.ipfs_command("pin", "add", "--name=the tree", cids["root"])
    kubo.ipfs_command("pin", "add", cids["alone"])
    cids["direct"] = kubo.ipfs_command("dag", "resolve", f"{cids['root']}/a/b").strip()
    kubo.ipfs_command("pin", "add", "--recursive=false", cids["direct"])
    kubo.ipfs_command("files", "cp", f"/ipfs/{cids['kept']}", "/kept")
    cids["files"] = json.loads(kubo.ipfs_command("files", "stat", "--enc=json", "/"))["Hash"]
    return cids, {"alone": alone, "loose": loose, "kept": kept, "large": os.path.join(root, "a/large")}


def base32(hearth, cid):
    return hearth.hearth("cid", "base32", cid).strip()


def pins_in(hearth, lines):
    """{CID in version 1: (kind, name)} of the lines of `pin ls --names`, hearth's or Kubo's; indirect ones left out."""
    found = {}
    for line in lines.splitlines():
        cid, kind, *name = line.split(" ", 2)
        if kind != "indirect":
            found[base32(hearth, cid)] = (kind, *name)
    return found


def pins_of(hearth):
    return pins_in(hearth, hearth.hearth("pin", "ls", "--names"))


def check_taken(lab, hearth, kubo, cids, files):
    refs = set(kubo.ipfs_command("refs", "local").split())
    absent = [cid for cid in refs if not hearth.has(cid)]
    expect(refs and not absent, f"{len(absent)} of {len(refs)} blocks are absent: {absent[:3]}")
    for name, path in {"alone": cids["alone"], "loose": cids["loose"], "kept": cids["kept"], "large": f"{cids['root']}/a/large"}.items():
        out = lab.path(name)
        hearth.hearth("--offline", "get", path, "-o", out)
        expect_same_file(files[name], out)
    expected = pins_in(hearth, kubo.ipfs_command("pin", "ls", "--names"))
    expect(("recursive", "the tree") in expected.values() and ("direct",) in expected.values(), f"Kubo lists {expected}")
    expected[base32(hearth, cids["files"])] = ("recursive", "ipfs files")
    expect(pins_of(hearth) == expected, f"pins are {pins_of(hearth)}, not {expected}")
    rows = hearth.hearth("sql", "SELECT codec, count(*) FROM v_blocks GROUP BY codec")
    expect("dag-pb|" in rows, f"nodes reached from a pin are not stored as dag-pb: {rows}")


def imports_a_repository(lab, profile):
    kubo, hearth = Kubo(lab, profile=profile).init(), lab.start(Hearth(lab))
    cids, files = fill(lab, kubo)
    before = fingerprint(kubo.repo)
    told = json.loads(hearth.hearth("import", "--from-kubo", kubo.repo, "--enc=json"))
    expect(fingerprint(kubo.repo) == before, "the import changed the repository")
    expect(told["stored"] > 10 and told["failed"] + told["missing"] + told["unpinned"] == 0, f"told {told}")
    check_taken(lab, hearth, kubo, cids, files)
    again = json.loads(hearth.hearth("import", "--from-kubo", kubo.repo, "--enc=json"))
    expect(again["stored"] == 0 and again["existed"] == told["stored"], f"the second time: {again}, the first: {told}")
    hearth.hearth("repo", "verify")


for one in PROFILES:
    add_case(f"import: a Kubo repository, {one}", lambda lab, one=one: imports_a_repository(lab, one), ["kubo", "hearth"])


@case("import: a repository in use, damage, other datastores", ["kubo", "hearth"])
def refuses_and_names(lab):
    kubo, hearth = lab.start(Kubo(lab, name="running")), lab.start(Hearth(lab))
    cid = kubo.add(lab.file(MIB))
    kubo.ipfs_command("pin", "add", "--name=film", cid)
    status, _, problem = hearth.try_hearth("import", "--from-kubo", kubo.repo)
    expect(status == 1 and "a node runs on it" in problem and "--pins" in problem, f"exit {status}: {problem}")
    pins = lab.path("pins")
    with open(pins, "w", encoding="utf-8") as file:
        file.write(kubo.ipfs_command("pin", "ls", "--names"))
    hearth.hearth("import", "--from-kubo", kubo.repo, "--pins", pins)
    expected = pins_in(hearth, kubo.ipfs_command("pin", "ls", "--names"))
    expect(pins_of(hearth) == expected and ("recursive", "film") in expected.values(), f"pins are {pins_of(hearth)}, not {expected}")
    kubo.stop()

    spoiled = Kubo(lab, name="spoiled").init()
    cid = spoiled.add(lab.file(1000))
    names = [os.path.join(folder, name) for folder, _, files in os.walk(os.path.join(spoiled.repo, "blocks")) for name in files if name.endswith(".data")]
    path = next(name for name in names if os.path.getsize(name) == 1000)
    with open(path, "r+b") as file:
        file.write(b"!")
    status, out, problem = hearth.try_hearth("import", "--from-kubo", spoiled.repo)
    expect(status == 1 and "does not hash to it" in problem and "1 blocks that are wrong" in out, f"exit {status}: {out} {problem}")
    expect(not hearth.has(cid), "a block with wrong bytes was taken")

    for name, word in (("badgerds", "badgerds"), ("pebbleds", "pebbleds")):
        other = Kubo(lab, name=name, profile=name).init()
        status, _, problem = hearth.try_hearth("import", "--from-kubo", other.repo)
        expect(status == 1 and word in problem and "flatfs" in problem, f"{name}: exit {status}: {problem}")
    status, _, problem = hearth.try_hearth("import", "--from-kubo", lab.directory("nothing"))
    expect(status == 1 and "no Kubo repository" in problem, f"exit {status}: {problem}")

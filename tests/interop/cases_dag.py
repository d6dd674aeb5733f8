# SPDX-License-Identifier: MIT
"""Values and archives: CIDs and text of dag-cbor and dag-json nodes, whole graphs over Bitswap, CARs both ways."""
import json

from cases_blocks import pair, write
from harness import KIB, MIB, add_case, case, expect, expect_same_file, expect_same_tree
from peers import PROFILES, Hearth, Helia, Kubo
from trees import make_tree, wide_tree

# Kubo writes a float without a fraction as an integer, so those have fractions here.
VALUES = (
    '{}', '[]', 'null', 'true', '"x"', '0', '-1', '1.5', '-0.25', '1e-7', '123456.789e2', '9223372036854775807', '-9223372036854775808',
    '{"b":1,"a":[1,2,{"z":null,"aa":"\\u00e9\\n","B":false}]}', '{"longer":1,"a":2,"bb":3}',
    '{"bytes":{"/":{"bytes":"AQIDBA"}},"empty":{"/":{"bytes":""}}}', '{"link":{"/":"bafkqabiaaebagba"}}',
    '" \\u2028 \\"quoted\\" \\\\ \\t \U0001F600"', ' [ 1 , 2 ] ', '{"":0,"/":{"x":1}}',
)
CODECS = ("dag-cbor", "dag-json")


@case("hearth/dag/same-cids-and-text", needs=["hearth", "kubo"])
def same_cids(lab):
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    for value in VALUES:
        path = write(lab.path("value"), value.encode())
        for codec in CODECS:
            theirs = kubo.ipfs_command("dag", "put", f"--store-codec={codec}", path).strip()
            ours = hearth.hearth("dag", "put", f"--store-codec={codec}", path).strip()
            expect(ours == theirs, f"{value} as {codec}: Kubo says {theirs}, hearth says {ours}")
            theirs, ours = kubo.ipfs_command("dag", "get", theirs), hearth.hearth("dag", "get", ours)
            expect(ours == theirs, f"{value} as {codec} reads {theirs} at Kubo, {ours} at hearth")
    lab.figures["values"] = len(VALUES)


def graph(hearth, lab, tree_cid):
    """dag-cbor over dag-json over a folder, parts of it twice; returns the root's CID."""
    def put(value, codec="dag-cbor"):
        return hearth.hearth("dag", "put", f"--store-codec={codec}", write(lab.path("node"), json.dumps(value).encode())).strip()

    def link(cid):
        return {"/": cid}

    leaves = [put({"leaf": number, "bytes": {"/": {"bytes": "AQID"}}}) for number in range(40)]
    inner = [put({"list": [link(leaf) for leaf in leaves[at:at + 10]], "again": link(leaves[0])}, CODECS[at % 20 // 10]) for at in range(0, 40, 10)]
    return put({"zz": [link(cid) for cid in reversed(inner)], "tree": link(tree_cid), "a": {"deep": [[link(inner[0])]]}})


def export_both(lab, hearth, kubo, cid, name):
    """The two CARs, which must be the same."""
    ours, theirs = lab.path(f"{name}-hearth.car"), lab.path(f"{name}-kubo.car")
    hearth.hearth("dag", "export", "-o", ours, cid)
    with open(theirs, "wb") as file:
        kubo.rpc("dag/export", cid, sink=file.write)
    expect_same_file(theirs, ours)
    return ours


@case("hearth/dag/fetch/kubo-to-hearth", needs=["hearth", "kubo"])
def fetch_from_kubo(lab):
    """A graph that only Kubo has is pinned here: fetched block by block, along the links of each codec."""
    hearth, kubo = pair(lab, Kubo)
    maker = lab.start(Hearth(lab, name="maker"))
    tree = make_tree(lab, files=20, bytes_max=300 * KIB)
    root = graph(maker, lab, maker.hearth("add", "-rQ", tree).strip())
    car = lab.path("graph.car")
    maker.hearth("dag", "export", "-o", car, root)
    kubo.ipfs_command("dag", "import", car)
    expect(not hearth.has(root), "hearth had the root before")
    hearth.hearth("pin", "add", root)
    export_both(lab, hearth, kubo, root, "graph")
    got = lab.path("got")
    hearth.get(f"{root}/tree", got, 60)
    expect_same_tree(tree, got)
    theirs = kubo.ipfs_command("dag", "stat", "--progress=false", root)
    ours = hearth.hearth("dag", "stat", "--progress=false", root)
    expect(ours == theirs, f"dag stat: Kubo says {theirs}, hearth says {ours}")
    for path in ("", "/zz/0", "/a/deep/0/0/again/leaf", "/tree"):
        theirs, ours = (said.strip() for said in (kubo.ipfs_command("dag", "resolve", root + path), hearth.hearth("dag", "resolve", root + path)))
        expect(ours == theirs, f"{path} resolves to {theirs} at Kubo, to {ours} at hearth")


@case("hearth/dag/fetch/hearth-to-kubo", needs=["hearth", "kubo"])
def fetch_from_hearth(lab):
    hearth, kubo = pair(lab, Kubo)
    root = graph(hearth, lab, hearth.hearth("add", "-rQ", make_tree(lab, files=20, bytes_max=300 * KIB)).strip())
    expect(not kubo.has(root), "Kubo had the root before")
    kubo.ipfs_command("pin", "add", root)
    export_both(lab, hearth, kubo, root, "graph")


@case("hearth/dag/blocks/helia", needs=["hearth", "helia"])
def blocks_of_helia(lab):
    """Blocks of the other codecs cross too, both ways; what Helia has is pinned here along its links."""
    hearth, helia = pair(lab, Helia)
    leaf = helia.block_put(write(lab.path("leaf"), b'{"leaf":1}'), codec="dag-json")
    top = helia.block_put(write(lab.path("top"), f'[{{"/":"{leaf}"}}]'.encode()), codec="dag-json")
    hearth.hearth("pin", "add", top)
    expect(hearth.hearth("dag", "get", f"{top}/0/leaf") == "1", "the leaf has another value")
    sent, received = lab.path("sent"), lab.path("received")
    own = hearth.hearth("dag", "put", write(lab.path("own"), b'{"x":[1,2]}')).strip()
    helia.fetch_block_absent(own, received)
    write(sent, b"\xa1\x61x\x82\x01\x02")
    expect_same_file(sent, received)


def cars_between(lab, profile, to_hearth):
    """A CAR goes over as a file; both say the same of it and write the same again."""
    hearth, kubo = lab.start(Hearth(lab, profile=profile)), lab.start(Kubo(lab, profile=profile))
    folders = {"tree": make_tree(lab, files=60, bytes_max=2 * MIB, symlinks=3), "wide": wide_tree(lab, 5000)}
    for name, folder in folders.items():
        if to_hearth:
            root = kubo.ipfs_command("add", "-rQ", folder).strip()
        else:
            root = hearth.hearth("add", "-rQ", *hearth.profile_flags(), folder).strip()
        car, reply = lab.path(f"{name}.car"), lab.path(name)
        if to_hearth:
            with open(car, "wb") as file:
                kubo.rpc("dag/export", root, sink=file.write)
            ours, theirs = hearth.hearth("dag", "import", "--stats", car), kubo.ipfs_command("dag", "import", "--stats", car)
        else:
            hearth.hearth("dag", "export", "-o", car, root)
            theirs, ours = kubo.ipfs_command("dag", "import", "--stats", car), hearth.hearth("dag", "import", "--stats", car)
        expect(ours == theirs, f"Kubo says {theirs!r}, hearth says {ours!r}")
        expect_same_file(car, export_both(lab, hearth, kubo, root, name))
        (hearth if to_hearth else kubo).get(root, reply, 60)
        expect_same_tree(folder, reply)


for one_profile in PROFILES:
    add_case(f"hearth/car/kubo-to-hearth/{one_profile}", lambda lab, profile=one_profile: cars_between(lab, profile, True), ["hearth", "kubo"], deadline=300)
    add_case(f"hearth/car/hearth-to-kubo/{one_profile}", lambda lab, profile=one_profile: cars_between(lab, profile, False), ["hearth", "kubo"], deadline=300)

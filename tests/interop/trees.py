# SPDX-License-Identifier: MIT
"""Random directory trees, and CIDs computed here for checking the peers' own."""
import base64
import hashlib
import os

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
RAW, DAG_PB = 0x55, 0x70
# Names that sort differently by bytes than by locale or by UTF-16.
NAMES = ("a", "B", "b", "é", "ß", "z", "Z", "0", "10", "2", "x y", "x.y", "ａ", "😀", "name-with-many-letters-in-it")


# As many random bytes are never twice the same.
ALL_DIFFER = 16


def make_tree(lab, files, bytes_max, symlinks=0, folders=None, empty=True, bytes_least=1):
    """A directory with `files` files in nested folders, some of either empty; many of the small ones are alike, unless bytes_least is ALL_DIFFER."""
    root = lab.directory("tree")
    rand = lab.random
    places = [root]
    for number in range(folders if folders is not None else max(1, files // 8)):
        made = os.path.join(rand.choice(places), f"{rand.choice(NAMES)} {number}")
        os.mkdir(made)
        places.append(made)
    for number in range(files):
        size = rand.choice((0 if empty else bytes_least, bytes_least, rand.randint(bytes_least, bytes_max), rand.randint(bytes_least, bytes_max)))
        path = os.path.join(rand.choice(places), f"{rand.choice(NAMES)}-{number}")
        with open(path, "wb") as out:
            out.write(rand.randbytes(size))
    for number in range(symlinks):
        os.symlink(rand.choice(("a-0", "../b", "/nowhere", "é")), os.path.join(rand.choice(places), f"link-{number}"))
    return root


def wide_tree(lab, entries, name_bytes=20, bytes_least=0):
    """One folder with many small files: beyond 256 KiB of links it becomes a HAMT."""
    root = lab.directory("wide")
    for number in range(entries):
        name = f"{number:0{name_bytes}d}"
        with open(os.path.join(root, name), "wb") as out:
            out.write(lab.random.randbytes(bytes_least + lab.random.randrange(40)))
    return root


def base58(data):
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def cid_v0(block):
    return base58(b"\x12\x20" + hashlib.sha256(block).digest())


def cid_v1(block, codec):
    plain = bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(block).digest()
    return "b" + base64.b32encode(plain).decode().lower().rstrip("=")


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes((number,)))


def unixfs_file_block(content):
    """A dag-pb block with a whole UnixFS file in it: one that has a CIDv0."""
    size = varint(len(content))
    data = b"\x08\x02\x12" + size + content + b"\x18" + size
    return b"\x0a" + varint(len(data)) + data

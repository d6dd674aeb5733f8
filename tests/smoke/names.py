#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keys, names and routing as people and scripts of Kubo type them, against a real daemon that is alone.

Usage: tests/smoke/names.py; HEARTH_BUILD names another build folder.
"""
import json
import os
import re
import shutil
import sys
import tempfile

from bad_input import STRANGER, Node, check, counts
from commands import expect, said

# The example of RFC 8410.
KEY_PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""


def keys(node, folder):
    pem = os.path.join(folder, "key.pem")
    with open(pem, "w", encoding="ascii") as out:
        out.write(KEY_PEM)
    b36 = said(node, "key", "import", "-f", "pem-pkcs8-cleartext", "site", pem).strip()
    expect(node, "key ls is key list", ["key", "ls"], 0, "self\nsite\n")
    forms = {base: said(node, "key", "list", "-l", f"--ipns-base={base}").splitlines()[1].split()[0]
             for base in ("b58mh", "base32", "base36", "base58btc")}
    check("names in other bases", (forms["b58mh"][:8], forms["base32"][0], forms["base36"], forms["base58btc"][0])
          == ("12D3KooW", "b", b36, "z"), forms)
    for base, form in forms.items():
        expect(node, f"a name in {base} is the same name", ["name", "resolve", "--offline", form], 4, "", "no record")
    expect(node, "key rename says the name as it is asked for", ["key", "rename", "--ipns-base=b58mh", "site", "blog"], 0,
           f"Key {forms['b58mh']} renamed to blog\n")
    return b36


def records(node, folder, name):
    root = said(node, "add", "-Q", __file__).strip()
    expect(node, "name publish -Q", ["name", "publish", "-Q", "--allow-offline", "--key=blog", root], 0, f"{name}\n")
    expect(node, "name resolve -s", ["name", "resolve", "-s", name], 0, f"/ipfs/{root}\n")
    record = os.path.join(folder, "record")
    with open(record, "wb") as out:
        out.write(node.run("name", "get", name)[1])
    size = os.path.getsize(record)
    text = said(node, "name", "inspect", "--dump=false", record)
    want = rf'''Value:          "/ipfs/{root}"
Validity Type:  0
Validity:       "\d{{4}}-\d\d-\d\dT[0-9:.]+Z"
Sequence:       0
TTL:            5m0s
Protobuf Size:  {size}
Signature Type: V1\+V2

This record was not verified\. Pass '--verify k51\.\.\.' to verify\.
'''
    check("name inspect", re.fullmatch(want, text), text)
    text = said(node, "name", "inspect", "--verify", name, record)
    check("name inspect --verify", f"\nValidation results:\n Valid: true\n Name:  {name}\n" in text, text)
    row = "00000000  0a 41 2f 69 70 66 73 2f  62 61 66 6b 72 65 69 "
    check("name inspect shows the bytes", f"\nHex Dump:\n{row}" in text and "|.A/ipfs/bafkrei" in text, text)
    told = json.loads(said(node, "name", "inspect", "--enc=json", f"--verify=/ipns/{name}", record))
    check("name inspect --enc=json has Kubo's form",
          (told["Entry"]["Value"], told["Entry"]["ValidityType"], told["Entry"]["Sequence"], told["Entry"]["TTL"],
           told["PbSize"], told["SignatureType"], told["HexDump"][:9], told["Validation"])
          == (f"/ipfs/{root}", 0, 0, 300_000_000_000, size, "V1+V2", "00000000 ", {"Valid": True, "Reason": "", "Name": name}), told)
    code, out, _ = node.run("name", "inspect", "--enc=json", f"--verify={STRANGER}", record)
    told = json.loads(out)["Validation"]
    check("name inspect of another's record", code == 1 and (told["Valid"], told["Reason"]) == (False, "signature verification failed"), told)
    told = json.loads(said(node, "name", "inspect", "--enc=json", record))
    check("name inspect without --verify", told["Validation"] is None, told)


def others(node):
    own = said(node, "swarm", "addrs", "local").split()
    about = json.loads(said(node, "id"))["ID"]
    expect(node, "swarm addrs local --id", ["swarm", "addrs", "local", "--id"], 0, "".join(f"{a}/p2p/{about}\n" for a in own))
    expect(node, "swarm addrs listen", ["swarm", "addrs", "listen"], 0, "".join(f"{a}\n" for a in own))
    expect(node, "stats dht of no DHT", ["stats", "dht", "man"], 1, "", "unknown DHT \"man\"")
    expect(node, "provide clear -q", ["provide", "clear", "-q"], 0, "")
    expect(node, "provide clear", ["provide", "clear"], 0, "removed 0 items from provide queue\n")
    check("provide stat -a", "CIDs scheduled:" in said(node, "provide", "stat", "-a"))
    check("stats bitswap is bitswap stat", said(node, "stats", "bitswap").startswith("bitswap status\n"))
    expect(node, "no such group", ["swarm", "flying"], 2, "", "swarm flying")
    check("a group of a group", "swarm peering add" in said(node, "swarm", "peering"))


def main():
    folder = tempfile.mkdtemp(prefix="hearth-names-", dir="/tmp")
    node = Node(folder, "data")
    try:
        if check("Daemon is ready", node.start(), node.said()):
            records(node, folder, keys(node, folder))
            others(node)
            check("it ends cleanly", node.stop() == 0)
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

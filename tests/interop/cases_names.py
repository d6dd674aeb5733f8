# SPDX-License-Identifier: MIT
"""Names among hearth, Kubo and Helia over the LAN DHT: what one publishes the other resolves.

Publisher and resolver know only a third node. The publisher changes what the
name stands for, and the resolver must see that, not what it saw before.
"""
import json

from cases_dht import FORMS, join
from harness import KIB, add_case, case, expect, expect_same_file
from peers import Hearth, Helia


HELIA_KINDS = {"ed25519": "Ed25519", "rsa": "RSA", "ecdsa": "ECDSA", "secp256k1": "secp256k1"}


def new_key(lab, peer, kind):
    if isinstance(peer, Hearth):
        return peer.hearth("key", "gen", "--type", kind, "site").strip()
    if isinstance(peer, Helia):
        peer.key_gen("site", HELIA_KINDS[kind])
        return None  # with the first record
    if kind == "ecdsa":  # Kubo makes none, and imports them when it is told to
        return imported(lab, peer, kind)
    return peer.rpc("key/gen", "site", type=kind)["Id"]


def imported(lab, kubo, kind):
    """Has Kubo import a key that a hearth made and wrote as PEM; both must call it by the same name."""
    maker, pem = lab.start(Hearth(lab, name="maker")), lab.path("key.pem")
    name = maker.hearth("key", "gen", "--type", kind, "made").strip()
    maker.hearth("key", "export", "-f", "pem-pkcs8-cleartext", "-o", pem, "made")
    told = kubo.ipfs_command("key", "import", "-f", "pem-pkcs8-cleartext", "--allow-any-key-type", "site", pem).strip()
    expect(told == name, f"Kubo calls the key {told}, hearth {name}")
    return name


def publish(peer, path, key="site"):
    if isinstance(peer, Hearth):
        return json.loads(peer.hearth("name", "publish", "--key", key, "--enc=json", path, seconds=60))["name"]
    if isinstance(peer, Helia):
        return peer.publish(key, path, seconds=60)
    return peer.rpc("name/publish", path, key=key, seconds=60)["Name"]


def resolve(peer, name):
    if isinstance(peer, Hearth):
        return peer.hearth("name", "resolve", "--nocache", name, seconds=60).strip()
    if isinstance(peer, Helia):
        return peer.resolve(name, seconds=60)
    return peer.rpc("name/resolve", name, seconds=60, nocache="true")["Path"]


def published_and_resolved(lab, publisher, resolver, kind):
    centre = lab.start(FORMS["hearth"](lab, "middle"))
    source, late = lab.start(FORMS[publisher](lab, "source")), lab.start(FORMS[resolver](lab, "late"))
    for peer in (source, late):
        join(peer, centre)
    first, second = lab.file(3 * KIB), lab.file(30 * KIB)
    name = new_key(lab, source, kind)
    for sent in (first, second):
        path = f"/ipfs/{source.add(sent)}"
        published = publish(source, path)
        name = name or published
        expect(published == name, f"{published} was published, not {name}")
        found = resolve(late, name)
        expect(found == path, f"{late.label} resolves {name} to {found}, not {path}")
    if isinstance(late, Hearth):
        received = lab.path("received")
        late.hearth("get", "-o", received, f"/ipns/{name}", seconds=60)
        expect_same_file(second, received)


def register():
    """Helia is not met with secp256k1, which it has not, nor with ECDSA: it inlines such keys into their ids,
    so Kubo does not resolve its names, nor it Kubo's."""
    for publisher, resolver, kind in (("hearth", "kubo", "ed25519"), ("hearth", "kubo", "rsa"),
                                      ("kubo", "hearth", "ed25519"), ("kubo", "hearth", "rsa"),
                                      ("hearth", "helia", "ed25519"), ("hearth", "helia", "rsa"),
                                      ("helia", "hearth", "ed25519"), ("hearth", "hearth", "ed25519"),
                                      ("hearth", "kubo", "secp256k1"), ("kubo", "hearth", "secp256k1"),
                                      ("hearth", "kubo", "ecdsa"), ("kubo", "hearth", "ecdsa"),
                                      ("helia", "hearth", "rsa")):
        needs = ["hearth", *({publisher, resolver} - {"hearth"})]
        add_case(f"hearth/names/{kind}/{publisher}-to-{resolver}",
                 lambda lab, p=publisher, r=resolver, k=kind: published_and_resolved(lab, p, r, k), needs)


register()


@case("hearth/names/keys-travel/kubo", needs=["hearth", "kubo"])
def keys_travel(lab):
    """A key that Kubo made and wrote is the same name here, and hearth goes on from its last record."""
    centre = lab.start(FORMS["hearth"](lab, "middle"))
    hearth, kubo = lab.start(FORMS["hearth"](lab, "hearth")), lab.start(FORMS["kubo"](lab, "kubo"))
    for peer in (hearth, kubo):
        join(peer, centre)
    name = new_key(lab, kubo, "ed25519")
    before, after = (f"/ipfs/{kubo.add(lab.file(KIB))}" for _ in range(2))
    publish(kubo, before)
    key = lab.path("key")
    kubo.ipfs_command("key", "export", "-o", key, "site")
    expect(hearth.hearth("key", "import", "moved", key).strip() == name, "the key has another name here")
    told = json.loads(hearth.hearth("name", "publish", "--key", "moved", "--resolve=false", "--enc=json", after, seconds=60))
    expect(told["sequence"] == 1, f"the record has the sequence {told['sequence']}, and Kubo's had 0")
    expect(resolve(kubo, name) == after, "Kubo still has its own record")

# SPDX-License-Identifier: MIT
"""A block crosses between hearth and a stranger: identify, ping, Bitswap, dials.

Kubo is met in three forms (Noise only, TLS only, RSA identity) and Helia in
one; what differs between them is how a connection is made, so every form does
every exchange in both directions.
"""
import threading
import time

from harness import (KIB, MIB, Failed, Timeout, add_case, case, expect, expect_same_file, wait_until)
from peers import LOOPBACK, Hearth, Helia, Kubo
from relay import Relay
from trees import DAG_PB, RAW, cid_v0, cid_v1, unixfs_file_block

BITSWAP = "/ipfs/bitswap/1.2.0"
SIZES = (1, KIB, 256 * KIB, MIB, 2 * MIB)
ROUND_TRIP_S = 0.3
TRIP_TOLERANCE = 0.4  # scheduling and the peers' own work, in round trips

FORMS = {
    "kubo-noise": ("kubo", lambda lab: Kubo(lab, security=("noise",))),
    "kubo-tls": ("kubo", lambda lab: Kubo(lab, security=("tls",))),
    "kubo-rsa": ("kubo", lambda lab: Kubo(lab, key="rsa")),
    "helia": ("helia", Helia),
}


def pair(lab, make, dialled_by_hearth=True):
    """A running hearth and a running stranger, connected and identified both ways."""
    hearth, stranger = lab.start(Hearth(lab)), lab.start(make(lab))
    if dialled_by_hearth:
        hearth.connect(stranger.addr)
    else:
        stranger.connect(hearth.addr)
    stranger.identified(hearth.id)
    wait_until("hearth lists the peer", 10, lambda: hearth.connected(stranger.id))
    return hearth, stranger


def together(*jobs, seconds=60):
    """Runs the jobs at the same time; the first that failed is raised."""
    failed = []

    def guarded(job):
        try:
            job()
        except Exception as problem:  # handed to the caller below
            failed.append(problem)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        if thread.is_alive():
            raise Timeout(f"a job of several did not end within {seconds} s")
    if failed:
        raise failed[0]


def send_block(lab, provider, fetcher, size):
    sent, received = lab.file(size, "block"), lab.path("block")
    fetcher.fetch_block_absent(provider.block_put(sent), received)
    expect_same_file(sent, received)


def write(path, content):
    with open(path, "wb") as out:
        out.write(content)
    return path


# --- identify, ping, blocks: each form, each direction ------------------------

def identify_and_ping(lab, make, dialled_by_hearth):
    hearth, stranger = pair(lab, make, dialled_by_hearth)
    told = stranger.identified(hearth.id)
    expect(BITSWAP in told["protocols"], f"the peer was told {told['protocols']}")
    expect(told["agent"].startswith("hearth"), f"the peer was told agent {told['agent']!r}")
    expect(any(f"/tcp/{hearth.port}" in addr for addr in told["addrs"]),
           f"the peer was told {told['addrs']}, hearth listens on {hearth.port}")
    lab.figures["hearth_ms"] = round(hearth.ping(stranger.id), 2)
    lab.figures["peer_ms"] = round(stranger.ping(hearth.id), 2)


def blocks(lab, make, to_hearth):
    hearth, stranger = pair(lab, make, dialled_by_hearth=to_hearth)
    provider, fetcher = (stranger, hearth) if to_hearth else (hearth, stranger)
    for size in SIZES:
        try:
            send_block(lab, provider, fetcher, size)
        except Failed as problem:
            raise Failed(f"block of {size} bytes: {problem}") from None


def register_forms():
    for form, (program, make) in FORMS.items():
        needs = ["hearth", program]
        add_case(f"hearth/identify-and-ping/{form}/hearth-dials",
                 lambda lab, make=make: identify_and_ping(lab, make, True), needs)
        add_case(f"hearth/identify-and-ping/{form}/peer-dials",
                 lambda lab, make=make: identify_and_ping(lab, make, False), needs)
        add_case(f"hearth/blocks/{form}-to-hearth", lambda lab, make=make: blocks(lab, make, True), needs)
        add_case(f"hearth/blocks/hearth-to-{form}", lambda lab, make=make: blocks(lab, make, False), needs)


register_forms()


@case("hearth/blocks/hearth-to-hearth", needs=["hearth"])
def hearth_to_hearth(lab):
    provider, fetcher = lab.start(Hearth(lab, name="provider")), lab.start(Hearth(lab, name="fetcher"))
    fetcher.connect(provider.addr)
    for size in SIZES:
        send_block(lab, provider, fetcher, size)


# --- one multihash under two CIDs ----------------------------------------------

def both_versions(lab, make):
    hearth, stranger = pair(lab, make)
    for provider, fetcher in ((stranger, hearth), (hearth, stranger)):
        for name_it in (cid_v0, lambda block: cid_v1(block, DAG_PB)):
            block = unixfs_file_block(lab.random.randbytes(1000))
            sent, received = write(lab.path("block"), block), lab.path("block")
            provider.block_put(sent, codec="dag-pb")
            fetcher.fetch_block_absent(name_it(block), received)
            expect_same_file(sent, received)


def register_versions():
    for form, program in (("kubo-noise", "kubo"), ("helia", "helia")):
        make = FORMS[form][1]
        add_case(f"hearth/cid-v0-and-v1/{program}", lambda lab, make=make: both_versions(lab, make),
                 ["hearth", program])


register_versions()


@case("hearth/cid-v0-and-v1/both-wanted-at-once", needs=["hearth", "kubo"])
def both_wanted_at_once(lab):
    """Kubo keys its wants by the full CID: each of the two must be answered."""
    hearth, kubo = pair(lab, FORMS["kubo-noise"][1])
    block = unixfs_file_block(lab.random.randbytes(1000))
    sent = write(lab.path("block"), block)
    outs = [lab.path("v0"), lab.path("v1")]

    def arrive():
        time.sleep(0.5)  # both wants are to reach hearth before the block does
        hearth.block_put(sent, codec="dag-pb")

    together(lambda: kubo.block_get(cid_v0(block), outs[0], 20),
             lambda: kubo.block_get(cid_v1(block, DAG_PB), outs[1], 20), arrive)
    for out in outs:
        expect_same_file(sent, out)


# --- blocks that are not there --------------------------------------------------

@case("hearth/absent/dont-have-in-time", needs=["hearth", "helia"])
def dont_have_in_time(lab):
    hearth, helia = pair(lab, Helia)
    there = hearth.block_put(lab.file(5000))
    expect(helia.presence(there, hearth.id, 5) is True, "hearth denies a block that it has")
    began = time.monotonic()
    expect(helia.presence(lab.absent_cid(), hearth.id, 5) is False, "hearth claims a block that nobody has")
    took = time.monotonic() - began
    expect(took < 2, f"DONT_HAVE took {took:.1f} s")
    lab.figures["ms"] = round(took * 1000)


@case("hearth/absent/get-ends-in-time", needs=["hearth", "kubo"])
def get_ends_in_time(lab):
    hearth, _ = pair(lab, FORMS["kubo-noise"][1])
    began = time.monotonic()
    status, _, problem = hearth.try_hearth("--timeout=3s", "block", "get", lab.absent_cid(), seconds=15)
    took = time.monotonic() - began
    expect(status in (hearth.TIMED_OUT, hearth.NOT_FOUND), f"exit {status}: {problem.strip()}")
    expect(problem.startswith("Error: "), f"stderr says {problem!r}")
    expect(took < 5, f"a limit of 3 s took {took:.1f} s")


def arrives_later(lab, make, directions):
    """An absent block stays wanted, and crosses once somebody has it."""
    hearth, stranger = pair(lab, make)
    for provider, fetcher in ((hearth, stranger), (stranger, hearth))[:directions]:
        sent, received = lab.file(3000, "block"), lab.path("block")
        with open(sent, "rb") as data:
            cid = cid_v1(data.read(), RAW)

        def put_later(provider=provider, sent=sent):
            time.sleep(1.5)
            provider.block_put(sent)

        together(lambda fetcher=fetcher, cid=cid, received=received: fetcher.block_get(cid, received, 30), put_later)
        expect_same_file(sent, received)


add_case("hearth/absent/arrives-later/kubo",
         lambda lab: arrives_later(lab, FORMS["kubo-noise"][1], 2), ["hearth", "kubo"])
# Helia 7.1 looks for partners before it has stored a new block, finds none to send and
# does not look again until the partner's next message: only the one direction is promised.
add_case("hearth/absent/arrives-later/helia",
         lambda lab: arrives_later(lab, Helia, 1), ["hearth", "helia"])


# --- connections ------------------------------------------------------------------

@case("hearth/connections/two-between-one-pair", needs=["hearth", "helia"])
def two_connections(lab):
    hearth, helia = pair(lab, Helia)
    helia.connect(hearth.addr, force=True)
    expect(len(helia.connections(hearth.id)) == 2, "there is no second connection")
    for _ in range(3):
        send_block(lab, helia, hearth, MIB)
        send_block(lab, hearth, helia, MIB)
    expect(helia.connections(hearth.id), "hearth closed both connections")


@case("hearth/connections/both-dial-at-once", needs=["hearth", "kubo"])
def both_dial_at_once(lab):
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    together(lambda: hearth.connect(kubo.addr), lambda: kubo.connect(hearth.addr))
    send_block(lab, kubo, hearth, MIB)
    send_block(lab, hearth, kubo, MIB)


@case("hearth/connections/idle-streams-reset", needs=["hearth", "helia"])
def idle_streams_reset(lab):
    """The peer resets streams that were idle for 1.5 s; hearth opens new ones."""
    hearth, helia = pair(lab, lambda lab: Helia(lab, stream_idle_ms=1500))
    for _ in range(2):
        send_block(lab, helia, hearth, 256 * KIB)
        send_block(lab, hearth, helia, 256 * KIB)
        time.sleep(4)  # the idle time is what is tested
    send_block(lab, helia, hearth, 256 * KIB)
    send_block(lab, hearth, helia, 256 * KIB)


@case("hearth/connections/idle-socket-closed", needs=["hearth", "helia"])
def idle_socket_closed(lab):
    """The peer closes the idle socket; hearth notices and can dial again."""
    hearth, helia = pair(lab, lambda lab: Helia(lab, socket_idle_ms=2000))
    send_block(lab, helia, hearth, KIB)
    wait_until("the peer closed the idle connection", 30, lambda: not helia.connections(hearth.id))
    wait_until("hearth noticed that the peer is gone", 10, lambda: not hearth.connected(helia.id))
    hearth.connect(helia.addr)
    send_block(lab, helia, hearth, 256 * KIB)
    send_block(lab, hearth, helia, 256 * KIB)


@case("hearth/connections/peer-aborts", needs=["hearth", "helia"])
def peer_aborts(lab):
    """The peer cuts the connection in the middle of a fetch; the next one works."""
    hearth, helia = pair(lab, Helia)
    helia.disconnect(hearth.addr, abort=True)
    wait_until("hearth noticed that the peer is gone", 10, lambda: not hearth.connected(helia.id))
    helia.connect(hearth.addr)
    send_block(lab, hearth, helia, MIB)
    send_block(lab, helia, hearth, MIB)


@case("hearth/connections/wrong-peer-id", needs=["hearth", "kubo"])
def wrong_peer_id(lab):
    hearth, kubo = lab.start(Hearth(lab)), lab.start(Kubo(lab))
    other = Kubo(lab, name="other").init()
    wrong = f"{kubo.addr.rsplit('/', 1)[0]}/{other.ipfs_command('config', 'Identity.PeerID').strip()}"
    status, _, problem = hearth.try_hearth("swarm", "connect", wrong, seconds=30)
    expect(status == 1, f"exit {status}: {problem.strip()}")
    expect(problem.startswith("Error: "), f"stderr says {problem!r}")
    expect(not hearth.connected(kubo.id), "hearth kept a connection to somebody else")


# --- round trips ---------------------------------------------------------------------

def far_helia(lab, over="", **options):
    """Helia behind a relay, known by the relay's address alone; over: "/ws" or nothing, which is TCP."""
    relay = lab.start(Relay(ROUND_TRIP_S))
    helia = lab.start(Helia(lab, name="far", listen=[f"{LOOPBACK}{over}"],
                            announce=[f"/ip4/127.0.0.1/tcp/{relay.port}{over}"], **options))
    relay.aim(int(helia.listening[0].split("/")[4]))
    return relay, helia


def measured_dial(relay, helia, dialler, over=""):
    """Round trips of one dial, until the first byte of the answer to its identify."""
    relay.forget()
    before = len(helia.inbound_streams())
    dialler.connect(f"/ip4/127.0.0.1/tcp/{relay.port}{over}/p2p/{helia.id}")

    def asked():
        return [s for s in helia.inbound_streams()[before:] if s["peer"] == dialler.id]
    arrived = wait_until("an identify request", 20, asked)[0]["at_ns"]
    return relay.trips(arrived)


def expect_trips(lab, name, trips, most):
    lab.figures[name] = round(trips, 2)
    expect(trips <= most + TRIP_TOLERANCE, f"{name}: {trips:.2f} round trips, at most {most} are needed")


@case("hearth/round-trips/early-muxer", needs=["hearth", "helia"])
def trips_early_muxer(lab):
    relay, helia = far_helia(lab)
    hearth = lab.start(Hearth(lab))
    expect_trips(lab, "trips", measured_dial(relay, helia, hearth), 3)


@case("hearth/round-trips/websocket", needs=["hearth", "helia"])
def trips_websocket(lab):
    """A client may say nothing before its HTTP request is answered: one round trip more."""
    relay, helia = far_helia(lab, over="/ws")
    hearth = lab.start(Hearth(lab))
    expect_trips(lab, "trips", measured_dial(relay, helia, hearth, over="/ws"), 4)


@case("hearth/round-trips/no-muxers-named", needs=["hearth", "helia"])
def trips_without_early_muxer(lab):
    relay, helia = far_helia(lab, early_muxers=False)
    hearth = lab.start(Hearth(lab))
    expect_trips(lab, "trips", measured_dial(relay, helia, hearth), 4)


@case("hearth/round-trips/noise-refused", needs=["hearth", "helia"])
def trips_noise_refused(lab):
    relay, helia = far_helia(lab, security=["tls"])
    hearth = lab.start(Hearth(lab))
    expect_trips(lab, "first", measured_dial(relay, helia, hearth), 6)
    hearth.disconnect(helia.addr)
    wait_until("the first connection is gone", 10, lambda: not helia.connections(hearth.id))
    expect_trips(lab, "next", measured_dial(relay, helia, hearth), 3)


@case("strangers/round-trips", needs=["kubo", "helia"])
def trips_of_strangers(lab):
    """What Kubo and Helia need for the same dial: it shows that the ruler measures."""
    relay, helia = far_helia(lab)
    for name, dialler in (("kubo", Kubo(lab)), ("helia", Helia(lab))):
        trips = measured_dial(relay, helia, lab.start(dialler))
        lab.figures[name] = round(trips, 2)
        expect(3 - TRIP_TOLERANCE <= trips <= 8, f"{name}: {trips:.2f} round trips cannot be")

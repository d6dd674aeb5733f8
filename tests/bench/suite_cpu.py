# SPDX-License-Identifier: MIT
"""Handshakes beside their ceiling, the mailbox beside plain nng, an eventfd and Erlang/OTP, and the heat policy."""
import os
import shutil
import subprocess

from ruler import Contender, Target, program, ratio, say, suite_result

HERE = os.path.dirname(os.path.abspath(__file__))


def handshakes(_lab, programs, options):
    seconds = "0.5" if options.quick else "1"

    def rate(mode):
        return lambda: {"value": program([programs["handshake"], mode, seconds, "2"])["per_s"]}
    own = Contender("handshakes", rate("handshakes"), "both sides, Noise, Ed25519, early muxer; 2 threads", unit="/s")
    ceiling = Contender("their X25519 and Ed25519 alone", rate("ceiling"), "8 X25519 and 2 verifications each; 2 threads", unit="/s")
    targets = [Target("handshakes/s on two cores, both sides", lambda: own.summary()["median"] if own.samples else None, 1000),
               Target("handshakes / ceiling", lambda: ratio(own, ceiling), 0.5)]
    return suite_result("Handshakes", [own, ceiling], targets, options.rounds)


def compile_erlang(folder, source="mailbox"):
    """Compiles a module into folder; False when there is no Erlang here."""
    if shutil.which("erlc") is None or shutil.which("erl") is None:
        say("SKIPPED: Erlang/OTP is not installed (erlang-base)")
        return False
    subprocess.run(["erlc", "-o", folder, os.path.join(HERE, f"{source}.erl")], check=True)
    return True


def mailbox(lab, programs, options):
    seconds = "0.3" if options.quick else "0.7"
    names = {"eventfd": "eventfd ping-pong", "pushpull": "plain nng, one-lane PUSH/PULL and back", "call": "call, one at a time",
             "calls64": "calls, 64 in flight", "casts": "casts"}

    def own(mode):
        return lambda: {"value": program([programs["mailbox"], mode, seconds])["per_s"]}
    rows = {mode: Contender(text, own(mode), unit="/s") for mode, text in names.items()}
    folder = lab.directory("erlang")
    if compile_erlang(folder):
        for mode in ("call", "calls64", "casts"):
            command = ["erl", "-noshell", "-pa", folder, "-s", "mailbox", "main", mode, seconds]
            rows["erlang " + mode] = Contender(f"Erlang/OTP: {names[mode]}", lambda command=command: {"value": program(command)["per_s"]}, unit="/s")

    def median(mode):
        return lambda: rows[mode].summary()["median"] if rows[mode].samples else None
    targets = [Target("call round trip / one-lane PUSH/PULL round trip", lambda: ratio(rows["pushpull"], rows["call"]), 1.2, less=True),
               Target("calls/s with 64 in flight", median("calls64"), 200e3), Target("casts/s", median("casts"), 1e6)]
    return suite_result("The mailbox", list(rows.values()), targets, options.rounds)


def heat(_lab, programs, options):
    """CPU time of an access, 32 announced together, the admission after a miss included."""
    tracked, held = (200_000, 20_000) if options.quick else (10_000_000, 1_000_000)
    accesses = 200_000 if options.quick else 5_000_000

    def run(blocks, room, kind):
        def sample():
            got = program([programs["heat"], str(blocks), str(room), kind, str(accesses)], seconds=900)
            return {**got, "value": got["ns"]}
        return sample
    rows = [Contender(f"{blocks:,} tracked, {room:,} held, {'all alike' if kind == 'even' else kind}", run(blocks, room, kind), remark, unit="ns", less=True)
            for blocks, room, kind, remark in ((tracked, held, "skewed", ""), (tracked, held, "even", "no access finds its row in a cache"),
                                               (1_000_000, 100_000, "skewed", ""), (200_000, 4_000, "skewed", ""),
                                               (50_000, 500, "skewed", "trials see every access"))]

    def share():
        return rows[0].summary()["median"] * 100_000 / 1e7 if rows[0].samples else None

    def row_bytes():
        return rows[0].samples[-1]["row_bytes"] if rows[0].samples else None
    targets = [Target("% of a core at 100,000 accesses/s, skewed", share, 2, less=True),
               Target("bytes a tracked block beyond the index", row_bytes, 24, less=True)]
    result = suite_result("Heat", rows, targets, min(options.rounds, 3))
    result["notes"] += [f"{row.name}: a read of a random line of as much memory, that waits for the one before it, takes {row.samples[-1]['wait_ns']:.0f} ns; the "
                        f"longest of the first uses, in which tables grow, took {row.samples[-1]['longest_ms']:.1f} ms" for row in rows if row.samples]
    return result

# SPDX-License-Identifier: MIT
"""What a node costs that has nothing to do: alone, and with fifty peers connected."""
import time

from harness import wait_until
from peers import Hearth
from ruler import MIB, Contender, Target, cpu_seconds, memory_bytes, resident_bytes, suite_result
from suite_transfer import CONFIGURATION, make


def idle(lab, _programs, options):
    seconds = 2 if options.quick else 5
    count = 5 if options.quick else 50
    alone = lab.start(Hearth(lab, name="alone"))
    busy = lab.start(Hearth(lab, name="connected"))
    kubo = lab.start(make(lab, "Kubo", "kubo-alone"))
    for number in range(count):
        peer = lab.start(Hearth(lab, name=f"peer-{number}"))
        peer.connect(busy.addr)
    wait_until(f"{count} peers", 30, lambda: len(busy.hearth("swarm", "peers").split()) >= count)
    time.sleep(2 if options.quick else 10)  # identify is over

    def watch(node):
        pid = node.process.child.pid
        before = cpu_seconds(pid)
        time.sleep(seconds)
        return {"value": resident_bytes(pid) / MIB, "core_percent": 100 * (cpu_seconds(pid) - before) / seconds,
                "node_peak_bytes": memory_bytes(pid)}

    def median(row, key):
        return lambda: row.summary().get(key) if row.samples else None
    rows = [Contender(name, lambda node=node: watch(node), configuration, "", unit="MiB resident", less=True)
            for name, node, configuration in (("hearth, no peers", alone, CONFIGURATION["hearth"]),
                                              (f"hearth, {count} peers", busy, CONFIGURATION["hearth"]),
                                              ("Kubo, no peers", kubo, CONFIGURATION["Kubo"]))]
    targets = [Target("hearth without peers, MiB resident", median(rows[0], "median"), 16, less=True),
               Target(f"hearth with {count} peers, MiB resident", median(rows[1], "median"), 24, less=True),
               Target(f"hearth with {count} peers, % of a core", median(rows[1], "core_percent"), 0.5, less=True)]
    return suite_result("Idle", rows, targets, options.rounds,
                        ["Resident memory of the daemon (RSS) and what its nanny holds beside it; CPU over windows of "
                         f"{seconds} s, whose resolution is {100 / 100 / seconds:.2f} % of a core. The peers are hearth nodes on the same machine."])

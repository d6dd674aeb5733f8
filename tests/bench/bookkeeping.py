# SPDX-License-Identifier: MIT
"""Which share of the samples of running nodes is the runtime's own bookkeeping.

perf notes where the nodes' threads are, 1,999 times a second of CPU. An address counts when any function that is inlined there is one of
FUNCTIONS, which are those that without_bookkeeping.h leaves out. A clock read has no inlined caller: all of the kernel's page of clock
functions ([vdso]) counts as well, though most of it is read for deadlines.
"""
import collections
import os
import re
import shutil
import subprocess
import time

from ruler import tree

FUNCTIONS = ("count_up", "turn_note_beat", "turn_note_since", "turn_note_kind", "turn_begins", "turn_ends", "handling_note", "handling_count", "handling_add",
             "handling_bucket", "handling_now", "handling_turn_over", "hops_add", "trace_call", "trace_call_ended", "trace_cast", "trace_handler_begins",
             "trace_handler_ended", "trace_job_submitted", "trace_job_begins", "trace_job_ends", "trace_job_done", "trace_cause", "crash_slot_does",
             "crash_slot_message", "crash_slot_done", "crash_slot_who", "poison_stops", "poison_bytes", "look_at", "turn_age", "watchdog_age")
CLOCKS = ("machine_now", "clock_mono_ns")  # and with them the page of the kernel's clock functions
RATE = 1999
NOTE = ("Bookkeeping, by samples: " + ", ".join(FUNCTIONS) + "; and all reading of the clock (" + ", ".join(CLOCKS) + ", [vdso]), whoever reads it. By pairs: the "
        "daemon against one whose mailbox/ is built without them (without_bookkeeping.h). Counts that something is decided by (mailboxes, accounts, calls, lives) are "
        "in neither.")


def has_perf():
    return shutil.which("perf") is not None and shutil.which("addr2line") is not None


def base_of(pid, binary):
    """Where the program is in the memory of a process of it; None when it is another's."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as kept:
        for line in kept:
            fields = line.split()
            if len(fields) > 5 and os.path.realpath(fields[5]) == binary and fields[2] == "00000000":
                return int(fields[0].split("-")[0], 16)
    return None


def inlined(binary, addresses):
    """For each address the functions that it is in, inlined ones first."""
    asked = "".join(f"{address:x}\n" for address in addresses)
    out = subprocess.run(["addr2line", "-a", "-f", "-i", "-e", binary], input=asked, capture_output=True, text=True, check=True).stdout
    found = {}
    names = []
    for line in out.splitlines():
        if re.fullmatch(r"0x[0-9a-f]+", line):
            names = found.setdefault(int(line, 16), [])
        elif ":" not in line:
            names.append(re.sub(r"\.(isra|part|constprop|cold).*", "", line))
    return found


class Profile:
    """As suite_supervision's sampler: start() before the work, stop() behind it."""

    def __init__(self, nodes):
        pids = [pid for node in nodes.values() for pid in tree(node.process.child.pid)]
        self.binary = os.path.realpath(os.path.join(os.path.dirname(next(iter(nodes.values())).binary), "hearthd"))
        self.bases = {pid: base for pid in pids if (base := base_of(pid, self.binary)) is not None}
        self.data = os.path.join(next(iter(nodes.values())).home, "perf.data")
        self.perf = None

    def start(self):
        self.perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(RATE), "-o", self.data,
                                      "-p", ",".join(str(pid) for pid in self.bases)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def stop(self):
        self.perf.terminate()
        self.perf.wait(60)
        text = subprocess.run(["perf", "script", "-i", self.data, "-F", "pid,ip,dso"], capture_output=True, text=True, check=True).stdout
        os.unlink(self.data)
        own, places = collections.Counter(), collections.Counter()
        for pid, ip, place in re.findall(r"^\s*(\d+)\s+([0-9a-f]+)\s.*\((.*)\)\s*$", text, re.MULTILINE):
            places[place] += 1
            if os.path.basename(place) == "hearthd":
                own[int(ip, 16) - self.bases[int(pid)]] += 1
        functions = inlined(self.binary, own)
        by_name = collections.Counter()
        for address, count in own.items():
            counted = next((name for name in functions.get(address, ()) if name in FUNCTIONS or name in CLOCKS), None)
            by_name[counted] += count
        total = sum(places.values())
        clock = places["[vdso]"] + sum(by_name[name] for name in CLOCKS)
        noted = sum(by_name[name] for name in FUNCTIONS)
        return {"value": 100 * (clock + noted) / total, "samples": total, "noted_percent": 100 * noted / total, "clock_percent": 100 * clock / total}

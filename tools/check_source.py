#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the laws of the source tree that no compiler knows: which folder may include which, which functions and headers are
banned where, how long a file may be, and that the tests which docs/internals/attacks.md names exist. Prints one line per breach and
exits 1 if there is any. `--list` prints the layer law."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Folder -> folders whose headers it may include, besides its own. mailbox/ports.h is the one door from below into mailbox.
LAYERS = {
    "base": [],
    "schemas": ["base"],
    "wire": ["base"],
    "dht": ["base", "wire"],
    "mailbox": ["base", "schemas"],
    "storage": ["base", "schemas", "wire", "mailbox/ports.h"],
    "net": ["base", "wire", "mailbox/ports.h"],
    "actors": ["base", "schemas", "wire", "dht", "mailbox", "storage", "net"],
    "sim": ["base", "schemas", "wire", "dht", "mailbox", "storage", "net", "actors"],
    "tiersim": ["base", "storage"],
    "cli": ["base", "schemas", "wire", "dht", "mailbox", "storage", "net", "actors"],
}

# Library header -> places that may include it.
LIBRARIES = {
    r"uv\.h": ["net/"],
    r"nng/.*": ["mailbox/", "actors/control/listener", "cli/"],
    r"sqlite3\.h": ["storage/", "actors/state/", "cli/", "sim/"],
    r"msgpack.*": ["schemas/", "actors/control/", "cli/"],
    r"jansson\.h": ["schemas/", "actors/control/", "cli/"],
    r"yaml\.h": ["cli/", "wire/denylist_header"],
    r"zlib\.h": ["cli/", "tiersim/"],
    r"lzma\.h": ["tiersim/"],
    r"zstd.*\.h": ["storage/", "tiersim/"],
    r"curl/.*": ["net/"],
    r"ares.*\.h": ["net/"],
    r"openssl/.*": ["wire/", "base/"],
}

BANNED = r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|atof|alloca|rand|srand|tmpnam|mktemp)\s*\("
# Clocks, randomness, threads and descriptors reach actors and engines only through their ctx and ports.
ENGINES = ("wire/", "dht/", "actors/")
ENGINE_BANNED = (
    r"(?<![>.])\b(pthread_[a-z_]+|clock_gettime|gettimeofday|time|socket|connect|getrandom|randombytes_[a-z]+|"
    r"random_fill|clock_mono_ns|clock_real_ns|usleep|nanosleep|sleep)\s*\("
)
ENGINE_EXCEPTIONS = {
    "wire/keys.c": "makes the identity of a new repository, before any actor exists",
    "wire/multihash.c": "fetches libcrypto's digest once per process",
}
FILE_LINES_MAX = 500
ATTACKS = "docs/internals/attacks.md"


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns], cwd=ROOT, check=True, capture_output=True,
                         text=True).stdout
    return [line for line in out.splitlines() if (ROOT / line).is_file()]


def strip_comments(text):
    """Blanks comments and string literals, keeping line numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_includes(path, text, report):
    folder = path.split("/")[0]
    allowed = LAYERS[folder]
    for number, line in enumerate(text.splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if quoted:
            target = quoted.group(1)
            ok = target.startswith(folder + "/") or any(
                target == entry or (not entry.endswith(".h") and target.startswith(entry + "/")) for entry in allowed)
            if not ok and target.split("/")[0] in LAYERS:
                report(path, number, f"{folder}/ may not include {target}")
        angled = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
        if angled:
            for pattern, places in LIBRARIES.items():
                if re.fullmatch(pattern, angled.group(1)) and not path.startswith(tuple(places)):
                    report(path, number, f"<{angled.group(1)}> belongs in {', '.join(places)}")


def check_calls(path, text, report):
    for number, line in enumerate(strip_comments(text).splitlines(), 1):
        for match in re.finditer(BANNED, line):
            report(path, number, f"{match.group(1)} is banned")
        if path.startswith(ENGINES) and path not in ENGINE_EXCEPTIONS:
            for match in re.finditer(ENGINE_BANNED, line):
                report(path, number, f"{match.group(1)} does not belong in an engine or actor: take it from ctx or the caller")


def check_attacks(report):
    """Its tables name tests as `test_file`: one_test, another_test; `test_file`: ..."""
    sources = {}
    for path in tracked("tests/unit/*/test_*.c"):
        sources[Path(path).stem] = sources.get(Path(path).stem, "") + (ROOT / path).read_text()
    for number, line in enumerate((ROOT / ATTACKS).read_text().splitlines(), 1):
        for file, tests in re.findall(r"`(test_\w+)`(?: \(wire\))?: ([\w, ]+)", line) if line.startswith("|") else []:
            for test in re.findall(r"\w+", tests):
                if len(re.findall(rf"\b{test}\b", sources.get(file, ""))) < 2:  # defined and registered
                    report(ATTACKS, number, f"{file} has no test {test}")


def main():
    if "--list" in sys.argv:
        for folder, allowed in LAYERS.items():
            print(f"{folder}: {', '.join(allowed) or 'none'}")
        return 0
    breaches = []

    def report(path, number, why):
        breaches.append(f"{path}:{number}: {why}")

    for path in tracked("*.c", "*.h"):
        text = (ROOT / path).read_text()
        if not text.startswith("/* SPDX-License-Identifier: MIT */"):
            report(path, 1, "the first line must be the SPDX line")
        lines = text.count("\n")
        if path.endswith(".c") and lines > FILE_LINES_MAX and not path.startswith("tests/"):
            report(path, lines, f"{lines} lines: split it (at most {FILE_LINES_MAX})")
        if path.split("/")[0] in LAYERS:
            check_includes(path, text, report)
            check_calls(path, text, report)
        elif path.startswith("tests/"):
            for number, line in enumerate(strip_comments(text).splitlines(), 1):
                for match in re.finditer(BANNED, line):
                    report(path, number, f"{match.group(1)} is banned")
    check_attacks(report)
    print("\n".join(breaches) if breaches else "source laws hold")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

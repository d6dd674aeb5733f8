#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables and plots of make bench's results.json.

usage: tests/bench/report.py RESULTS.json docs/results.md     writes the generated part of that page, its plots beside it in plots/, and
                                                            keeps the JSON as results.json; suites that were not measured stay
The page keeps what people wrote outside the two marks.
"""
import json
import os
import sys

BEGIN, END = "<!-- made by tests/bench/report.py: begin -->", "<!-- made by tests/bench/report.py: end -->"
ORDER = ("large", "pairs", "relay", "add", "folder", "kept", "ready", "idle", "handshakes", "mailbox", "supervision", "heat", "tiers", "discovery")
COLOURS = {"hearth": "#c2410c", "Kubo": "#1d4ed8", "Helia": "#7c3aed"}
PLAIN = "#6b7280"


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cpu_per_gb(row):
    """CPU seconds of each side; per GB when the row is a rate of bytes, else of the whole piece of work."""
    parts = []
    gb = row.get("amount_gb")
    for key, text in (("provider_cpu_s", "provider"), ("fetcher_cpu_s", "fetcher"), ("node_cpu_s", "node"), ("commands_cpu_s", "commands")):
        if row.get(key) is not None and not (key == "commands_cpu_s" and row[key] < 0.005):
            parts.append(f"{text} {row[key] / gb if gb else row[key]:.2f}")
    if "core_percent" in row:
        parts.append(f"{row['core_percent']:.2f} % of a core")
    return ", ".join(parts)


def memory(row):
    parts = [f"{text} {row[key] / (1 << 20):.0f}" for key, text in
             (("provider_peak_bytes", "provider"), ("fetcher_peak_bytes", "fetcher"), ("node_peak_bytes", "node")) if row.get(key)]
    return ", ".join(parts)


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(line) + " |" for line in lines])


def suite_text(suite, plot=None):
    """One suite in Markdown."""
    text = [f"### {suite['title']}", ""]
    rows = suite["rows"]
    if rows:
        gb = any(row["unit"] == "MB/s" for row in rows)
        text += [table(["", "median", "low to high", "runs", "CPU-s/GB" if gb else "CPU-s", "peak MiB"],
                       [[row["name"], f"{number(row['median'])} {row['unit']}", f"{number(row['low'])} to {number(row['high'])}",
                         str(row["runs"]), cpu_per_gb(row), memory(row)] for row in rows]), ""]
    if suite["targets"]:
        text += [table(["target", "measured", "asked for", ""],
                       [[t["text"], number(t["value"]), f"{'at most' if t['less'] else 'at least'} {number(t['bound'])}",
                         "met" if t["met"] else "**missed**"] for t in suite["targets"]]), ""]
    if "table" in suite:
        text += [table(suite["table"]["head"], suite["table"]["lines"]), ""]
    text += [f"Failed: {name}: {why}\n" for name, why in suite["failed"].items()]
    text += [note + "\n" for note in suite["notes"]]
    told = sorted({(row["name"].split(", ")[0].split(" to ")[-1], row["configuration"], row["durability"]) for row in rows if row["configuration"]})
    if told:
        text += ["Configuration and durability: " + "; ".join(
            f"{name}: {configuration}" + (f"; {durability}" if durability else "") for name, configuration, durability in told) + ".", ""]
    if plot:
        text += [f"![{suite['title']}]({plot})", ""]
    about = suite["machine"]
    text += [f"{suite['date']}, {suite['rounds']} rounds, {about['cores']} cores {about['cpu']}, {about['memory_gib']} GiB, Linux "
             f"{about['kernel']}, load before {about['load_before']:.1f}.", ""]
    return "\n".join(text)


# --- plots ------------------------------------------------------------------------------

def colour(name):
    """A row's colour is its fetcher's: that is who does the most work."""
    words = name.replace(",", " ").split()
    found = [COLOURS[word] for word in words if word in COLOURS]
    return found[-1] if found else PLAIN


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def svg(suite):
    """Bars of the medians with the range of the rounds; rows of different units are not drawn together."""
    rows = [row for row in suite["rows"] if row["unit"] == suite["rows"][0]["unit"]]
    most = max(row["high"] for row in rows) or 1
    left, wide, high = 330, 420, 26
    tall = 34 + high * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 110}" height="{tall}" font-family="sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="8" y="20" font-weight="bold">{escape(suite["title"])}</text>']
    for index, row in enumerate(rows):
        top = 32 + index * high
        length, low, top_end = (wide * row[key] / most for key in ("median", "low", "high"))
        middle = top + 9
        out += [f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(row["name"])}</text>',
                f'<rect x="{left}" y="{top}" width="{length:.1f}" height="18" fill="{colour(row["name"])}" fill-opacity="0.75"/>',
                f'<path d="M{left + low:.1f} {middle}H{left + top_end:.1f}M{left + low:.1f} {middle - 4}v8M{left + top_end:.1f} {middle - 4}v8" '
                'stroke="black" fill="none"/>',
                f'<text x="{left + top_end + 6:.1f}" y="{top + 13}">{number(row["median"])} {escape(row["unit"])}</text>']
    return "\n".join(out + ["</svg>", ""])


# --- the page -----------------------------------------------------------------------------

def summary(suites):
    lines = [[suite["title"], t["text"], number(t["value"]), f"{'at most' if t['less'] else 'at least'} {number(t['bound'])}",
              "met" if t["met"] else "**missed**"] for suite in suites for t in suite["targets"]]
    return table(["", "target", "measured", "asked for", ""], lines) + "\n"


def page(results, plots):
    suites = [(name, results["suites"][name]) for name in ORDER if name in results["suites"]]
    versions = ", ".join(f"{name} {text}" for name, text in sorted(results["versions"].items()))
    parts = [f"Peers: {versions}.\n", summary([suite for _, suite in suites])]
    parts += [suite_text(suite, f"{plots}/{name}.svg" if suite["rows"] else None) for name, suite in suites]
    return "\n".join(parts)


def write_plots(results, folder):
    os.makedirs(folder, exist_ok=True)
    for name, suite in results["suites"].items():
        if suite["rows"]:
            with open(os.path.join(folder, name + ".svg"), "w", encoding="utf-8") as out:
                out.write(svg(suite))


def write_all(results, folder):
    """results.md and the plots beside results.json."""
    write_plots(results, folder)
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as out:
        out.write(page(results, "."))


def merged(before, now):
    """What was measured now, and of the suites that were not, what is known from before."""
    results = {"suites": {}, "versions": {}}
    for path in (before, now):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as kept:
                known = json.load(kept)
            for part in results:
                results[part].update(known[part])
    return results


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, target = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(target))
    kept_json = os.path.join(folder, "results.json")
    results = merged(kept_json, source)
    with open(target, encoding="utf-8") as kept:
        before, mark, rest = kept.read().partition(BEGIN)
    old, end, after = rest.partition(END)
    if not mark or not end:
        print(f"{target}: the marks are missing:\n{BEGIN}\n{END}", file=sys.stderr)
        return 1
    del old
    write_plots(results, os.path.join(folder, "plots"))
    with open(target, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n\n" + page(results, "plots") + "\n" + END + after)
    with open(kept_json, "w", encoding="utf-8") as kept:
        json.dump(results, kept, indent=1, sort_keys=True)
        kept.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

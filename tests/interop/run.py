#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hearth and the peers of other people, on loopback: see README.md in this folder."""
import argparse
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import harness
import cases_strangers  # noqa: F401  (importing a module registers its cases)
import cases_blocks  # noqa: F401
import cases_files  # noqa: F401
import cases_private  # noqa: F401
import cases_providers  # noqa: F401
import cases_mdns  # noqa: F401
import cases_transports  # noqa: F401
import cases_unixfs  # noqa: F401
import cases_dag  # noqa: F401
import cases_dht  # noqa: F401
import cases_wan  # noqa: F401
import cases_partition  # noqa: F401
import cases_names  # noqa: F401
import cases_delegated  # noqa: F401
import cases_import  # noqa: F401
from tools import Tools


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="run the cases whose name contains or matches PATTERN (repeatable)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--short", action="store_true", help="leave out the cases that take long")
    parser.add_argument("--json", metavar="OUT", help="write results and figures to OUT")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each failure")
    return parser.parse_args()


def main():
    args = arguments()
    # A terminated run unwinds like any other, so that its peers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = harness.chosen(args.only, args.short)
    if args.list:
        for one in cases:
            print(one.name)
        return 0
    return harness.run_all(cases, Tools(), args.json, args.verbose)


if __name__ == "__main__":
    sys.exit(main())

#!/bin/sh
# SPDX-License-Identifier: MIT
# A crowd with keys in play does what one with real keys does, step by step; only the bytes differ, and with them the trace.
set -eu
sim=$1
play() {
    "$sim" --nodes 12 --actors connection_manager,discovery --minutes 1 --tasks 5 --json "$@" 2>/dev/null
}
trace() {
    sed 's/.*"trace":"\([0-9a-f]*\)".*/\1/'
}
rest() {
    sed 's/"trace":"[0-9a-f]*",//; s/"cpu_s":[0-9.]*,"memory_bytes":[0-9]*,//'
}
real=$(play)
keys=$(play --play-keys)
[ "$(echo "$real" | rest)" = "$(echo "$keys" | rest)" ] || { printf '%s\n%s\n' "$real" "$keys"; exit 1; }
[ "$(echo "$real" | trace)" != "$(echo "$keys" | trace)" ] || { echo "the keys were not in play"; exit 1; }

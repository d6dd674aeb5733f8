#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each call of a migration and of a store's life failing once, in a run of its own; the processors share the runs.
# usage: HEARTH_BUILD=build tests/long/torture.sh
set -uo pipefail
build=${HEARTH_BUILD:?HEARTH_BUILD=build tests/long/torture.sh}
shares=$(nproc)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
status=0
for test in migration torture; do
  pids=()
  for ((share = 0; share < shares; share++)); do
    HEARTH_TORTURE=$share/$shares timeout 7200 "$build/tests/storage_test_$test" > "$logs/$share" 2>&1 &
    pids+=($!)
  done
  for ((share = 0; share < shares; share++)); do
    wait "${pids[share]}" || status=1
    echo "$test, share $((share + 1)) of $shares"
    cat "$logs/$share"
  done
done
exit $status

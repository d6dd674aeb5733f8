#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs every test of this folder, JOBS (one for each core) at a time, for they mostly wait; what each printed comes when it has ended. Those after
# `--` are played a second time with a process for each actor, unless BACKEND says that all are.
# usage: tests/smoke/all.sh NAME... [-- NAME...]
set -uo pipefail
cd "$(dirname "$0")/../.."
results=$(mktemp -d /tmp/hearth-smoke-all-XXXXXX)
trap 'rm -rf "$results"' EXIT
export results

play() { # backend, test
    local out=$results/$2.$1 began=$SECONDS code=0
    if [ "$1" = inproc ]; then unset BACKEND; else export BACKEND=$1; fi
    "tests/smoke/$2" >"$out" 2>&1 || code=$?
    flock "$results" bash -c 'cat "$1"; echo "---- $2 on $3: exit code $4, $5 s"' - "$out" "$2" "$1" "$code" "$((SECONDS - began))"
    return "$code"
}
export -f play

backend=${BACKEND:-inproc}
for name in "$@"; do
    if [ "$name" = -- ]; then
        [ "$backend" = ipc ] && break
        backend=ipc
    else
        echo "$backend $name"
    fi
done | xargs -P "${JOBS:-$(nproc)}" -L 1 bash -c 'play "$@"' play

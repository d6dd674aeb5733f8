#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage: run.sh [--smoke]
# That syncs reach the kernel at all; then, beside each other, power loss replayed against the store and kill -9 against the daemon.
# BUILD names the build folder (default: build).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-$here/../../build}" && pwd)
"$build/tests/storage_test_disk_posix"
python3 "$here/kill9.py" --build "$build" "$@" &
killing=$!
status=0
"$build/tests/crash_replay" --jobs "$(nproc)" "$@" || status=1
wait "$killing" || status=1
exit "$status"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The README's first screen, run: `make run` in one terminal, the printed commands in another, then SIGTERM. Ends with the counts.
set -uo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d /tmp/hearth-smoke-XXXXXX)
export HEARTH_PATH=$folder/data HEARTH_ADDRESSES__SWARM=/ip4/127.0.0.1/tcp/0 HEARTH_BOOTSTRAP= HEARTH_DISCOVERY__MDNS=false
passed=0 failed=0
check() { # name, then a command; its output is shown when it fails
  local name=$1 out; shift
  if out=$(timeout 30 "$@" 2>&1); then passed=$((passed + 1)); echo "ok    $name"
  else failed=$((failed + 1)); echo "FAIL  $name: $out"; fi
}

make run > "$folder/out" 2> "$folder/err" & runner=$!
deadline=$((SECONDS + 300)) # the build may be part of it
until grep -q '^Daemon is ready' "$folder/out" || ! kill -0 $runner 2>/dev/null || [ $SECONDS -gt $deadline ]; do sleep 0.2; done
check "Daemon is ready" grep -q '^Daemon is ready' "$folder/out"
check "peer id printed" grep -qE '^PeerID: 12D3KooW' "$folder/out"
check "address printed" grep -qE '^Swarm listening on /ip4/127\.0\.0\.1/tcp/[1-9]' "$folder/out"
check "export line printed" grep -qx "export HEARTH_PATH=$HEARTH_PATH" "$folder/out"
check "hearth id" build/hearth id
check "hearth diag healthy" build/hearth diag healthy
check "hearth actors" sh -c 'build/hearth actors | grep -q tiered_storage'
check "nngcat, JSON" sh -c 'nngcat --req --dial "ipc://$HEARTH_PATH/run/control.sock" --data "{\"op\":\"id\"}" --ascii | grep -q "\"ok\": *true"'
check "sqlite3 state.db" sh -c 'sleep 1.2; sqlite3 -readonly "$HEARTH_PATH/state.db" "select name, state from actors" | grep -q "control|running"'
check "socket mode" sh -c '[ "$(stat -c %a "$HEARTH_PATH/run/control.sock")" = 600 ] && [ "$(stat -c %a "$HEARTH_PATH/run")" = 700 ]'
check "a second daemon is refused" sh -c '! build/hearth daemon 2>&1 && build/hearth daemon 2>&1 | grep -q "another hearth daemon"'
head -c 3000000 /dev/urandom > "$folder/film.mp4"
check "add, then get the same bytes" sh -c 'cid=$(build/hearth add -Q "$1/film.mp4") && build/hearth get "$cid" -o "$1/copy.mp4" && cmp "$1/film.mp4" "$1/copy.mp4"' - "$folder"
check "unknown key, suggestion" sh -c 'HEARTH_SWARM__CONMGR__LOWWATER=3 build/hearth config check 2>&1 | grep -q "did you mean"'
check "hearth shutdown" build/hearth shutdown
deadline=$((SECONDS + 15))
while kill -0 $runner 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
if kill -0 $runner 2>/dev/null; then failed=$((failed + 1)); echo "FAIL  the daemon did not stop within 15 s"; kill $runner
else wait $runner; code=$?; check "clean end (exit code $code)" test $code -eq 0; fi
check "databases readable after the stop" sqlite3 -readonly "$HEARTH_PATH/state.db" "select count(*) from actors"
[ $failed -eq 0 ] || { echo "--- stdout"; cat "$folder/out"; echo "--- stderr"; tail -n 40 "$folder/err"; }
rm -rf "$folder"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

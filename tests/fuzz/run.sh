#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs each fuzz target for some seconds with its kept corpus, an allocation cap and a time cap per input; FUZZ_JOBS at a time, one a
# processor unless that is set.
# usage: tests/fuzz/run.sh BUILD_DIR [SECONDS]
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/fuzz/run.sh BUILD_DIR [SECONDS]}
seconds=${2:-60}
jobs=${FUZZ_JOBS:-$(nproc)}
passed=0 failed=0 running=0

# One target; what it says comes out in one piece.
fuzz() {
  local name corpus kept log
  name=$(basename "$1")
  corpus=$build/corpus/$name kept=tests/fuzz/corpus/${name#fuzz_} log=$build/$name.log
  mkdir -p "$corpus"
  [ -d "$kept" ] && cp -n "$kept"/* "$corpus"/ 2>/dev/null
  if timeout $((seconds + 60)) "$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=16 -max_len=65536 -print_final_stats=1 \
      -artifact_prefix="$build/$name-" "$corpus" > "$log" 2>&1; then
    echo "ok    $name ($(sed -n 's/stat::number_of_executed_units: *//p' "$log") runs)"
  else
    printf 'FAIL  %s\n%s\n' "$name" "$(tail -n 30 "$log")"
    return 1
  fi
}

await_one() {
  if wait -n; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  running=$((running - 1))
}

for target in "$build"/fuzz/fuzz_*; do
  [ -x "$target" ] || continue
  [ $running -lt "$jobs" ] || await_one
  fuzz "$target" &
  running=$((running + 1))
done
while [ $running -gt 0 ]; do await_one; done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]

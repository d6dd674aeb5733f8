#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs each fuzz target for some seconds with its kept corpus, an allocation cap and a time cap per input.
# usage: tests/fuzz/run.sh BUILD_DIR [SECONDS]
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/fuzz/run.sh BUILD_DIR [SECONDS]}
seconds=${2:-60}
passed=0 failed=0
for target in "$build"/fuzz/fuzz_*; do
  [ -x "$target" ] || continue
  name=$(basename "$target")
  corpus=$build/corpus/$name kept=tests/fuzz/corpus/${name#fuzz_}
  mkdir -p "$corpus"
  [ -d "$kept" ] && cp -n "$kept"/* "$corpus"/ 2>/dev/null
  if timeout $((seconds + 60)) "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=16 -max_len=65536 -print_final_stats=1 \
      -artifact_prefix="$build/$name-" "$corpus" > "$build/$name.log" 2>&1; then
    passed=$((passed + 1)); echo "ok    $name ($(sed -n 's/stat::number_of_executed_units: *//p' "$build/$name.log") runs)"
  else
    failed=$((failed + 1)); echo "FAIL  $name"; tail -n 30 "$build/$name.log"
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Plays SEEDS seeds of each scenario from FIRST on, JOBS at a time in pieces of PIECE, and stops when one has failed: what it printed, seed
# and line to run it again, is shown, and stays in the folder of results. Keys are in play: the same steps for half of the time.
set -euo pipefail
sim=${HEARTH_BUILD:-build}/hearth-sim
seeds=${SEEDS:-10000} first=${FIRST:-1} jobs=${JOBS:-$(nproc)} nodes=${NODES:-5} minutes=${MINUTES:-2} piece=${PIECE:-10}
results=${HEARTH_BUILD:-build}/sim-soak
scenarios=("$@")
[ ${#scenarios[@]} -gt 0 ] || scenarios=(calm network disk actors clock everything)
mkdir -p "$results"
rm -f "$results"/*.failed
export sim nodes minutes results

play() { # scenario, first seed, how many
    local out=$results/$1-$2.out
    ls "$results"/*.failed >/dev/null 2>&1 && return 0 # another one has failed: no more is begun
    if "$sim" --scenario "$1" --seed "$2" --seeds "$3" --nodes "$nodes" --minutes "$minutes" --play-keys -q >"$out" 2>&1; then
        rm -f "$out"
    else
        mv "$out" "${out%.out}.failed"
    fi
}
export -f play

began=$SECONDS
for scenario in "${scenarios[@]}"; do
    for ((seed = first; seed < first + seeds; seed += piece)); do
        left=$((first + seeds - seed))
        echo "$scenario $seed $((left < piece ? left : piece))"
    done
done | xargs -P "$jobs" -L 1 bash -c 'play "$@"' play

if ls "$results"/*.failed >/dev/null 2>&1; then
    cat "$results"/*.failed
    echo "failing seeds: $(grep -ho '^[a-z]* seed [0-9]*: FAILED' "$results"/*.failed | sed 's/ seed/:/; s/: FAILED//' | tr '\n' ' ')"
    exit 1
fi
echo "$seeds seeds of each of ${scenarios[*]}: every promise was kept ($((SECONDS - began)) s)"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Lints the tree: the source laws, formatting, clang-tidy. usage: tools/lint.sh BUILD_DIR (one with compile_commands.json)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/lint.sh BUILD_DIR}
python3 tools/check_source.py
git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run --Werror
echo "formatting holds"
git ls-files 'base/*.c' 'schemas/*.c' 'wire/*.c' 'dht/*.c' 'mailbox/*.c' 'storage/*.c' 'net/*.c' 'actors/*.c' 'sim/*.c' 'tiersim/*.c' 'cli/*.c' |
  xargs -P "$(nproc)" -n 1 clang-tidy-14 --quiet -p "$build" 2> >(grep -vE 'warnings? generated|Suppressed|Use -header-filter' >&2)
echo "clang-tidy holds"

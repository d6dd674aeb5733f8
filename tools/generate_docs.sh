#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Writes the generated pages; a unit test says whether they are current. usage: tools/generate_docs.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/generate_docs.sh BUILD_DIR}
for page in commands control config; do "$build/hearth-document" $page > docs/$page.md; done

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages that a task needs and that are missing. usage: tools/install_deps.sh TASK...
set -euo pipefail

packages_for() {
  case "$1" in
    compile) echo "cmake ninja-build gcc libc6-dev pkg-config libnng-dev libsodium-dev libmsgpack-dev libsqlite3-dev libuv1-dev
                   libssl-dev libjansson-dev libyaml-dev zlib1g-dev liblzma-dev libzstd-dev libleveldb-dev
                   libcurl4-openssl-dev libc-ares-dev" ;;
    build) packages_for compile; echo "nng-utils sqlite3 libcmocka-dev python3" ;;
    image) echo "podman buildah runc debootstrap sqlite3 python3" ;;
    lint) echo "clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev git python3" ;;
    cold) echo "python3 python3-venv libcurl4 openssl ca-certificates" ;;
    bench) echo "erlang-base python3 linux-perf binutils" ;;
    # An installed go or npm of any origin will do: Debian's npm cannot live beside another nodejs.
    interop) echo "python3 git ca-certificates iproute2"
             command -v npm >/dev/null || echo "npm"
             command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || echo "golang-go" ;;
    *) echo "install_deps: unknown task $1" >&2; exit 2 ;;
  esac
}

wanted=$(for task in "$@"; do packages_for "$task"; done)
missing=()
for package in $wanted; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install these packages as root, then run again: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >/dev/null
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null

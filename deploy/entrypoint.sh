#!/bin/sh
# SPDX-License-Identifier: MIT
# The way into the container: what /container-init.d holds is run first, then the command takes the place of this shell, so that for
# `daemon` the nanny is pid 1: it passes signals on and reaps what loses its parent.
set -eu

# Behind a bridge all peers may come with its address: the limits per address do not apply to the default gateway.
exempt_gateway() {
  [ -z "${HEARTH_SWARM__PERIPEXEMPT+set}" ] && [ -r /proc/net/route ] || return 0
  ! grep -qs PerIPExempt "$HEARTH_PATH/config.yaml" || return 0
  while read -r _ destination gateway _; do
    [ "$destination" = 00000000 ] && [ "$gateway" != 00000000 ] || continue
    # Little-endian hexadecimal: 0100A8C0 is 192.168.0.1.
    quads=$(echo "$gateway" | sed 's/\(..\)\(..\)\(..\)\(..\)/0x\4 0x\3 0x\2 0x\1/')
    # shellcheck disable=SC2086 # four words are meant
    export HEARTH_SWARM__PERIPEXEMPT="127.0.0.0/8,::1/128,$(printf '%d.%d.%d.%d/32' $quads)"
    return 0
  done < /proc/net/route
}

if [ "${1:-}" = daemon ]; then
  for script in /container-init.d/*.sh; do
    [ -e "$script" ] || continue
    echo "running $script"
    # One without the executable bit is read into this shell, so that it can set variables for the daemon.
    if [ -x "$script" ]; then "$script"; else . "$script"; fi
  done
  exempt_gateway
fi
exec hearth "$@"

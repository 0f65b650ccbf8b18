#!/usr/bin/env bash
# Make sure that the proxies `make bench` measures against are there: nginx and HAProxy. Installs them
# where it may (root on Debian or Ubuntu), else says how.
set -euo pipefail

PATH=$PATH:/usr/sbin # where Debian puts both, outside an ordinary user's PATH
missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "bench: installing ${missing[*]}"
    apt-get update -qq
    # The programs are wanted, not the services that their packages would start.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "bench: the comparison needs nginx and HAProxy. Missing, by Debian's names: ${missing[*]}" >&2
    echo "bench: install them, e.g. sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

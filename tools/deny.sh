#!/usr/bin/env bash
# Licences, bans and sources of the dependency tree, and its security advisories where the advisory
# database can be reached. Builds the pinned cargo-deny into .cache/tools the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=$PWD/.cache/tools

is_pinned() {
    [ "$("$1" --version 2>/dev/null)" = "cargo-deny $version" ]
}

if is_pinned cargo-deny; then
    deny=cargo-deny
else
    deny=$tools/bin/cargo-deny
    if ! is_pinned "$deny"; then
        echo "deny: building cargo-deny $version into .cache/tools; this takes minutes, once"
        cargo install --quiet --locked --force --root "$tools" --version "=$version" cargo-deny
    fi
fi

"$deny" --locked check bans licenses sources
if "$deny" --locked fetch db; then
    "$deny" --locked check --disable-fetch advisories
else
    echo "deny: SKIPPED the security advisories: their database could not be fetched (see above)"
fi

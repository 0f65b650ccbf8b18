#!/usr/bin/env bash
# Print the installed rustup toolchain that is the version pinned in rust-toolchain.toml under another
# name (`stable`, say), so that a machine which cannot download the pinned name still builds. Prints
# nothing where the pinned name is installed, where nothing matches (rustup then installs the pin), or
# where there is no rustup.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v rustup >/dev/null || exit 0
pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
installed=$(rustup toolchain list --quiet)
grep -q "^$pinned-" <<<"$installed" && exit 0
for toolchain in $installed; do
    version=$(rustup run "$toolchain" rustc --version 2>/dev/null | cut -d' ' -f2) || continue
    if [ "$version" = "$pinned" ]; then
        echo "$toolchain"
        exit 0
    fi
done

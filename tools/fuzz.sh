#!/usr/bin/env bash
# Run every fuzz target for a while: fuzz.sh SECONDS. Crates of fuzz targets are */fuzz and fuzz/.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

seconds=$1
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: needs Rust nightly and cargo-fuzz:" >&2
    echo "fuzz:   rustup toolchain install nightly --profile minimal && cargo install --locked cargo-fuzz" >&2
    exit 1
fi

ran=0
for manifest in fuzz/Cargo.toml */fuzz/Cargo.toml; do
    directory=$(dirname "$manifest")
    for target in $(cargo +nightly fuzz list --fuzz-dir "$directory"); do
        echo "fuzz: $directory $target, $seconds s"
        cargo +nightly fuzz run --fuzz-dir "$directory" "$target" -- -max_total_time="$seconds"
        ran=$((ran + 1))
    done
done
[ "$ran" -gt 0 ] || { echo "fuzz: this tree has no fuzz targets" >&2; exit 1; }
echo "fuzz: $ran targets, no crash"

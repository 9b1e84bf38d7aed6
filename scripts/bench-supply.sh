#!/usr/bin/env bash
# The registry of the real binary, beside Debian's docker-registry in the same run. Prints a table and writes target/bench/supply.json.
# 3 GB of disk must be free. `--only registry` leaves out others, `--blob-mib 256` takes a smaller blob.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-peers.sh docker_registry
cargo build --release --locked --quiet -p prograde-cli -p prograde-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/prograde-bench" supply --prograde "$target/release/prograde" "$@"

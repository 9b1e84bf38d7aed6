#!/usr/bin/env bash
# What control adds to a flight, what a bad commit harms, and what the server holds in memory. Prints a table and writes
# target/bench/flight.json.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p prograde-cli -p prograde-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
(cd examples/pad && cargo build --profile ci --locked --quiet --target-dir "$target/bench-pad")
"$target/release/prograde-bench" flight --prograde "$target/release/prograde" --pad "$target/bench-pad/ci/pad"

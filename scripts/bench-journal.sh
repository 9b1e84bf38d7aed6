#!/usr/bin/env bash
# Journal appends per second. Prints a table and writes target/bench/journal.json.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run --release --locked --quiet -p prograde-bench -- journal

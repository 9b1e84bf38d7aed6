#!/usr/bin/env bash
# Time to evaluate a feature flag. Prints a table and writes target/bench/flags.json.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run --release --locked --quiet -p prograde-bench -- flags

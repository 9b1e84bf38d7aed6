#!/usr/bin/env bash
# The store of time series: samples a second, bytes a sample, and queries beside Prometheus. `--million` adds what a million
# series take in memory, for which 3 GB must be free. Prints a table and writes target/bench/store.json.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run --release --locked --quiet -p prograde-bench -- store "$@"

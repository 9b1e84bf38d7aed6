#!/usr/bin/env bash
# Time series, queries, rules and alerts in the real server, beside Debian's Prometheus and Alertmanager in the same run. Prints a
# table and writes target/bench/operate.json. 3 GB of memory must be free. `--only ingest,memory,queries,page,alerts` leaves out others.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-peers.sh prometheus alertmanager
cargo build --release --locked --quiet -p prograde-cli -p prograde-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/prograde-bench" operate --prograde "$target/release/prograde" "$@"

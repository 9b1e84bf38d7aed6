#!/usr/bin/env bash
# Good and bad releases under Prograde's judge and under other rules. Prints tables and writes target/bench/judge.json;
# draws the plots of docs/concepts/judging.md anew.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run --release --locked --quiet -p prograde-bench -- judge --plots docs/concepts

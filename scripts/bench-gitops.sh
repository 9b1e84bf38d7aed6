#!/usr/bin/env bash
# Rendering by the real binary and by our library, beside Kustomize's program and its library in the same run, and ten thousand
# applications that the server keeps in a real cluster. Prints a table and writes target/bench/gitops.json. `--only rendering,cluster`
# leaves out the other, `--applications 500` takes fewer.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-peers.sh apiserver go kustomize
(cd tests/bench/warm && go build -o ../../../target/peers/kustomize/warm .)
cargo build --release --locked --quiet -p prograde-cli -p prograde-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
"$target/release/prograde-bench" gitops --prograde "$target/release/prograde" --kustomize target/peers/kustomize/kustomize \
    --warm target/peers/kustomize/warm "$@"

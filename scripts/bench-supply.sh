#!/usr/bin/env bash
# Images built and pushed by the real binary, and the registry in it, beside buildah, skopeo and Debian's docker-registry in the same run;
# lock files and secrets, beside gitleaks; policies.
# Prints a table and writes target/bench/supply.json. 3 GB of disk must be free. `--only image,registry,scan,secrets,policy` leaves out others,
# `--blob-mib 256` takes a smaller blob. KYVERNO=PATH names Kyverno's own program, which policies are then measured beside: it has to be
# built by hand (in a module that requires github.com/kyverno/kyverno, with the `replace` of its go.mod), which takes too long for every run.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-peers.sh buildah docker-registry gitleaks skopeo
cargo build --release --locked --quiet -p prograde-cli -p prograde-bench
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
if [ -n "${KYVERNO:-}" ]; then set -- --kyverno "$KYVERNO" "$@"; fi
"$target/release/prograde-bench" supply --prograde "$target/release/prograde" "$@"

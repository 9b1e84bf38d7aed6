#!/usr/bin/env bash
# Installs the real programs that tests compare with, one function for each, and leaves what is there alone.
# With CI=true a test fails whose peer is missing; otherwise it says so and is left out.
#
# Usage: scripts/test-peers.sh [PEER...], by default all. Go tools go where `go install` puts them; that directory
# must be on the PATH of the tests.
set -euo pipefail

# Kustomize, in kubectl or by itself: rendering is compared with it (crates/gitops/tests/it/peers.rs).
kustomize() {
    if command -v kubectl >/dev/null && kubectl kustomize --help >/dev/null 2>&1; then return; fi
    if type -P kustomize >/dev/null; then return; fi
    go install sigs.k8s.io/kustomize/kustomize/v5@v5.5.0
}

# actionlint: what it takes for a workflow is compared with what we do (crates/pipeline/tests/it/actionlint.rs).
actionlint() {
    if type -P actionlint >/dev/null; then return; fi
    go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
}

peers=(actionlint kustomize)
for peer in "${@:-${peers[@]}}"; do
    echo "peer: $peer" >&2
    "$peer"
done

#!/usr/bin/env bash
# Installs the real programs that tests compare with, one function for each, and leaves what is there alone. A peer that
# can't be had is told by name with the way to get it; its tests are then left out, and with CI=true that is a failure.
#
# Usage: scripts/test-peers.sh [PEER...], by default all. Go tools go where `go install` puts them.
set -euo pipefail

# Kustomize, in kubectl or by itself: rendering is compared with it (crates/gitops/tests/it/peers.rs).
kustomize() {
    if type -P kubectl >/dev/null && kubectl kustomize --help >/dev/null 2>&1; then return; fi
    if type -P kustomize >/dev/null; then return; fi
    go_install sigs.k8s.io/kustomize/kustomize/v5@v5.5.0
}

# actionlint: what it takes for a workflow is compared with what we do (crates/pipeline/tests/it/actionlint.rs).
actionlint() {
    if type -P actionlint >/dev/null; then return; fi
    go_install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
}

# skopeo reads the images that we make (crates/supply/tests/it/peers.rs).
skopeo() {
    if type -P skopeo >/dev/null; then return; fi
    debian_install skopeo
}

# umoci unpacks the images that we make, and makes one that we unpack (crates/supply/tests/it/peers.rs).
umoci() {
    if type -P umoci >/dev/null; then return; fi
    debian_install umoci
}

# prometheus answers the queries of metrics (crates/server/src/adapters/measures/peer_tests.rs, tests/it/metrics.rs) and those of the
# corpus (crates/observe/tests/observe/peer.rs).
prometheus() {
    if type -P prometheus >/dev/null; then return; fi
    debian_install prometheus
}

# OpenFeature's own client for Python and flagd's evaluator ask for flags (tests/it/flags.rs).
openfeature() {
    local place
    place="$(dirname "$0")/../target/peers/openfeature"
    if "$place/bin/python" -c 'import openfeature.contrib.provider.ofrep, openfeature.contrib.tools.flagd.core' 2>/dev/null; then return; fi
    if ! python3 -m venv "$place" >&2; then
        echo "needs Python 3.10 with \`venv\`: install it with this system's package manager"
        return 1
    fi
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check \
        openfeature-sdk==0.10.0 openfeature-provider-ofrep==0.3.0 openfeature-flagd-core==1.0.0 >&2 ||
        { echo "needs openfeature-sdk, openfeature-provider-ofrep and openfeature-flagd-core from PyPI"; return 1; }
}

# icalendar for Python reads the calendars that we write (crates/cli/tests/oncall.rs).
icalendar() {
    local place
    place="$(dirname "$0")/../target/peers/icalendar"
    if "$place/bin/python" -c 'import icalendar' 2>/dev/null; then return; fi
    if ! python3 -m venv "$place" >&2; then
        echo "needs Python 3.10 with \`venv\`: install it with this system's package manager"
        return 1
    fi
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check icalendar >&2 ||
        { echo "needs icalendar from PyPI"; return 1; }
}

go_install() {
    if ! type -P go >/dev/null; then
        echo "needs Go: install it, then \`go install $1\`"
        return 1
    fi
    go install "$1" >&2
}

debian_install() {
    if ! type -P apt-get >/dev/null; then
        echo "needs the program \`$1\`: install it with this system's package manager"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "needs root: \`sudo apt-get install $1\`"
        return 1
    fi
    apt-get -qq install -y --no-install-recommends "$1" >&2 || { apt-get -qq update >&2 && apt-get -qq install -y --no-install-recommends "$1" >&2; }
}

peers=(actionlint icalendar kustomize openfeature prometheus skopeo umoci)
left_out=0
for peer in "${@:-${peers[@]}}"; do
    if ! way=$("$peer"); then
        echo "left out: the tests with $peer: $way" >&2
        left_out=1
    fi
done
if [ "${CI:-}" = true ] && [ "$left_out" -ne 0 ]; then
    echo "with CI=true every peer must be there" >&2
    exit 1
fi

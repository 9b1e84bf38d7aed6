#!/usr/bin/env bash
# Installs the real programs that tests compare with, one function for each, and leaves what is there alone. A peer that
# can't be had is told by name with the way to get it; its tests are then left out, and with CI=true that is a failure.
#
# Usage: scripts/test-peers.sh [PEER...], by default all. Go tools go where `go install` puts them.
set -euo pipefail

# Go fills in the templates that ours are compared with (crates/template/tests/template/peer.rs).
go() {
    if type -P go >/dev/null; then return; fi
    debian_install golang-go
}

# Kustomize: rendering is compared with it byte for byte, so it is this very version, in a folder of its own
# (crates/kustomize/tests/kustomize/peer.rs).
kustomize() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/kustomize"
    if [ "$("$place/kustomize" version 2>/dev/null)" = v5.8.2 ]; then return; fi
    GOBIN="$place" go_install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
}

# Kustomize's own tests, which render each of their cases with `prograde render` as well (crates/cli/tests/krusty.rs).
krusty() {
    local root place
    root="$(cd "$(dirname "$0")/.." && pwd)"
    place="$root/target/peers/krusty"
    if [ "$place/krusty.test" -nt "$root/crates/cli/tests/peers/krusty/compare.go" ]; then return; fi
    rm -rf "$place"
    mkdir -p "$place"
    go_copy sigs.k8s.io/kustomize/api@v0.21.2 . "$place" || return 1
    cp "$root/crates/cli/tests/peers/krusty/compare.go" "$place/testutils/kusttest/compare.go"
    sed -i -E 's/^\treturn (m|err)$/\tth.compare(path, o)\n\treturn \1/' "$place/testutils/kusttest/harness.go"
    (cd "$place" && command go test -mod=mod -c -o krusty.test ./krusty) >&2
}

# gitleaks, beside which `make bench-supply` looks for secrets; no test needs it.
gitleaks() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/gitleaks"
    if [ -x "$place/gitleaks" ]; then return; fi
    GOBIN="$place" go_install github.com/zricethezav/gitleaks/v8@v8.30.0
}

# Sloth: what is made of its files is compared with what it makes of them (crates/observe/tests/observe/sloth.rs).
sloth() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/sloth"
    if [ -x "$place/sloth" ]; then return; fi
    GOBIN="$place" go_install github.com/slok/sloth/cmd/sloth@v0.12.0
}

# Argo CD's own generators make what is compared with ours (crates/apps/tests/apps/argo.rs). It takes long: all of
# Kubernetes' libraries are compiled.
argo() {
    peer_build apps argo
}

# Masterminds' library answers which versions are in a range (crates/apps/tests/apps/semver.rs).
semver() {
    peer_build apps semver
}

# kube-apiserver and etcd in one program: applications are synchronised with a real cluster (crates/kubernetes/tests/kubernetes,
# crates/cli/tests/cluster.rs). It takes some ten minutes, and a gigabyte of sources.
apiserver() {
    peer_build kubernetes apiserver
}

# A program in a crate's tests/peers, into a folder of its own.
peer_build() {
    local root
    root="$(cd "$(dirname "$0")/.." && pwd)"
    if [ -x "$root/target/peers/$2/$2" ]; then return; fi
    if ! type -P go >/dev/null; then
        echo "needs Go: install it, then run this again"
        return 1
    fi
    (cd "$root/crates/$1/tests/peers/$2" && GOFLAGS=-mod=mod command go build -ldflags='-s -w' -modfile="$(peer_modfile)" -o "$root/target/peers/$2/$2" .) >&2
}

# A copy of the module file, because Go writes what it finds out into it.
peer_modfile() {
    local copy
    copy="$(mktemp -d)/go.mod"
    cp go.mod "$copy"
    echo "$copy"
}

# cosign signs and verifies what we do, in its versions 2 and 3, which keep signatures in different forms (crates/cli/tests/sign).
cosign() {
    local place version
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers"
    for version in v2@v2.6.5 v3@v3.1.3; do
        if [ -x "$place/cosign${version:1:1}/cosign" ]; then continue; fi
        GOBIN="$place/cosign${version:1:1}" go_install "github.com/sigstore/cosign/${version%@*}/cmd/cosign@${version#*@}" || return 1
    done
}

# Sigstore's services: a certificate authority, a log of certificates, a log of signatures, and a timestamp authority, for
# signatures without keys (crates/sign/tests/sign/sigstore.rs).
sigstore() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/sigstore"
    sigstore_install "$place" fulcio github.com/sigstore/fulcio@v1.8.8 fulcio &&
        sigstore_install "$place" tesseract github.com/transparency-dev/tesseract/cmd/tesseract/posix@v0.1.1 posix &&
        sigstore_install "$place" rekor github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0 posix &&
        peer_build sign clock
}

# One of them, by the name that its tests know; Go names it as its module does.
sigstore_install() {
    if [ -x "$1/$2" ]; then return; fi
    local made
    made="$(mktemp -d)"
    GOBIN="$made" go_install "$3" && mkdir -p "$1" && mv "$made/$4" "$1/$2"
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

# The distribution specification's own suite asks our registry (crates/supply/tests/it/registry/conformance.rs).
conformance() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/conformance"
    if [ -x "$place/conformance" ]; then return; fi
    # The suite has no tags of its own; this version tests 1.1 and what comes after it.
    GOBIN="$place" go_install github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
}

# Helm renders charts of applications (crates/cli/tests/helm.rs).
helm() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/helm"
    if [ -x "$place/helm" ]; then return; fi
    GOBIN="$place" go_install helm.sh/helm/v3/cmd/helm@v3.19.5
}

# umoci unpacks the images that we make, and makes one that we unpack (crates/supply/tests/it/peers.rs).
umoci() {
    if type -P umoci >/dev/null; then return; fi
    debian_install umoci
}

# docker-registry takes and gives the images that we push and pull (crates/supply/tests/it/client/peers.rs), and is measured
# beside ours (tests/bench/src/supply).
docker-registry() {
    if type -P docker-registry >/dev/null; then return; fi
    debian_install docker-registry
}

# buildah builds Dockerfiles for us (crates/supply/tests/it/images.rs).
buildah() {
    if type -P buildah >/dev/null; then return; fi
    debian_install buildah
}

# prometheus answers the queries of metrics (crates/server/src/adapters/measures/peer_tests.rs, tests/it/metrics.rs) and those of the
# corpus (crates/observe/tests/observe/peer.rs), scrapes the same targets (.../scraping), and sends what it has (.../receiving.rs).
prometheus() {
    if type -P prometheus >/dev/null; then return; fi
    debian_install prometheus
}

# openssl makes certificates and serves targets that show them (crates/observe/tests/observe/scraping/tls.rs).
openssl() {
    if type -P openssl >/dev/null; then return; fi
    debian_install openssl
}

# Alertmanager and amtool take the same configurations, and tell the same of the same alerts (crates/notify/tests/notify).
alertmanager() {
    if type -P prometheus-alertmanager >/dev/null && type -P amtool >/dev/null; then return; fi
    debian_install prometheus-alertmanager
}

# OpenFeature's own client for Python and flagd's evaluator ask for flags (tests/it/flags.rs).
openfeature() {
    python_install openfeature openfeature.contrib.provider.ofrep,openfeature.contrib.tools.flagd.core \
        openfeature-sdk==0.10.0 openfeature-provider-ofrep==0.3.0 openfeature-flagd-core==1.0.0
}

# OpenTelemetry's own SDK for Python sends metrics (crates/observe/tests/observe/otlp.rs).
opentelemetry() {
    python_install opentelemetry opentelemetry.sdk.metrics,opentelemetry.exporter.otlp.proto.http \
        opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
}

# icalendar for Python reads the calendars that we write (crates/cli/tests/oncall.rs).
icalendar() {
    python_install icalendar icalendar icalendar
}

# aiosmtpd for Python takes the mails that we send (crates/notify/tests/notify/mail.rs).
aiosmtpd() {
    python_install aiosmtpd aiosmtpd.controller aiosmtpd==1.4.6
}

# moto answers as AWS' token service and registry do (crates/supply/src/client/federation/tests.rs).
moto() {
    python_install moto moto.server,moto.ecr,moto.sts 'moto[server]==5.2.3'
}

# Python's ordering of versions, and the schemas of CycloneDX, SPDX and SARIF (crates/scan/tests/scan).
scan() {
    python_install scan packaging,cyclonedx.validation.json,spdx_tools,spdx_python_model,jsonschema \
        packaging==25.0 'cyclonedx-python-lib[json-validation]==11.5.0' spdx-tools==0.8.3 spdx-python-model==0.0.6 jsonschema==4.26.0
}

# The schema of SARIF, from the package that has it (crates/scan/tests/scan/schemas.rs).
sarif() {
    local place
    place="$(dirname "$0")/../target/peers/sarif"
    if [ -f "$place/package/lib/schemas/sarif-2.1.0-rtm.5.json" ]; then return; fi
    mkdir -p "$place"
    (cd "$place" && npm_pack @microsoft/jest-sarif@1.0.0-beta.0 && tar -xzf ./*.tgz) >&2 || { echo "needs from npm: @microsoft/jest-sarif"; return 1; }
}

npm_pack() {
    command npm pack --silent "$1"
}

# Ruby orders versions of gems (crates/scan/tests/scan/versions.rs).
ruby() {
    if type -P ruby >/dev/null; then return; fi
    debian_install ruby
}

# Maven orders versions of artifacts (crates/scan/tests/scan/versions.rs).
maven() {
    if type -P java >/dev/null && type -P mvn >/dev/null; then return; fi
    debian_install maven
}

# npm has the package semver (crates/scan/tests/scan/versions.rs).
npm() {
    if type -P npm >/dev/null; then return; fi
    debian_install npm
}

# Argo CD's health scripts with their tests, and the tests of its built-in kinds, unchanged (crates/resource/tests/argo.rs).
argo-cd() {
    local place
    place="$(cd "$(dirname "$0")/.." && pwd)/target/peers/argo-cd"
    if [ -d "$place/resource_customizations" ] && [ -d "$place/health" ]; then return; fi
    mkdir -p "$place"
    go_copy github.com/argoproj/argo-cd/v3@v3.2.1 resource_customizations "$place" &&
        go_copy github.com/argoproj/gitops-engine@v0.7.1-0.20251108235403-13d5172d3ee2 pkg/health "$place"
}

# A folder of a Go module's source.
go_copy() {
    local source
    if ! type -P go >/dev/null; then
        echo "needs Go: install it, then \`go mod download $1\`"
        return 1
    fi
    source="$(command go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')"
    [ -d "$source/$2" ] || { echo "needs the Go module $1"; return 1; }
    cp -R "$source/$2" "$3/" && chmod -R u+w "$3"
}

# busybox, linked statically, is the program of the containers that tests start (crates/confine/tests/confine).
busybox() {
    if type -P busybox >/dev/null && [ -z "$(ldd "$(type -P busybox)" 2>/dev/null | grep '=>')" ]; then return; fi
    debian_install busybox-static
}

# Python packages in a folder of their own, unless what they are for can be imported.
python_install() {
    local place
    place="$(dirname "$0")/../target/peers/$1"
    if "$place/bin/python" -c "import $2" 2>/dev/null; then return; fi
    if ! python3 -m venv "$place" >&2; then
        echo "needs Python 3.10 with \`venv\`: install it with this system's package manager"
        return 1
    fi
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check "${@:3}" >&2 ||
        { echo "needs from PyPI: ${*:3}"; return 1; }
}

go_install() {
    if ! type -P go >/dev/null; then
        echo "needs Go: install it, then \`go install $1\`"
        return 1
    fi
    command go install "$1" >&2
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

peers=(actionlint aiosmtpd alertmanager apiserver argo argo-cd buildah busybox conformance cosign docker-registry go helm icalendar krusty kustomize maven moto npm openfeature openssl opentelemetry prometheus ruby sarif scan semver sigstore skopeo sloth umoci)
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

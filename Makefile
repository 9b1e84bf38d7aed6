# Two commands do all set-up: `make demo` and `make test`.
.PHONY: demo test lint fmt docs docs-check bench bench-proxy bench-flight bench-flags bench-journal bench-judge bench-operate bench-supply bench-gitops peers

CARGO ?= cargo
# Where `go install` puts the programs that tests compare with.
export PATH := $(PATH):$(or $(GOBIN),$(or $(GOPATH),$(HOME)/go)/bin)
# The binary that `cargo build --release` makes, wherever the target directory is.
RELEASE = $(shell $(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

## Build, then fly four commits for real.
demo:
	$(CARGO) build --release --locked -p prograde-cli
	$(RELEASE)/prograde demo

## Set up what the tests need, then run all of them.
test: peers
	$(CARGO) test --workspace --locked --quiet
	cd examples/pad && $(CARGO) test --profile ci --locked --quiet

peers:
	scripts/test-peers.sh

lint:
	$(CARGO) fmt --all --check
	cd examples/pad && $(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings
	cd examples/pad && $(CARGO) clippy --all-targets --locked --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet

fmt:
	$(CARGO) fmt --all
	cd examples/pad && $(CARGO) fmt

## Write the reference from the code.
docs:
	$(CARGO) run --quiet --locked -p prograde-cli -- reference --out docs/reference

## Fail when the reference is not what the code says.
docs-check:
	$(CARGO) run --quiet --locked -p prograde-cli -- reference --out docs/reference --check

## Measure; prints tables and writes target/bench/<name>.json.
bench: bench-proxy bench-journal bench-judge bench-flight bench-flags bench-operate bench-supply bench-gitops

bench-proxy:
	scripts/bench-proxy.sh

bench-journal:
	scripts/bench-journal.sh

bench-operate:
	scripts/bench-operate.sh

bench-supply:
	scripts/bench-supply.sh

bench-gitops:
	scripts/bench-gitops.sh

bench-judge:
	scripts/bench-judge.sh

bench-flags:
	scripts/bench-flags.sh

bench-flight:
	scripts/bench-flight.sh

# `make` says what there is.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help
help: ## Say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup (1.91 or newer)"; exit 1; }
	@command -v cmake >/dev/null || command -v cc >/dev/null || { echo "A C compiler is missing (gcc or clang): the TLS library is built with it"; exit 1; }

.PHONY: tools
tools: rust
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer; it builds the Kubernetes API server that tests and demo run against"; exit 1; }

.PHONY: test-tools
test-tools: tools
	@command -v curl >/dev/null || { echo "curl is missing: it downloads the key managers that tests run against"; exit 1; }
	@command -v "$${JAVA_HOME:+$$JAVA_HOME/bin/}javac" >/dev/null || { echo "A JDK is missing: install one of Java 17 or newer; tests run against a real Keycloak and read Secrets with Spring"; exit 1; }
	@command -v npm >/dev/null || { echo "Node.js is missing: install Node.js 20 or newer with npm; tests run against a real oidc-provider and use foreign clients, Okta's own among them"; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "Python is missing: install Python 3.11 or newer with its module venv (Debian: python3-venv); tests run against a real Canaille"; exit 1; }

.PHONY: demo
demo: tools ## See it work: an API server, the operator, manifests, Secrets that work, a rotation; KEY_MANAGER=keycloak: at a real Keycloak; okta, wso2: at a double of it
	@echo "== building the operator and the test bed"
	cargo build --locked --bins
	@$${CARGO_TARGET_DIR:-target}/debug/testbed demo $(or $(KEY_MANAGER),resident)

.PHONY: test
test: test-tools ## Prove everything: unit tests, simulation, a real API server, real key managers
	@echo "== building the operator, the test bed and the tests"
	cargo build --locked --workspace --all-targets
	@echo "== docs"
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	@echo "== building the test bed's Kubernetes binaries and Helm where they are missing"
	$${CARGO_TARGET_DIR:-target}/debug/testbed kubernetes
	$${CARGO_TARGET_DIR:-target}/debug/testbed helm
	@echo "== installing the key managers that tests run against where they are missing"
	$${CARGO_TARGET_DIR:-target}/debug/testbed key-managers
	@echo "== tests"
	@# More at once than there are cores: most wait for servers. Those in Go collect their garbage seldom: time is scarcer than memory.
	GOGC=400 cargo test --locked --workspace -- --test-threads=5

.PHONY: e2e
e2e: tools ## Prove what takes long to build: real Pods (as root, or by KUBECONFIG in a cluster of yours), Reloader, oauth2-proxy, promtool, the OpenTelemetry collector
	cargo build --locked --bins
	@$${CARGO_TARGET_DIR:-target}/debug/testbed pods-check
	$${CARGO_TARGET_DIR:-target}/debug/testbed kubernetes
	cargo test --locked --test e2e -- --test-threads=2 --show-output

.PHONY: bench
bench: tools ## Measure what it costs, in a few minutes: KEYS=1000 SECONDS=60 KEYCLOAK_KEYS=500 (KEYS=10000 is the long form)
	cargo bench --locked --bench bench

.PHONY: check
check: ## The inner loop, in seconds: format, lint, unit tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --package appkeys --lib

.PHONY: image
image: rust ## Build the image without a container engine (with buildah or podman): static, reproducible, with the list of what is in it
	@echo "== building the test bed, which builds the image"
	cargo build --locked --bins
	@$${CARGO_TARGET_DIR:-target}/debug/testbed image

.PHONY: image-alone
image-alone: tools ## As root, after make image: run its program in an empty root, freshly installed; start to ready, idle memory
	cargo build --locked --bins
	@$${CARGO_TARGET_DIR:-target}/debug/testbed image-alone

.PHONY: deny
deny: rust ## Hold what the project depends on to deny.toml: licences, bans, sources; CHECKS=advisories asks the network
	cargo build --locked --bins
	@$${CARGO_TARGET_DIR:-target}/debug/testbed deny $(CHECKS)

.PHONY: crds
crds: ## Write the custom resource definitions into crds/ and the chart, and docs/reference.md from them
	cargo run --locked --quiet --bin appkeys -- crds --write crds
	cargo run --locked --quiet --bin appkeys -- crds --write charts/appkeys/crds
	cargo run --locked --quiet --bin testbed -- reference

# Every target installs what it needs into .cache/ and target/, or says how to. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET_DIR)/release
QUICK := $(TARGET_DIR)/quick
REPORTS := target/reports

# The pinned toolchain, under whichever name it is installed.
ifndef RUSTUP_TOOLCHAIN
  same_version := $(shell tools/toolchain.sh)
  ifneq ($(same_version),)
    export RUSTUP_TOOLCHAIN := $(same_version)
  endif
endif

# Goes before a command that may load ONNX Runtime.
WITH_ONNXRUNTIME = library=$$($(PYTHON) tools/fetch_onnxruntime.py) && ORT_DYLIB_PATH=$$library

.PHONY: help
help: ## List the targets (the default)
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		while IFS=$$'\t' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

.PHONY: demo
demo: ## Gearshift against round robin over six simulated engines, live, one minute
	cargo build --profile quick --locked -p gearshift -p gearshift-loadtests
	$(QUICK)/gearshift-loadtest demo --gearshift $(QUICK)/gearshift --out $(REPORTS) $(DEMO_ARGS)

.PHONY: build
build: ## Build the release binary: target/release/gearshift
	cargo build --release --locked -p gearshift

.PHONY: run
run: ## Serve with a config file, in a debug build: make run CONFIG=gearshift.yaml
	@test -n "$(CONFIG)" || { echo "run: name a config file: make run CONFIG=gearshift.yaml" >&2; exit 2; }
	$(WITH_ONNXRUNTIME) cargo run --locked -p gearshift -- serve --config "$(CONFIG)"

.PHONY: test
test: unit lint ## All tests, then the lints; what a change must pass

.PHONY: unit
unit: ## The tests alone, of the workspace and of tools/
	$(PYTHON) tools/fetch_encoder.py >/dev/null
	$(WITH_ONNXRUNTIME) cargo test --workspace --locked
	$(PYTHON) -m unittest discover --quiet --start-directory tools

.PHONY: lint
lint: ## Formatting, clippy, docs and budgets
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked
	$(PYTHON) tools/budgets.py

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt --all

.PHONY: schema
schema: ## Write the config file's JSON Schema anew
	UPDATE_SCHEMA=1 cargo test --locked -p gearshift-config schema

.PHONY: deny
deny: ## Licences, bans, sources and advisories of the dependencies (cargo-deny)
	tools/deny.sh

.PHONY: e2e
e2e: build ## Official SDKs through Gearshift to real vLLM on CPU
	$(WITH_ONNXRUNTIME) $(PYTHON) e2e/run.py

.PHONY: dashboards
dashboards: ## Write Grafana's dashboards and check them and the rules: dashboards/
	$(PYTHON) dashboards/generate.py
	$(PYTHON) e2e/observe.py --static
	$(PYTHON) -m unittest discover --quiet --start-directory tools --pattern test_panels.py

.PHONY: observe
observe: ## Every panel and alert against real Prometheus over simulated engines, seven and a half minutes, with images and screenshots
	cargo build --profile quick --locked -p gearshift -p gearshift-loadtests
	$(WITH_ONNXRUNTIME) $(PYTHON) e2e/observe.py --gearshift $(QUICK)/gearshift \
		--loadtest $(QUICK)/gearshift-loadtest $(OBSERVE_ARGS)

.PHONY: console
console: ## The console in a real headless Chromium, over simulated engines
	cargo build --profile quick --locked -p gearshift -p gearshift-loadtests
	$(WITH_ONNXRUNTIME) $(PYTHON) e2e/browse.py --gearshift $(QUICK)/gearshift \
		--loadtest $(QUICK)/gearshift-loadtest $(CONSOLE_ARGS)

.PHONY: bench
bench: ## Cost per request and per stream, against nginx and HAProxy
	tools/peers.sh
	cargo build --release --locked -p gearshift -p gearshift-loadtests
	mkdir -p $(REPORTS)
	$(WITH_ONNXRUNTIME) PATH=$$PATH:/usr/sbin $(RELEASE)/gearshift-loadtest bench \
		--gearshift $(RELEASE)/gearshift --bundle models/default --out $(REPORTS)/bench.json $(BENCH_ARGS)

.PHONY: route
route: ## Routing policies side by side over simulated fleets, in virtual time
	cargo build --release --locked -p gearshift-loadtests
	$(RELEASE)/gearshift-loadtest route --adapt --out $(REPORTS) $(ROUTE_ARGS)

.PHONY: loop
loop: ## The profile controller over simulated days, against hindsight
	cargo build --profile quick --locked -p gearshift-loadtests
	$(QUICK)/gearshift-loadtest loop --out $(REPORTS) $(LOOP_ARGS)

.PHONY: simulator
simulator: ## The simulated engine against real vLLM on this CPU and against measured GPUs, 25 minutes
	cargo build --profile quick --locked -p gearshift-loadtests
	rows=$$($(PYTHON) tools/aiconfigurator_kernels.py) && $(QUICK)/gearshift-loadtest validate \
		--silicon $$rows/silicon_sample.csv --out $(REPORTS) $(SIMULATOR_ARGS)

.PHONY: collect
collect: ## Profiles and workloads on real vLLM on this CPU, an hour; what is measured is not measured again
	cargo build --profile quick --locked -p gearshift-loadtests
	$(PYTHON) e2e/run.py --prepare
	mkdir -p $(REPORTS)
	$(QUICK)/gearshift-loadtest collect --plan loadtests/data/collect_cpu.yaml --out $(TARGET_DIR)/collect \
		--rows $(REPORTS)/vllm_cpu.parquet $(COLLECT_ARGS)

.PHONY: hardware-fit
hardware-fit: ## Fit the simulator's factors to measured kernels and serving (fetches 140 MB once)
	cargo build --profile quick --locked -p gearshift-loadtests
	mkdir -p $(REPORTS)
	cache=$$($(PYTHON) tools/aiconfigurator_kernels.py) && $(QUICK)/gearshift-loadtest fit-hardware \
		--kernels $$cache/kernels --rows $$cache/silicon_sample.csv \
		--out loadtests/data/hardware_fit.json --report $(REPORTS)/hardware-fit.json

.PHONY: database
database: ## The simulated rows of perfdb/data: simulated engines, and AIConfigurator's estimates (25 minutes, once)
	cargo build --profile quick --locked -p gearshift-loadtests
	estimates=$$($(PYTHON) tools/aiconfigurator_sweep.py --minutes $(or $(MINUTES),25)) && \
		$(QUICK)/gearshift-loadtest sweep --out perfdb/data --estimates $$estimates

.PHONY: eval
eval: ## How well each selector chooses on hardware and model families it has not seen, half an hour
	cargo build --profile quick --locked -p gearshift-training
	encoder=$$($(PYTHON) tools/fetch_encoder.py) && $(WITH_ONNXRUNTIME) \
		$(QUICK)/gearshift-train eval --encoder "$$encoder" --out $(REPORTS) $(EVAL_ARGS)

.PHONY: train
train: ## Train the meta-learner on the shipped rows into models/default
	cargo build --profile quick --locked -p gearshift-training
	$(QUICK)/gearshift-train fit --out models/default $(TRAIN_ARGS)

.PHONY: retrain
retrain: ## Retraining in virtual time: rows of simulated traffic, a bundle trained further, judged, and let route
	cargo build --profile quick --locked -p gearshift-training
	$(WITH_ONNXRUNTIME) $(QUICK)/gearshift-train study --out $(REPORTS) $(RETRAIN_ARGS)

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZ_SECONDS=60 (needs Rust nightly and cargo-fuzz)
	tools/fuzz.sh $(or $(FUZZ_SECONDS),60)

.PHONY: clean-cache
clean-cache: ## Delete what the targets fetched: .cache/
	rm -rf .cache

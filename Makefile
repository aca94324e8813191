# The commands of README.md and CONTRIBUTING.md. `make help` lists them; each says at its end what it did.
#
# Everything is built with the profile `release`, which is made for building often; `make dist` alone uses `dist`.
# What a step made is noted in $(STAMPS), so that a second run does only what changed.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Outside the folder, so that a fresh checkout builds fast and a network drive does not slow it down.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/bindwright/target
VENV ?= .venv
PYTHON ?= python3
STAMPS := $(VENV)/stamps
BIN := $(VENV)/bin
WHEELS := target/wheels

# What ends up in the wheel.
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find core/src core/Cargo.toml cli/src cli/Cargo.toml server/src server/Cargo.toml -type f)
PYTHON_SOURCES := $(shell find bindings-python -type f \( -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name '*.toml' \
    -o -name py.typed -o -name README.md \) -not -path '*/tests/*' 2>/dev/null)

# And in the npm package.
NODE_SOURCES := $(shell find bindings-node/src bindings-node/ts bindings-node/Cargo.toml bindings-node/build.rs -type f)

.PHONY: help setup tools kafka-jars demo test check bench faults servers dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# ---- what is needed -----------------------------------------------------------------------------------------------

setup: tools $(STAMPS)/python ## the tools and the Python environment that the other targets need

tools:
	@PYTHON=$(PYTHON) VENV=$(VENV) scripts/tools.sh

$(STAMPS)/python: bindings-python/requirements-dev.txt $(wildcard benches/requirements.txt)
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	@mkdir -p $(@D) && touch $@

# A compiler of 100 MB that only `make dist` wants.
$(STAMPS)/dist: bindings-python/requirements-dist.txt | $(STAMPS)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Without Node, what needs it says so and is left out; scripts/tools.sh fails in CI.
$(STAMPS)/node: bindings-node/package-lock.json bindings-node/package.json
	! scripts/tools.sh has-node || (cd bindings-node && npm ci --no-audit --no-fund)
	@mkdir -p $(@D) && touch $@

$(STAMPS)/node-package: $(STAMPS)/node $(RUST_SOURCES) $(NODE_SOURCES)
	! scripts/tools.sh has-node || $(MAKE) --no-print-directory -C bindings-node build
	@touch $@

# What only tests and measurements want. Without it they say so themselves; in CI that is a failure.
kafka-jars:
	@scripts/tools.sh for-tests
	@$(PYTHON) scripts/servers.py --install

$(STAMPS)/wheel: $(STAMPS)/python $(RUST_SOURCES) $(PYTHON_SOURCES)
	rm -f $(WHEELS)/bindwright-*.whl
	$(BIN)/maturin build --quiet --release -m bindings-python/Cargo.toml --out $(WHEELS)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall $(WHEELS)/bindwright-*.whl
	@touch $@

# ---- what it is for -----------------------------------------------------------------------------------------------

demo: setup $(STAMPS)/wheel $(STAMPS)/node-package ## sends 20,000 orders from Python to Node and back; KAFKA_BROKERS=host:9092 names your own Kafka
	@$(BIN)/python examples/orders/demo.py

test: setup kafka-jars $(STAMPS)/wheel $(STAMPS)/node ## the tests of all languages
	@PYTHON=$(BIN)/python scripts/test.sh

check: setup $(STAMPS)/wheel $(STAMPS)/node ## formatting, lints, types, generated files, licences, documents
	cargo fmt --all --check
	@# cargo fmt does not see modules that a macro declares
	rustfmt --check --edition 2024 $$(find core/src/components -name '*.rs')
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo xtask gen --check
	cargo xtask licences
	cargo xtask check-docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYTHON=$(BIN)/python scripts/types.sh
	! scripts/tools.sh has-node || $(MAKE) --no-print-directory -C bindings-node check
	@echo "check: all good"

# Built with the feature `bench`, which adds a component that does nothing; the package that users get has none.
bench: setup kafka-jars ## measures us beside the peers, prints one table and writes it to docs/benchmarks.md
	$(BIN)/maturin develop --quiet --release --features bench -m bindings-python/Cargo.toml
	@rm -f $(STAMPS)/wheel
	$(BIN)/python benches/run.py --write docs/benchmarks.md

faults: setup kafka-jars $(STAMPS)/wheel $(STAMPS)/node ## kills and cuts things off under load, counts what arrives and writes it to docs/guarantees.md
	@$(MAKE) --no-print-directory -C bindings-node build
	@$(BIN)/python tests/faults/run.py --write docs/guarantees.md

servers: setup kafka-jars ## a real Kafka until Ctrl-C
	@$(BIN)/python scripts/servers.py

dist: setup $(STAMPS)/wheel $(STAMPS)/node $(STAMPS)/dist ## the packages as users get them, into dist/; checks them and writes their figures to docs/packaging.md
	@$(BIN)/python scripts/dist.py --write docs/packaging.md

clean: ## removes what the targets made here; the build cache in your home stays
	rm -rf $(VENV) dist $(WHEELS) bindings-node/node_modules bindings-node/dist bindings-node/bindwright.node

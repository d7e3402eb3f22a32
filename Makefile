# Everything a contributor runs. `make` alone lists it. Assumes make and Python 3.11 or newer, as
# `python3` or named: make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Touched when .venv holds what pyproject.toml asks for, for runs or for tests as well; older than it,
# .venv is brought up to date.
CORE := .venv/.core
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test kernels kafka mutants soak fuzz drill lint format docs \
  contract bench audit lock packages

help: ## Lists what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## Prepares .venv; run and test do it by themselves

$(CORE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "tidecast needs Python 3.11 or newer; got '$(PYTHON)': $$($(PYTHON) --version 2>&1)." \
	    "Install one, or name it: make $(or $(firstword $(MAKECMDGOALS)),setup) PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its module venv or ensurepip is missing." \
	    "Install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; \
	  exit 1; }
	@$(PYTHON) .ci/patiently "making an environment in .venv" $(PYTHON) -m venv .venv
	@$(BIN)/python .ci/patiently "installing what tidecast needs" \
	  $(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --editable '.[demo]'
	@# Libraries have files for newer Pythons, which this one neither compiles nor imports.
	@$(BIN)/python .ci/patiently "compiling its modules, on all cores" \
	  $(BIN)/python -m compileall -qq -j 0 .venv/lib topics models stream || test $$? -eq 1
	@touch $@

# Touched when the kernels of what `run` starts are in numba's cache; older than one of the modules
# that define some, those are compiled again.
KERNELS := .venv/.kernels
$(KERNELS): $(CORE) $(wildcard deploy/compile_kernels.py) \
  $(shell grep -rl --include='*.py' njit models stream 2>/dev/null)
	@echo "kernels: compiling those of the roles, once"
	@OMP_NUM_THREADS=1 $(BIN)/python deploy/compile_kernels.py
	@touch $@

$(STAMP): $(CORE)
	@PYTHON=$(PYTHON) .ci/packages libgomp1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(KERNELS) ## Runs the whole stream on this machine: make run ARGS="--for 60"
	@$(BIN)/tidecast up $(ARGS)

# One thread a process: the tests run many processes, and their tensors are small. Two run at a
# time; of those that start processes of their own a file stays together, as its tests share what
# they start. 5 says that none of a kind was asked for.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
test: $(STAMP) ## Runs every check: format, lint, types, tests
	@$(MAKE) --no-print-directory --jobs 3 packages lint kernels
	$(PYTEST) -m "not system" --numprocesses 2 --dist worksteal $(ARGS) || test $$? -eq 5
	$(PYTEST) -m system --numprocesses 2 --dist loadfile $(ARGS) || test $$? -eq 5
	$(PYTEST) -m "system and (apache or both)" --broker apache --numprocesses 2 --dist loadfile \
	  $(ARGS) || test $$? -eq 5

kernels: $(STAMP) # Compiles what the tests would compile, each process by itself
	@OMP_NUM_THREADS=1 $(BIN)/python deploy/compile_kernels.py --all

kafka: $(STAMP) ## Runs Apache Kafka on this machine, by Java and Maven: make kafka ARGS="--brokers 3"
	@$(BIN)/python -m deploy.apache_kafka $(ARGS)

mutants: $(STAMP) ## Makes faults on purpose, and says which tests notice: make mutants ARGS="NAME"
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants $(ARGS)

soak: $(STAMP) ## Kills and freezes at random, then compares: make soak ARGS="--seed 7 --minutes 20"
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.system.crashes.soak $(ARGS)

fuzz: $(STAMP) ## Searches every decoder and reader for input that breaks it
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

drill: $(STAMP) packages ## Causes every alert, follows its page: make drill ARGS="--list"
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.system.drill $(ARGS)

packages: # System packages that tests use; without them those tests skip and say so
	@PYTHON=$(PYTHON) .ci/packages chromium default-jre-headless kcat maven nginx \
	  libnginx-mod-http-lua lua-cjson prometheus varnish

lint: $(STAMP) ## Checks format, style, who imports whom, and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

format: $(STAMP) ## Formats the code and mends what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Builds the documentation as a site, in build/docs; strict, and without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

contract: $(STAMP) ## Writes docs/contract from the records and topics
	@$(BIN)/tidecast contract $(ARGS)

bench: $(STAMP) ## Measures ingest against its yardsticks
	@$(BIN)/python -m benchmarks.ingest $(ARGS)

audit: $(STAMP) ## Asks whether anything in requirements.lock is known to be vulnerable
	@$(BIN)/python -m deploy.audit $(ARGS)

lock: $(STAMP) ## Writes requirements.lock: the versions that are installed here
	@$(BIN)/python -m deploy.lock > requirements.lock.new && mv requirements.lock.new requirements.lock

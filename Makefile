# make run: install, fetch data, tune every loss on the same budget at profile mini, write the report.   make test: install and run all tests.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOSSES ?=
ARGUMENTS ?=
# One more than cores: the long tests often wait, for SLURM's clocks and for servers.
TEST_PROCESSES ?= 3
# Tests that start no campaign, install, fetch and wait for nothing; those marked `slow` are left out.
FAST := -m "not slow" tests/cli tests/conformance tests/losses tests/pairs tests/plan tests/provenance tests/records \
	tests/registry tests/training
# Per cent of the statements that the tests of these folders execute, the slow ones too, at least; raise it with them.
FLOOR := 40

# Debian splits ensurepip from Python; as root we can fetch it.
install_venv = [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv

.DEFAULT_GOAL := help
.PHONY: help run test test-fast smoke lint coverage docs bench bench-quick install constraints clean

help:
	@echo "make run     install, fetch data, tune every loss on five benchmarks (profile mini), write the report"
	@echo "make smoke   the same at profile smoke, two seeds: a minute"
	@echo "make test    install what the tests need and run them all: some three quarters of an hour on two cores"
	@echo "make test-fast   only tests without campaigns, servers and compilers, for the inner loop: two and a half minutes"
	@echo "make lint    ruff, mypy, and the order of the imports"
	@echo "make coverage   per cent of the statements that the fast tests execute, with a floor"
	@echo "make docs    the pages as a site, build/site; broken links fail"
	@echo "make bench   measure what is said of speed and memory, on an idle machine: writes docs/performance.md"
	@echo "make bench-quick   two minutes: fails where a loss or image training is out of proportion to its peers"
	@echo "make clean   remove the virtual environment and caches; results and data stay"

run: $(VENV)/.installed
	$(BIN)/python -m suite tune --benchmarks image graph anomaly text recommendation --budget 3 --selection-seeds 100 --seeds 0-2 $(ARGUMENTS)
	$(BIN)/python -m analysis report

smoke: $(VENV)/.installed
	$(BIN)/python -m suite run --benchmarks all --profile smoke --losses headline --seeds 0-1 $(ARGUMENTS)

test: $(VENV)/.installed-dev
	@tests/slurm/install.sh
	@tests/analysis/report/install.sh
	$(BIN)/python -m suite data fetch
	$(BIN)/python -m compileall -q suite analysis tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal --durations 10 $(ARGUMENTS)

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m compileall -q suite analysis tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations 10 $(FAST) $(ARGUMENTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

coverage: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --cov --cov-report=term:skip-covered \
		--cov-fail-under=$(FLOOR) $(FAST) -m "" $(ARGUMENTS)  # the slow ones, too

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.installed-dev
	$(BIN)/python -m mkdocs build --strict $(ARGUMENTS)
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server -d build/site"

# Its peers are not for users: hydra-submitit-launcher comes with the extra `bench`.
bench: $(VENV)/.installed-bench
	$(BIN)/python -m suite data fetch
	$(BIN)/python -m tests.perf.bench $(ARGUMENTS)

bench-quick: $(VENV)/.installed-dev
	$(BIN)/python -m suite data fetch
	$(BIN)/python -m tests.perf.bench --quick $(ARGUMENTS)

install: $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.11"'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(install_venv) && $(PYTHON) -m venv $(VENV); } || \
		{ rm -rf $(VENV); echo 'error: Python lacks its venv module; on Debian: apt-get install python3-venv'; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

# Versions that were tested together; made from an environment that passes `make test`.
constraints: $(VENV)/.installed-dev $(VENV)/.installed-bench
	$(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' > constraints.txt

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

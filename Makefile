# `make help` lists the verbs. Everything runs in $(VENV), made on first use; nothing else is touched.
VENV ?= .venv
LOWEST ?= .venv-lowest
PYTHON ?= python3
TORCH ?= 2.13.0
export MPLBACKEND = Agg
# Threads that wait for work spin by default, and two busy processes on one machine then slow each other tenfold.
export OMP_WAIT_POLICY = PASSIVE
# Nothing is compiled when it is installed (below): where this is set, as in many containers, every process would
# compile torch and Lightning anew, which takes longer than training.
export PYTHONDONTWRITEBYTECODE =
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Most modules of the dependencies are never imported: compiling all of them takes longer than the rest of `make demo`.
PIP := $(BIN)/python -m pip install --quiet --no-compile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-lowest faults lint type bench clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch comes first and by name: on Linux without a GPU the "+cpu" build keeps gigabytes of CUDA packages away.
$(STAMP): pyproject.toml Makefile
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deepspec needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null; then \
	    $(PIP) "torch==$(TORCH)"; \
	else \
	    $(PIP) "torch==$(TORCH)+cpu" 2>/dev/null || \
	    $(PIP) "torch==$(TORCH)+cpu" --extra-index-url https://download.pytorch.org/whl/cpu; \
	fi
	$(PIP) --editable .
	touch $@

$(DEV): $(STAMP)
	$(PIP) --editable '.[dev]'
	touch $@

install: $(STAMP) ## make the virtual environment and install deepspec into it

demo: $(STAMP) ## synthesize, fit, segment an unseen cube: pictures in demo/ (under 5 minutes on 2 cores)
	$(BIN)/python experiments/demo.py --out demo

test: $(DEV) ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test-fast: $(DEV) ## run the tests that take under ten seconds each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not ddp"

# Each direct dependency at the lowest version that pyproject.toml allows. What such old packages deprecated of each
# other is no news; every other warning still fails a test.
test-lowest: pyproject.toml ## run the fast tests at the lowest versions of the dependencies
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n auto --dist worksteal -m "not slow and not ddp" \
	    -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::FutureWarning

faults: $(DEV) ## kill every verb, and fill its disk, before each single file operation (hours)
	OMP_NUM_THREADS=1 DEEPSPEC_FAULTS=all $(BIN)/python -m pytest -n auto tests/faults/test_every_operation.py

lint: $(DEV) ## check style and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q tests/test_layers.py

type: $(DEV) ## check types, strictly
	$(BIN)/mypy

bench: $(DEV) ## measure speed against the alternatives (prints ratios)
	$(BIN)/python -m tests.benchmarks

clean: ## remove the virtual environment, caches and what `make demo` wrote
	rm -rf $(VENV) $(LOWEST) demo .mypy_cache .ruff_cache .pytest_cache

# make demo   all three systems on their embedded worlds, end to end      make test   every fast test
# make check  lint, types, import arrows, size caps                       make prove  the long proofs
# make bench  ratios against named peers                                  make regold accept new golden files
#
# PYTHON     which interpreter makes the environment (3.11 or newer)
# PIP_FLAGS  passed to every pip install, for example an --extra-index-url with CPU-only builds of torch
PYTHON ?= python3
PIP_FLAGS ?=
WORKERS ?= 2
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --constraint constraints.txt

# The game engine is compiled once a machine, before the test workers start.
WARM := $(BIN)/python -c 'from skyloom.arena.engine.kernels import load; load(print)'

.PHONY: demo test check prove bench regold clean
.DEFAULT_GOAL := demo

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Two stamps, so that the demo does not wait for the test tools.
$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing skyloom[llm] into $(VENV) (torch is the large part) ..."
	$(PIP) --editable ".[llm]"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo pyproject.toml constraints.txt
	@echo "installing the test tools into $(VENV) ..."
	$(PIP) --editable ".[all,dev]"
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable ".[all,dev,bench]"
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/skyloom demo

test: $(VENV)/.dev
	@$(WARM)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not prove"

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/caps.py

prove: $(VENV)/.dev
	@$(WARM)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m prove --timeout 3600

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/all.py

regold: $(VENV)/.dev
	$(BIN)/python tests/golden/regold.py
	git diff --stat -- tests/golden

clean:
	rm -rf $(VENV) runs .skyloom-cache build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two commands matter: `make demo` and `make test`. Both make their own environment in .venv first.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: demo test chaos bench bench-readme lint check format clean

# How long `make chaos` takes, for each engine: seconds of load and faults, seconds of too much load, calls of the soak.
SECONDS  ?= 75
OVERLOAD ?= 60
CALLS    ?= 100000

demo: $(VENV)/.sqlwright
	$(BIN)/sqlwright demo --queries queries

test: $(VENV)/.sqlwright-test
	$(BIN)/pytest -n auto --dist worksteal

chaos: $(VENV)/.sqlwright-test
	@PYTHONPATH=tests:tests/faults $(BIN)/python -m chaos --seconds $(SECONDS) --overload $(OVERLOAD) --calls $(CALLS) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON)) $(ENGINES)

lint: $(VENV)/.sqlwright-test
	$(BIN)/ruff check --no-cache service tests
	$(BIN)/ruff format --no-cache --check service tests
	$(BIN)/mypy

check: test lint

# ENGINE=sqlite|postgresql|mysql, or several with commas; needs Debian's wrk and curl. More by hand: python tests/bench --help
bench: $(VENV)/.sqlwright-test
	$(BIN)/python tests/bench --engine $(or $(ENGINE),postgresql) $(if $(CASES),--cases $(CASES))

# What the README shows: about seven minutes on a machine that has nothing else to do.
bench-readme: $(VENV)/.sqlwright-test
	$(BIN)/python tests/bench --readme

format: $(VENV)/.sqlwright-test
	$(BIN)/ruff check --fix service tests
	$(BIN)/ruff format service tests

clean:
	rm -rf $(VENV) sqlwright-demo build dist

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sqlwright needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sqlwright: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.sqlwright-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.sqlwright

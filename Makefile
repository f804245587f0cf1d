PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp

.PHONY: setup demo test check soak wheel clean

setup: $(STAMP)  ## make .venv with everything the package, its tests and its checks need

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## judge a few bundled examples and show what was found
	$(BIN)/rmr1 demo

test: $(STAMP)  ## the whole test suite
	$(BIN)/python -m pytest -q

check: $(STAMP)  ## ruff and mypy over the whole package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(STAMP)  ## the long repetitions: kills, memory, fuzzing
	RMR1_SOAK=1 $(BIN)/python -m pytest -q -m soak

wheel: $(STAMP)  ## build dist/*.whl
	$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf $(VENV) dist build .cache

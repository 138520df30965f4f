# Everything runs in the project's own .venv, set up from the hash-pinned lock file. Needs python3 (with venv) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv

.PHONY: help demo test airflow lint types unit real docs bench long chaos controls format lock clean

help:  ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r requirements-dev.lock
	$(UV) pip install --quiet --no-deps --python $(BIN)/python -e .
	$(UV) pip check --quiet --python $(BIN)/python
	@touch $@

demo: $(VENV)/.ready  ## Run the example release_train on a real Airflow, against the emulator, and print what happened
	@$(BIN)/python -m tests.airflow.demo

test: lint types docs  ## Everything that CI runs
	@$(MAKE) --no-print-directory -j2 unit real

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

# What fails is run once more by itself: on a machine that is full, a second may be too short for a request.
unit: $(VENV)/.ready
	$(BIN)/python -m pytest -n 4 --dist worksteal --reruns 1 -m "not airflow and not long" \
		|| $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

# On a real Airflow; most of it is waiting, so it runs beside the others.
real: $(VENV)/.ready
	$(BIN)/python -m pytest -p no:cacheprovider --reruns 1 -m "airflow and not long"
	$(BIN)/python -m tests.airflow.chaos --short

docs: $(VENV)/.ready  ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

airflow: $(VENV)/.ready  ## Start a full local Airflow with the emulator; Ctrl-C ends everything
	@$(BIN)/python -m tests.airflow.serve

format: $(VENV)/.ready
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

long: $(VENV)/.ready  ## Run the tests that take too long for make test
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "long and not airflow"
	$(BIN)/python -m pytest -p no:cacheprovider -m "long and airflow"

chaos: $(VENV)/.ready  ## Kill the parts of a real Airflow while 200 tasks run, and count what was started twice or lost (15 minutes)
	@$(BIN)/python -m tests.airflow.chaos

controls: $(VENV)/.ready  ## Run the short chaos without re-attachment, then without the question who kills: both must do harm (10 minutes)
	@$(BIN)/python -m tests.airflow.chaos --short --without re-attachment
	@$(BIN)/python -m tests.airflow.chaos --short --without guard

$(VENV)-bench/.ready: requirements-bench.lock pyproject.toml $(VENV)/.ready
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)-bench
	$(UV) pip install --quiet --require-hashes --python $(VENV)-bench/bin/python -r requirements-bench.lock
	$(UV) pip install --quiet --no-deps --python $(VENV)-bench/bin/python -e .
	@touch $@

bench: $(VENV)-bench/.ready  ## Measure against peers; prints, asserts nothing
	@$(VENV)-bench/bin/python -m tests.benchmarks

lock: $(VENV)/.ready  ## Resolve the lock files anew
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra aiohttp --extra audit --extra emulator --extra logs --group dev --group chaos pyproject.toml -o requirements-dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra aiohttp --extra emulator --extra logs --group bench pyproject.toml -o requirements-bench.lock

clean:  ## Remove what was built, the environments included
	rm -rf $(VENV) $(VENV)-bench .airflow docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

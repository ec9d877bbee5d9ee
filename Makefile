# SPDX-License-Identifier: Apache-2.0
# `make` lists what there is. Everything is installed into .venv/, nothing outside the repository is changed.

PYTHON ?= python3
# Package index for PyTorch alone; empty means pip's own, whose Linux build brings CUDA (gigabytes).
TORCH_INDEX_URL ?=
TORCH_VERSION ?= 2.13.0
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

export TORCH_INDEX_URL
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := requirements/constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo up test check images constraints licences audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.runtime ## Make .venv/ with everything that the nodes, the command line and the demo need

demo: .venv/.runtime ## Start the nodes and the page (8000), send photographs and a small sweep through them
	$(BIN)/spikelink demo

up: .venv/.runtime ## Start edge (8001), channel (8002), cloud (8003) and the page (8000) until Ctrl-C
	$(BIN)/spikelink up

# One process more than cores, for much of the suite waits: for containers, pages, processes that start or are killed.
test: .venv/.dev ## Run the whole test suite on all cores
	$(BIN)/python -m pytest --numprocesses $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile --no-loadscope-reorder

check: .venv/.dev ## Lint, formatting and types: ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

images: ## Build the container images
	$(COMPOSE) build

constraints: .venv/.dev ## Pin all that is installed now in requirements/constraints.txt
	{ sed '/^#/!d' $(CONSTRAINTS); $(PIP) freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > $(CONSTRAINTS).new
	mv $(CONSTRAINTS).new $(CONSTRAINTS)
	touch .venv/.runtime .venv/.dev

licences: .venv/.dev ## List the licences of all that is pinned in docs/licences.md
	$(BIN)/python requirements/licences.py > docs/licences.md.new
	mv docs/licences.md.new docs/licences.md

audit: .audit/.ready ## Ask the advisory database about all that is pinned
	.audit/bin/python requirements/audit.py .audit/bin/pip-audit

clean: ## Remove .venv/ and caches; data, runs and weights stay
	rm -rf .venv .audit .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'SpikeLink needs Python 3.11 or newer: make PYTHON=python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv .venv

# PyTorch comes first and alone: TORCH_INDEX_URL says where it is from, and nothing else is. SpikingJelly asks for
# torchvision and torchaudio, which its neurons do not need.
.venv/.runtime: pyproject.toml $(CONSTRAINTS) | .venv/bin/python
	$(PIP) install --no-deps $(if $(TORCH_INDEX_URL),--index-url '$(TORCH_INDEX_URL)') 'torch==$(TORCH_VERSION)'
	$(PIP) install --constraint $(CONSTRAINTS) --editable '.[node,edge,cloud,models,demo,reproduce]'
	$(PIP) install --constraint $(CONSTRAINTS) --no-deps spikingjelly
	touch $@

.venv/.dev: .venv/.runtime
	$(PIP) install --constraint $(CONSTRAINTS) --editable '.[dev,ray]'
	touch $@

.audit/.ready: requirements/audit.txt
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements/audit.txt
	touch $@

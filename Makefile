# From a fresh clone: `make chat`. Python 3.11 or newer and make are all it needs.
#
# Standard output carries answers only, and standard input reaches the conversation: setup reports on standard error.

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=
N ?= 1000
FIRST ?= 0
FAST := not slow and not live and not gpu and not gpu_stack
# Two processes with one compute thread each.
PARALLEL := --numprocesses 2 --dist loadfile

.SILENT:
.PHONY: help setup setup-dev chat test test-slow test-live test-elsewhere test-gpu test-gpu-stack fuzz sbom coverage lint format types contracts check bench lock

help: ## Show what can be made
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what Parley needs into .venv, from the lock files
	scripts/setup

setup-dev: ## Install what the checks and the training need as well
	scripts/setup dev

chat: setup ## Open the conversation; piped input is answered line by line (ARGS="--help" for options)
	$(BIN)/parley $(ARGS)

test: setup-dev ## Run the fast tests; what this machine cannot run is named in the last line
	OMP_NUM_THREADS=1 $(PYTEST) $(PARALLEL) -m "$(FAST)" $(ARGS)

test-slow: setup-dev ## Run the tests that take minutes or downloads, a fresh clone among them
	$(PYTEST) -m "slow and not live and not gpu and not gpu_stack" $(ARGS)

test-live: setup-dev ## Run the spoken conversations in real time on a sound server (needs an idle machine)
	$(PYTEST) -m live $(ARGS)

test-elsewhere: setup-dev ## Run the fast tests as on other processors and on a busy machine (SETTINGS="avx2 omp1", or all)
	scripts/test-elsewhere $(SETTINGS)

test-gpu: setup-dev ## Run the tests that need a CUDA device
	$(PYTEST) -m gpu $(ARGS)

test-gpu-stack: ## Run the tests of the packages for GPUs, without a GPU (in .venv-gpu, 6 GB)
	scripts/setup gpu
	.venv-gpu/bin/python -m pytest -m gpu_stack $(ARGS)

fuzz: setup-dev ## Use every part on N damaged and hostile inputs of each kind (N=1000 FIRST=0 ARGS="-k audio")
	FUZZ_INPUTS=$(N) FUZZ_FIRST=$(FIRST) $(PYTEST) -s -m slow --timeout 0 tests/fuzz $(ARGS)

coverage: setup-dev ## Show which lines no test reaches
	$(BIN)/coverage run -m pytest -m "$(FAST)"
	$(BIN)/coverage report

lint: setup-dev ## Check for mistakes and for style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: setup-dev ## Check types
	$(BIN)/mypy

contracts: setup-dev ## Check which package imports which
	$(BIN)/lint-imports --no-logo

check: lint types contracts test ## Run every quick check

bench: setup ## Measure speed, start-up and memory
	$(BIN)/python -m benchmarks $(ARGS)

sbom: setup ## Write sbom.json: every part with its version, licence and digests, in the format of CycloneDX
	$(BIN)/parley licences --sbom --lock requirements.lock > sbom.json

lock: ## Write the lock files with hashes (ARGS=--upgrade takes the newest versions)
	scripts/lock $(ARGS)

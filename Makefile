# From a fresh clone: `make chat`. All that is needed beforehand is Python 3.11 or newer and make.
#
# Standard output carries answers only and standard input reaches the conversation: setup speaks on standard error.

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=

.SILENT:
.PHONY: help setup setup-dev chat test test-slow test-live test-gpu test-gpu-stack coverage lint format types contracts check bench train-deps lock

help: ## Show what can be made
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install all that Parley needs into .venv
	scripts/setup

setup-dev: ## Install what the checks need as well
	scripts/setup dev

chat: setup ## Open the conversation; piped input is answered line by line (ARGS="--help" for options)
	$(BIN)/parley $(ARGS)

test: setup-dev ## Run the tests that take seconds
	$(PYTEST) -m "not slow and not gpu and not gpu_stack" $(ARGS)

test-slow: setup-dev ## Run the tests that take minutes or downloads, a fresh clone among them
	$(PYTEST) -m "slow and not live and not gpu and not gpu_stack" $(ARGS)

test-live: setup-dev ## Run the spoken conversations on a sound server, which want a machine that does nothing else
	$(PYTEST) -m live $(ARGS)

test-gpu: setup-dev ## Run the tests that need a CUDA device
	$(PYTEST) -m gpu $(ARGS)

test-gpu-stack: ## Run the tests of what a GPU's packages bring, without a GPU (in .venv-gpu, 6 GB)
	scripts/setup gpu
	.venv-gpu/bin/python -m pytest -m gpu_stack $(ARGS)

coverage: setup-dev ## Show which lines no test reaches
	$(BIN)/coverage run -m pytest -m "not slow and not gpu and not gpu_stack"
	$(BIN)/coverage report

lint: setup-dev ## Look for mistakes and for style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup-dev ## Put the style right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: setup-dev ## Check types
	$(BIN)/mypy

contracts: setup-dev ## Check who imports whom
	$(BIN)/lint-imports --no-logo

check: lint types contracts test ## All that is quick

bench: setup ## Measure speed, start-up and memory
	$(BIN)/python -m benchmarks $(ARGS)

train-deps: setup ## Install the caption scorers (without their own dependencies: a Java tokenizer, and plots) and a reader of HDF5
	$(BIN)/python -m pip install --quiet --no-deps pycocoevalcap==1.2 >&2

lock: ## Pin the newest versions that pyproject.toml allows
	scripts/lock

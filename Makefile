# Everything a person types. Needs make, git and Python 3.11 or 3.12 with pip; no root, nothing outside this folder.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

PORT ?= 8080
HOST ?= 127.0.0.1
MODEL ?= lead-scoring
VERBOSE ?=
PYTEST ?=

# The first of these that is a Python we run on; PYTHON= chooses another.
PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 python3,$(shell $(python) -c \
  'import sys; sys.version_info[:2] in ((3, 11), (3, 12)) and print("$(python)")' 2>/dev/null)) python3)
UV := .tools/uv/bin/uv
UV_INSTALLED := .tools/uv/.installed
LIBRARY := .venv/.installed
PREDICTOR := predictors/.venv/.installed
BIN := .venv/bin
PREDICTOR_BIN := predictors/.venv/bin
STACK = $(BIN)/lead-scoring

export UV_PYTHON_DOWNLOADS := never
export PIP_ROOT_USER_ACTION := ignore
ifdef CI
export UV_NO_PROGRESS := 1
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.PHONY: help install run shift shadow rollback status stop test bench bench-check lint format lock models images chart e2e \
  check-machine check-installed check-cluster

help: ## Show this
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo '  PORT=8080 chooses the stack; with run also HOST=, STABLE=1, CANARY=2 (versions), MODEL=, VERBOSE=1'

## -- the service on this machine

run: install ## Install, then start Envoy, transformers and MLServers; Ctrl-C ends it all
	@exec $(STACK) up --port '$(PORT)' --host '$(HOST)' --model '$(MODEL)' \
	  --stable '$(or $(STABLE),1)' --canary '$(or $(CANARY),2)' $(if $(VERBOSE),--verbose)

shift: check-installed ## CANARY=25: give the canary 25 % of the leads, sticky by x-lead-key
	@$(if $(CANARY),,echo 'say which share: make shift CANARY=25' >&2; exit 2;) $(STACK) shift '$(CANARY)' --port '$(PORT)'

shadow: check-installed ## PERCENT=100: send the canary copies of all requests, stable answers
	@$(if $(PERCENT),,echo 'say which share: make shadow PERCENT=100' >&2; exit 2;) $(STACK) shadow '$(PERCENT)' --port '$(PORT)'

rollback: check-installed ## Give everything back to stable, at once
	@$(STACK) rollback --port '$(PORT)'

status: check-installed ## Show what runs where and how traffic is split
	@$(STACK) status --port '$(PORT)'

stop: check-installed ## End the stack from another terminal, as Ctrl-C does
	@$(STACK) stop --port '$(PORT)'

## -- the environments

install: $(LIBRARY) $(PREDICTOR) ## Make both locked Python environments

$(UV_INSTALLED): uv-requirements.txt
	@$(MAKE) check-machine PYTHON='$(PYTHON)'
	@echo 'installing uv into .tools/uv'
	@rm -rf .tools/uv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target .tools/uv -r $<
	@touch $@

$(LIBRARY): requirements.txt pyproject.toml transformers/pyproject.toml controllers/pyproject.toml $(UV_INSTALLED)
	@$(MAKE) check-machine PYTHON='$(PYTHON)'
	@echo 'installing library, transformer, Envoy and tools into .venv'
	@test -x $(BIN)/python || $(UV) venv --quiet --python '$(PYTHON)' .venv
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e transformers -e controllers
	@touch $@

$(PREDICTOR): predictors/requirements.txt predictors/pyproject.toml pyproject.toml $(UV_INSTALLED)
	@echo 'installing MLServer into predictors/.venv'
	@test -x $(PREDICTOR_BIN)/python || $(UV) venv --quiet --python '$(PYTHON)' predictors/.venv
	@$(UV) pip sync --python $(PREDICTOR_BIN)/python --require-hashes predictors/requirements.txt
	@$(UV) pip install --quiet --python $(PREDICTOR_BIN)/python --no-deps --no-build-isolation -e . -e predictors
	@touch $@

check-machine:
	@$(PYTHON) .ci/check_machine.py

check-installed:
	@test -x $(STACK) || { echo 'nothing is installed yet: make install' >&2; exit 1; }

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-package lead-scoring --no-emit-package lead-transformer

lock: $(UV_INSTALLED) ## Resolve both environments anew, with hashes
	$(LOCK) pyproject.toml --all-extras --group dev -o requirements.txt
	cd predictors && ../$(LOCK) pyproject.toml --group dev -o requirements.txt
	images/lock $(UV)

## -- the models

models: install ## Train the shipped versions anew into dist/model-repo: the same models, to the byte
	rm -rf dist/model-repo dist/candidate-1 dist/candidate-2
	mkdir -p dist
	$(STACK) generate --leads 20000 --seed 1 --out dist/leads-1.parquet
	$(STACK) train --data dist/leads-1.parquet --version 1 --seed 1 --parameter max_depth=3 --parameter rounds=120 \
	  --out dist/candidate-1
	$(STACK) package dist/candidate-1 --repository dist/model-repo
	$(STACK) generate --leads 150000 --seed 2 --out dist/leads-2.parquet
	$(STACK) train --data dist/leads-2.parquet --version 2 --seed 2 --baseline dist/model-repo/lead-scoring/1 \
	  --out dist/candidate-2
	$(STACK) package dist/candidate-2 --repository dist/model-repo

## -- the house

# What needs a cluster, or Helm and kustomize: see `e2e` and `chart`.
NEEDS_MORE := tests/cluster tests/chart tests/manifests

test: install ## Unit tests, then the real stack; branch coverage of the core
	@failed=; \
	$(BIN)/coverage run -m pytest tests controllers/tests/core $(NEEDS_MORE:%=--ignore=%) $(PYTEST) || failed=1; \
	$(BIN)/coverage report --include='lead_scoring/core/*,lead_scoring/contract/*' --fail-under=90 || failed=1; \
	$(PREDICTOR_BIN)/python -m pytest predictors/tests $(PYTEST) || failed=1; \
	test -z "$$failed"

## -- the cluster: needs helm, kubectl, kustomize, kubeconform and promtool

TAG ?= e2e
E2E_BUILDER ?= docker build
E2E_BASE ?= python:3.11-slim
E2E_LOAD ?=

images: install ## Build the three images; E2E_BUILDER= and E2E_BASE= say with and from what, E2E_LOAD= hands each to the nodes
	@images/build --tag '$(TAG)' --builder '$(E2E_BUILDER)' --base '$(E2E_BASE)' $(if $(E2E_LOAD),--load '$(E2E_LOAD)')

chart: install ## Lint, render and judge chart and manifests; no cluster needed
	@tests/chart/run
	@$(BIN)/pytest tests/chart tests/manifests $(PYTEST)

e2e: install check-cluster ## Install on $$KUBECONFIG, then shift, promote, shadow and kill under load; docs/rollouts.md lists E2E_*
	@$(BIN)/pytest tests/cluster controllers/tests/api $(PYTEST)

check-cluster:
	@for tool in kubectl helm curl; do \
	  command -v "$$tool" >/dev/null || { echo "$$tool is not in PATH" >&2; exit 1; }; \
	done
	@test -n "$${KUBECONFIG:-}" || { echo 'no cluster: set KUBECONFIG' >&2; exit 1; }
	@kubectl get --raw /readyz >/dev/null || { echo "no cluster answers by $$KUBECONFIG" >&2; exit 1; }

## -- measurements

bench: install ## Us beside the peers on the same model and leads; AGAINST=docs/bench.json compares ratios, OUT=docs/bench records
	@$(BIN)/python -m bench $(if $(OUT),--out '$(OUT)') $(if $(AGAINST),--against '$(AGAINST)')

bench-check: install ## The ratios alone, in a minute: fails when one is a third worse than AGAINST=docs/bench.json
	@$(BIN)/python -m bench --quick --against '$(or $(AGAINST),docs/bench.json)'

lint: install ## ruff, mypy strict, import-linter, bandit, shellcheck, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy lead_scoring transformers/lead_transformer controllers/lead_controller
	cd predictors && .venv/bin/mypy lead_predictor
	PYTHONPATH=predictors:. $(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive lead_scoring transformers/lead_transformer predictors/lead_predictor controllers/lead_controller
	git grep -lz '^#!/usr/bin/env bash$$' | xargs -0 $(BIN)/shellcheck
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint --ignore DL3059 */Dockerfile  # has no build for other machines than x86-64

format: install ## Format the Python code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Perijove from a checkout. `make up` needs Python 3.11 and Node 20; neither root nor Docker.
#
#   make up [ARGS="--port 9000"]   install what is missing, then start everything
#   make test                      everything that CI checks
#   make help                      the other targets

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?=
ARGS ?=
VENV := .venv
STAMPS := $(VENV)/stamps
BIN := $(CURDIR)/$(VENV)/bin
STEP := deploy/step.sh
LOCK := deploy/constraints.txt
LAB := server_ext/perijove/labextension/package.json

export PATH := $(BIN):$(PATH)
# Left over from another environment, it would shadow this one's packages.
unexport PYTHONPATH
unexport PYTHONHOME

LAB_SOURCES := $(wildcard labextension/*.json labextension/*.js labextension/*.mjs labextension/yarn.lock) \
	$(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null)
SHARED_DATA := $(shell find server_ext/etc -type f 2>/dev/null)

.PHONY: help up install images test test-tools lint format docs bench lock clean

help: ## Say what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

up: install ## Install what is missing and start Perijove with demo users and data
	@exec $(BIN)/perijove up --demo $(ARGS)

install: $(STAMPS)/package $(STAMPS)/proxy ## Install everything into .venv

$(STAMPS)/venv:
	@$(STEP) "making $(VENV)" deploy/venv.sh $(VENV) $(LOCK) $(PYTHON)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dependencies: $(STAMPS)/venv $(LOCK) deploy/overrides.txt deploy/pip.sh
	@$(STEP) "installing the pinned Python packages (about a minute the first time)" \
		deploy/pip.sh $(VENV) --requirement $(LOCK)
	@touch $@

$(STAMPS)/proxy: $(STAMPS)/venv deploy/proxy.sh hub_ext/proxy/package.json hub_ext/proxy/package-lock.json
	@$(STEP) "installing the proxy" deploy/proxy.sh $(VENV)
	@touch $@

$(STAMPS)/lab-packages: $(STAMPS)/dependencies labextension/package.json labextension/yarn.lock
	@$(STEP) "installing the JupyterLab extension's packages (1-2 minutes the first time)" \
		bash -c 'cd labextension && jlpm install --immutable'
	@touch $@

$(LAB): $(STAMPS)/lab-packages $(LAB_SOURCES)
	@$(STEP) "building the JupyterLab extension" bash -c 'cd labextension && jlpm run build:prod'
	@touch $@

# An editable install copies the extension and the configuration into .venv, so it is made
# again when they change; without build isolation because the lock holds the build's tools too,
# and without the build hook, which would build the extension a second time.
$(STAMPS)/package: $(STAMPS)/dependencies $(LAB) $(SHARED_DATA) pyproject.toml
	@SKIP_JUPYTER_BUILDER=1 $(STEP) "installing perijove" deploy/pip.sh $(VENV) --no-deps --no-build-isolation --editable .
	@touch $@

images: install ## Build the images of workspaces and of deploy/compose on the Docker engine
	@images/build

test: install test-tools ## Check everything that CI checks
	@.ci/checks

test-tools: $(STAMPS)/dependencies
	@deploy/test-tools.sh

lint: install ## Check style and types, Python and TypeScript
	@.ci/checks lint

format: $(STAMPS)/dependencies ## Format the Python code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

docs: install ## Build the documentation into docs/_build/html
	@.ci/checks docs

bench: install ## Measure against the peers and write bench/RESULTS.md (about 15 minutes)
	@$(BIN)/python -m bench

lock: $(STAMPS)/venv ## Pin the newest versions that pyproject.toml and the proxy allow
	@deploy/lock.sh $(VENV) $(LOCK)

clean: ## Remove .venv and everything built
	rm -rf $(VENV) labextension/lib labextension/node_modules server_ext/perijove/labextension \
		docs/_build dist build .mypy_cache .ruff_cache .pytest_cache

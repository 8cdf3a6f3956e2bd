# Commands for people who work on Tidemill. `make` alone lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test lint bench vectors nightly clean
help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with everything for development, and fetch the embedded models
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP) ## run examples/shop-assistant and ask it a question
	$(BIN)/python examples/shop-assistant/demo.py

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest tests

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types && ln -sfn .. .types/tidemill  # the package is the root: give it its name
	$(BIN)/mypy .types/tidemill
	$(BIN)/lint-imports

bench: $(STAMP) ## measure against the peers, each in its own environment
	$(BIN)/python benchmarks/run.py

vectors: $(STAMP) ## compare with golden results: make vectors DIR=folder
	$(BIN)/python tests/vectors.py $(DIR)

nightly: $(STAMP) ## the slow suites
	$(BIN)/python -m pytest tests -m 'slow or not slow'

clean:
	rm -rf $(VENV) build dist *.egg-info

# Commands for people who work on Tidemill. `make` alone lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install models demo test test-images test-kafka lint bench vectors nightly clean
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) models ## make .venv with everything for development, and fetch the embedded models

# The stamp is written last: an installation that was cut short is begun anew.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# No file of ours stands for the weights: they lie in the user's cache, where others may remove them.
models: $(STAMP) ## fetch the weights of the embedded models, where they are missing
	@$(BIN)/tidemill model fetch >/dev/null

demo: models ## run examples/shop-assistant and ask it a question
	$(BIN)/python examples/shop-assistant/demo.py

test: models ## run the tests
	$(BIN)/python -m pytest tests -n 2 --dist loadfile

test-kafka: models ## run the tests that need a real Kafka (KAFKA_BOOTSTRAP, else from Maven Central)
	$(BIN)/python -m pytest tests/brokers/kafka -m kafka

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types && ln -sfn .. .types/tidemill  # the package is the root, whatever its folder is called
	$(BIN)/mypy .types/tidemill
	$(BIN)/lint-imports --no-logo

bench: $(STAMP) ## measure against the peers, each in its own environment
	$(BIN)/python benchmarks/run.py

vectors: $(STAMP) ## compare with golden results: make vectors DIR=folder
	$(BIN)/python tests/vectors.py $(DIR)

test-images: $(STAMP) ## build images, push them to a real registry, start one as a container
	$(BIN)/python -m pytest tests/knative/images -m images

nightly: models ## all tests, the slow ones too
	$(BIN)/python -m pytest tests -m 'slow or not slow'

clean: ## remove what was built and installed here
	rm -rf $(VENV) .cache .types build dist *.egg-info

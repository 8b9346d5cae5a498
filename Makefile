# hf_lesion: `make demo` opens the web demo, `make test` checks everything that is quick to check.
# Needs Python 3.11 or newer, make and git. PYTHON=, VENV=, PORT= can be set.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 7860
SAMPLE ?= runs/sample

BIN := $(VENV)/bin

.PHONY: help demo static-demo sample-models test test-all lint clean

help:
	@echo "make demo           open the web demo on http://127.0.0.1:$(PORT)  (PORT=8000 to change)"
	@echo "make static-demo    build the page that runs in the browser, and serve it on the same port"
	@echo "make sample-models  draw a sample set and train three small models on it (a few minutes)"
	@echo "make test           linter, type checker and tests"
	@echo "make test-all       the same and the slow tests: kills, load, fresh environments"
	@echo "make clean          remove the environment, caches and the sample run"

# A stamp beside the environment: made anew when what the project needs has changed.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hf_lesion needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --upgrade-strategy only-if-needed -e ".[train,space]"
	touch $@

$(VENV)/.installed-export: $(VENV)/.installed
	$(BIN)/pip install --upgrade-strategy only-if-needed -e ".[export]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --upgrade-strategy only-if-needed -e ".[test]"
	# The ISIC's own scorer. Without its dependencies: one, for unzipping, needs a C compiler.
	$(BIN)/pip install --no-deps isic-challenge-scoring==5.6.0
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python space/app.py --models space/models --port $(PORT)

build/static/index.html: $(VENV)/.installed-export space/static/* space/models/*/model.safetensors
	$(BIN)/python scripts/publish.py space --static --models space/models/efficientnet space/models/cnn \
		--output build/static --overwrite

static-demo: build/static/index.html
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory build/static

sample-models: $(VENV)/.installed
	$(BIN)/python scripts/train_sample.py --output $(SAMPLE)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest

test-all: lint
	$(BIN)/pytest -m ""

clean:
	rm -rf $(VENV) $(SAMPLE) .pytest_cache .mypy_cache .ruff_cache *.egg-info build

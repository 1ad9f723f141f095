# Two commands do everything on a fresh machine: `make demo` and `make test`.
# All paths are relative, so the folder itself may be anywhere, spaces in its name included.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DIGITS := models/digits
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test lint format docs figures corpus clean

help:
	@echo "make demo    install, compile a trained network, execute, time and search (into demo/)"
	@echo "make test    install the development tools, run all tests"
	@echo "make lint    ruff, pyright and the rules of which room imports which"
	@echo "make format  let ruff format the code"
	@echo "make docs    write the generated pages of docs/ and report's schema.json again"
	@echo "make figures measure the README's figures again (minutes, on an idle machine)"
	@echo "make corpus  fetch the published networks that benchmarks/corpus.py compiles (into build/)"
	@echo "make clean   remove .venv, demo and everything that tools left behind"

demo: .venv/search.stamp
	rm -rf demo/study && mkdir -p demo
	$(BIN)/imcc compile digits-cnn --hardware isaac --calibration $(DIGITS)/calibration.npz --check -o demo/digits-cnn
	$(BIN)/imcc run demo/digits-cnn --input $(DIGITS)/heldout.npz --ideal --compare
	$(BIN)/imcc run demo/digits-cnn --input $(DIGITS)/heldout.npz
	$(BIN)/imcc simulate demo/digits-cnn --images 8
	$(BIN)/imcc inspect demo/digits-cnn layer
	$(BIN)/imcc search examples/space_digits.yaml --trials 24 --workers 2 -o demo/study
	@echo "Open demo/digits-cnn/report.html, and demo/study/front/*/report.html for the front."

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n 2

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: .venv/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/dev.stamp
	$(BIN)/python -m imccompiler.hardware.document docs/hardware.md
	$(BIN)/python -m imccompiler.report.document docs/report.md
	$(BIN)/python -m imccompiler.frontend.operators docs/operators.md

figures: .venv/dev.stamp
	$(BIN)/python benchmarks/readme.py

corpus: .venv/dev.stamp
	$(BIN)/python benchmarks/corpus_fetch.py

clean:
	rm -rf .venv demo build dist imccompiler.egg-info .benchmarks .hypothesis
	rm -rf .import_linter_cache .pytest_cache .ruff_cache
	find imccompiler passes models tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

.venv/search.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[search]'
	touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	touch $@

$(BIN)/python:
	"$(PYTHON)" -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	"$(PYTHON)" -m venv .venv

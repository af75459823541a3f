# `make demo` and `make test` need nothing but Python 3.11 or later: both build what they need in .venv, once.
#   PYTHON=python3.12 make test      another interpreter
#   REASON="…" make golden           let expected values move, and say why in the changelog

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt

.PHONY: help demo test check bench golden clean

help:
	@echo "make demo    run the main job on the embedded sample: baseline, submission, score, leaderboard"
	@echo "make test    run the tests"
	@echo "make check   ruff, ruff format, mypy, import-linter"
	@echo "make bench   measure speed and coverage, side by side with peers"
	@echo "make golden  write the expected values of the tests anew"
	@echo "make clean   remove the environment, caches and the demo"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "merbench needs Python 3.11 or later; name one with PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines]'
	@touch $@

# The extras `media` and `distributed` are left out: nothing in this version imports them, and they are large.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines,site,dev]'
	@touch $@ $(VENV)/.demo

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --numprocesses auto --quiet

check: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

bench: $(VENV)/.dev
	@$(VENV)/bin/python -m benchmarks.run

golden: $(VENV)/.dev
	@$(VENV)/bin/python tests/golden_values.py

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

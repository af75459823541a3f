# `make demo` and `make test` need nothing but Python 3.11 or later: both build what they need in .venv, once.
#   PYTHON=python3.12 make test      another interpreter
#   REASON="…" make golden           let expected values move, and say why in the changelog

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt

demo: export MERBENCH_HOME = $(CURDIR)/demo/home

DEMO := cd demo && ../$(VENV)/bin/merbench

.PHONY: help demo test test-newest test-lowest check bench golden mutants clean

help:
	@echo "make demo    run the main job on the embedded sample: baseline, submission, score, leaderboard"
	@echo "make test    run the tests"
	@echo "make test-newest, make test-lowest  run them with the newest and the oldest versions that pyproject.toml allows"
	@echo "make check   ruff, ruff format, mypy, import-linter"
	@echo "make bench   measure speed and coverage, side by side with peers"
	@echo "make golden  write the expected values of the tests anew"
	@echo "make mutants put mistakes into copies of the source; the tests must fail"
	@echo "make clean   remove the environment, caches and the demo"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "merbench needs Python 3.11 or later; name one with PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines,media]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines,media,distributed,dev]'
	@touch $@ $(VENV)/.demo

# Everything happens in the folder `demo`; the data home stands there, too. Make prints each command before it runs.
demo: $(VENV)/.demo
	@rm -rf demo && mkdir demo
	@printf '\n1. Two baselines learn from the synthetic sample, which is built first; each writes a submission.\n\n'
	$(DEMO) run-baseline mer-multi --baseline logistic --no-intervals > logistic.txt
	@sed '/^$$/q' demo/logistic.txt
	$(DEMO) run-baseline mer-multi --baseline attention --seed 2 --set epochs=30 --no-intervals > attention.txt
	@sed '/^$$/q' demo/attention.txt
	@printf '\n2. A submission is checked and scored, with intervals.\n\n'
	$(DEMO) score mer-multi runs/mer-multi/attention/submission.csv
	@printf '\n3. Both enter the leaderboard; what the data cannot separate is marked.\n\n'
	$(DEMO) enter mer-multi runs/mer-multi/logistic/submission.csv --team demo --run logistic
	$(DEMO) enter mer-multi runs/mer-multi/attention/submission.csv --team demo --run attention --seed 2
	$(DEMO) leaderboard mer-multi
	@printf '\n4. Clips of the sample are corrupted as a track declares; features are made; the noise split is scored.\n\n'
	$(DEMO) corpus build sample --clips clips --workers 2
	$(DEMO) corrupt mer-noise-media --media clips --output damaged --workers 2
	$(DEMO) corrupt mer-noise-media --media clips --preview corrupted.png
	$(DEMO) features audio sample --media clips --media damaged --name voice --workers 2
	$(DEMO) features video sample --media clips --media damaged --name face --workers 2
	$(DEMO) run-baseline mer-noise-media --baseline logistic --set C=0.01 --set alpha=1000 --no-intervals > noise.txt
	@sed '/^$$/q' demo/noise.txt
	@printf '\n5. One model is scored as noise on its features grows, on the same clips at every level.\n\n'
	$(DEMO) robustness mer-multi --baseline logistic --corruption feature_noise --param factor=1 --grid snr_db=10,5,0,-5 --set C=0.01 --set alpha=1000 --no-intervals > by-snr.txt
	@sed -n '/^logistic, by snr_db/,/^$$/p' demo/by-snr.txt
	@printf 'Everything the demo wrote is in the folder demo. The board as a page: demo/submissions/mer-multi/leaderboard.html;\n'
	@printf 'clips before and after the corruption: demo/corrupted.png\n'

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --numprocesses auto --quiet

# Both ends of every version range in pyproject.toml, each in its own new environment. The newest releases of some
# packages need a newer Python: PYTHON=python3.13 make test-newest. UV_CONSTRAINT names a file of upper bounds.
ENDS := --extra baselines --extra media --extra distributed --extra lexicons --extra dev

test-newest: RESOLUTION := highest
test-lowest: RESOLUTION := lowest-direct
test-newest test-lowest: test-%:
	rm -rf .venv-$*
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip --disable-pip-version-check install -qq uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$* --resolution $(RESOLUTION) -r pyproject.toml $(ENDS)
	.venv-$*/bin/uv pip install --quiet --python .venv-$* --no-deps --editable .
	.venv-$*/bin/python -m pytest --numprocesses auto --quiet

check: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo

# What rests on real data wants MERBENCH_TEST_DATA; the peer of `corruption` wants `ffmpeg` on the path.
bench: $(VENV)/.dev
	@$(VENV)/bin/python -m benchmarks.run

golden: $(VENV)/.dev
	@$(VENV)/bin/python tests/golden_values.py

mutants: $(VENV)/.dev
	@$(VENV)/bin/python tests/mutants.py

clean:
	rm -rf $(VENV) $(VENV)-* demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

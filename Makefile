# make demo     the whole way in miniature: corpora, pre-training, all 54 trials of Table I, the report
# make demo-backbones   Table II in miniature: ten networks on the same ships, the report with Grad-CAM
# make check    while you work: style, types and the fast tests, in two minutes
# make test     all tests            make lint     style, types
# make lock     requirements.in -> requirements.txt, and what only tests and lint need -> requirements-dev.txt

# The first that starts and can make environments; a name alone may be a shim of a version that is not there.
PYTHONS := python3.11 python3.12 python3.13
starts := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in $(PYTHONS) python3; do $$p -c '$(starts)' > /dev/null 2>&1 && echo $$p && break; done)
LOCK := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
INSTALL := .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --requirements
PYTEST := .venv/bin/python -m pytest --dist loadfile --no-loadscope-reorder --max-worker-restart 0
DEMO ?= results/demo
RUN := .venv/bin/python
DEMO_FLAGS := --storage $(DEMO)

# A corpus is written aside and renamed, so that an interrupted one is written anew.
whole = { rm -rf $(DEMO)/$(1).part && $(RUN) -m datasets.synthetic $(2) $(DEMO)/$(1).part && mv $(DEMO)/$(1).part $(DEMO)/$(1); }

.PHONY: demo demo-backbones check test lint lock clean

.venv/installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "there is no Python 3.11 to 3.13 with venv; install one, or name it: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv
	$(INSTALL) requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(INSTALL) requirements-dev.txt
	touch $@

demo: .venv/installed $(DEMO)/ships
	@test -e $(DEMO)/events || $(call whole,events,esc50 --clips-per-class 24)
	@$(RUN) -m sweeps.demo_pretraining --data-root $(DEMO)/events $(DEMO_FLAGS)
	@$(RUN) -m sweeps.demo_rates --data-root $(DEMO)/ships $(DEMO_FLAGS)
	@$(RUN) -m analysis.demo_pretraining $(DEMO_FLAGS) --out $(DEMO)/reports/demo_pretraining > /dev/null
	@$(RUN) -m analysis.demo_rates $(DEMO_FLAGS)
	@echo "open the report:   $(abspath $(DEMO))/reports/demo_rates/report.html"
	@$(RUN) -m sweeps.engine.store.pages demo_rates $(DEMO_FLAGS) | sed 's,^mlflow,compare the runs:  .venv/bin/mlflow,'

demo-backbones: .venv/installed $(DEMO)/ships
	@$(RUN) -m sweeps.demo_backbones --data-root $(DEMO)/ships $(DEMO_FLAGS)
	@$(RUN) -m analysis.inside.gradcam demo_backbones --data-root $(DEMO)/ships $(DEMO_FLAGS) > /dev/null
	@$(RUN) -m analysis.demo_backbones $(DEMO_FLAGS)
	@echo "open the report:   $(abspath $(DEMO))/reports/demo_backbones/report.html"
	@$(RUN) -m sweeps.engine.store.pages demo_backbones $(DEMO_FLAGS) | sed 's,^mlflow,compare the runs:  .venv/bin/mlflow,'

$(DEMO)/ships: | .venv/installed
	@$(call whole,ships,deepship --recordings-per-class 32 --seconds 5 9.9)

check: lint
	$(PYTEST) --numprocesses 2 -m "not slow and not ray and not cluster" --ignore tests/benchmarks --ignore tests/cluster

test: .venv/installed-dev
	$(PYTEST) --numprocesses 3 --durations 20

lint: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

lock: .venv/installed
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements-dev.in --output-file requirements-dev.txt

clean:
	rm -rf results/demo

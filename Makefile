# make demo     studies in miniature, from invented recordings to reports; make demo STUDY=deepship_backbones any other
# make check    while you work: style, types and the fast tests
# make test     all tests            make lint     style, types
# make lock     requirements.in -> requirements.txt, and what only tests and lint need -> requirements-dev.txt

# The first that starts and can make environments; a name alone may be a shim of a version that is not there.
PYTHONS := python3.11 python3.12 python3.13
starts := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in $(PYTHONS) python3; do $$p -c '$(starts)' > /dev/null 2>&1 && echo $$p && break; done)
LOCK := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
INSTALL := .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --requirements
PYTEST := .venv/bin/python -m pytest --dist loadfile --no-loadscope-reorder --max-worker-restart 0
RUN := .venv/bin/python
STUDY ?= deepship_rates from_scratch
DEMO ?= results/demo

.PHONY: demo check test lint lock clean

.venv/installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "there is no Python 3.11 to 3.13 with venv; install one, or name it: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv
	$(INSTALL) requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(INSTALL) requirements-dev.txt
	touch $@

demo: .venv/installed
	@$(RUN) -m sweeps $(STUDY) --small --storage $(DEMO)
	@set -e; for study in $(STUDY); do \
	    echo; $(RUN) -m analysis.$$study --small --storage $(DEMO); \
	    echo; echo "open the report:   $(abspath $(DEMO))/reports/$${study}_small/report.html"; done
	@$(RUN) -m sweeps.engine.store.pages $(lastword $(STUDY))_small --storage $(DEMO) | sed 's,^mlflow,compare the runs:  .venv/bin/mlflow,'

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

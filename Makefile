# Python 3.11 or newer and make are all that must be there before.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_FLAGS)

# One thread per process: sums come out the same on every machine, and two processes do not fight for two cores.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

# Where a machine forbids Python to keep compiled files, each of the hundreds of processes compiles torch anew: 3 s each.
unexport PYTHONDONTWRITEBYTECODE

NBVAL := --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval.cfg --nbval-cell-timeout=300 \
	--nbval-kernel-startup-timeout=120
# A file's tests run in one process (tests/conftest.py says which do not), files in this order: the longest first, or
# one process ends minutes after the other. The last lines name the ten slowest tests.
PYTEST := COVIDSEG_QUIET=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

.PHONY: run test test-lesson lint lab refresh weights gpu picture house site clean help
.DEFAULT_GOAL := help

run: $(READY)  ## set up and run every notebook in the smoke budget (minutes), then say where the report is
	$(BIN)/covidseg notebooks run --budget smoke --jobs $(JOBS)

test: $(READY)  ## set up and test everything: code, and every notebook in the smoke budget (on two cores at most 15 minutes)
	@status=0; $(MAKE) --no-print-directory lint || status=1; \
	COVIDSEG_BUDGET=smoke $(PYTEST) $(NBVAL) tests/browser tests notebooks || status=1; exit $$status

test-lesson: $(READY)  ## run every notebook as committed, in the lesson budget, and compare its checked cells
	$(PYTEST) $(NBVAL) --timeout=1800 notebooks

lint: $(READY)  ## check the style of all code, notebooks included, and the types of the rooms that have them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: $(READY)  ## open your copies of the notebooks in JupyterLab: mine/, made once, never overwritten, ignored by git
	$(BIN)/covidseg notebooks copy -o mine
	$(BIN)/jupyter lab mine/00_start_here.ipynb

refresh: $(READY)  ## execute the notebooks in the lesson budget, in place, and rewrite the README's table
	$(BIN)/covidseg notebooks refresh
	$(BIN)/covidseg notebooks table

weights: $(READY)  ## train the networks that the kit ships, on phantoms (about ten minutes each on one core)
	$(BIN)/python -m covidseg.runs.shipped
	$(BIN)/python tools/train_lungs.py

gpu: $(READY)  ## nine minutes of the real-data runs in results/pending.json on a GPU; call again until none is missing
	$(BIN)/python -m covidseg.runs results/pending.json -o runs/gpu --workers 5 --minutes 9; true
	$(BIN)/covidseg report --adopt runs/gpu

picture: $(READY)  ## draw the README's pictures: docs/segmented_phantom.png, and docs/explorer.png (needs Chromium)
	$(BIN)/python tools/segmented_phantom.py
	$(BIN)/python tools/explorer_picture.py

house: $(READY)  ## draw the rooms of the code and what they import: docs/house.svg
	$(BIN)/python tools/house.py

site: $(READY)  ## write the kit as a book of static pages, offline, from the committed outputs: site/index.html
	$(BIN)/covidseg site -o site

clean:  ## remove the environment, caches and runs; data stay
	rm -rf $(VENV) runs build .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## say what each target does
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Made again only when a list of packages changes, so a second `make run` starts at once.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "covidseg needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): about 2 GB, a few minutes, once."
	@$(PIP) --no-compile -r requirements.lock
	@$(PIP) --no-deps -e .
	@touch $@

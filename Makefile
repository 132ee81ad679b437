# make study: set up and run the embedded default study.  make test: set up and run the fast tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup study test test-all coverage docs lint bench notebooks lock
.DEFAULT_GOAL := study

setup: $(INSTALLED)

# The lock file holds exact versions; as constraints they also fit machines that need fewer packages. pip would compile
# on one core; and what packages hold for newer Pythons cannot be compiled, which is no failure.
$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint requirements.lock --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch $@

study: setup
	$(BIN)/python run_study.py --space digits_compare $(if $(wildcard results/digits_compare/study.yaml),--resume)

test: setup
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-all: setup
	$(BIN)/python -m pytest -n 2

# Line coverage of the fast tests; subprocesses and Ray workers count.
coverage: setup
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -n 2 -m 'not slow'
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# After a change of a setting, a key of spaces or a column.
docs: setup
	$(BIN)/python docs/generate.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The project's own figures, into benchmarks/RESULTS.md: most of an hour on 2 cores.
bench: setup
	$(BIN)/python -m benchmarks

# make notebooks STUDY=results/NAME opens them on that study. Jupyter has an environment of its own: among what it brings
# is a JSON checker that would add seconds to every start of a Ray worker.
notebooks: setup
	$(PYTHON) -m venv .venv-jupyter
	.venv-jupyter/bin/python -m pip install --quiet --disable-pip-version-check 'jupyterlab>=4'
	$(BIN)/python -m ipykernel install --prefix .venv-jupyter --name python3 >/dev/null
	$(if $(STUDY),STUDY=$(STUDY)) .venv-jupyter/bin/jupyter lab analysis/notebooks

# After a change of pyproject.toml: the newest versions that fit together, without installing them.
lock:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --report .venv/lock.json '.[dev]'
	$(BIN)/python -c 'import json; \
	    items = [i["metadata"] for i in json.load(open(".venv/lock.json"))["install"]]; \
	    print(*sorted("{name}=={version}".format(**i) for i in items if i["name"] != "vision-study"), sep="\n")' \
	    > requirements.lock

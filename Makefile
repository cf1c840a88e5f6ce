# `make train` and `make test` each do everything on a fresh machine; `make` lists all commands.
PYTHON ?= python3
VENV ?= .venv
INSTALL = $(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help train test lint coverage demo docs experiments check-file clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'ARGS passes options on: make train ARGS="model=small loss=smoothed"'

train: $(VENV)/.installed  ## create the environment, train a model
	$(VENV)/bin/python train.py $(ARGS)

test: $(VENV)/.installed-dev  ## create the environment, run the tests
	$(VENV)/bin/python -m pytest -q -n 3 --dist worksteal $(ARGS)

lint: $(VENV)/.installed-dev  ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

coverage: $(VENV)/.installed-dev  ## run the tests, report branch coverage
	$(VENV)/bin/coverage run -m pytest -q $(ARGS)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

demo: FILE ?= $(firstword $(shell ls -t outputs/*/*/checkpoints/best.ckpt 2>/dev/null))
demo: NO_FILE = no checkpoint in outputs: train one, or set FILE=
demo: check-file $(VENV)/.installed-demo  ## open a web page for a checkpoint: FILE=best.ckpt
	$(VENV)/bin/python demo.py $(FILE) $(ARGS)

docs: $(VENV)/.installed-docs  ## build the documentation: site/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict $(ARGS)

experiments: NO_FILE = name the students' file: FILE=english_python_data.txt
experiments: check-file $(VENV)/.installed-dev  ## repeat the experiments: FILE=english_python_data.txt
	$(VENV)/bin/python experiments/run_all.py $(FILE) --two-cores $(ARGS)

check-file:
	@test -n "$(FILE)" || { echo "$(NO_FILE)"; exit 2; }

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache site

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

# .installed-dev, .installed-demo, .installed-docs: extras of pyproject.toml
$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL) -e ".[$*]"
	touch $@

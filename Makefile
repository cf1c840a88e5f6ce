# Two commands do everything on a fresh machine: `make train` and `make test`.
# ARGS passes options on: make train ARGS="model=small loss=smoothed"
PYTHON ?= python3
VENV ?= .venv

.PHONY: train test lint experiments clean

train: $(VENV)/.installed
	$(VENV)/bin/python train.py $(ARGS)

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q -n 2 $(ARGS)

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# make experiments FILE=english_python_data.txt
experiments: $(VENV)/.installed
	$(VENV)/bin/python experiments/run_all.py $(FILE) --two-cores $(ARGS)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

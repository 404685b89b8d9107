PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test lint types install clean

demo: install
	$(BIN)/phylon run examples/digits.yaml --resume

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	rm -rf .typecheck build
	$(BIN)/pip install -q --no-deps --no-build-isolation --target .typecheck .
	rm -rf build
	MYPYPATH=.typecheck $(BIN)/mypy -p phylon

install: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt setuptools -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .typecheck build *.egg-info

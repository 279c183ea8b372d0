# Two commands for a user: `make demo` and `make test`. Each sets up .venv from nothing and costs nothing when repeated.
#
#   PYTHON=python3.12       the interpreter to build .venv from (3.11 or newer)
#   TORCH_INDEX=URL         a package index of CPU builds of torch (PyTorch's install page prints it), for machines
#                           without a GPU: saves about 3 GB of CUDA libraries on Linux

# More than four processes cost more in fixtures made anew than they bring.
PARALLEL := -n auto --maxprocesses 4 --dist worksteal
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test bench lint clean

demo: $(READY)
	@$(BIN)/poyodata demo --out demo

test: $(READY)
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

bench: $(READY)
	@$(BIN)/python -m tests.benchmarks

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy -p poyodata

$(READY): pyproject.toml constraints.txt .ci/setup
	@sh .ci/setup "$(PYTHON)" "$(TORCH_INDEX)"

clean:
	rm -rf .venv build dist demo *.egg-info

# Everything a newcomer needs: `make run` shows the shop, `make test` is what CI runs.
# Another Python: make PYTHON=python3.13 test

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# $(call install,LOCKFILE): an environment that holds exactly what the lock file says, and us.
ifdef UV
install = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
    $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $(1) && \
    $(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
else
install = $(PYTHON) -m venv $(VENV) && \
    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && \
    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
endif

.PHONY: run test lint bench lab soak lock clean python emupos

run: $(VENV)/.run-installed
	$(BIN)/storekeeper demo

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev-installed
	$(BIN)/python -m bench

# A Debian guest under QEMU, the real kernel drivers, power cuts: docs/lab.md. Root; about half an hour.
lab: $(VENV)/.dev-installed
	nice -n 19 $(BIN)/python -m tests.lab

soak: $(VENV)/.dev-installed
	SOAK=1 $(BIN)/python -m pytest -m "soak or not soak" -rA --capture=tee-sys
	nice -n 19 $(BIN)/python -m tests.lab write_log --states 5000 || test $$? = 2  # 2: no QEMU here, and it said so

# Somebody else's scale and scanner for tests/drivers/test_emupos.py, in an environment of its own.
emupos:
	python3.13 -m venv $(VENV)/emupos
	$(VENV)/emupos/bin/python -m pip install --quiet --disable-pip-version-check emupos==0.4.0

# Both hashed locks hold for every Python from 3.11 and every architecture; no download addresses in them.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" --extra models --extra build -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" --all-extras -c requirements.lock -o requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) dist build demo-shop .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

python:
	@test -n "$(PYTHON)" || { echo "storekeeper needs Python 3.11 or newer; say which: make PYTHON=/path/to/python"; exit 1; }

$(VENV)/.run-installed: requirements.lock pyproject.toml | python
	@$(PYTHON) .ci/tools.py build
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev-installed: requirements-dev.lock pyproject.toml | python
	@$(PYTHON) .ci/tools.py build test
	$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.run-installed

# Everything runs in .venv, which the first target that needs it sets up; nothing has to be prepared but Python 3.10+.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/ready-for-demo
TEST := .venv/ready-for-test
BENCH := .venv/ready-for-bench
DJANGO_4 := .venv/ready-for-django-4

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:  # half an environment must not pass for a whole one
.PHONY: help demo test lint bench clean

help:
	@echo "make demo    a merchant, a customer and a local Obyte network: the main job from end to end"
	@echo "make test    every check: lint, types, tests"
	@echo "make lint    ruff and mypy only"
	@echo "make bench   the benchmarks, against their limits"
	@echo "make clean   remove .venv and everything that was generated"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "paypercall needs Python 3.10 or later; choose one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(DEMO): setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(TEST): setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(DEMO)

# The oldest Django that is supported, beside the current one: it is found first where PYTHONPATH names its folder.
$(DJANGO_4): $(TEST)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --upgrade \
		--target .venv/django-4 'django>=4.2,<5'
	@touch $@

$(BENCH): setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@ $(TEST) $(DEMO)

demo: $(DEMO)
	$(BIN)/paypercall demo

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Seven workers on two cores for the tests that live on a whole network: they wait most of the time.
PYTEST := $(BIN)/python -m pytest --dist=worksteal
ON_A_NETWORK := tests/asgi tests/cli tests/demo tests/devnet tests/django_app tests/flask tests/httpx_client \
	tests/methods tests/paying tests/paywall tests/replay tests/requests_client tests/settlement \
	tests/test_concurrency.py tests/test_crashes.py tests/test_examples.py tests/test_funds.py \
	tests/test_funds_crashes.py tests/test_quick_starts.py tests/test_recovery.py

test: lint $(DJANGO_4)
	$(PYTEST) --numprocesses=7 $(ON_A_NETWORK)
	PYTHONPATH=$(CURDIR)/.venv/django-4 $(PYTEST) --numprocesses=7 tests/django_app --ignore=tests/django_app/test_gunicorn.py
	$(PYTEST) --numprocesses=4 tests $(addprefix --ignore=,$(ON_A_NETWORK))

bench: $(BENCH)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

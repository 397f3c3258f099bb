# Every command of the project. `make` alone lists them.

PYTHON ?= python3
DAYS ?= 14

LOCAL = .venv/bin/python -m local
UV = .local/uv/bin/uv

.DEFAULT_GOAL := help
.PHONY: help run test up stop status features lint lock bench bench-feast backtest clean bootstrap

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bootstrap ## the whole story without Docker: history, models, DAYS=14 days after it, then stop
	@$(LOCAL) run --days $(DAYS)

test: bootstrap ## every test, the end-to-end ones with a real scheduler included
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

up: bootstrap ## start Postgres, MLflow and Airflow, and leave them running
	@$(LOCAL) up

stop: bootstrap ## stop what runs, whoever started it
	@$(LOCAL) stop

status: bootstrap ## say what runs
	@$(LOCAL) status

features: bootstrap ## the registry of the feature store: views, owners, coverage, what is stale
	@.venv/bin/python -m local.features

lint: bootstrap ## ruff and mypy
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy include local plugins/board plugins/model_board.py

lock: bootstrap ## resolve the requirements into the lock files
	@$(PYTHON) local/bootstrap.py --uv > /dev/null
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  requirements.txt requirements-local.txt -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  include/astro_sdk/requirements.txt -o include/astro_sdk/requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  local/feast-requirements.txt -o local/feast-requirements.lock

bench: bootstrap ## measure what the documents claim, into .local/bench.json
	@.venv/bin/python -m local.bench

bench-feast: bootstrap ## measure the training set of a year against Feast, into .local/bench.json
	@$(PYTHON) local/bootstrap.py --feast
	@.venv/bin/python -m local.bench_feast

backtest: bootstrap ## replay the year under several policies of retraining, into docs/backtest.md
	@.venv/bin/python -m local.backtest

clean: bootstrap ## stop, and remove all data of the local runtime (the environments stay)
	@$(LOCAL) clean

bootstrap:
	@command -v $(PYTHON) > /dev/null || { \
	  echo "There is no '$(PYTHON)' here. Install Python 3.12, or name one: make run PYTHON=/path/to/python3.12"; \
	  exit 1; }
	@$(PYTHON) local/bootstrap.py

.PHONY: picture
picture: bootstrap ## draw the DAGs and their Datasets into README.md
	@.venv/bin/python -m local.picture

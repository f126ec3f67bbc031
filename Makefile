# Everything a person does with a checkout. `make` lists it.
PYTHON ?= python3
UV := .venv/bin/uv
RUN := .venv/bin/
ARGS ?=
WORKERS ?= 2

# What is loaded is kept compiled: the tests start some hundred processes, each of which would compile it anew.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup demo test crash world check cover coveraudit mutants bench audit clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/ready: pyproject.toml uv.lock
	@test -x $(UV) || { $(PYTHON) -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check uv; }
	@$(UV) sync --frozen --quiet --inexact
	@touch $@

gateway/static/vendor/ready: package.json package-lock.json gateway/web/assets.py .venv/ready
	@npm ci --silent --no-audit --no-fund --ignore-scripts
	@$(RUN)python -m gateway.web.assets
	@touch $@

setup: .venv/ready gateway/static/vendor/ready ## install everything into .venv and node_modules

demo: setup ## start a living four-tier city; Ctrl-C stops it, again continues it
	@$(RUN)huiyin demo $(ARGS)

test: setup ## every test, in WORKERS=2 processes side by side
	@$(RUN)pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

crash: setup ## real processes and databases killed at every durable write
	@HUIYIN_TEST_EVERY=1 $(RUN)pytest -q tests/crash/test_commands_killed.py
	@$(RUN)python -m tests.crash

check: setup ## lint, types, import contracts, docs
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)mypy
	@$(RUN)lint-imports --no-cache
	@$(RUN)pytest -q tests/test_house.py

PROVING := $(addprefix tests/sync/test_,hostile_proofs.py merkle.py note.py noted.py policy.py receipt.py signed_policy.py \
	tiles.py tree.py witness.py)
cover: setup ## that the tests of verifier and witness take each of their branches
	@$(RUN)coverage run -m pytest -q -n 0 -p no:cacheprovider $(PROVING)
	@$(RUN)coverage report

comma := ,
AUDITING := $(addprefix gateway/auditing/,bundle.py cases.py deciding.py findings.py forks.py heads.py leaves.py \
	manifest.py openings.py order.py spill.py tiers.py trusting.py verifying.py)
AUDITED := --data-file=.coverage.auditing --include=$(subst $() ,$(comma),$(strip $(AUDITING)))
coveraudit: setup ## the same of the auditor's verifier, whose tests start nodes
	@$(RUN)coverage run $(AUDITED) -m pytest -q -n 0 -p no:cacheprovider tests/auditing
	@$(RUN)coverage report $(AUDITED)

mutants: setup ## change verifier and witness in every small way, and see which change no test finds (an hour)
	@$(UV) sync --frozen --quiet --inexact --group mutants
	@$(RUN)mutmut run $(ARGS)
	@$(RUN)mutmut results

SEEDS ?= 1000
world: setup ## SEEDS=1000 simulated cities under fire; ARGS="--seed 17" tells one, ARGS=--planted proves that it bites
	@$(RUN)python -m tests.world --seeds $(SEEDS) $(ARGS)

bench: setup ## our speed beside the machine's limit and a peer, in one run
	@$(RUN)python -m bench $(ARGS)

EVENTS ?= 1000000
audit: setup ## the auditor's verifier over EVENTS made-up events: speed and memory
	@$(RUN)python -m bench.audit --events $(EVENTS) $(ARGS)

clean: ## remove what setup installed
	@rm -rf .venv node_modules gateway/static/vendor

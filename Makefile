# Two commands: `make demo` and `make test`. They need make and Python 3.11 or newer, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := 0.13.9

# Options of a target, as in `make demo SECONDS=20` or `make test ARGS="-k ledger"`.
# Only the command line counts: a PORT or SECONDS that stands in the environment means something else.
ARGS =
option = $(if $(filter command,$(origin $(1))),$(2) $($(1)))

.PHONY: help
help: ## what there is
	@echo "make TARGET [NAME=value]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

# Only a set-up that went through leaves the stamp; a changed lock makes the next call start over.
$(READY): requirements-dev.lock
	@python=$$(./scripts/find-python) && "$$python" scripts/make_venv.py $(VENV) $<
	@touch $@

.PHONY: setup
setup: $(READY) ## make .venv (every other target does it by itself)
	@echo "$(VENV) is ready"

.PHONY: demo
demo: $(READY) ## the main job, everything embedded: SECONDS=20 RATE=500 PORT=9464
	@$(BIN)/zkp2p-consumer demo $(call option,SECONDS,--seconds) $(call option,RATE,--rate) $(call option,PORT,--port) $(ARGS)

.PHONY: test
test: $(READY) ## all tests, on real servers where the machine can run them: ARGS="-k ledger"
	@$(BIN)/python -m tests.servers prepare
	@$(BIN)/pytest $(ARGS)

.PHONY: check
check: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: run
run: $(READY) ## the consumer, by the ZKP2P_ settings in the environment: ARGS="--config FILE"
	@$(BIN)/zkp2p-consumer run $(ARGS)

.PHONY: migrate
migrate: $(READY) ## create or bring up to date the ClickHouse tables: ARGS=--plan
	@$(BIN)/zkp2p-consumer migrate $(ARGS)

.PHONY: servers
servers: $(READY) ## a Kafka and a ClickHouse on this machine to try things on, until Ctrl-C
	@$(BIN)/python -m tests.servers run

.PHONY: sim
sim: $(READY) ## the simulation: SEEDS=2000 runs so many, SEED=7 replays one
	@$(BIN)/python -m consumer.sim $(call option,SEEDS,--seeds) $(call option,SEED,--seed) $(ARGS)

.PHONY: chaos
chaos: $(READY) ## kills, stalls and cuts on real processes and servers: KILLS=100 SEED=1
	@$(BIN)/python -m tests.servers prepare
	@$(BIN)/python -m tests.chaos $(call option,KILLS,--kills) $(call option,SEED,--seed) $(ARGS)

.PHONY: bench
bench: $(READY) ## rows/s and CPU a row against ClickHouse's own Kafka engine
	@$(BIN)/python -m tests.servers prepare
	@$(BIN)/python -m tests.bench $(ARGS)

# Written as exact versions and hashes without any address, so that plain pip installs it from whatever
# registry the machine is set up for. requirements.lock is what the service needs, requirements-dev.lock
# is everything. `make lock ARGS=--upgrade` takes newer versions.
LOCK = $(VENV)-lock/bin/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

.PHONY: lock
lock: ## write requirements.lock and requirements-dev.lock again from pyproject.toml
	@python=$$(./scripts/find-python) && "$$python" -m venv $(VENV)-lock
	@$(VENV)-lock/bin/pip install -q --disable-pip-version-check uv==$(UV)
	$(LOCK) -o requirements.lock
	$(LOCK) --extra embedded --group dev -c requirements.lock -o requirements-dev.lock
	@rm -rf $(VENV)-lock

.PHONY: clean
clean: ## remove .venv, the downloaded servers and every tool's cache
	rm -rf $(VENV) $(VENV)-lock .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

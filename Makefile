PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINKSTORM := $(BIN)/linkstorm
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
# uv takes seconds where pip takes minutes, but does not read pip's configuration.
install = { $(PIP) --only-binary :all: --require-hashes -r requirements-uv.txt && $(UV) $(1); } 2>/dev/null || $(PIP) $(1)

# A lab starts Python half a dozen times, and would compile all of it each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test prove check mutate bench perf perf-selfcheck crashtest sabotage chaos-all up down locust report list images-offline lock clean

help: ## this help
	@echo "linkstorm: what a failure does, and what each fix for it costs"
	@echo
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo "  FULL=1 gives the long mode, for numbers that are quoted: make chaos-thundering-herd FULL=1"

setup: $(VENV)/.installed ## install everything into .venv (done by the other targets, too)

demo: chaos-thundering-herd ## from nothing to the first table and report: a thundering herd and six ways to meet it

test: $(VENV)/.installed-dev ## all tests, on a fake stack and on the real one (twenty minutes on two busy cores)
	$(BIN)/python -m tests $(ARGS)

PROOFS := redirect/test_requirements_real api/test_claims_real api/test_model_real api/test_schema_real http/test_shutdown_real api/test_targets_fuzz

prove: $(VENV)/.installed-dev ## the shortener's promises, each tried as often as it takes (a quarter of an hour)
	THOROUGH=1 $(BIN)/python -m pytest -p tests.support.thorough $(PROOFS:%=tests/shortener/%.py) $(ARGS)

check: $(VENV)/.installed-dev ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutate: $(VENV)/.installed-dev ## mutation tests of the code that judges a run (the better part of an hour)
	@$(BIN)/python -m tests.support.mutation_survivors $(ARGS)

bench: $(VENV)/.installed-dev ## measure a redirect on one core, beside a bare server and nginx (about 7 minutes)
	@$(BIN)/python -m tools.bench $(ARGS)

perf: $(VENV)/.installed ## did it get slower than BASE=main? base and head side by side (2 to 5 minutes)
	@$(LINKSTORM) perf --base $(or $(BASE),main) $(ARGS)

perf-selfcheck: $(VENV)/.installed ## how often the gate is wrong, and what it finds: resumable (N=20 verdicts each: many hours)
	@$(BIN)/python -m tools.perf --count $(or $(N),20) $(ARGS)

crashtest: $(VENV)/.installed-dev ## end labs in every way at random moments, and look for leftovers (N=200: 36 minutes; ARGS="--failovers 100": in one lab)
	@$(BIN)/python -m tools.crashtest $(or $(N),8) $(or $(SEED),1) $(ARGS)

sabotage: $(VENV)/.installed-dev ## break the product or the lab in one place, and see that a run says so (N=3: three at random)
	@$(BIN)/python -m tools.sabotage $(if $(N),--count $(N)) $(ARGS)

chaos-%: $(VENV)/.installed ## run one experiment by its name (ARGS="--rounds 1 --segment 6": just try it)
	@$(LINKSTORM) run $* $(if $(FULL),--full) $(ARGS)

chaos-all: $(VENV)/.installed ## run every experiment
	@$(LINKSTORM) list --names | while read -r name; do $(LINKSTORM) run "$$name" $(if $(FULL),--full) || exit; done

locust: $(VENV)/.installed ## the stack with the Locust web UI and the Chaos page, until Ctrl-C
	@$(LINKSTORM) locust $(ARGS)

up: $(VENV)/.installed ## the lab in containers, with Prometheus and Grafana (OBS=0: without)
	@$(LINKSTORM) up $(if $(filter 0,$(OBS)),--no-obs) $(if $(OFFLINE),--offline) $(ARGS)

down: $(VENV)/.installed ## remove those containers, their networks and volumes
	@$(LINKSTORM) down

report: $(VENV)/.installed ## write the newest run's report again, and say where it is
	@$(LINKSTORM) report $(RUN)

list: $(VENV)/.installed ## the experiments, their questions and arms
	@$(LINKSTORM) list

images-offline: ## stand-ins for the images of the Compose lab, on a machine that cannot pull
	@tools/offline/build

lock: $(VENV)/.installed-dev ## pin all dependencies again, with hashes
	$(PIP) --upgrade uv
	$(BIN)/uv pip compile --group install --universal --generate-hashes --no-emit-index-url --no-header -q -o requirements-uv.txt
	$(BIN)/uv pip compile pyproject.toml --group build --universal --generate-hashes --no-emit-index-url --no-header -q -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --group build --group dev --universal --generate-hashes --no-emit-index-url --no-header -q -o requirements-dev.txt -c requirements.txt

clean: ## remove what was installed and built; runs stay
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis mutants

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "linkstorm needs Python 3.11 or newer; set it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "installing linkstorm into $(VENV) (once, about half a minute)" >&2
	@$(call install,--require-hashes -r requirements.txt)
	@$(call install,--no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing what the tests need" >&2
	@$(call install,--require-hashes -r requirements-dev.txt)
	@touch $@

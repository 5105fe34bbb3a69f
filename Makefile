# Two commands, each whole in itself: `make` trains, judges and reports; `make test` tests. Both make .venv first where it lacks.
# Inside .venv, `snakemake --cores 8` is the whole interface.
PYTHON ?= python3
PORT ?= 5000
RESULTS ?= results

REPORT := $(RESULTS)/report/index.html
BIN := .venv/bin
# The environment carries a copy of the lock that it was made from, put there last: without it, it is half made.
ENVIRONMENT := .venv/requirements.lock

.PHONY: run test smoke ui bench lint docs lock
.DEFAULT_GOAL := run

run: $(ENVIRONMENT)  # the default study, on all cores
	@$(BIN)/snakemake --cores all; status=$$?; \
	[ ! -e $(REPORT) ] || echo "The report is $(REPORT); make ui shows the runs in MLflow."; \
	exit $$status

# A file a worker; those that take longest go first. (Files beside the folder that they lie in would stand in its order.)
LONG := $(foreach name,models workflow nets failures oracle readme tracking cluster,$(wildcard tests/*/test_$(name).py))
test: $(ENVIRONMENT)  # the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(LONG) $(filter-out $(LONG),$(wildcard tests/test_*.py))

smoke: $(ENVIRONMENT)  # the whole DAG with a few steps of training each: a check, not a study
	@$(BIN)/snakemake --cores all --configfile config/smoke.yaml

# One reader needs one worker and no job queue: half the memory.
ui: $(ENVIRONMENT)  # MLflow's pages on 127.0.0.1; PORT=5000, RESULTS=results
	@store=$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/$(RESULTS)/mlflow.db?timeout=60}; \
	case $$store in \
	http*) echo "The tracking server shows its pages itself: $$store"; exit ;; \
	sqlite:///*) file=$${store#sqlite:///}; file=$${file%%\?*}; \
	  [ -e "$$file" ] || { echo "There is no MLflow database at $$file yet: make writes one." >&2; exit 1; } ;; \
	esac; \
	exec env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	  $(BIN)/mlflow ui --workers 1 --host 127.0.0.1 --port $(PORT) --backend-store-uri "$$store"

bench: $(ENVIRONMENT)  # times the default study, its overhead, planning and training
	@$(BIN)/python benchmarks/bench.py

lint: $(ENVIRONMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: $(ENVIRONMENT)  # docs/metrics.md from the metrics' docstrings
	@$(BIN)/python -m pofxy.handbook docs/metrics.md

# Keeps the pins that still fit; UPGRADE=--upgrade takes the newest. envs/pofxy.yaml gets the same pins below its `- pip:`.
lock: $(ENVIRONMENT)
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --fork-strategy fewest --no-annotate $(UPGRADE) \
	  --custom-compile-command "make lock" --output-file requirements.lock --quiet pyproject.toml
	{ sed '/- pip:$$/q' envs/pofxy.yaml; sed -n 's/^[^#].*/      - "&"/p' requirements.lock; } > envs/pofxy.yaml.new
	mv envs/pofxy.yaml.new envs/pofxy.yaml

# A lock that was only touched makes nothing anew.
$(ENVIRONMENT): requirements.lock
	@if cmp -s $< $@; then touch $@; exit; fi; set -e; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "pofxy needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=..." >&2; exit 1; }; \
	$(PYTHON) -m venv --clear .venv; \
	$(BIN)/pip install -r $<; \
	$(BIN)/pip install --no-deps --no-build-isolation --editable .; \
	cp $< $@

# Two commands, each complete in itself: `make` trains, evaluates and reports; `make test` tests. Both create .venv where needed.
# Inside .venv, `snakemake --cores 8` is the whole interface.
PYTHON ?= python3
PORT ?= 5000
RESULTS ?= results

REPORT := $(RESULTS)/report/index.html
BIN := .venv/bin
# The environment holds a copy of the lock that it was made from, written last: without it, the environment is incomplete.
ENVIRONMENT := .venv/requirements.lock

.PHONY: run plan costs test test-fast smoke ui free bench lint docs lock
.DEFAULT_GOAL := run

run: $(ENVIRONMENT)  # the default study, on all cores
	@$(BIN)/snakemake --cores all; status=$$?; \
	[ ! -e $(REPORT) ] || echo "The report is $(REPORT); make ui shows the runs in MLflow."; \
	exit $$status

plan: $(ENVIRONMENT)  # what the default study would run now, how long it takes, and what it needs
	@log=$$($(BIN)/snakemake --cores all --dry-run --quiet rules progress host reason) || { echo "$$log"; exit 1; }

# Each worker takes a file at a time. The files that take longest go first, so that none of them is left over at the end.
LONG := $(foreach name,workflow failures readme oracle models tracking cluster nets,$(wildcard tests/*/test_$(name).py))
TESTS := $(LONG) $(filter-out $(LONG),$(wildcard tests/*/test_*.py))
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(ENVIRONMENT)  # all tests
	@$(PYTEST) $(TESTS)

test-fast: $(ENVIRONMENT)  # the tests that neither train models nor run workflows
	@$(PYTEST) -m "not slow and not slurm and not browser" $(TESTS)

smoke: $(ENVIRONMENT)  # the whole workflow with a few training steps per model: a check, not a study
	@$(BIN)/snakemake --cores all --configfile config/smoke.yaml

# One user needs one worker and no job queue: this halves the memory.
ui: $(ENVIRONMENT)  # MLflow's pages on 127.0.0.1; PORT=5000, RESULTS=results
	@store=$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/$(RESULTS)/mlflow.db?timeout=60}; \
	case $$store in \
	http*) echo "The tracking server shows its pages itself: $$store"; exit ;; \
	sqlite:///*) file=$${store#sqlite:///}; file=$${file%%\?*}; \
	  [ -e "$$file" ] || { echo "There is no MLflow database at $$file yet: make writes one." >&2; exit 1; } ;; \
	esac; \
	exec env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	  $(BIN)/mlflow ui --workers 1 --host 127.0.0.1 --port $(PORT) --backend-store-uri "$$store"

free:  # deletes the values that evaluations keep for later ones; they are computed again when they are needed
	@set -- $(RESULTS)/runs/*/*/*/kept_values; [ -e "$$1" ] || { echo "There are no kept values below $(RESULTS)."; exit; }; \
	megabytes=$$(du -smc "$$@" | sed -n '$$s/[^0-9].*//p'); rm -r "$$@"; echo "Freed $$megabytes MB of kept values."

bench: $(ENVIRONMENT)  # times the default study, its overhead, planning and training
	@$(BIN)/python benchmarks/bench.py

lint: $(ENVIRONMENT)  # style, types and rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: $(ENVIRONMENT)  # what is generated from docstrings: docs/metrics.md, and the tables in README.md and CONTRIBUTING.md
	@$(BIN)/python -m pofxy.report.metric_docs docs/metrics.md
	@$(BIN)/python -m pofxy.study.readme_tables README.md CONTRIBUTING.md

# After a finished default study that ran in one go: the figures that plans of other studies and machines are scaled from.
costs: $(ENVIRONMENT)  # writes pofxy/study/costs.json from RESULTS
	@$(BIN)/python -m pofxy.study.costs $(RESULTS)

# Keeps the pins that still fit; UPGRADE=--upgrade takes the newest. envs/pofxy.yaml gets the same pins below its `- pip:`.
lock: $(ENVIRONMENT)
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --fork-strategy fewest --no-annotate $(UPGRADE) \
	  --custom-compile-command "make lock" --output-file requirements.lock --quiet pyproject.toml
	{ sed '/- pip:$$/q' envs/pofxy.yaml; sed -n 's/^[^#].*/      - "&"/p' requirements.lock; } > envs/pofxy.yaml.new
	mv envs/pofxy.yaml.new envs/pofxy.yaml

# A lock that was only touched, not changed, rebuilds nothing.
$(ENVIRONMENT): requirements.lock
	@if cmp -s $< $@; then touch $@; exit; fi; set -e; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "pofxy needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=..." >&2; exit 1; }; \
	$(PYTHON) -m venv --clear .venv; \
	$(BIN)/pip install -r $<; \
	$(BIN)/pip install --no-deps --no-build-isolation --editable .; \
	cp $< $@

# Everything a newcomer needs: `make tune` runs the main job, `make test` the tests. Both make .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/go1-trot
TRIALS ?= 40
INITIAL := $(foreach joint,hip thigh calf,--set joint.$(joint).kp=70 --set joint.$(joint).kd=3.2)

# One thread for linear algebra: small matrices are slower on many, and results do not depend on the machine.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: setup tune hardware-demo test test-slow test-browser docs test-docs mutants lint types lock clean

setup: $(STAMP)

# torch first, by its exact version and without digests: its build differs by index. Everything else is as the lock has
# it, to the digest of every file, on any Python that is supported.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(STAMP)

# The walk with the initial gains, the tuning, the report, the walk with the tuned gains. A finished run is not run again.
tune: setup
	$(BIN)/safebo robots walk go1 --gait trot --disturbance paper $(INITIAL) --video $(OUT)/before.mp4
	$(BIN)/safebo tune go1-trot --trials $(TRIALS) --out $(OUT) --resume
	$(BIN)/safebo report $(OUT)
	$(BIN)/safebo robots walk go1 --gait trot --disturbance paper --gains $(OUT)/best.yaml --video $(OUT)/after.mp4

# A virtual Go2, its guardian and the tuner in three processes, unattended. Also with STUDY=go2-mpc.
STUDY ?= go2-trot
hardware-demo: setup
	$(BIN)/python -m safebo.experiments.evidence.hardware_demo $(STUDY) --out runs/hardware-demo
	$(BIN)/safebo report runs/hardware-demo/$(STUDY)

test: setup
	$(BIN)/python -m pytest -m "not slow"

# Whole chains in processes of their own (faults, kills, the virtual robot, every command), seeded statistics and the
# evidence commands: twelve minutes on two cores. `python -m pytest` alone runs both.
test-slow: setup
	$(BIN)/python -m pytest -m slow

# The page in a real browser. Needs Debian's `chromium`; Playwright, which drives it, is installed on first use.
test-browser: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r tests/browser/requirements.lock
	PYTHONPATH=tests/safebo $(BIN)/python -m pytest -n 0 tests/browser

# The site, in site/; every page opens from the disk. The variable silences a banner about mkdocs 2, which is not used.
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r docs/requirements.lock
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

# Every command and code block of the tutorials and of docs/how-to, word for word, each page in a fresh folder, and the
# examples, with the packages of others that some need. Half an hour on two cores. Also with PAGES=docs/how-to/priors.md.
PAGES ?=
test-docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r docs/requirements.lock
	$(BIN)/python -m pytest -n 0 tests/e2e/test_shipped_examples.py
	PYTHONPATH=tests $(BIN)/python -m followed $(PAGES)

# Small faults put into the rooms on which safety rests, and whether their tests notice. Also with ROOMS=boundary.
ROOMS ?=
mutants: setup
	PYTHONPATH=tests $(BIN)/python -m mutants --rooms "$(ROOMS)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Versions that are in the lock stay where pyproject.toml allows them. For an index that has torch's CPU build: with
# another one the lock would hold CUDA.
lock: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.5,<8'
	$(BIN)/pip-compile pyproject.toml --all-extras --generate-hashes --strip-extras --unsafe-package torch \
		--no-annotate --no-header --no-emit-index-url --no-emit-trusted-host --output-file requirements.lock
	$(BIN)/pip-compile docs/requirements.in -c requirements.lock --generate-hashes --strip-extras \
		--no-annotate --no-header --no-emit-index-url --no-emit-trusted-host --output-file docs/requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

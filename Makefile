# make run    install, then run the main job and print its table
# make test   install, then lint, check types and run the tests
# make floors install the oldest versions that are allowed, then run the tests with them
# make bench  install, then run the benchmarks
# make gpu    install, then try one GPU: eight minutes, findings in results/gpu (docs/gpu.md)
# make gpu-wheels   install, then pack what a GPU machine without a network lacks
# make lint   install, then lint, check spelling and types
# make docs   install, then build the documentation's site, warnings as errors
# make audit  install, then ask what is known against the packages of requirements.lock: it warns
# make lock   write requirements.lock anew: the newest versions that pyproject.toml allows
PYTHON ?= python3
FLOOR_PYTHON ?= python3.10
VENV ?= .venv
BIN = $(VENV)/bin
# Lint and docs run side by side.
MAKEFLAGS += --jobs=2
STAMP = $(VENV)/.installed

# clip-benchmark's metrics are what tests compare with. Its dependencies (transformers, pycocotools,
# a Java captioning kit) are for parts that are not used, and slow every import of open_clip down.
# axe-playwright-python is there for its copy of axe-core, which browser tests run in our own driver.
# open_clip's own training pipeline, which tests read our shards with, needs webdataset before 1.0.

.PHONY: install run test tests coverage floors bench gpu gpu-wheels lint docs audit lock clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'clip-benchmark==1.6.2' \
		'axe-playwright-python==0.1.8'
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/webdataset-0.2 \
		'webdataset==0.2.86'
	touch $@

install: $(STAMP)

run: $(STAMP)
	$(BIN)/clipbench run --config main_job

# One thread per process: two test processes that each spin two threads on two cores crawl.
# A file's tests go to one process, for what they share is made once.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -p no:benchmark \
	-m 'not slow' --ignore tests/benchmarks

test: lint docs
	$(TESTS)

tests:
	$(TESTS)

# Counting lines takes half as long again.
coverage: $(STAMP)
	$(TESTS) --cov --cov-report=term --cov-fail-under=85

# The oldest versions that pyproject.toml allows, on the oldest Python: they are promised, too.
FLOORS = $(VENV)-floors
floors:
	test -x $(FLOORS)/bin/python || $(FLOOR_PYTHON) -m venv $(FLOORS)
	$(FLOORS)/bin/python -m pip install --quiet uv
	$(FLOORS)/bin/uv pip install --quiet --python $(FLOORS)/bin/python \
		--resolution lowest-direct --editable '.[dev]'
	$(FLOORS)/bin/uv pip install --quiet --python $(FLOORS)/bin/python --no-deps \
		'clip-benchmark==1.6.2' 'axe-playwright-python==0.1.8'
	$(FLOORS)/bin/python -m pip install --quiet --no-deps --upgrade \
		--target $(FLOORS)/webdataset-0.2 'webdataset==0.2.86'
	$(MAKE) tests BIN=$(FLOORS)/bin

bench: $(STAMP)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

gpu:
	PYTHON='$(PYTHON)' VENV='$(VENV)' tests/benchmarks/gpu/run.sh $(GPU_OPTIONS)

gpu-wheels: $(STAMP)
	$(BIN)/python tests/benchmarks/gpu/wheels.py build/gpu-wheels

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

audit: $(STAMP)
	$(BIN)/python .ci/audit.py 60

# With hashes, for every platform and Python that pyproject.toml allows, but for PyTorch.
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.10 \
		--overrides .ci/without_torch.txt --custom-compile-command 'make lock' \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist docs/reference .mypy_cache .pytest_cache .ruff_cache .coverage

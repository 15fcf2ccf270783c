# `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
PIP_ARGS ?=
# the assertions of the tests are rewritten once, not by each process for itself
unexport PYTHONDONTWRITEBYTECODE

DEMO_ENV := .venv
TEST_ENV := .env-test
PIP = $(1)/bin/python -m pip --disable-pip-version-check --quiet install $(PIP_ARGS) -c constraints.txt

.PHONY: demo installed check lint kernels test full agreement clean

# torch is asked for by itself and first, so that the pinned build is the one that the other packages find
$(DEMO_ENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO_ENV)
	$(call PIP,$(DEMO_ENV)) torch
	$(call PIP,$(DEMO_ENV)) '.[all]'
	touch $@

# the package itself is installed again each time, so that an edit is never missed
demo: $(DEMO_ENV)/ready
	$(call PIP,$(DEMO_ENV)) --no-deps --force-reinstall .
	$(DEMO_ENV)/bin/megdt-opt demo --output demo-output

$(TEST_ENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_ENV)
	$(call PIP,$(TEST_ENV)) torch
	$(call PIP,$(TEST_ENV)) '.[dev]'
	touch $@

# the wheel of the working tree, in the test environment: nothing is tested from the source tree
installed: $(TEST_ENV)/ready
	rm -rf build dist
	$(TEST_ENV)/bin/python -m build --wheel >/dev/null
	$(call PIP,$(TEST_ENV)) --no-deps --force-reinstall dist/*.whl

check: installed
	$(MAKE) lint

# of the environment that `check` makes
lint:
	$(TEST_ENV)/bin/ruff check .
	$(TEST_ENV)/bin/ruff format --check .
	$(TEST_ENV)/bin/python -P -m mypy -p megdt_opt

kernels:
	$(TEST_ENV)/bin/python -P tests/compile_first.py

# a seeded tenth of every long list, and with `make full` all of them; what measures times runs by itself. Executions
# wait more than they compute: three processes keep two cores busy, with one thread each. Kernels are compiled before,
# not by each of them, and mypy, which has one process, is beside that
test full: installed
	$(MAKE) --jobs=2 --output-sync lint kernels
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(TEST_ENV)/bin/python -P -m pytest \
		$(if $(filter full,$@),--full) --durations=15 -n 3 --dist loadfile \
		--no-loadscope-reorder -m "not alone"
	$(TEST_ENV)/bin/python -P -m pytest $(if $(filter full,$@),--full) --durations=5 -m alone

# the 200-instance agreement run of all solution routes (a few minutes)
agreement: $(TEST_ENV)/ready
	$(TEST_ENV)/bin/python experiments/agreement.py --count 200 --seed 0

clean:
	rm -rf $(DEMO_ENV) $(TEST_ENV) build dist demo-output

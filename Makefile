# Two commands do everything on a fresh Debian with Python and make:
#   make demo    builds the sample shops, and a real browser walks from a landing page to Stripe
#   make test    runs every check: lint, types, unit tests, real builds, three browsers, databases
# Both install what they need into .venv (and, as root, browsers from Debian's packages).
# Tests use $(PYTHON); the built package is also tested with the newest Python on this machine.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PINNED := tools/constraints.txt
WORKERS ?= 2

.PHONY: demo test bench lint format browsers newest minify docs upgrade clean

demo: $(STAMP) browsers
	@$(BIN)/python tools/demo.py

test: $(STAMP) browsers lint newest
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/run_tests.py --workers $(WORKERS)

bench: $(STAMP) browsers
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/run_benchmarks.py $(BENCH)

lint: $(STAMP)
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(STAMP)
	@$(BIN)/python -m tools.write_docs
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: site/index.html"

minify: $(STAMP)
	@$(BIN)/python tools/minify.py

browsers:
	@sh tools/install_browsers.sh

newest: $(STAMP)
	@$(BIN)/python -m tools.newest_python

# The newest release of every package, to be tested before it is committed.
upgrade:
	@rm -rf $(VENV)
	@sh tools/install.sh "$(PYTHON)" "$(VENV)" /dev/null
	@sed -i '/^[^#]/d' $(PINNED)
	@$(BIN)/python -m pip freeze --exclude-editable >>$(PINNED)
	@touch $(STAMP)

$(STAMP): pyproject.toml tools/install.sh $(PINNED)
	@sh tools/install.sh "$(PYTHON)" "$(VENV)" $(PINNED)
	@touch $@

clean:
	rm -rf $(VENV) .work .mypy_cache .ruff_cache .hypothesis build dist

# Two commands matter: `make demo` shows what Homing does, `make test` shows that it does it.
V := .venv/bin
export UV_PYTHON_DOWNLOADS := never
# As pip does: trust the certificates that this machine trusts, a company's proxy among them.
export UV_SYSTEM_CERTS ?= true
# Where images forbid bytecode, each of the many Pythons that tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo quick test test-all check format lock bench mutants accuracy conformance docs system-deps clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(V)/uv:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@python3 -m venv .venv || { echo "hint: apt-get install python3-venv"; exit 1; }
	@$(V)/python -m pip install -q --disable-pip-version-check uv==0.13.9

.venv/.run: requirements/run.txt pyproject.toml | $(V)/uv
	@$(V)/uv pip install -q --python $(V)/python --require-hashes -r requirements/run.txt
	@$(V)/uv pip install -q --python $(V)/python --no-deps -e . && touch $@

.venv/.dev: requirements/dev.txt .venv/.run
	@$(V)/uv pip install -q --python $(V)/python --require-hashes -r requirements/dev.txt && touch $@

demo: .venv/.run ## the whole loop on this machine: gateway, a small Internet, dashboard (ARGS=--once to exit at the end)
	@$(V)/homing demo $(ARGS)

quick: .venv/.dev ## the tests of mail, loop and net, in seconds (ARGS=... goes to pytest)
	@$(V)/python -m pytest -q -n auto --dist worksteal tests/mail tests/loop tests/net $(ARGS)

test: .venv/.dev ## the fast tests (ARGS=... goes to pytest)
	@$(V)/python -m pytest -q -n auto --dist worksteal $(ARGS)

test-all: .venv/.dev ## every test but the long ones; some need Debian's packages, some HOMING_CORPORA
	@$(V)/python -m pytest -q -n auto --dist worksteal -m 'not long' $(ARGS)

check: .venv/.dev ## format, lint, types, floors
	@$(V)/ruff format --check . && $(V)/ruff check . && $(V)/mypy && $(V)/lint-imports

format: .venv/.dev ## put the code in order
	@$(V)/ruff format . && $(V)/ruff check --fix .

bench: .venv/.dev ## figures of this machine, as JSON
	@$(V)/homing bench $(ARGS)

mutants: .venv/.dev ## a bug in each constant of loop and flow: which of them no test notices (ARGS=--only loop/retry)
	@$(V)/python benchmarks/mutants.py $(ARGS)

accuracy: .venv/.dev ## how well returned mail is read: FOLDER=... with a truth.jsonl (docs/accuracy.md), else our composed mails
	@if [ -n "$(FOLDER)" ]; then $(V)/python benchmarks/accuracy/score.py "$(FOLDER)" $(ARGS); else \
	for set in tests/accuracy/*/truth.jsonl; do $(V)/python benchmarks/accuracy/score.py tests/accuracy --truth $$set $(ARGS); done; fi

conformance: .venv/.dev ## real mail servers, live: docs/conformance.md anew (root; ARGS="exim --only forward")
	@$(V)/python -m tests.interop.conformance --write $(ARGS)

docs: .venv/.dev ## write the generated pages of docs/ anew
	@$(V)/python -m homing docs

lock: | $(V)/uv ## choose dependency versions anew
	@$(V)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements/run.txt
	@$(V)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev pyproject.toml -c requirements/run.txt -o requirements/dev.txt

system-deps: .venv/.dev ## what the interop and browser tests need: Debian's packages (needs root), and mailauth
	@.ci/system-deps
	@.ci/mailauth
	@.ci/servers

clean: ## remove every trace of demo and environment
	@rm -rf .venv demo-data

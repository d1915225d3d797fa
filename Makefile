# Two commands do everything: `make demo` and `make test`. Each sets up what it needs first.
SHELL := /bin/sh
DEMO := .venv/bin/distwright demo examples/petrel
PYTEST := .venv/bin/python -m tests.together

# make demo STATE=/some/where ARGS='--follow'
STATE ?=
ARGS ?=
STATE_OPTION := $(if $(STATE),--state $(STATE))

.PHONY: help setup setup-postgresql setup-test demo serve check test test-full lock clean

help:
	@sed -n 's/^#: //p' Makefile

#: make demo       carry examples/petrel from git to a booted image (STATE=DIR, ARGS=--follow)
demo: setup
	$(DEMO) $(STATE_OPTION) $(ARGS)

#: make serve      serve the archives, the image and a status page on loopback (ARGS='--port 8080')
serve: setup
	.venv/bin/distwright serve $(STATE_OPTION) $(ARGS)

#: make test       every test but the longest
test: setup-test
	$(PYTEST) -m "not full" -o faulthandler_exit_on_timeout=true $(ARGS)

#: make test-full  every test (EVERY=1: killed and refused at each call to the kernel, not at one in 40; takes hours)
test-full: setup-test
	$(if $(EVERY),EVERY=$(EVERY)) $(PYTEST) $(ARGS)

#: make check      the inner loop: lint, types, contracts, unit tests; under two minutes
check: setup-test
	$(PYTEST) tests/unit tests/contract tests/fuzz tests/habits $(ARGS)

#: make setup      programs from Debian, a system user (as root), a virtual environment
setup: .venv/run.stamp
	@setup/debian setup/packages.txt

#: make setup-postgresql  the same, with what PostgreSQL and more than one machine need
setup-postgresql: setup requirements/postgresql.txt
	@setup/venv requirements/postgresql.txt

setup-test: .venv/dev.stamp
	@setup/debian setup/packages.txt setup/packages-test.txt

.venv/run.stamp: requirements/run.txt pyproject.toml setup/venv
	@setup/debian setup/packages.txt
	@setup/venv requirements/run.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt pyproject.toml setup/venv
	@setup/debian setup/packages.txt
	@setup/venv requirements/dev.txt
	@touch .venv/run.stamp $@

#: make lock       write requirements/*.txt anew from pyproject.toml
lock: .venv/dev.stamp
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --upgrade pyproject.toml -o requirements/run.txt
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --upgrade --extra dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --upgrade --extra postgresql pyproject.toml -o requirements/postgresql.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

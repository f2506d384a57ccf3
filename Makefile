# Skep's tasks. `make help` lists them. Whatever Node the machine has only runs npm, once:
# everything else runs on the pinned Node that npm brings (node_modules/node-linux-*/bin/node).

HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
NODE := $(CURDIR)/node_modules/node-linux-$(HOST_ARCH)/bin/node --disable-warning=ExperimentalWarning
ARCH ?= $(HOST_ARCH)
SEED ?=
MINUTES ?= 1
SECONDS ?= 300
FILES ?=

.PHONY: help setup check unit test sim soak e2e mutants bench build demo clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## packages of the lock file (installs npm first on a bare Debian, as root)
	@bash scripts/setup.sh

check: setup ## types, lint, format, and the shape of the house (test/tidy)
	@$(NODE) scripts/test.ts check

unit: setup ## tests of core, net and agent that need no root, under 10 s
	@$(NODE) scripts/test.ts unit

test: setup ## check, unit, a short simulation, the built binary, and e2e on real engines (FILES=... for some files)
	@$(NODE) scripts/test.ts $(if $(FILES),$(FILES),check unit sim build e2e)

e2e: setup ## only the tests on real engines in network namespaces (root)
	@$(NODE) scripts/test.ts e2e

sim: setup ## simulate clusters with faults (SEED=n repeats a run, MINUTES=n)
	@$(NODE) scripts/sim.ts $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES)

soak: setup ## long tests on clusters, then seeds and fuzzers for SECONDS=n
	@$(NODE) scripts/test.ts long
	@$(NODE) scripts/soak.ts --seconds $(SECONDS)

mutants: setup ## plant classic bugs of Raft one by one; the simulator must find each
	@$(NODE) scripts/mutants.ts

bench: setup ## figures beside the budgets (root; FILES=... for some files)
	@$(NODE) scripts/bench.ts $(FILES)

build: setup ## dist/agent, one executable (ARCH=arm64 builds dist/agent-arm64)
	@$(NODE) scripts/build.ts --arch $(ARCH)

demo: setup ## the main story on this machine, from nothing to a rolling update (root; CLUSTER=1: on five)
	@CLUSTER=$(CLUSTER) $(NODE) scripts/demo.ts

clean: ## remove what was built
	rm -rf dist .tap node_modules/.cache/skep

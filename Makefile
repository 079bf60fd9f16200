# What there is to do in a checkout; `make help` lists it. .ci/run runs `make deb`, `make deb-test` and `make check`.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CONFIG ?= config.example.json

# Swift's own build directories, one for each kind of build: nothing is built twice.
DEBUG := .build
TSAN := .build-tsan
ASAN := .build-asan

# With the compiler that the project is written for a warning is an error. A later one may know more warnings.
STRICT ?= $(if $(findstring version 6.3,$(shell swift --version 2>/dev/null)),-Xswiftc -warnings-as-errors)
DEBUG_FLAGS = --explicit-target-dependency-import-check error $(STRICT)
RELEASE_FLAGS = -c release --static-swift-stdlib
# In CI nobody watches the build; what goes wrong is printed all the same.
QUIET = $(if $(CI),--quiet)

SWIFT_SOURCES := Package.swift Sources Tests
SHELL_SCRIPTS := .ci/run $(filter-out scripts/check-frames,$(wildcard scripts/*)) $(wildcard benchmarks/*.sh docs/*.sh docs/examples/*.sh docs/examples/*/*.sh Tests/Conformance/*.sh)

##@ Use
.PHONY: run
run: ## serve config.example.json on loopback, against built-in simulators, with the console (CONFIG=FILE for another)
	@scripts/require build
	@echo "Building proxmox-agent. The first time takes a minute or two."
	@swift build --product proxmox-agent $(DEBUG_FLAGS) $(QUIET) </dev/null
	@scripts/run $(DEBUG)/debug/proxmox-agent $(CONFIG)

.PHONY: build
build: ## build everything, tests too
	@scripts/require build
	swift build --build-tests $(DEBUG_FLAGS) $(QUIET)

.PHONY: release
release: ## build the program for use: optimised, the Swift libraries inside, stripped
	@scripts/require build
	swift build --product proxmox-agent $(RELEASE_FLAGS) $(QUIET)
	scripts/check-frames .build/release/proxmox-agent
	@strip -o $(DEBUG)/release/proxmox-agent.stripped $(DEBUG)/release/proxmox-agent
	@echo "$(DEBUG)/release/proxmox-agent.stripped: $$(stat -c %s $(DEBUG)/release/proxmox-agent.stripped) bytes"

##@ Test
TEST := swift test --no-parallel

.PHONY: test
test: ## run all tests
	@scripts/require build
	@scripts/test $(DEBUG_FLAGS) $(QUIET)

CRASHES ?= 300
.PHONY: crash
crash: ## kill the agent at every point and CRASHES times at random, and count what came of it (the tests do it 4 times)
	@scripts/require build
	@PROXMOX_AGENT_CRASHES=$(CRASHES) $(TEST) $(DEBUG_FLAGS) --filter CrashTests

HA_CRASHES ?= 100
.PHONY: crash-ha
crash-ha: ## kill, stop and cut off agents that share a PostgreSQL, HA_CRASHES times under load (20 minutes; the tests do it 3 times)
	@scripts/require build postgresql network
	@PROXMOX_AGENT_HA_CRASHES=$(HA_CRASHES) scripts/apart $(TEST) $(DEBUG_FLAGS) --filter "EndToEndTests.Agent"

.PHONY: storm
storm: ## replace every number and flag that PVE sends, over all actions (the tests do some; 15 minutes, 5 for what comes after a change)
	@scripts/require build
	@PROXMOX_AGENT_STORM=1 $(TEST) $(DEBUG_FLAGS) --filter StormTests

.PHONY: attack
attack: ## abuse the agent from many processes, and time a freeze meanwhile (AGENT=FILE for another build)
	@scripts/require build attack
	@swift build --product proxmox-agent $(DEBUG_FLAGS) --quiet
	@benchmarks/attack.sh

.PHONY: model
model: ## check the model of several agents on one state (docs/model), and that each broken rule is noticed (2 minutes)
	@scripts/require model
	@scripts/model

.PHONY: golden
golden: ## rewrite the golden files that tests compare with; read the difference before you commit it
	@scripts/require build
	PROXMOX_AGENT_GOLDEN=write $(TEST) $(DEBUG_FLAGS)
	@git status --short -- Tests docs

.PHONY: lint
lint: ## check the form of sources and scripts
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	@if command -v shellcheck >/dev/null; then echo shellcheck $(SHELL_SCRIPTS); shellcheck $(SHELL_SCRIPTS); \
	else echo "shellcheck is not installed: scripts not checked"; fi

.PHONY: fmt
fmt: ## format the sources
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

.PHONY: walkthrough
walkthrough: ## run the walk-through against a fresh agent
	@scripts/require build
	@swift build --product proxmox-agent $(DEBUG_FLAGS) --quiet
	@if [[ -x docs/walkthrough.sh ]]; then docs/walkthrough.sh; fi

.PHONY: tsan
tsan: ## the C wrappers' tests under ThreadSanitizer
	@scripts/require build
	scripts/sanitize thread $(TSAN)

.PHONY: asan
asan: ## the C wrappers' tests under AddressSanitizer
	@scripts/require build
	scripts/sanitize address $(ASAN)

.PHONY: check
check: ## what CI runs: lint, strict build, ThreadSanitizer, walk-through, attack, all tests
	@scripts/require build lint
	@$(MAKE) --no-print-directory lint build tsan walkthrough attack test

.PHONY: check-full
check-full: ## check, and: release build, AddressSanitizer, what is linked, tests with optimisation
	@scripts/require postgresql
	@$(MAKE) --no-print-directory check release
	scripts/check-linkage
	@$(MAKE) --no-print-directory asan
	scripts/test -c release -Xswiftc -enable-testing --scratch-path .build-release-tests

.PHONY: conformance
conformance: ## let clients, generators and validators of others use the agent (PARTS="mcp …" for some; needs PyPI)
	@scripts/require build conformance
	@swift build --product proxmox-agent $(DEBUG_FLAGS) --quiet
	@scripts/conformance $(PARTS)

.PHONY: console-test
console-test: ## try the web console in a real browser (ARGS="-k passkey" for some of it; needs PyPI)
	@scripts/require build console
	@swift build --product proxmox-agent $(DEBUG_FLAGS) --quiet
	@scripts/console-test $(ARGS)

##@ Package
.PHONY: deb
deb: ## build the Debian package into .build-deb/packages, and let lintian look at it
	@scripts/require build deb
	scripts/deb

.PHONY: deb-test
deb-test: ## install that package into a fresh Debian, use, upgrade, remove and purge it there (as root)
	@scripts/require deb-test
	@[[ -n $$(echo .build-deb/packages/proxmox-agent_*.deb) ]] || $(MAKE) --no-print-directory deb
	scripts/deb-test

##@ Measure
.PHONY: bench
bench: ## compare with a plain C server, and measure inventories, memory and start-up
	@scripts/require build bench
	@swift build --product proxmox-agent $(RELEASE_FLAGS) --quiet
	@benchmarks/run.sh

##@ Other
.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(DEBUG) .build-* benchmarks/out

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

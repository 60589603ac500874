# Yardmaster. `make` alone lists the targets. Building, testing and the demo need
# only Go and make; lint, gen and the proto targets build their tools on first
# use (minutes, from the Go module proxy); race needs a C compiler.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
BUF      := $(GO) tool -modfile=tools/buf/go.mod buf
LINT     := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
BASELINE := proto/baseline.binpb

# Extra flags for go test in test, race, e2e and crash: make test TESTFLAGS=-count=1
TESTFLAGS ?=
# How long make fuzz spends on each fuzz target.
FUZZTIME ?= 10s
# Extra flags for make fuzz: make fuzz FUZZ_FLAGS="-only store -parallel 1"
FUZZ_FLAGS ?=
# The directory whose files make demo submits. Empty: the Go toolchain's sources.
DEMO_DIR ?=
# Extra flags for make demo and make run.
DEMO_FLAGS ?=
# Extra flags for make sim (-trace, -for 60s, -j 2) and make mutants (-only, -compile).
SIM_FLAGS ?=
MUTANTS_FLAGS ?=
# Extra flags for make bench.
BENCH_FLAGS ?=

# Programs are stamped with the commit where there is one, and built without
# it from an archive.
VCS := $(shell test -e .git && git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo true || echo false)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/: static, reproducible, stamped
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -o bin/ ./cmd/...

.PHONY: demo
demo: build ## Run thousands of tasks, kill a worker and the coordinator midway, check every result
	DEMO_DIR="$${DEMO_DIR:-$$($(GO) env GOROOT)/src}" ./bin/demo $(DEMO_FLAGS)

.PHONY: run
run: build ## Start a coordinator and workers to play with, until Ctrl-C
	./bin/demo --play $(DEMO_FLAGS)

.PHONY: test
test: ## Run the tests (needs only Go)
	CGO_ENABLED=0 $(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: ## Run the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) ./...

.PHONY: e2e
e2e: build ## Run the tests with real programs: kills, stalls, broken connections
	CGO_ENABLED=0 $(GO) test -tags=e2e -count=1 $(TESTFLAGS) ./tests/...

.PHONY: crash
crash: build ## Run the crash lab: kills, power loss, failing disks, torn and flipped bits, partitions, histories (about 2 minutes; root for all of it)
	CGO_ENABLED=0 $(GO) test -tags=e2e,crash -count=1 -v -run '^TestCrash' $(TESTFLAGS) ./tests/... | grep --line-buffered -v -e '^=== ' -e '^  *--- PASS'

# The budgets of make crash-long, as tests/doc.go lists them: 500 kills of the
# coordinator and 500 of workers, every I/O call of the scene failing, and so on.
CRASH_LONG ?= YARD_CRASH_KILLS=500 YARD_FAULTS=100000 YARD_DISK_ROUNDS=20 YARD_FLIPS=20 YARD_MEMORY_TASKS=50000 YARD_HALF_OPEN=1 \
	YARD_POWER_CUTS=200 YARD_TORN_IMAGES=2000 YARD_HISTORY_SECONDS=300 YARD_PARTITIONS=200 YARD_ZOO_ROUNDS=20

.PHONY: crash-long
crash-long: ## Run the crash lab with large budgets: about an hour; CRASH_LONG="YARD_CRASH_KILLS=200" for others
	$(CRASH_LONG) $(MAKE) crash TESTFLAGS="-timeout=3h $(TESTFLAGS)"

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME (10s), and print one table of inputs and failures
	$(GO) run ./tools/fuzz -time $(FUZZTIME) $(FUZZ_FLAGS)

.PHONY: sim
sim: ## Simulate whole clusters with faults: SEED=n for one of them, else SEEDS (1000); STEPS, SIM_FLAGS
	CGO_ENABLED=0 $(GO) run ./internal/sim/yardsim $(if $(SEED),-seed $(SEED),-seeds $(or $(SEEDS),1000)) $(if $(STEPS),-steps $(STEPS)) $(SIM_FLAGS)

.PHONY: mutants
mutants: ## Plant bugs, one at a time, and see each of them caught: MUTANTS_FLAGS="-only no-fence"
	CGO_ENABLED=0 $(GO) run ./tests/mutants $(MUTANTS_FLAGS)

.PHONY: soak
soak: ## The long runs of sim, mutants, crash and fuzz, one after the other: about three hours
	$(MAKE) sim SEEDS=20000
	$(MAKE) mutants
	$(MAKE) crash-long
	$(MAKE) fuzz FUZZTIME=2m

.PHONY: bench
bench: build ## Measure everything beside the raw rates of this machine: about 40 minutes; BENCH_FLAGS="-suite rates" for a part
	cd bench && $(GO) run . -json figures.json $(BENCH_FLAGS)

.PHONY: bench-vet
bench-vet: ## Vet the benchmarks: a module of their own, which vet doesn't see
	cd bench && CGO_ENABLED=0 $(GO) vet ./...

.PHONY: bench-plot
bench-plot: ## Draw what make bench measured last, into bench/plots
	cd bench && $(GO) run ./plot -json figures.json -out plots

.PHONY: vet
vet: ## Run go vet, end-to-end tests included
	CGO_ENABLED=0 $(GO) vet -tags=e2e,crash ./...

.PHONY: lint
lint: ## Run the linters of .golangci.yml
	$(LINT) run ./...

.PHONY: fmt
fmt: ## Format the Go and proto sources in place
	gofmt -l -w .
	@if [ -d proto ]; then $(BUF) format -w; fi

.PHONY: fmt-check
fmt-check: ## Fail if a Go file is not formatted
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then \
		echo "not formatted (cure: make fmt):"; echo "$$unformatted"; exit 1; fi

# Generated code is written beside gen/ first, so that a failure leaves gen/ as
# it was and no build ever sees it half written.
GENERATE = tmp="$$(mktemp -d ./.gen.XXXXXX)"; trap 'rm -rf "$$tmp"' EXIT; \
	$(BUF) generate -o "$$tmp"

.PHONY: gen
gen: ## Generate gen/ from proto/
	@$(GENERATE); rm -rf gen; mv "$$tmp/gen" gen

.PHONY: gen-check
gen-check: ## Fail if gen/ is not what proto/ generates
	@$(GENERATE); diff -r "$$tmp/gen" gen || { echo "gen/ is not up to date (cure: make gen)"; exit 1; }

.PHONY: docs
docs: ## Write docs/api from the comments in proto/
	$(BUF) build -o - | $(GO) run ./tools/apidoc -out docs/api

.PHONY: docs-check
docs-check: ## Fail if docs/api is not what proto/ says
	@tmp="$$(mktemp -d)"; trap 'rm -rf "$$tmp"' EXIT; $(BUF) build -o - | $(GO) run ./tools/apidoc -out "$$tmp"; \
		diff -r "$$tmp" docs/api || { echo "docs/api is not up to date (cure: make docs)"; exit 1; }

.PHONY: proto-lint
proto-lint: ## Lint the proto files and check their format
	$(BUF) lint
	@$(BUF) format -d --exit-code || { echo "not formatted (cure: make fmt)"; exit 1; }

.PHONY: proto-breaking
proto-breaking: ## Fail if proto/ breaks clients or stored data of the baseline
	$(BUF) breaking --against $(BASELINE)

.PHONY: proto-baseline
proto-baseline: ## Make today's proto/ the baseline: only at a release or with a reviewed break
	$(BUF) build --exclude-source-info -o $(BASELINE)

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin .gen.*
	$(GO) clean -testcache

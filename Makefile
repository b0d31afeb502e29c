STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 20s
TESTFLAGS   ?=
BENCHFLAGS  ?=
REPORT      := go run ./internal/cmd/testreport
MODULES     := $(patsubst %go.mod,%...,$(wildcard ./go.mod ./*/go.mod ./*/*/go.mod))
PORTABLE    := $(filter-out ./bench/...,$(MODULES))

.PHONY: all test race lint cover fuzz bench crash handover consistency faults tidy

all: lint test

# Ends with the suites that ran and the line "N passed, M failed, K skipped".
test:
	@$(REPORT) $(TESTFLAGS)

race:
	@DURABLE_REQUIRE_REAL= $(REPORT) -race -short $(TESTFLAGS)

lint:
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt needed: $$bad"; exit 1; }
	go vet $(MODULES)
	GOOS=darwin go vet $(PORTABLE)
	GOOS=windows go vet $(PORTABLE)
	go run $(STATICCHECK) $(MODULES)
	go test ./internal/lint

cover:
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

# Every fuzz target of every package in turn.
fuzz:
	@set -e; for pkg in $$(go list ./...); do for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; done; done

# This library side by side with code written by hand and with its peers: needs
# redis-server, a quiet machine and half an hour. docs/performance.md is from
#   make bench BENCHFLAGS="-markdown docs/performance.md -svg docs/performance"
# The Go benchmarks beside the code: go test -run '^$$' -bench . -benchmem ./...
bench:
	go run ./bench $(BENCHFLAGS)

# Kills, simulated crashes and power cuts of real file systems (Linux, root),
# then one table. KILLS, STATES and CUTS set how many; DURABLE_SEED repeats the
# workload of an earlier run. Like the modes below it ends with a verdict for each
# trial: its seed, and when it failed what went wrong and the command that repeats it.
crash:
	@DURABLE_CRASH_KILLS=$(or $(KILLS),400) DURABLE_CRASH_STATES=$(or $(STATES),1000000) DURABLE_CRASH_CUTS=$(or $(CUTS),1000) \
		go run ./internal/cmd/crashtable $(TESTFLAGS)

handover:
	DURABLE_HANDOVERS=$(or $(HANDOVERS),200) go test -count=1 -timeout 60m -v -run "^TestHandover_" ./internal/e2e/handover

# The fraud pipeline under kills at random moments, KILLS for files and as many for Redis.
consistency:
	cd examples/harness && DURABLE_CONSISTENCY_KILLS=$(or $(KILLS),200) go test -count=1 -timeout 60m -v -run "^TestConsistency_" .

# Redis under every fault we know, and a minute of random ones: ends with a table.
faults:
	cd internal/redisstore && DURABLE_FAULTS=1 go test -count=1 -timeout 20m

# The root has no release yet that a nested module could find.
tidy:
	gofmt -w .
	@set -e; for mod in $(patsubst %/...,%,$(MODULES)); do ( cd $$mod; \
		[ $$mod = . ] || go mod edit -replace github.com/durablestate/durable=$(CURDIR); \
		GOWORK=off go mod tidy; \
		[ $$mod = . ] || go mod edit -dropreplace github.com/durablestate/durable ); done

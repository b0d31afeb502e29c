STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 20s
TESTFLAGS   ?=
REPORT      := go run ./internal/cmd/testreport

.PHONY: all test race lint cover fuzz bench crash faults tidy

all: lint test

# Ends with the suites that ran and the line "N passed, M failed, K skipped".
test:
	@$(REPORT) $(TESTFLAGS)

race:
	@DURABLE_REQUIRE_REAL= $(REPORT) -race -short $(TESTFLAGS)

lint:
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt needed: $$bad"; exit 1; }
	go vet ./...
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...
	go run $(STATICCHECK) ./...
	go test ./internal/lint

cover:
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

# Every fuzz target of every package in turn.
fuzz:
	@set -e; for pkg in $$(go list ./...); do for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; done; done

bench:
	go test -run '^$$' -bench . -benchmem ./...
	@if [ -d bench ]; then cd bench && go test -run '^$$' -bench . -benchmem ./...; fi

crash:
	DURABLE_CRASH_KILLS=$(or $(KILLS),400) go test -count=1 -timeout 60m -v -run "^TestCrash_" .

# Redis under every fault we know, and a minute of random ones: ends with a table.
faults:
	cd internal/redisstore && DURABLE_FAULTS=1 go test -count=1 -timeout 20m

tidy:
	gofmt -w .
	go mod tidy

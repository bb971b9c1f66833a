# Opentact. "make help" lists what can be made.

SHELL   := /bin/bash
GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BUILT   := $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.built=$(BUILT)
PURE    := CGO_ENABLED=0 $(GO)

.DEFAULT_GOAL := help
.PHONY: help run test build demo bench lint fmt test-unit test-race test-arch test-scenario crash crash-nodes soak fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## install what is missing, build, and start the server on the embedded default (ARGS="--http-addr=:8080")
	@tools/install.sh run
	bin/opentact serve --allow-private-urls $(ARGS)

test: ## install what the tests need, check the code, and run every test
	@tools/install.sh test
	@tools/test.sh all

build: ## build bin/opentact, one static binary
	$(PURE) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/opentact ./cmd/opentact

demo: build ## a real call and a message through a server on free ports, step by step; leaves demo.wav
	@tools/install.sh run
	$(PURE) run -buildvcs=false ./test/demo -server bin/opentact -wav demo.wav $(ARGS)

bench: build ## the benchmarks, each with its figure and the peer or limit beside it (ARGS=-short; ARGS="-only calls,rest")
	@tools/install.sh test
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	$(GO) run -buildvcs=false ./test/bench -server bin/opentact $(ARGS)

lint: ## formatting, go vet and staticcheck (PKG=./internal/fault narrows it)
	@tools/test.sh checks

fmt: ## format every Go file
	@mkdir -p bin/tools && cd tools && $(GO) build -buildvcs=false -o ../bin/tools/ mvdan.cc/gofumpt
	bin/tools/gofumpt -l -w .

test-unit: ## tests of cmd and internal, without the race detector (PKG=..., ARGS="-run X" narrow it)
	@tools/install.sh test
	@tools/test.sh unit

test-race: ## every test with the race detector, without the checks
	@tools/install.sh test
	@tools/test.sh race

test-arch: ## the house plan: who may import whom, sizes, package-level state
	$(GO) test -count=1 ./test/arch

test-scenario: ## whole-server scenarios
	@tools/install.sh test
	@tools/test.sh scenario

crash: ## kill the server at least 50 times for each database while customers work; a table at the end (ARGS="-db sqlite -seed 1")
	@tools/install.sh test
	$(GO) build -buildvcs=false -o bin/tools/ ./test/tool/pgrun
	bin/tools/pgrun $(GO) test ./test/crash -count=1 -v -timeout 4h -run Killed -args -kills 50 -acks 50000 -limit 90m -gap 900 -rate 600 $(ARGS)

crash-nodes: ## the same with two servers on one PostgreSQL database, one of which is frozen for a minute and goes on
	@tools/install.sh test
	$(GO) build -buildvcs=false -o bin/tools/ ./test/tool/pgrun
	bin/tools/pgrun $(GO) test ./test/crash -count=1 -v -timeout 4h -run Killed -args -kills 50 -acks 50000 -limit 90m -gap 900 -rate 600 $(ARGS) -db postgres -nodes 2 -freeze

soak: crash crash-nodes ## what takes too long for every day: make crash, make crash-nodes, and 10,000 simulated worlds (SEEDS=n says another number)
	SIM_SEEDS=$(or $(SEEDS),10000) $(GO) test ./test/sim -count=1 -v -timeout 6h -run TestSeeds

fuzz: ## fuzz one parser: make fuzz PKG=./internal/sdp ARGS="-fuzz FuzzParse -fuzztime 30s"
	$(GO) test -run '^$$' $(ARGS) $(PKG)

clean: ## remove what was built (not the data directory)
	rm -rf bin demo.wav

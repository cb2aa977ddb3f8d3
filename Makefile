# What a new user runs: make demo, make test. Everything else is for those who
# change Gatehouse; CONTRIBUTING.md explains it.

GO ?= go

.PHONY: demo build test lint bench generate check needs

demo: ## boot the whole domain on this machine; Ctrl-C stops it
	$(GO) run ./cmd/gatehouse demo

build: ## the one binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/gatehouse ./cmd/gatehouse

needs: ## install what the tests need, or say what is missing
	@.ci/needs

test: needs ## all tests, with the race detector where there is a C compiler
	@.ci/test

lint: ## format, vet, staticcheck, house test, generated code, go.mod
	@.ci/lint

check: ## the demo, unattended: exits 0 only if every step held
	$(GO) run ./cmd/gatehouse demo --check

bench: build ## the ratios of the design's section 9, into bench/results.json
	$(GO) run ./bench $(BENCHFLAGS)

generate: ## everything that is generated: wire contracts, reference
	$(GO) generate ./...

# Two commands matter: make test, make demo. Both install what is missing through .ci/setup.
SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gpuai
export PATH := $(PATH):$(CACHE)/go/bin:$(CACHE)/node/bin
export GOTOOLCHAIN := local
# go-nvml else prints about thirty warnings.
export CGO_CFLAGS := -O2 -g -Wno-deprecated-declarations

.PHONY: help setup test check itest race bench program
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what is missing
	@.ci/setup

test: setup ## unit, property, simulated-network and on-ledger tests
	go test ./...

check: ## format, vet, light builds
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build ./...
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build ./...

itest: setup ## a paid job on real parts: dockerd (DOCKER_HOST, or an own one), local ledger; needs root
	bash runtime/sandbox/build.sh
	host="$${DOCKER_HOST:-}"; own=; \
	if [ -z "$$host" ]; then own=1; host="$$(.ci/dockerd start)"; fi; \
	DOCKER_HOST="$$host" GPUAI_NEED=docker,node go test -tags integration -count=1 -timeout 8m ./node/itest; rc=$$?; \
	if [ -n "$$own" ]; then .ci/dockerd stop; fi; exit $$rc

program: ## rebuild escrow.so from its sources (needs rustc-web and llvm-22)
	escrow/program/build.sh

race: ## tests under the race detector
	go test -race -short ./...

bench: ## benchmarks that exist so far
	go test -run '^$$' -bench . ./node/store ./market/... ./escrow/...

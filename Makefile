# Two commands matter: make test, make demo. Both install what is missing through .ci/setup.
SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gpuai
export PATH := $(PATH):$(CACHE)/go/bin:$(CACHE)/node/bin
export GOTOOLCHAIN := local
# go-nvml else prints about thirty warnings.
export CGO_CFLAGS := -O2 -g -Wno-deprecated-declarations

.PHONY: drawings help setup build dist demo test long check itest race bench program docs web web-test web-shots

VERSION := 0.1.0
GO_FLAGS := -trimpath -buildvcs=false
STATIC := CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build $(GO_FLAGS) -ldflags='-s -w -buildid='
# Full with a C compiler (GPUs are measured), else light: it buys, and sells its CPU.
CGO := $(if $(shell command -v cc),1,0)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what is missing
	@.ci/setup

build: ## bin/gpuai with the site, the sandbox helper and the images of demo and localnet inside
	@node/web/build.sh if-node
	@bash runtime/sandbox/build.sh
	@mkdir -p bin && for p in sample shell; do $(STATIC) -o bin/$$p ./cmd/$$p && gzip -9 -n -c bin/$$p >bin/$$p.gz || exit 1; \
		cmp -s bin/$$p.gz cmd/gpuai/images/bin/$$p.gz || cp bin/$$p.gz cmd/gpuai/images/bin/$$p.gz; done
	@go run ./cmd/shell --names >cmd/gpuai/images/bin/shell.names
	CGO_ENABLED=$(CGO) go build $(GO_FLAGS) -ldflags='-s -w' -o bin/gpuai ./cmd/gpuai

demo: setup build ## a whole market on loopback: one job found, run, paid and refunded, each step proved; needs root for an own engine
	@host="$${DOCKER_HOST:-}"; own=; \
	if [ -z "$$host" ] && ! docker info >/dev/null 2>&1; then host="$$(.ci/dockerd start)"; own=1; fi; \
	if [ -n "$$host" ]; then export DOCKER_HOST="$$host"; fi; \
	rc=0; bin/gpuai demo || rc=$$?; if [ -n "$$own" ]; then .ci/dockerd stop; fi; exit $$rc

web: ## the site, into node/web/dist, from where it is embedded; needs Node
	@node/web/build.sh

web-test: ## the site in a real Chromium against real indexers: every page and state, axe, keyboard, hostile text, sizes; a job on real parts where an engine is (root)
	@.ci/setup web
	@node/web/build.sh
	@$(MAKE) --no-print-directory build
	cd node/web && npm run --silent check
	@host="$${DOCKER_HOST:-}"; own=; \
	if [ -z "$$host" ] && host="$$(.ci/dockerd start)"; then own=1; fi; \
	DOCKER_HOST="$$host" go test $(TESTFLAGS) -tags web -count=1 -timeout 18m ./node/web/test; rc=$$?; \
	if [ -n "$$own" ]; then .ci/dockerd stop; fi; exit $$rc

web-shots: web ## pictures of every page, light and dark, wide and narrow, into node/web/shots (SHOTS=home,lease: only those)
	GPUAI_SHOTS=$(or $(SHOTS),all) go test -tags web -count=1 -run TestShots ./node/web/test

dist: web build ## dist/gpuai_VERSION_linux_amd64.tar.gz: binary, unit, example settings, README, LICENSE; same sources, same bytes
	@rm -rf dist/gpuai && mkdir -p dist/gpuai && cp bin/gpuai README.md LICENSE cmd/gpuai/gpuai.service dist/gpuai/
	@bin/gpuai config example >dist/gpuai/config.toml
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C dist -cf - gpuai | gzip -9 -n >dist/gpuai_$(VERSION)_linux_amd64.tar.gz
	@rm -rf dist/gpuai

test: setup ## unit, property, simulated-network and on-ledger tests
	go test $(TESTFLAGS) ./...
	@echo "not run: make web-test (the site in Chromium; needs Node and Debian's chromium, .ci/setup web)"

long: setup ## 200 real nodes in virtual time, beside the model that speaks for more: minutes, 5 GB
	GPUAI_LONG=1 go test $(TESTFLAGS) -count=1 -v -timeout 60m -run TestCrowd ./p2p/crowdtest

check: ## format, module files, vet, lint, light builds
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go mod tidy -diff
	go vet ./...
	.ci/lint
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build ./...
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build ./...

itest: setup ## a paid job and the sandbox on real parts: dockerd (DOCKER_HOST, or an own one), local ledger; needs root
	bash runtime/sandbox/build.sh
	host="$${DOCKER_HOST:-}"; own=; \
	if [ -z "$$host" ]; then own=1; host="$$(.ci/dockerd start)"; fi; \
	DOCKER_HOST="$$host" GPUAI_NEED=docker,node go test $(TESTFLAGS) -tags integration -count=1 -timeout 16m -p 1 ./node/itest ./runtime/docker; rc=$$?; \
	if [ -n "$$own" ]; then .ci/dockerd stop; fi; exit $$rc

program: ## rebuild escrow.so from its sources (needs rustc-web and llvm-22)
	escrow/program/build.sh

docs: ## write what is made from the source: lists in docs/errors, keys of the job file, its JSON Schema, the API's document, the escrow codecs, what the site's tests read
	go run ./escrow/layout
	GPUAI_WRITE_DOCS=1 go test -count=1 -run 'TestCodes_Lists|TestPages_AreGenerated|TestDocument_|TestGolden_' ./docs ./runtime/spec ./node/api ./node/indexer/public ./node/web
	@if [ -d node/web/node_modules ]; then npm --prefix node/web run --silent types >/dev/null; fi

drawings: ## write docs/**/*.svg from the .d2 beside them (fetches d2)
	@cd docs && for f in flows/*.d2 market.d2; do go run oss.terrastruct.com/d2@v0.7.1 --theme 0 --pad 10 $$f $${f%.d2}.svg && chmod 644 $${f%.d2}.svg; done
	@cd docs && for f in flows/crash flows/indexer flows/offer flows/order flows/outcome flows/payment market; do sha256sum $$f.d2 $$f.svg; done >drawings.sum

# bbolt reads a damaged file's free pages in a goroutine that it does not wait for when it gives up: its race, on a store that is refused.
race: ## the packages where goroutines meet, under the race detector
	go test -race -short $(TESTFLAGS) -timeout 15m -skip TestOpen_FlippedBytes ./node/lease ./node/till ./node/store ./p2p/offers ./p2p/streams \
		./market/book ./node/provider/... ./node/customer/... ./runtime/docker

bench: setup build ## start, vouchers, cu, idle, match, ended, gossip, dht, model beside their peers, a JSON line per figure (BENCH=NAME: one); then go benchmarks; needs root
	@host="$${DOCKER_HOST:-}"; own=; \
	if [ -z "$$host" ]; then own=1; host="$$(.ci/dockerd start)"; fi; \
	rc=0; for n in $(or $(BENCH),start vouchers cu idle match ended gossip dht model put validate tunnel); do DOCKER_HOST="$$host" go run ./cmd/bench $$n -json || rc=$$?; done; \
	if [ -n "$$own" ]; then .ci/dockerd stop; fi; exit $$rc
	@[ -n "$(BENCH)" ] || go test -run '^$$' -bench . ./node/store ./market/... ./escrow/...

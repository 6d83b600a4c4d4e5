# Nobody needs a tool to build, run or test: generated code and the built console are committed. Only `generate`, `web`,
# `verify` and `lint` use tools, at versions pinned in go.mod, tools/go.mod, tools/package-lock.json and
# web/package-lock.json, and fetch them by themselves.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO := go
# The tools have a module of their own, so that their dependencies never become ours.
TOOL := $(GO) tool -modfile=tools/go.mod
SQLC := $(TOOL) sqlc
GOLANGCI_LINT := $(TOOL) golangci-lint
BUF := tools/node_modules/.bin/buf
# All generated directories; each is replaced as a whole.
GENERATED := gen web/client/src/gen
# What npm has installed for web/, and the console as it is built from there.
WEB := web/node_modules/.installed
CONSOLE := web/console/dist

BINARY := bin/internaltransfers
IMAGE := internaltransfers

# What --version says. Without git both are empty, and the program says that it does not know.
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)

# Settings of single runs, such as `make test RUN=TestHotAccount RACE=`.
RACE := -race
# Of one package, on a machine that is busy with others too.
TIMEOUT := 40m
RUN :=
PKG := ./...
TESTFLAGS :=
BENCH := .
BENCHTIME := 1s
BENCHCOUNT := 1
DIR := bin/screenshots
ARGS :=

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  \033[1m%-20s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Everyday ---

# The binary is built and run, not `go run`, so that signals sent to make reach the server itself.
# local.env holds defaults: what the environment already sets wins.
.PHONY: run
run: build ## Run the server with local.env and, without DATABASE_URL, a Postgres of its own (ARGS=)
	@if [ -f local.env ]; then \
		while IFS='=' read -r key value || [ -n "$$key" ]; do \
			case "$$key" in '' | \#*) continue ;; esac; \
			[ -n "$${!key+set}" ] || export "$$key=$$value"; \
		done < local.env; \
	fi; \
	exec $(BINARY) serve $(ARGS)

.PHONY: build
build: ## Build the static binary bin/internaltransfers (VERSION=)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION) -X main.revision=$(REVISION)' -o $(BINARY) .

.PHONY: test
test: ## Run all tests with the race detector (RUN=, PKG=, RACE=, TESTFLAGS=)
	$(GO) test $(RACE) -timeout $(TIMEOUT) $(if $(RUN),-run '$(RUN)') $(TESTFLAGS) $(PKG)

.PHONY: test-coverage
test-coverage: ## Run all tests and print the coverage of each function
	$(GO) test $(RACE) -timeout $(TIMEOUT) -coverprofile=coverage.out \
		-coverpkg="$$($(GO) list ./... | grep -v /gen/ | paste -sd, -)" $(TESTFLAGS) $(PKG)
	$(GO) tool cover -func=coverage.out

.PHONY: test-coverage-html
test-coverage-html: test-coverage ## Run all tests and write coverage.html
	$(GO) tool cover -html=coverage.out -o coverage.html
	@echo "see coverage.html"

# The suite's private Postgres needs some 10 GB of the temporary directory; ARGS=--data-dir=DIR puts it on another disk.
.PHONY: bench
bench: build ## Measure the whole suite, half an hour, and write table, figures and plots to docs/ (ARGS=)
	@mkdir -p docs
	$(BINARY) bench --suite --out docs --duration 6s --warm-up 1s --rounds 3 --preload 10000000 $(ARGS) | tee docs/bench.txt

.PHONY: bench-smoke
bench-smoke: build ## Run some seconds of the suite, to see that it works; the figures mean nothing (ARGS=)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(BINARY) bench --suite --out "$$dir" --duration 100ms --warm-up 20ms --rounds 1 --accounts 500 --preload 2000 \
		--growth-accounts 1000 --suite-callers 1,64 $(ARGS)

.PHONY: bench-go
bench-go: ## Run the Go benchmarks (BENCH=, BENCHTIME=, BENCHCOUNT=, PKG=)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(BENCHCOUNT) -benchmem $(PKG)

.PHONY: screenshots
screenshots: ## Write pictures of every page of the console, of a demo that ran for a minute, to DIR (DIR=)
	$(GO) test -count 1 -run TestEveryPage ./web/e2e -args -screenshots=$(abspath $(DIR))

.PHONY: lint
lint: lint-web ## Check style and likely mistakes (the first run builds the linter: minutes)
	$(GOLANGCI_LINT) run

.PHONY: lint-web
lint-web: $(WEB)
	cd web && npm run lint && npm run typecheck

.PHONY: fix
fix: $(BUF) $(WEB) ## Format Go, proto and web files, repair what linters can repair
	$(GOLANGCI_LINT) run --fix
	$(BUF) format -w proto
	cd web && npm run fix

# --- Generated code ---

# $(call generate_into,DIR): everything the tools generate, now, below DIR.
# sqlc has no option for its output directory but takes paths relative to its configuration, so that is copied.
define generate_into
cp -R sqlc.yaml migrations queries "$(1)/"; \
$(BUF) generate -o "$(1)"; \
node tools/openapi.mjs "$(1)/gen/openapi"; \
$(BUF) generate --template web/buf.gen.yaml -o "$(1)"; \
$(SQLC) generate -f "$(1)/sqlc.yaml"
endef

.PHONY: generate
generate: $(BUF) ## Generate gen/, web/client/src/gen/ and what is generated in documents anew
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(call generate_into,$$dir); \
	for out in $(GENERATED); do rm -rf "$$out"; mv "$$dir/$$out" "$$out"; done
	$(GO) test -count 1 -run 'AreDocumented$$|IsDocumented$$' . -args -update

.PHONY: verify
verify: verify-proto verify-sql verify-generated verify-docs verify-web verify-mod ## Check that generated code and console are current, the API compatible, go.mod tidy

.PHONY: verify-generated
verify-generated: $(BUF)
	@echo "verify: generated code is what the tools generate"
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(call generate_into,$$dir); \
	for out in $(GENERATED); do \
		diff -ru "$$out" "$$dir/$$out" || { echo "$$out/ is not current: run make generate" >&2; exit 1; }; \
	done

# The same tests are part of `make test`; here they take seconds.
.PHONY: verify-docs
verify-docs: ## Check that generated documents are current, that links resolve, and the width of prose
	@echo "verify: documents show the options and the packages as they are, and their links resolve"
	@$(GO) test -count 1 -run 'AreDocumented$$|IsDocumented$$|^TestLinks$$|^TestProseWidth$$' .

# The branch main is compared with, or its remote copy, which a clone of another branch has instead. A clone that has
# neither (a shallow one), or a main without proto files, leaves nothing to compare with.
.PHONY: verify-proto
verify-proto: $(BUF)
	@echo "verify: proto files keep to the lint rules, the format and the promises of main"
	@$(BUF) lint
	@$(BUF) format -d --exit-code proto
	@base=$$(git rev-parse --verify -q origin/main || git rev-parse --verify -q main || true); \
	if [ -z "$$base" ] || [ -z "$$(git ls-tree -r --name-only "$$base" -- proto buf.yaml | grep -m1 '\.proto$$' || true)" ]; then \
		echo "verify: no proto files on main to compare with, skipped"; \
	else \
		dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
		git archive "$$base" proto third_party/proto buf.yaml | tar -xf - -C "$$dir"; \
		$(BUF) breaking --against "$$dir"; \
	fi

.PHONY: verify-sql
verify-sql:
	@echo "verify: queries keep to the rules in sqlc.yaml and name their columns"
	@$(SQLC) vet
	@! grep -nEi '(select|returning|,)[[:space:]]+([a-z_]+\.)?\*' queries/*.sql

# The build is the same byte for byte wherever it runs, so the committed one can be compared.
.PHONY: verify-web
verify-web: lint-web test-web
	@echo "verify: the console is what its sources make"
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	(cd web && npm run build --silent --workspace console -- --outDir "$$dir/dist" --emptyOutDir --logLevel warn); \
	diff -r "$(CONSOLE)" "$$dir/dist" || { echo "$(CONSOLE) is not current: run make web" >&2; exit 1; }

.PHONY: verify-mod
verify-mod:
	@echo "verify: go.mod and go.sum are tidy and the modules unchanged"
	@$(GO) mod tidy -diff
	@cd tools && $(GO) mod tidy -diff
	@$(GO) mod verify

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what we call (needs the network)
	$(TOOL) govulncheck ./...

# --- Console ---

.PHONY: web
web: $(WEB) ## Build the console into web/console/dist, which the binary embeds, and the client's example for the browser tests
	cd web && npm run build

.PHONY: web-dev
web-dev: $(WEB) ## Serve the console as it is being written, for the server on localhost:9091 (SERVER=URL)
	cd web && npm run dev

.PHONY: test-web
test-web: $(WEB) build ## Test the console's logic, and the TypeScript client against the server
	cd web && npm test --workspaces --if-present

$(WEB): web/package.json web/client/package.json web/console/package.json web/package-lock.json web/.npmrc
	cd web && npm ci --no-progress
	@touch $@

# --- Housekeeping ---

.PHONY: deps
deps: $(BUF) $(WEB) ## Fetch all modules and build all tools ahead of time
	$(GO) mod download
	$(SQLC) version
	$(GOLANGCI_LINT) version

.PHONY: clean
clean: ## Remove what was built; data and generated code stay
	rm -rf bin coverage.out coverage.html tools/node_modules web/node_modules

tools/node_modules/.bin/buf: tools/package.json tools/package-lock.json tools/.npmrc
	cd tools && npm ci --no-progress
	@touch $@

# --- Containers ---

.PHONY: docker-build
docker-build: ## Build the container image (VERSION=, IMAGE=)
	docker build --build-arg VERSION='$(VERSION)' --build-arg REVISION='$(REVISION)' --tag $(IMAGE) .

.PHONY: docker-run
docker-run: ## Build and run the server and its Postgres in containers (compose.yaml)
	VERSION='$(VERSION)' REVISION='$(REVISION)' docker compose up --build

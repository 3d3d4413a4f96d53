# enid: elastic network interfaces that configure themselves.
.DEFAULT_GOAL := help
.PHONY: help build demo up test lint bench fuzz setup clean

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GO ?= go
FUZZTIME ?= 20s

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/enid and bin/enid-lab
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

demo: setup build ## Watch enid at work on a simulated cloud, in namespaces of its own
	@bin/enid-lab demo

up: setup build ## Keep a lab running: cloud, page, and VMs with enid to play with
	@bin/enid-lab up

test: BROWSER := chromium
test: setup lint ## Everything that must hold, race detector on
	$(GO) test -race -count=1 -timeout 30m ./...

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

bench: setup build ## Speed, as ratios against ip(8) in the same run (about three minutes)
	@$(GO) run ./test/bench -enid bin/enid

fuzz: ## Every parser for FUZZTIME each (default 20s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' "$$f"); do \
			echo "$$f $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$f")" || exit 1; \
		done; done

# The laboratory needs ip, nft, iptables and ping; the race detector needs a C compiler, the tests of the
# laboratory's page a browser. As root on Debian and its kin they are installed, anybody else is told.
setup:
	@missing=""; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	command -v nft >/dev/null || PATH=$$PATH:/usr/sbin command -v nft >/dev/null || missing="$$missing nftables"; \
	PATH=$$PATH:/usr/sbin command -v iptables-legacy >/dev/null || missing="$$missing iptables"; \
	command -v ping >/dev/null || missing="$$missing iputils-ping"; \
	command -v gcc >/dev/null || missing="$$missing gcc libc6-dev"; \
	test -z "$(BROWSER)" || command -v "$(BROWSER)" >/dev/null || missing="$$missing $(BROWSER)"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing$$missing"; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null; \
		else echo "please install first:$$missing"; exit 1; fi; \
	fi

clean: ## Remove what was built
	rm -rf bin

# Two commands: `make run` and `make test`. Both install what is missing first.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# One target folder outside the checkout, shared by run, test and CI on a machine.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/orders/target

.PHONY: help run test test-fast check fmt doc dev-up dev-down setup

help: ## Show these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what building needs (asks first at a terminal)
	@compose/dev/install --build

run: setup ## Build and start the whole system embedded, with data in ./data
	@# The same packages and features as `make test`, or RocksDB would compile twice.
	cargo build --workspace --all-features --bin orders
	@exec "$(CARGO_TARGET_DIR)/debug/orders" run

test: ## Start the servers and run every test
	@compose/dev/install
	@compose/dev/test

test-fast: setup ## Rings 1-3 and the rules of the repository: no server, no RocksDB
	@compose/dev/test --fast

check: setup ## Format, lints, documentation links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

dev-up: ## Start Kafka, PostgreSQL and Redis on loopback
	compose/dev/up

dev-down: ## Stop them
	compose/dev/down

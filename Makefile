# Culvert's commands. `make demo` and `make test` are the two to know; `make` alone lists them all.
#
# Everything that compiles goes to one target folder outside the checkout, with one profile and over
# the whole workspace, so that demo and test share one compiled set of dependencies.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

export CARGO_TARGET_DIR ?= $(HOME)/.cache/culvert-target
export PATH := $(PATH):$(HOME)/.cargo/bin

culvert := $(CARGO_TARGET_DIR)/debug/culvert

# A release build takes RocksDB, which is compiled with optimisation in the dev profile as well,
# from there: it is by far the slowest part of a build. The newest one is the locked version's, as
# long as the dev profile was built since the version was raised.
rocksdb_version = $(shell sed -n '/^name = "librocksdb-sys"$$/{n;s/^version = "\(.*\)"$$/\1/p}' Cargo.lock)
rocksdb_library = $(shell ls -t $(CARGO_TARGET_DIR)/debug/build/librocksdb-sys-*/out/librocksdb.a 2>/dev/null | sed -n 1p)
rocksdb_headers = $(firstword $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/*/librocksdb-sys-$(rocksdb_version)/rocksdb/include))
rocksdb_ready = $(if $(and $(rocksdb_library),$(rocksdb_headers)),ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR=$(dir $(rocksdb_library)) ROCKSDB_INCLUDE_DIR=$(rocksdb_headers))

.PHONY: help demo demo-service test check bench docs soak churn kill-long crash-matrix setup packages fmt clippy build examples tidy unit

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

demo: packages build ## row changes of a private MariaDB arrive, tagged, in another table
	scripts/demo.sh $(culvert)

demo-service: packages build ## the service: a job through a new column and a kill -9, its page, what DingTalk is told
	scripts/demo-service.sh $(culvert) $(CARGO_TARGET_DIR)/demo-page.png

test: setup fmt clippy build examples ## everything: format, lints, examples, all tests on real servers
	cargo test --workspace --lib --bins --tests --no-fail-fast

check: packages fmt clippy tidy unit ## what to run before every commit; needs no server

bench: setup ## measures this machine and writes docs/benchmarks.md
	$(rocksdb_ready) cargo build --release --workspace --bin culvert --bin culvert-bench
	$(CARGO_TARGET_DIR)/release/culvert-bench

docs: packages build ## writes docs/options.md anew from the option definitions
	$(culvert) options > docs/options.md.new
	mv docs/options.md.new docs/options.md

kill-long: setup build ## kills the job 100 times (CULVERT_KILLS) in snapshot, hand-over and stream
	CULVERT_KILLS=$${CULVERT_KILLS:-100} cargo test --workspace --test main -- --nocapture kill

crash-matrix: setup build ## every fail point in every pair; writes docs/crash-matrix.md (CULVERT_TEST_SEED repeats)
	CULVERT_CRASH_MATRIX=1 cargo test --workspace --test main -- --nocapture crash::matrix

soak: setup build ## the service under random faults for CULVERT_SOAK_MINUTES (30), then every target compared with its source
	CULVERT_SOAK_MINUTES=$${CULVERT_SOAK_MINUTES:-30} cargo test --workspace --test main -- --nocapture service::soak

churn: setup build ## fifty jobs of one service, changed all the time for CULVERT_CHURN_MINUTES (60); prints its memory
	CULVERT_CHURN_MINUTES=$${CULVERT_CHURN_MINUTES:-60} cargo test --workspace --test main -- --nocapture service::churn

setup: ## installs what building and testing need, and nothing twice
	tests/servers/install.sh

packages: ## the Debian packages among it: enough to build, and for the demo
	tests/servers/install.sh packages

fmt: ## is the code formatted?
	cargo fmt --all --check

clippy: ## lints, warnings denied
	cargo clippy --workspace --all-targets -- -D warnings

build: ## the program
	cargo build --workspace --bin culvert

examples: build ## are the example jobs without problems?
	for file in examples/*.conf; do echo "check $$file"; $(culvert) check --strict -c "$$file"; done

tidy: ## edges between crates, sizes, words, paths in documents
	cargo test --workspace --test main -- tidy::

unit: ## unit tests
	cargo test --workspace --lib --bins

# Merit. `make` alone tells what there is to make; CMakePresets.json has the builds behind it.
.DEFAULT_GOAL := help
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
ARGS ?=
MERIT := build/release/merit

.PHONY: help build run run-llm test bench fuzz asan tsan format tidy clean install
help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Options: ARGS='--listen ...' for run, PREFIX=/usr/local for install, JOBS=$(JOBS)."

build: ## the release build: build/release/merit
	@scripts/deps build
	@scripts/build release

run: build ## build, fetch the default models once, then serve on 127.0.0.1:8780 over the demo pool
	@scripts/models $(MERIT)
	@exec $(MERIT) serve $(ARGS)

run-llm: build ## the same with a real small language model in the pool
	@scripts/deps llm
	@scripts/models $(MERIT)
	@scripts/llm serve $(ARGS)

test: ## unit, property and end-to-end tests
	@scripts/deps test
	@scripts/deps arm64 || echo "the tests for AArch64 will be skipped"
	@scripts/build dev
	@scripts/test dev

bench: build ## every benchmark; writes docs/benchmarks.md
	@scripts/deps bench
	@bench/all

bench-%: build ## one benchmark: proxy, sse, decide, body, idle, gemm, encoder, tokenizer, signals, loop-delay, lazy, check, lost, dispatch, ledger, sticky, pool
	@scripts/deps bench
	@bench/$*

fuzz: ## every fuzz target for TIME seconds (20)
	@scripts/deps test
	@scripts/build fuzz
	@scripts/fuzz $(or $(TIME),20)

asan: ## the tests under address and undefined-behaviour sanitizers
	@scripts/deps test
	@scripts/build asan
	@scripts/test asan

tsan: ## the threaded tests under the thread sanitizer
	@scripts/deps test
	@scripts/build tsan
	@scripts/test tsan

format: ## clang-format over the sources
	@scripts/format

tidy: ## clang-tidy over the sources
	@scripts/tidy

clean: ## remove build/
	rm -rf build

install: build ## merit, libmerit and merit.h under PREFIX
	cmake --install build/release --prefix $(PREFIX)

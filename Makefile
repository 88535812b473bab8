# The commands of this repository. `make run` and `make test` are the two that the README promises: each
# installs what is missing, builds the release preset, goes. CMake and Ninja do the building.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
NODE := node_modules/.bin/node
CTEST := ctest -j$(JOBS) --output-on-failure --no-tests=error --no-label-summary
PRESETS := dev release asan tsan fuzz

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what is missing: Debian 12 packages (as root) and the locked npm packages
	@tools/bootstrap.sh

$(PRESETS:%=build/%/build.ninja): build/%/build.ninja: | deps
	@mkdir -p build && cmake --preset $* >build/$*.log 2>&1 || { cat build/$*.log; exit 1; }

.PHONY: run
run: build/release/build.ninja ## run the quick start; ONCE=1 ends with the scenario's verdict
	@ninja -C build/release -j$(JOBS) --quiet zwinger
	@exec $(NODE) examples/quickstart/run.mjs $(if $(ONCE),--once) --zwinger build/release/src/zwinger

.PHONY: build
build: build/release/build.ninja ## build everything that make run and make test use
	@ninja -C build/release -j$(JOBS) --quiet

.PHONY: test
test: build ## build and run every test
	@$(CTEST) --test-dir build/release </dev/null

.PHONY: format
format: deps ## format the C++ sources in place
	@git ls-files -z --cached --others --exclude-standard -- 'src/*.cc' 'src/*.h' | xargs -0 clang-format-19 -i

.PHONY: tidy
tidy: build/release/build.ninja ## run clang-tidy on what differs from main
	@tools/tidy.sh

.PHONY: asan
asan: build/fuzz/build.ninja ## run every unit test with the address and undefined-behaviour sanitizers
	@ninja -C build/fuzz -j$(JOBS) --quiet
	@$(CTEST) --test-dir build/fuzz -L unit </dev/null

.PHONY: tsan
tsan: build/tsan/build.ninja ## run every unit test with the thread sanitizer
	@ninja -C build/tsan -j$(JOBS) --quiet
	@$(CTEST) --test-dir build/tsan -L unit </dev/null

.PHONY: fuzz
fuzz: build/fuzz/build.ninja ## run every fuzzer for FUZZ_SECONDS (60) from its corpus
	@ninja -C build/fuzz -j$(JOBS) --quiet
	@tools/fuzz.sh $(FUZZ_SECONDS)

.PHONY: bench
bench: build/release/build.ninja ## measure the gateway beside nginx; QUICK=1 for 20 s, BENCH= for other options
	@ninja -C build/release -j$(JOBS) --quiet zwinger zwinger_bench_gateway canned_upstream load commit
	@exec $(NODE) bench/gateway/run.mjs $(if $(QUICK),--quick) $(BENCH)

# The trees of fuzz and tsan have a zwinger of their own, so their whole ctest runs the end-to-end tests against it. The
# hundred kills of the crash test are for the release, where they are fast.
.PHONY: soak
soak: build/fuzz/build.ninja build/tsan/build.ninja ## run the full counts: every test, all with sanitizers too, 30 minutes a fuzzer
	@$(MAKE) test ZWINGER_SOAK=10
	@for preset in fuzz tsan; do \
	  ninja -C build/$$preset -j$(JOBS) --quiet && \
	  ZWINGER_SOAK=10 ZWINGER_CRASH_KILLS=10 $(CTEST) --test-dir build/$$preset -LE rules </dev/null || exit 1; \
	done
	@$(MAKE) fuzz FUZZ_SECONDS=1800

.PHONY: fresh
fresh: ## prove make run and make test on a minimal Debian 12 made for it (as root)
	@tools/fresh-debian.sh

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf build

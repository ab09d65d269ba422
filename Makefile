# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo` shows the main job, `make check` runs every test, `make bench` measures, `make` builds.

BUILD ?= build
EMULATOR := $(BUILD)/qemu-system-x86_64

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	./configure --build-dir=$(BUILD)

deps-build deps-demo deps-check deps-bench:
	@scripts/install-deps.sh $(@:deps-%=%)

demo: deps-demo
	@$(MAKE) --no-print-directory all
	@tests/e2e/demo --emulator $(EMULATOR)

check: deps-check
	@tests/run-checks

# One part of the checks: make check-unit, check-static, check-e2e...
check-%: deps-check
	@tests/run-checks $*

# Which lines of the network and control code the tests run, with a table.
coverage: deps-check
	@tests/run-checks coverage

# Targets of tests/fuzz, 60 s each: make fuzz ARGS="--seconds 3600 rings"
fuzz: deps-check
	./configure --build-dir=build-asan --cc=clang --enable-sanitizers --enable-fuzz --disable-docs
	ninja -C build-asan
	@tests/fuzz/run --build build-asan $(ARGS)

# The datapath beside the raw tap and Debian's QEMU: make bench ARGS="--rounds 3 --modes tx,rx --queues 1"
bench:
	@[ "$$(id -u)" = 0 ] || { echo "make bench needs root, for taps, BPF and a network namespace: sudo make bench" >&2; exit 1; }
	@$(MAKE) --no-print-directory deps-bench
	@$(MAKE) --no-print-directory all
	@tests/bench/bench --emulator $(EMULATOR) --tools $(BUILD)/tests/bench --out $(BUILD)/bench-results $(ARGS)

startup-bench: deps-demo all
	@tests/e2e/startup-bench --emulator $(EMULATOR)

# The manual for the browser, and the man pages.
docs: deps-check
	./configure --build-dir=$(BUILD) --enable-docs
	ninja -C $(BUILD) docs/html docs/qemu-system-x86_64.1
	@echo "the manual: $(BUILD)/docs/html/index.html"

# A Debian package in build-deb/.
deb: deps-check
	@scripts/make-deb

install: all
	ninja -C $(BUILD) install

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD) build-*

.PHONY: all demo check fuzz coverage docs deb install format clean bench startup-bench \
	deps-build deps-demo deps-check deps-bench

# SPDX-License-Identifier: MIT
# The project's entrances. meson does the building; this makes a fresh Debian machine ready for it.
BUILD ?= build

.PHONY: demo check check-virgl build setup setup-test

demo: setup build
	@demo/run $(BUILD)

check: setup-test build
	@tests/run $(BUILD)

check-virgl: setup-test build
	@tests/run $(BUILD) virgl

setup:
	@lab/host-setup

setup-test:
	@lab/host-setup test

build:
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) --werror >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@echo "== building"
	@ninja -C $(BUILD) --quiet

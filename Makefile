# SPDX-License-Identifier: MIT
# The project's entrances. meson does the building; this makes a fresh Debian machine ready for it.
BUILD ?= build

.PHONY: demo check build clean

demo: build
	@demo/run $(BUILD)

check: build
	@tests/run $(BUILD)

build:
	@lab/host-setup
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) --werror >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@echo "== building"
	@ninja -C $(BUILD) --quiet

clean:
	rm -rf $(BUILD)/meson-* && ninja -C $(BUILD) clean

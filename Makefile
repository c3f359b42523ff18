# SPDX-License-Identifier: MIT
# The project's entrances. meson does the building; this makes a fresh Debian machine ready for it.
# BUILD names the build folder, LAB (default: lab in BUILD) the one for a Debian root; both may lie anywhere.
BUILD ?= build
export BUILD

.PHONY: demo check check-virgl build setup setup-test

demo: setup build
	@demo/run "$$BUILD"

check: setup-test
	@tests/run "$$BUILD"

check-virgl: setup-test
	@tests/run "$$BUILD" virgl

setup:
	@lab/host-setup

setup-test:
	@lab/host-setup test

build:
	@[ -e "$$BUILD/build.ninja" ] || log=$$(meson setup "$$BUILD" --werror 2>&1) || { echo "$$log"; exit 1; }
	@echo "== building"
	@ninja -C "$$BUILD" --quiet

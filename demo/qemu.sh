# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# qemu_lines FILE: what QEMU said, but for its usual line for each blob that is mapped, which does no harm (docs/failures.md)
qemu_lines() {
    grep -v 'vhost_set_mem_table failed: Input/output error (5)' "$1" || true
}

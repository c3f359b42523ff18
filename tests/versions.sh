# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # what tests/support.sh sets
# Sourced after tests/support.sh and tests/ops.sh by those who let the lab's ggml (0.27, plugin API 3) and the one that
# tests/fetch-ggml fetches (0.25.1, API 2) be guest and host of each other.
#   OLD      the folder with the older one        OLD_CPU  its CPU library, the same kind as the host's own

OLD=$BUILD/ggml-api2
OLD_CPU=$OLD/$(basename "$(cpu_library)")
[ -e "$OLD_CPU" ] || OLD_CPU=$OLD/libggml-cpu-x64.so

# known_failure CASE: why the older CPU library fails it, natively too; false when there is no reason to. What it can't, it
# should say when it is asked; where it ends its process instead, the guest's program has lost its device.
known_failure() {
    case $1 in
    CLAMP\(*,v=1\)) echo "0.25.1's CLAMP takes the rows of a view in more than two dimensions to lie evenly" ;;
    SWIGLU_OAI\(type=f16,*) echo "0.25.1 says that it has SWIGLU_OAI for F16, and ends its process" ;;
    SCALE\(type=bf16,*) echo "0.25.1 says that it scales BF16, and ends its process" ;;
    *\(type=bf16,ne_a=*) echo "0.25.1 says that it has unary and gated operations for BF16, and ends its process" ;;
    *) return 1 ;;
    esac
}

# old_host_ops OUT ARGUMENT…: the lab's test-backend-ops on VirtGPU0, for which the older CPU library computes; $OUT and
# $OUT.table get what came of it
old_host_ops() {
    local out=$1
    shift
    "$CLI" run -o ggml.threads=1 --ggml "$OLD_CPU" -- "$TEST_OPS" test -b VirtGPU0 "$@" >"$out" 2>&1 || true
    ops_table <"$out" >"$out.table"
}

# failures_known TABLE: tells each case that failed, with the reason; false when one has none
failures_known() {
    local line why all=0
    while read -r line; do
        why=$(known_failure "${line#failed }") || { why='FAILED: no reason is known' && all=1; }
        echo "  ${line#failed }: $why"
    done < <(grep '^failed ' "$1")
    return $all
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# llama.cpp in a stock guest on VirtGPU0, over vhost-user: results, the test list, several programs, and what waiting costs.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh vm-compute "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/ops.sh
. tests/ops.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/cases.sh
. tests/vm/cases.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh
# shellcheck source-path=SCRIPTDIR/../.. source=demo/qemu.sh
. demo/qemu.sh

text=$(native_text 48)
vm_serve gpu
# shellcheck disable=SC2046 # several words
vm_boot $(device gpu)

device_found() {
    guest "llama-bench --list-devices"
    cat "$job.out"
    must_have "$job.out" "  VirtGPU0: ggml-virtgpu: "
    # This QEMU's words are those that the demo leaves out.
    ! qemu_lines "$WORK/boot.log" | grep vhost_set_mem_table || fail "the demo would show these"
}
# What it prints would go to the device.
nothing_open() {
    guest "$BUILD/check/bin/probe /tmp/probe <&- >&- 2>&-; cat /tmp/probe"
    cat "$job.out"
    must_have "$job.out" "  VirtGPU0"
    grep -qE '^descriptor [0-9]+: /dev/dri/renderD' "$job.out" || fail "the render node isn't open"
    ! grep -E '^descriptor [012]:' "$job.out" || fail "stdin, stdout or stderr is something now"
}
bench() {
    bench_in_guest
    computed_in "$WORK/gpu.log"
}
over_vhost_user() {
    list_in_guest "$1"
    must_have "$job.err" "(over virtio-gpu, capset 10, "
}
# All cases in one run, since a program takes long to start there: the native tables say which.
ops_run() {
    local op least params cases
    : >"$WORK/ops.reference"
    while read -r op least params; do
        cat "$(ops_reference CPU "$op" "$params")" >>"$WORK/ops.reference"
    done <<<"$sample"
    cases=$(cut -d' ' -f2- "$WORK/ops.reference" | sort -u | paste -sd,)
    guest "$TEST_OPS test -b VirtGPU0 -o '$cases' 2>&1"
    ops_table <"$job.out" >"$WORK/ops.table"
    LC_ALL=C sort "$WORK/ops.reference" >"$WORK/ops.sorted"
    ops_same "$WORK/ops.sorted" "$WORK/ops.table" "$job.out" 300
}
ops_of() {
    [ -s "$WORK/ops.table" ] || fail "there are no results"
    grep "^[a-z]* $1(" "$WORK/ops.sorted" >"$WORK/$1.reference"
    grep "^[a-z]* $1(" "$WORK/ops.table" >"$WORK/$1.table" || fail "there is no result"
    diff "$WORK/$1.reference" "$WORK/$1.table"
    [ "$(ops_count ok "$WORK/$1.table")" -ge "$2" ] || fail "$(ops_count ok "$WORK/$1.table") passed, at least $2 were expected"
    note "$(ops_count ok "$WORK/$1.table") passed, $(ops_count unsupported "$WORK/$1.table") not supported"
}
# llama.cpp's own guest makes buffers of blobs and frees none: QEMU maps so many at a time, then it gets an error, and goes on.
# What it had is there again for the next one.
original_fills_the_window() {
    local n
    guest "$BUILD/check/bin/original /dev/dri/renderD128 10 10000"
    n=$(sed -n 's/^original: \([0-9]*\) buffers; right$/\1/p' "$job.out")
    [ "${n:-0}" -ge 400 ] || { cat "$job.out" "$job.err"; fail "${n:-no} buffers"; }
    note "$n buffers"
    must_have "$job.err" "original: mmap: "
    guest "$BUILD/check/bin/original /dev/dri/renderD128 10 3"
    must_have "$job.out" "original: 3 buffers; right"
    ! has "$WORK/gpu.log" "the context is lost" || fail "a context was lost"
}

check "a stock guest finds the device" device_found
check "started with stdin, stdout and stderr closed, a program has nothing of the plugin's there" nothing_open
check "llama-bench in the guest" bench
check "the greedy text of 48 tokens in the guest is the native one" same_text
for protocol in "${PROTOCOLS[@]}"; do
    check "the list over vhost-user, protocol $protocol" over_vhost_user "$protocol"
done
check "two programs in one guest at once" two_at_once
check_timed "waiting for a graph of 250 ms costs the guest at most 10 % CPU" waiting
types='(f32|f16|q4_0|q8_0)'
sample="MUL_MAT 40 type_a=$types,type_b=f32,m=16,n=[1-9],k=256,bs=\[[12],1\]
ROPE 40 ne_a=\[64,
SOFT_MAX 40 ne=\[16,(2|16),
FLASH_ATTN_EXT 20 hsk=64,.*nr23=\[1,1\],kv=113,nb=[13],.*type_K=(f16|q8_0)
GET_ROWS 10 type=(f32|f16|q4_0|q8_0),n=256,m=5,r=4,be1=1,be2=1,v=[01],vs0=[01],offset
SET_ROWS 40 type_dst=(f32|f16|q8_0),type_idx=i64,ne=\[[0-9]*,[35],1,
CPY 10 type_src=$types,type_dst=$types,ne_src=\[256,2,3,4\]
ADD 20 ne=\[10,5,[14],[13]\],
RMS_NORM 20
SWIGLU 10 type=f32
REGLU 10 type=f32
GEGLU 10 type=f32"
check "test-backend-ops in the guest as natively" ops_run
while read -r op least _; do
    check "$op in the guest as natively" ops_of "$op" "$least"
done <<<"$sample"
check "llama.cpp's own guest fills the window with buffers that it doesn't free, and goes on" original_fills_the_window
checks_end

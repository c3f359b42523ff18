#!/bin/bash
# SPDX-License-Identifier: MIT
# llama.cpp over the socket, on the CPU library and on Vulkan's: the same text, the same results, several at once.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh compute "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/ops.sh
. tests/ops.sh

PLUGIN=$BUILD/guest/libggml-virtgpu.so
text=$(native_text 48)
[ -s "$text" ] || { echo "Bail out! no native text"; exit 1; }

same_text() {
    tests/complete "$MODEL" none 48 >"$WORK/native.txt"
    cmp "$text" "$WORK/native.txt" || fail "natively it isn't the same twice"
    "$CLI" run -o ggml.threads=1 -- tests/complete "$MODEL" VirtGPU0 48 >"$WORK/virtgpu.txt" 2>"$WORK/virtgpu.log"
    grep -qE ' [1-9][0-9]* graphs computed' "$WORK/virtgpu.log" || fail "the host computed nothing"
    cmp "$text" "$WORK/virtgpu.txt"
}

# llama-bench as rows of two speeds, which must be there
bench() {
    local out=$WORK/bench.$1.json
    shift
    "$@" llama-bench -m "$MODEL" -t 1 -p 32 -n 8 -r 1 -ngl 99 -dev VirtGPU0 -o jsonl >"$out" 2>"$out.log" || {
        tail "$out.log"
        fail "llama-bench ended with $?"
    }
    [ "$(grep -cE '"avg_ts": [0-9.]*[1-9]' "$out")" = 2 ] || fail "no two speeds in $out"
    note "$(sed -nE 's/.*"n_prompt": ([0-9]+), "n_gen": ([0-9]+),.*"avg_ts": ([0-9.]+).*/\1 + \2 tokens: \3 per second/p' "$out" | paste -sd';')"
}

two_at_once() {
    local a b
    serve_start two --socket "$WORK/two.sock" -o ggml.threads=1
    export GGML_VIRTGPU_SOCKET=$WORK/two.sock GGML_BACKEND_PATH=$PLUGIN
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/two.a" 2>"$WORK/two.a.log" &
    a=$!
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/two.b" 2>"$WORK/two.b.log" &
    b=$!
    wait $a
    wait $b
    cmp "$text" "$WORK/two.a"
    cmp "$text" "$WORK/two.b"
    [ "$(grep -cE ' [1-9][0-9]* graphs computed' "$WORK/two.log")" = 2 ] || fail "not two programs that computed"
}

plugin_twice() {
    mkdir "$WORK/twice"
    cp "$PLUGIN" "$WORK/twice"
    cd "$WORK/twice"
    "$CLI" run -- llama-bench --list-devices >"$WORK/twice.out" 2>&1
    has "$WORK/twice.out" "backend from $WORK/twice/libggml-virtgpu.so" || { cat "$WORK/twice.out"; fail "the copy in the folder wasn't loaded"; }
    has "$WORK/twice.out" "guest/libggml-virtgpu.so" || fail "the one of GGML_BACKEND_PATH wasn't loaded"
    [ "$(grep -c '^ *VirtGPU[0-9]*:' "$WORK/twice.out")" = 1 ] || { cat "$WORK/twice.out"; fail "not one device"; }
}

VULKAN=$(echo /usr/lib/*/ggml/backends0/libggml-vulkan.so)
# The Vulkan library is for the host only: the guest program must not see the device itself.
with_vulkan() {
    GGML_VK_VISIBLE_DEVICES=0 "$CLI" run --ggml "$VULKAN" -- env -u GGML_VK_VISIBLE_DEVICES "$@"
}
vulkan_bench() {
    bench vulkan with_vulkan
    has "$WORK/bench.vulkan.json.log" "graphs computed" || fail "the host computed nothing"
    grep -q '"gpu_info": "[^"]*llvmpipe' "$WORK/bench.vulkan.json" || fail "it isn't Vulkan's device"
}
vulkan_ops() {
    local op=$1 params=$3 out=$WORK/vulkan-$1 reference
    export GGML_VK_VISIBLE_DEVICES=0
    reference=$(ops_reference Vulkan0 "$op" "$params")
    with_vulkan "$TEST_OPS" test -b VirtGPU0 -o "$op" ${params:+-p "$params"} >"$out" 2>&1
    ops_table <"$out" >"$out.table"
    ops_same "$reference" "$out.table" "$out" "$2"
}

check "the greedy text of 48 tokens over the socket is the native one" same_text
check "llama-bench over the socket" bench cpu "$CLI" run --
check "two programs at once over one socket" two_at_once
check "a plugin that is loaded from two places gives one device" plugin_twice
check "llama-bench with Vulkan (software) on the host" vulkan_bench
check "ADD with Vulkan on the host as natively" vulkan_ops ADD 10 'ne=\[10,5,4,[13]\]'
check "MUL_MAT with Vulkan on the host as natively" vulkan_ops MUL_MAT 4 'type_a=(f32|q4_0),.*m=16,n=[18],k=256,bs=\[1,1\],nr=\[1,1\]'
check "ROPE with Vulkan on the host as natively" vulkan_ops ROPE 20 'ne_a=\[64,'
checks_end

#!/bin/bash
# SPDX-License-Identifier: MIT
# Model architectures of llama.cpp's own test on VirtGPU0, over the socket, beside the same on the CPU that computes for it:
# a sample of those whose graphs ggml's scheduler splits in ways of their own. tests/lab/all-archs has them all.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh archs "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/archs.sh
. tests/archs.sh

sample() {
    archs_run "$WORK/cpu.out" "$TEST_ARCHS" -s 1 -b CPU -a "$1"
    archs_run "$WORK/virtgpu.out" "$CLI" run -o ggml.threads=1 -- "$TEST_ARCHS" -s 1 -b VirtGPU0 -a "$1"
    archs_table '' <"$WORK/cpu.out" >"$WORK/cpu"
    archs_table 'ggml-virtgpu: ' <"$WORK/virtgpu.out" >"$WORK/virtgpu"
    archs_same "$WORK/cpu" "$WORK/virtgpu" "$2"
}

# Node by node, as a scheduler that is told so splits it.
split_node_by_node() {
    "$CLI" run -o ggml.threads=1 -- "$BUILD/check/bin/split" VirtGPU0 >"$WORK/split.out" 2>&1 || { tail -n 8 "$WORK/split.out"; fail "not the same"; }
    [ "$(grep -c ' numbers, NMSE ' "$WORK/split.out")" = 7 ] || fail "not all of them"
}

# A cache whose stride passes 32 bits: an error that the program handles, before any memory is used.
context_too_long() {
    local status=0
    "$LAB/bin/mkmodel" "$WORK/wide.gguf" --layers 1 --embd 2048 --heads 16 --ff 256 --vocab 512 >/dev/null
    "$CLI" run -o ggml.threads=1 -- llama-completion -m "$WORK/wide.gguf" -t 1 -ngl 99 -dev VirtGPU0 -c 2200000 -np 2 \
        -ctv q4_0 -p x -n 2 --no-warmup -no-cnv >"$WORK/long.out" 2>&1 || status=$?
    [ "$status" = 1 ] || { tail -n 5 "$WORK/long.out"; fail "it ended with status $status"; }
    must_have "$WORK/long.out" "alloc_buffer: no memory for tensor 'cache_k_l0', 2048 x 1100032 x 2 x 1: a dimension or stride"
}

in_host_buffers() {
    # All of it: VirtGPU0 has nothing to compute then.
    "$CLI" run -o ggml.threads=1 -- "$PLACED" "$MODELS/llama-dense.gguf" VirtGPU0 --read --layers 0 >"$WORK/read.out" 2>&1 || { tail -n 8 "$WORK/read.out"; fail "not the same"; }
    placed "$MODELS/llama-dense.gguf" --read --layers 1 --sequences 2
    placed "$MODELS/mamba-dense.gguf" --read --layers 1
}

MODELS=$WORK/models
check "mamba, t5, gemma3n, jamba and llama on VirtGPU0 as on the CPU" sample '^(mamba|t5|gemma3n|jamba|llama)$' 6
models_make '^(llama|mamba)$' "$MODELS"
check "llama with its attention's weights on the CPU" placed "$MODELS/llama-dense.gguf" attn=CPU
check "llama with its first layer on the CPU" placed "$MODELS/llama-dense.gguf" blk.0=CPU
check "llama and mamba, read and not mapped, with the weights that stay on the CPU in host buffers" in_host_buffers
check "llama of two sequences without KV offload" placed "$MODELS/llama-dense.gguf" --nkvo --sequences 2
check "mamba without KV offload" placed "$MODELS/mamba-dense.gguf" --nkvo
check "a network of an image model, split node by node over the CPU and VirtGPU0" split_node_by_node
check "a context too long for the protocol is an error with a line that says why" context_too_long
checks_end

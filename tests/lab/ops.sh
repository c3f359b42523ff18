#!/bin/bash
# SPDX-License-Identifier: MIT
# llama.cpp's operation tests on VirtGPU0 over the socket: the same cases pass, and the same ones aren't supported, as
# on the CPU backend that computes for it.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh ops "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/ops.sh
. tests/ops.sh

# one OP AT_LEAST PARAMS
one() {
    local reference out=$WORK/$1.out
    reference=$(ops_reference CPU "$1" "$3")
    "$CLI" run -- "$TEST_OPS" test -b VirtGPU0 -o "$1" ${3:+-p "$3"} >"$out" 2>&1 || status=$?
    ops_table <"$out" >"$WORK/$1.table"
    ops_same "$reference" "$WORK/$1.table" "$out" "$2"
    [ "${status:-0}" = 0 ] || fail "test-backend-ops ended with $status"
}

# The types without those whose tables take half a minute to set up.
types='(f32|f16|bf16|q4_0|q4_1|q5_0|q5_1|q8_0|mxfp4|q2_K|q3_K|q4_K|q5_K|q6_K|iq4_nl)'
while read -r op least params; do
    check "$op on VirtGPU0 as on the CPU" one "$op" "$least" "$params"
done <<OPS
ADD 70 ne=\[(10|16),.*nf=[12],
GET_ROWS 40 type=(f32|f16|bf16|q4_0|q8_0|i32),n=(1|256),m=(5|8|80),r=[0-9]*,be1=[0-9],
SET_ROWS 500
ROPE 70 ne_a=\[64,
SOFT_MAX 100 ne=\[(16|15|1023),
RMS_NORM 50
NORM 50
CPY 60 type_src=$types,type_dst=$types,ne_src=\[256,2,3,4\]
CONCAT 10 type=f32.*dim=[01]
ARGSORT 5 ne=\[(8|16|60|1023),
SWIGLU 30
REGLU 30
GEGLU 30
SILU 10
GELU 10
MUL_MAT 200 type_a=$types,.*m=16,n=[0-9]*,k=256,
MUL_MAT_ID 5 type_a=$types,.*m=(16|32|50|64),
FLASH_ATTN_EXT 200 hsk=64,.*nr23=\[1,1\],kv=113,
SSM_CONV 10
SOFT_MAX_BACK 10
OPS
checks_end

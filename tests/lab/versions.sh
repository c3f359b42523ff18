#!/bin/bash
# SPDX-License-Identifier: MIT
# Guest and host with different versions of ggml, which have different plugin APIs: the same text, and the same
# operations but for those that the older CPU library fails by itself. All of them: tests/lab/all-versions.
[ -e /etc/ggml-virtgpu-lab ] || {
    (cd "$(dirname "$0")/../.." && tests/fetch-ggml "${1:-build}/ggml-api2") || {
        echo "ok 1 - versions # SKIP there is no older ggml"
        echo 1..1
        exit 0
    }
    exec "$(dirname "$0")/../enter" "$0" "$@"
}
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh versions "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/ops.sh
. tests/ops.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/versions.sh
. tests/versions.sh

text=$(native_text 48)

# told LOG GUEST HOST: the line that a device is found with names both versions
told() {
    grep -qE ", ggml $2[.0-9]* here and $3[.0-9]* on the host\)" "$1" || { grep virtgpu: "$1"; fail "the versions aren't told"; }
    grep -qE ' [1-9][0-9]* graphs computed' "$1" || fail "the host computed nothing"
}
newer_guest() {
    "$CLI" run -o ggml.threads=1 --ggml "$OLD_CPU" -- tests/complete "$MODEL" VirtGPU0 48 >"$WORK/newer.txt" 2>"$WORK/newer.log"
    told "$WORK/newer.log" 0.27 0.25
    cmp "$text" "$WORK/newer.txt"
}
# The lab's llama.h declares what the older libllama has, and more at the ends of its structs.
older_guest() {
    gcc -O2 -o "$WORK/complete" tests/complete.c -L"$OLD" -l:libllama.v0.5.0.so -l:libggml.v0.5.0.so -l:libggml-base.so \
        -Wl,-rpath,"$OLD",--allow-shlib-undefined
    cd "$OLD" # where it looks for its CPU library
    "$WORK/complete" "$MODEL" none 48 >"$WORK/native.txt" 2>"$WORK/native.log"
    cmp "$text" "$WORK/native.txt" || fail "natively the older one has another text"
    "$CLI" run -o ggml.threads=1 -- "$WORK/complete" "$MODEL" VirtGPU0 48 >"$WORK/older.txt" 2>"$WORK/older.log"
    told "$WORK/older.log" 0.25 0.27
    cmp "$text" "$WORK/older.txt"
}
operations() {
    local out=$WORK/ops
    old_host_ops "$out" -o 'CLAMP,RMS_NORM,CONCAT,REGLU,GEGLU,SILU,GELU,MUL_MAT' \
        -p '^(?!.*bf16).*(ne_a=\[128,|ne=\[(10|64),|ne_a=\[11,12,13,14\]|type_a=(f16|q4_0|q8_0),type_b=f32,m=16,n=[1-9],k=256,bs=\[1,1\])'
    grep -q 'tests passed' "$out" || { tail -n 10 "$out"; fail "test-backend-ops came to no end"; }
    failures_known "$out.table" || fail "not all that failed is known"
    [ "$(ops_count ok "$out.table")" -ge 90 ] || fail "$(ops_count ok "$out.table") passed, at least 90 were expected"
    note "$(ops_count ok "$out.table") passed, $(ops_count unsupported "$out.table") not supported, $(ops_count failed "$out.table") failed as they do natively: $(sed -n 's/^failed //p' "$out.table" | paste -sd';')"
}

check "a guest with 0.27 on a host with 0.25: both are told, the native text" newer_guest
check "a guest with 0.25 on a host with 0.27: both are told, the native text" older_guest
check "operations of a guest with 0.27 on a host with 0.25: only what 0.25 fails natively fails" operations
checks_end

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by those who run llama.cpp's test-llama-archs: small models of every architecture that llama.cpp knows, with random
# weights. Its output as tables, one line "ARCHITECTURE CONFIG LOGITS ROUNDTRIP BATCH" a model, the last three each one of
# OK, SKIP, FAIL.

TEST_ARCHS=$(echo /usr/libexec/*/llama.cpp-tests/test-llama-archs)
PLACED=$BUILD/check/bin/placed

# archs_table DEVICE: from test-llama-archs' output, the rows of devices whose description begins so
archs_table() {
    sed 's/\x1b\[[0-9;]*m//g' | awk -F'|' -v device="$1" '
        NF == 8 { gsub(/^ +/, "", $3) }
        NF == 8 && $2 !~ /Model arch|---/ && index($3, device) == 1 {
            for (i = 2; i < 8; i++) split($i, words, " ") && $i = words[1]
            print $2, $4, $5, $6, $7
        }' | LC_ALL=C sort
}

# archs_run OUT CMD…: test-llama-archs by a command, its output in OUT. It ends without waiting for the thread that writes
# its output, and so loses the last lines now and then, natively too: then it is run again.
archs_run() {
    local out=$1 status=0 i
    shift
    for ((i = 0; i < 10; i++)); do
        "$@" >"$out" 2>"$out.err" || status=$?
        [ "$status" = 0 ] || { tail -n 3 "$out" "$out.err"; fail "test-llama-archs ended with status $status"; }
        ! has "$out" "Summary: all " || return 0
    done
    fail "test-llama-archs never came to its end"
}

# archs_same NATIVE TABLE AT_LEAST: the tables agree, nothing failed, and so many models were computed
archs_same() {
    ! grep FAIL "$2" || fail "models failed"
    [ "$(grep -c ' OK ' "$2")" -ge "$3" ] || fail "$(grep -c ' OK ' "$2") models were computed, at least $3 were expected"
    diff "$1" "$2" | head -n 20
    cmp -s "$1" "$2" || fail "the results differ from the native ones"
    note "$(wc -l <"$2") models: $(cut -d' ' -f3 "$2" | sort | uniq -c | awk '{ print $2, $1 }' | paste -sd,) natively and there"
}

# models_make ARCHITECTURES FOLDER: the models as files NAME-dense.gguf or NAME-moe.gguf
models_make() {
    mkdir -p "$2"
    "$TEST_ARCHS" -s 1 -a "$1" -o "$2" >"$2/log" 2>&1 || { tail -n 3 "$2/log"; fail "the models can't be made"; }
}

# placed MODEL [OPTION…]: its logits, with parts of it placed on the CPU, are the CPU's
placed() {
    local out=$WORK/placed.out status=0
    "$CLI" run -o ggml.threads=1 -- "$PLACED" "$1" VirtGPU0 "${@:2}" >"$out" 2>&1 || status=$?
    [ "$status" != 77 ] || skip "it doesn't generate"
    [ "$status" = 0 ] || { tail -n 8 "$out"; fail "${1##*/} ${*:2}: status $status"; }
    grep -qE ' [1-9][0-9]* graphs computed' "$out" || fail "the host computed nothing"
    note "$(grep ' logits, ' "$out")"
}

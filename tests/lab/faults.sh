#!/bin/bash
# SPDX-License-Identifier: MIT
# What dies over the socket, and who survives it.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh faults "${1:-build}"

text=$(native_text 48)

# ends_after WHO: while a program generates, the process that WHO names in the server's log is killed; the
# program ends with an error status, and the server serves the next one.
ends_after() {
    serve_start "$1" --socket "$WORK/$1.sock" -o ggml.threads=1
    export GGML_VIRTGPU_SOCKET=$WORK/$1.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so
    tests/complete "$MODEL" VirtGPU0 3900 >"$WORK/$1.txt" 2>"$WORK/$1.err" </dev/null &
    local program=$!
    case_pids+=("$program")
    within 30 test -s "$WORK/$1.txt" || fail "no text came"
    loses "$("$1" "$WORK/$1.log")" "$WORK/$1.err" ended "$program"
    is_gone "$serve" && fail "serve is gone too"
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/$1.next" 2>"$WORK/$1.next.err"
    cmp "$text" "$WORK/$1.next"
}
# One program's loss is not the other's.
other_goes_on() {
    serve_start other --socket "$WORK/other.sock" -o ggml.threads=1
    export GGML_VIRTGPU_SOCKET=$WORK/other.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so
    tests/complete "$MODEL" VirtGPU0 400 >"$WORK/other.a" 2>"$WORK/other.a.err" </dev/null &
    local a=$! b victim
    case_pids+=("$a")
    within 30 test -s "$WORK/other.a" || fail "no text came from the first"
    tests/complete "$MODEL" VirtGPU0 3900 >"$WORK/other.b" 2>"$WORK/other.b.err" </dev/null &
    b=$!
    case_pids+=("$b")
    within 30 test -s "$WORK/other.b" || fail "no text came from the second"
    is_gone $a && fail "the first was done too early to tell"
    victim=$(worker_of "$WORK/other.log")
    kill -KILL "$victim"
    ended $b 20
    [ "$status" != 0 ] || fail "the one whose worker died doesn't tell"
    ended $a 120
    [ "$status" = 0 ] || fail "the other one ended with $status"
    head -c "$(stat -c %s "$WORK/other.a")" "$(native_text 400)" | cmp - "$WORK/other.a"
}

# interrupt AFTER FILE: a program is sent SIGINT after so many ms. Its handler asks for the device's memory, often while its
# thread is within a call. llama.cpp's own log is off: in a handler it can hang by itself, also natively.
interrupt() {
    env --default-signal=INT llama-completion -m "$MODEL" -dev VirtGPU0 -ngl 99 -n 3000 -c 4096 --ignore-eos -p "1 2 3" \
        -no-cnv -s 1 -t 1 --no-warmup --log-disable >"$2" 2>&1 </dev/null &
    local program=$! status=0
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
    kill -INT "$program"
    within 20 is_gone "$program" || kill -KILL "$program"
    wait "$program" || status=$?
    echo "after $1 ms: $status" >>"$2"
    [ "$status" = 130 ]
}
# Two at a time, from the program's start until long after its first token.
interrupted() {
    serve_start interrupted --socket "$WORK/int.sock" -o ggml.threads=1
    export GGML_VIRTGPU_SOCKET=$WORK/int.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so
    local i n pid pids failed=0
    for ((i = 0; i < 50; i += 2)); do
        pids=()
        for n in $i $((i + 1)); do
            interrupt $((100 + n * 25 + RANDOM % 100)) "$WORK/int.$n" &
            pids+=($!)
        done
        for pid in "${pids[@]}"; do
            wait "$pid" || failed=$((failed + 1))
        done
    done
    [ "$failed" = 0 ] || tail -qn 1 "$WORK"/int.[0-9]*
    [ "$failed" -le 1 ] || fail "$failed of 50 hang"
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/int.next" 2>"$WORK/int.next.err"
    cmp "$text" "$WORK/int.next"
}

check "the worker killed in mid-generation: an error within 5 s, and the next program runs" ends_after worker_of
check "the door killed in mid-generation: an error within 5 s, and the next program runs" ends_after door_of
check "a program whose neighbour's worker is killed goes on" other_goes_on
check "SIGINT at 50 random moments ends llama-completion" interrupted
checks_end

# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # what tests/vm/vm.sh and who sources this set
# Sourced after tests/vm/vm.sh: cases that are the same behind every door that has a virtio-gpu device. `text` is the native
# text of 48 tokens.

# bench_in_guest: llama-bench gives two speeds
bench_in_guest() {
    guest "llama-bench -m $MODEL -t 1 -p 32 -n 8 -r 1 -ngl 99 -dev VirtGPU0 -o jsonl"
    [ "$(grep -cE '"avg_ts": [0-9.]*[1-9]' "$job.out")" = 2 ] || { cat "$job.out"; fail "no two speeds"; }
    note "$(sed -nE 's/.*"n_prompt": ([0-9]+), "n_gen": ([0-9]+),.*"avg_ts": ([0-9.]+).*/\1 + \2 tokens: \3 per second/p' "$job.out" | paste -sd';')"
}
# computed_in LOG: the backend counted graphs there
computed_in() {
    counted_log=$1
    # shellcheck disable=SC2317
    counted() { grep -qE ' [1-9][0-9]* graphs computed' "$counted_log"; }
    within 10 counted || fail "the host computed nothing"
}
same_text() {
    guest "tests/complete $MODEL VirtGPU0 48"
    cmp "$text" "$job.out"
}
two_at_once() {
    local a
    guest_start "tests/complete $MODEL VirtGPU0 48"
    a=$job
    guest_start "tests/complete $MODEL VirtGPU0 48"
    guest_ended
    [ "$status" = 0 ] || fail "one ended with $status"
    cmp "$text" "$job.out"
    job=$a
    guest_ended
    [ "$status" = 0 ] || fail "the other ended with $status"
    cmp "$text" "$job.out"
}
waiting() {
    guest "$BUILD/check/bin/wait VirtGPU0 250"
    cat "$job.out"
    note "$(<"$job.out")"
    awk '$2 >= 200 && $4 <= 10 && $4 > 0 { ok = 1 } END { exit !ok }' "$job.out" || fail "it must be at most 10 % of a graph of 200 ms or more"
}
# resets_survived DELAY…: see tests/vm/reset. QEMU 11.1 can crash when a guest resets its device: that is told apart.
resets_survived() {
    guest_start "tests/vm/reset $*"
    # shellcheck disable=SC2317
    reset_done() { [ -e "$job.status" ] || is_gone "$boot"; }
    within 290 reset_done || { cat "$job.out"; fail "the guest's command doesn't end"; }
    [ -e "$job.status" ] || { cat "$WORK/boot.log"; fail "QEMU ended itself, not the program: docs/failures.md"; }
    cat "$job.out"
    note "$(sed -nE 's/^after ([0-9.]+) s: ended with ([0-9]+);.*/\2 after \1 s/p' "$job.out" | paste -sd,)"
    [ "$(<"$job.status")" = 0 ] || fail "not an error status"
    [ "$(grep -c '^after' "$job.out")" = $# ] || fail "not $# resets"
    same_text
}
# pids_of LOG WHO…: the processes that worker_of and door_of name in the log
pids_of() {
    local who log=$1
    shift
    for who; do "$who" "$WORK/$log"; done
}
# stands_still SECONDS LOG WHO…: LOG lies in $WORK; those processes stand still for so long while a program generates, and it goes on
stands_still() {
    local pids seconds=$1
    shift
    guest_start "tests/complete $MODEL VirtGPU0 200"
    within 120 test -s "$job.out" || { cat "$job.err"; fail "no text came"; }
    pids=$(pids_of "$@")
    [ -n "$pids" ] || fail "the log doesn't name the processes"
    [ ! -e "$job.status" ] || fail "the program was done too early to tell"
    # shellcheck disable=SC2086 # several pids
    kill -STOP $pids
    sleep "$seconds"
    # shellcheck disable=SC2086
    kill -CONT $pids
    guest_ended
    [ "$status" = 0 ] || { cat "$job.err"; fail "the program ended with $status"; }
    cmp "$(native_text 200)" "$job.out"
    must_have "$job.err" "the host has not answered for 3 s; waiting up to 60 s"
}
# stands_still_for_good LOG WHO…: until the program has lost its patience of 4 s
stands_still_for_good() {
    local pids start took
    guest_start "GGML_VIRTGPU_PATIENCE=4 tests/complete $MODEL VirtGPU0 3900"
    # Not with the first word, when blobs are still made: QEMU waits for the door while it takes a blob's map from it, and the whole
    # VM with it.
    # shellcheck disable=SC2317
    under_way() { [ "$(stat -c %s "$job.out" 2>/dev/null || echo 0)" -gt 100 ]; }
    within 120 under_way || { cat "$job.err"; fail "no text came"; }
    pids=$(pids_of "$@")
    [ -n "$pids" ] || fail "the log doesn't name the processes"
    start=$(now)
    # shellcheck disable=SC2086 # several pids
    kill -STOP $pids
    guest_ended 60
    took=$(($(now) - start))
    # shellcheck disable=SC2086
    kill -CONT $pids
    note "ended with status $status after $took ms"
    [ "$status" != 0 ] || fail "the program doesn't tell"
    [ "$status" -lt 124 ] || fail "the program was ended by a signal ($status)"
    [ $took -le 10000 ] || fail "it took $took ms"
    must_have "$job.err" "the host is gone (it has not answered for 4 s)"
    same_text
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# The reference's complete example: an unmodified QEMU with virtio-gpu-gl, the door preloaded, Venus routed to APIR.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh virgl-qemu "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/cases.sh
. tests/vm/cases.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/virgl/gl.sh
. tests/virgl/gl.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh

text=$(native_text 48)
gl_boot_apir

bench() {
    bench_in_guest
    computed_in "$WORK/backend.log"
    grep -E 'context [0-9]+ is of capset 4$' "$WORK/apir.log" || fail "the log doesn't name the capset"
}
worker_killed() {
    local program victim
    guest_start "GGML_VIRTGPU_PATIENCE=600 tests/complete $MODEL VirtGPU0 3900"
    program=$job
    within 60 test -s "$program.out" || within 60 grep -q 'handshake' "$WORK/apir.log"
    sleep 5
    victim=$(worker_of "$WORK/apir.log")
    [ -n "$victim" ] || fail "the log names no worker"
    kill -KILL "$victim"
    job=$program
    guest_ended 60
    [ "$status" != 0 ] || fail "the program doesn't tell of the loss"
    [ "$status" -lt 128 ] || fail "the program was ended by a signal ($status)"
    grep -q "its worker was ended by signal 9 (Killed).*: the context is lost, others go on$" "$WORK/apir.log" || fail "the log lacks its end"
    same_text
}

over_gl() {
    list_in_guest "$1"
    must_have "$job.err" "(over virtio-gpu, capset 4, "
}

check "llama-bench on VirtGPU0 through QEMU's virtio-gpu-gl" bench
check "the greedy text of 48 tokens is the native one" same_text
for protocol in "${PROTOCOLS[@]}"; do
    check "the list over virtio-gpu-gl, protocol $protocol" over_gl "$protocol"
done
check "two programs in one guest at once" two_at_once
check_timed "waiting for a graph of 250 ms costs the guest at most 10 % CPU" waiting
check "the worker killed in mid-generation: an error, QEMU goes on, the next program runs" worker_killed
check "the worker stands still in mid-generation: the program waits, and its text is the native one" stands_still 9 apir.log worker_of
check "the device reset in mid-generation, three times: an error, QEMU goes on, the next program runs" resets_survived 0.1 1.3 0.6
checks_end

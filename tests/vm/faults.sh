#!/bin/bash
# SPDX-License-Identifier: MIT
# What dies on the host while a guest computes, and who survives it.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh vm-faults "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/cases.sh
. tests/vm/cases.sh

text=$(native_text 48)
vm_serve gpu
# shellcheck disable=SC2046 # several words
vm_boot $(device gpu)

# killed_by WHO: a program generates in the guest while the process that WHO names in the log is killed
killed_by() {
    guest_start "GGML_VIRTGPU_PATIENCE=600 tests/complete $MODEL VirtGPU0 3900" # who is left tells, not the silence
    within 120 test -s "$job.out" || { cat "$job.err"; fail "no text came"; }
    loses "$("$1" "$WORK/gpu.log")" "$job.err" guest_ended 60
}
worker_killed() {
    killed_by worker_of
    is_gone "$boot" && fail "QEMU is gone"
    is_gone "$(door_of "$WORK/gpu.log")" && fail "the door is gone"
    guest "tests/complete $MODEL VirtGPU0 48"
    cmp "$text" "$job.out"
}
# The same while a neighbour computes, whose text must come out right.
neighbour_goes_on() {
    local first victim
    guest_start "tests/complete $MODEL VirtGPU0 200"
    first=$job
    within 120 test -s "$job.out" || fail "no text came from the first"
    guest_start "tests/complete $MODEL VirtGPU0 3900"
    within 120 test -s "$job.out" || fail "no text came from the second"
    victim=$(worker_of "$WORK/gpu.log")
    kill -KILL "$victim"
    guest_ended 60
    [ "$status" != 0 ] || fail "the one whose worker died doesn't tell"
    job=$first
    guest_ended
    [ "$status" = 0 ] || fail "the other one ended with $status"
    cmp "$(native_text 200)" "$job.out"
}
door_killed() {
    killed_by door_of
    guest "echo still here; uname -r" 30
    must_have "$job.out" "still here"
    is_gone "$boot" && fail "QEMU is gone"
    is_gone "${vm_servers[0]}" && fail "serve is gone"
    # No processes of the device are left on the host.
    # shellcheck disable=SC2317
    none() { is_gone "$(worker_of "$WORK/gpu.log")"; }
    within 10 none || fail "the worker is left behind"
}

# A program ends whose child, forked while it had the device, lives on.
child_lives_on() {
    local child
    guest "$BUILD/check/bin/forks"
    child=$(<"$job.out")
    must_have "$job.err" "no device: this process was forked from the one that has it"
    # shellcheck disable=SC2317
    freed() { is_gone "$(worker_of "$WORK/gpu.log")"; }
    within 10 freed || fail "the worker is left behind"
    guest "kill $child" # so it was there
}

check "a program's worker ends with it though a forked child lives on" child_lives_on
check "the worker killed in mid-generation: an error, the door and the VM go on, the next program runs" worker_killed
check "a program whose neighbour's worker is killed goes on" neighbour_goes_on
check "the device reset in mid-generation, three times: an error, QEMU and the door go on, the next program runs" resets_survived 0.1 1.3 0.6
for who in worker_of door_of "worker_of door_of"; do
    # shellcheck disable=SC2086 # several words
    check "the host stands still (${who//_of/}): the program waits, and its text is the native one" stands_still 9 gpu.log $who
done
check "the host stands still for good (door): an error when the program's patience is over, and the next one runs" stands_still_for_good gpu.log door_of
check "the door killed in mid-generation: an error, and the VM goes on" door_killed
checks_end

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced after tests/support.sh by scripts that run the test list (tests/doors/list.c) over a door: it is the same list
# behind every door, with every protocol. What differs is where it runs and which variables lead it to the host.
#   LIST       the program
#   PROTOCOLS  what GGML_VIRTGPU_PROTOCOL is to be: "newest" stands for unset

LIST=$BUILD/check/bin/list
# shellcheck disable=SC2034 # for those who source this file
PROTOCOLS=(newest 0.2)
LIST_LEAST=18 # a list that lost its cases would pass, too

# list_command PROTOCOL: the command, for a shell here or in a guest
list_command() {
    if [ "$1" = newest ]; then
        echo "env -u GGML_VIRTGPU_PROTOCOL $LIST"
    else
        echo "env GGML_VIRTGPU_PROTOCOL=$1 $LIST"
    fi
}

# list_passes OUTPUT: that output of the list is complete, and every promise in it holds
list_passes() {
    local plan
    plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$1")
    [ "${plan:-0}" -ge $LIST_LEAST ] || { tail -n 15 "$1"; fail "$1: a list of ${plan:-no} cases"; }
    if grep -q '^not ok\|^Bail out' "$1"; then
        grep '^#\|^not ok\|^Bail out' "$1"
        fail "not all promises hold: $1"
    fi
    [ "$(grep -c '^ok [0-9]* - ' "$1")" = "$plan" ] || { tail -n 15 "$1"; fail "$1: it ended early"; }
    note "$plan promises"
}

# list_spoke PROTOCOL STDERR: what the plugin said of itself in the list's stderr
list_spoke() {
    must_have "$2" "ggml-virtgpu: "
    if [ "$1" = newest ]; then
        ! has "$2" ", plain APIR 0.2)" || fail "$2: it spoke plain APIR 0.2"
    else
        must_have "$2" ", plain APIR $1)"
    fi
}

# list_rings PROTOCOL OUTPUT: to a host of ours tokens' commands go past the door, unless it is plain APIR 0.2
list_rings() {
    if [ "$1" = newest ]; then
        grep -q '^# [0-9]* tokens: .* [1-9][0-9]* by the ring$' "$2" || fail "$2: nothing went past the door"
    else
        must_have "$2" " 0 by the ring"
    fi
}

# list_here PROTOCOL SOCKET: on this machine, over a socket
list_here() {
    local out=$WORK/list.$1.${2##*/} status=0
    GGML_VIRTGPU_SOCKET=$2 GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so \
        sh -c "$(list_command "$1")" >"$out" 2>"$out.err" || status=$?
    list_passes "$out"
    [ "$status" = 0 ] || fail "the list ended with status $status"
    list_spoke "$1" "$out.err"
}

# list_in_guest PROTOCOL: in the guest of tests/vm/vm.sh, with the device that the plugin finds there; sets `job`
# shellcheck disable=SC2154 # guest_start and guest_ended set them
list_in_guest() {
    guest_start "$(list_command "$1")"
    guest_ended
    list_passes "$job.out"
    list_rings "$1" "$job.out"
    [ "$status" = 0 ] || fail "the list ended with status $status"
    list_spoke "$1" "$job.err"
}

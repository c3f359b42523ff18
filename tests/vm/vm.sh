# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by this folder's scripts after tests/support.sh: a guest that runs commands for the host while it lives.

mkdir -p "$WORK/guest"
next_command=1
boot=''
PLUGIN=$BUILD/guest/libggml-virtgpu.so

# device NAME: the arguments for QEMU that attach the server at $WORK/NAME.sock
device() {
    echo "-chardev socket,id=$1,path=$WORK/$1.sock" \
        "-device vhost-user-test-device-pci,chardev=$1,virtio-id=16,num_vqs=2,config_size=20,vq_size=256"
}

boot_options=() # more of lab/boot's
# vm_boot [QEMU ARG…]: for the whole script
vm_boot() {
    echo "# booting a guest"
    turn_take shared
    lab/boot --timeout 1200 ${boot_options[@]+"${boot_options[@]}"} -e "WORK=$WORK" -e "MODEL=$MODEL" -e "PLUGIN=$PLUGIN" -e "GGML_BACKEND_PATH=$PLUGIN" \
        tests/vm/agent.sh -virtfs "local,path=$WORK,mount_tag=work,security_model=none" "$@" >"$WORK/boot.log" 2>&1 &
    boot=$!
    # shellcheck disable=SC2317
    up() { [ -e "$WORK/guest/ready" ] || is_gone "$boot"; }
    within 180 up || true
    turn_end
    [ -e "$WORK/guest/ready" ] || { cat "$WORK/boot.log"; echo "Bail out! the guest did not start"; exit 1; }
}
# The servers of a script that lives as long as its guest. vm_serve NAME [SERVE OPTION…]
vm_servers=()
vm_serve() {
    local name=$1
    shift
    "$CLI" serve --verbose -o ggml.threads=1 --vhost-user "$WORK/$name.sock" "$@" >"$WORK/$name.log" 2>&1 &
    vm_servers+=($!)
    # shellcheck disable=SC2317
    vm_serving() { has "$WORK/$name.log" "serving " || is_gone "${vm_servers[-1]}"; }
    within 60 vm_serving || true
    has "$WORK/$name.log" "serving " || { cat "$WORK/$name.log"; echo "Bail out! serve ended"; exit 1; }
}
# shellcheck disable=SC2317 # called by a trap
vm_stop() {
    local pid
    : >"$WORK/guest/stop"
    if [ -n "$boot" ] && ! within 20 is_gone "$boot"; then
        kill "$boot" 2>/dev/null || true
    fi
    for pid in ${vm_servers[@]+"${vm_servers[@]}"}; do
        kill "$pid" 2>/dev/null || true
    done
    wait
}
trap vm_stop EXIT
trap 'exit 143' TERM INT HUP

# guest_start COMMAND: starts it in the guest and sets `job`: its output is $job.out and $job.err, its end $job.status.
# Cases run in subshells, so the count is kept in a file.
guest_start() {
    next_command=$(($(cat "$WORK/guest/count" 2>/dev/null || echo 0) + 1))
    echo "$next_command" >"$WORK/guest/count"
    job=$WORK/guest/$next_command
    echo "guest: ${1:0:200}"
    printf '%s\n' "$1" >"$job.sh.new"
    mv "$job.sh.new" "$job.sh"
}
# guest_ended [SECONDS]: waits for the last one; sets `status`
guest_ended() {
    # shellcheck disable=SC2317
    guest_done() { [ -e "$job.status" ] || is_gone "$boot"; }
    within "${1:-290}" guest_done || { tail -n 10 "$job.err" || true; fail "the guest's command doesn't end"; }
    [ -e "$job.status" ] || { cat "$WORK/boot.log"; fail "the guest is gone"; }
    status=$(<"$job.status")
}
# guest COMMAND: runs it there; its output is $job.out. Fails when it does.
guest() {
    guest_start "$1"
    guest_ended "${2:-290}"
    [ "$status" = 0 ] || { tail -n 20 "$job.out" "$job.err"; fail "in the guest it ended with $status"; }
}

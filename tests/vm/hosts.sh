#!/bin/bash
# SPDX-License-Identifier: MIT
# One guest with a device of each of several hosts: which capset is used, and what is said when something is missing.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh vm-hosts "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh

# The order is that of the guest's render nodes.
hosts=(plain venus route_empty route_0 no_path no_library no_backend)
small=(--window 512M)
for host in "${hosts[@]}"; do
    export VIRGL_APIR_LOG_TO_FILE=$WORK/$host.debug
    case $host in
    plain) vm_serve "$host" "${small[@]}" ;;
    venus) vm_serve "$host" "${small[@]}" --venus-capset ;;
    route_empty) VIRGL_ROUTE_VENUS_TO_APIR='' vm_serve "$host" "${small[@]}" ;;
    route_0) VIRGL_ROUTE_VENUS_TO_APIR=0 vm_serve "$host" "${small[@]}" ;;
    no_path) vm_serve "$host" "${small[@]}" -o ggml.library.path= ;;
    no_library) vm_serve "$host" "${small[@]}" --ggml /nonexistent/libggml-cpu.so ;;
    no_backend) vm_serve "$host" "${small[@]}" --backend /nonexistent/libggml-virtgpu-backend.so ;;
    esac
done
args=()
for host in "${hosts[@]}"; do
    read -ra more <<<"$(device "$host")"
    args+=("${more[@]}")
done
vm_boot "${args[@]}"

# on HOST COMMAND: in the guest, with only that host's render node there ("none": with no node)
on() {
    local i node=''
    for i in "${!hosts[@]}"; do
        [ "${hosts[i]}" != "$1" ] || node=renderD$((128 + i))
    done
    guest "set -e
[ -d /tmp/nodes ] || cp -a /dev/dri /tmp/nodes
rm -rf /dev/dri
mkdir /dev/dri
[ -z '$node' ] || cp -a /tmp/nodes/$node /dev/dri/
$2"
}
all_found() {
    guest "ls /dev/dri"
    [ "$(grep -c '^renderD' "$job.out")" = ${#hosts[@]} ] || { cat "$job.out"; fail "not ${#hosts[@]} render nodes"; }
}
# capset_is N HOST ASSIGNMENT
capset_is() {
    on "$2" "$3 $BUILD/check/bin/probe"
    must_have "$job.out" "  VirtGPU0"
    grep 'is of capset' "$WORK/$2.debug" || fail "the log names no capset"
    [ "$(sed -n 's/.* is of capset //p' "$WORK/$2.debug" | tail -n 1)" = "$1" ] || fail "it wasn't capset $1"
}
plain_capset() {
    capset_is 10 plain 'env -u GGML_REMOTING_USE_APIR_CAPSET'
    capset_is 10 plain GGML_REMOTING_USE_APIR_CAPSET=
    capset_is 10 plain GGML_REMOTING_USE_APIR_CAPSET=0
}
# both_capsets HOST
both_capsets() {
    capset_is 4 "$1" 'env -u GGML_REMOTING_USE_APIR_CAPSET'
    capset_is 10 "$1" GGML_REMOTING_USE_APIR_CAPSET=
    capset_is 10 "$1" GGML_REMOTING_USE_APIR_CAPSET=0
    capset_is 10 "$1" GGML_REMOTING_USE_APIR_CAPSET=1
}
# without HOST TEXT [PREFIX]: llama.cpp runs on the guest's CPU, and one line says why and what to do
without() {
    on "$1" "${3:-} tests/complete $TINY auto 1 -v"
    [ -s "$job.out" ] || fail "no text"
    grep 'ggml-virtgpu' "$job.err" || true
    [ "$(grep -c 'ggml-virtgpu: ' "$job.err")" = 1 ] || fail "not one line of ours"
    must_have "$job.err" "ggml-virtgpu: no device: "
    must_have "$job.err" "$2"
}
no_path() {
    without no_path "renderD132: the host's backend library cannot use the GGML library: a variable or key is missing"
    must_have "$job.err" "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, APIR_LLAMA_CPP_GGML_LIBRARY_REG and the log on the host"
    must_have "$WORK/no_path.log" "cannot open the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_PATH' not defined"
}
no_library() {
    without no_library "renderD133: the host's backend library cannot use the GGML library: it cannot be opened"
    must_have "$job.err" "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH and the log on the host"
    must_have "$WORK/no_library.log" "/nonexistent/libggml-cpu.so: cannot open shared object file"
}
no_backend() {
    without no_backend "renderD134: the host cannot load the APIR backend library: it cannot be opened"
    must_have "$job.err" "check VIRGL_APIR_BACKEND_LIBRARY and the log on the host"
    must_have "$WORK/no_backend.debug" "/nonexistent/libggml-virtgpu-backend.so: cannot open shared object file"
}
no_permission() {
    # Root but for its powers over files, of which one is left: to read all, for the checkout may lie in a home.
    without plain "cannot open /dev/dri/renderD128 (Permission denied): add the user to the group 'render'" \
        "chown 65534 /dev/dri/renderD128; chmod 600 /dev/dri/renderD128; setpriv --bounding-set -all,+dac_read_search"
}
no_device() {
    without none "no virtio-gpu render node in /dev/dri: give the virtual machine a virtio-gpu device, or set GGML_VIRTGPU_SOCKET"
}
# llama.cpp's own guest uses capset 4, or 10 where the variable is set
original_guest() {
    on venus "$BUILD/check/bin/original /dev/dri/renderD129 4 3; $BUILD/check/bin/original /dev/dri/renderD129 10 3"
    [ "$(grep -c '^original: 3 buffers; right$' "$job.out")" = 2 ] || { cat "$job.out" "$job.err"; fail "it did not compute"; }
}
still_works() {
    on plain "$BUILD/check/bin/probe"
    must_have "$job.out" "  VirtGPU0"
}

check "a guest has as many render nodes as devices" all_found
check "a host of our own offers capset 10, which is used however GGML_REMOTING_USE_APIR_CAPSET is set" plain_capset
check "--venus-capset: 4 is used, and 10 where GGML_REMOTING_USE_APIR_CAPSET is set, to whatever" both_capsets venus
check "VIRGL_ROUTE_VENUS_TO_APIR set but empty does the same" both_capsets route_empty
check "VIRGL_ROUTE_VENUS_TO_APIR=0 does the same" both_capsets route_0
check "llama.cpp's own guest computes with either capset" original_guest
check "no library path on the host: one line, and llama.cpp goes on" no_path
check "no GGML library on the host: one line, and llama.cpp goes on" no_library
check "no backend library on the host: one line, and llama.cpp goes on" no_backend
check "no permission on the render node: one line, and llama.cpp goes on" no_permission
check "no device: one line, and llama.cpp goes on" no_device
check "after all that the device works" still_works
checks_end

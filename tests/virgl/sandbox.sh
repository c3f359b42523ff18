#!/bin/bash
# SPDX-License-Identifier: MIT
# A QEMU that may not start programs (libvirt's way): its workers come from a running `ggml-virtgpu serve --workers`.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh virgl-sandbox "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/cases.sh
. tests/vm/cases.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/virgl/gl.sh
. tests/virgl/gl.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh

text=$(native_text 48)
"$CLI" serve --verbose -o ggml.threads=1 --workers "$WORK/workers.sock" >"$WORK/workers.log" 2>&1 &
vm_servers+=($!)
within 60 has "$WORK/workers.log" "serving " || { cat "$WORK/workers.log"; echo "Bail out! serve ended"; exit 1; }
# shellcheck disable=SC2034 # for gl_boot
GL_QEMU_ARGS=(-sandbox 'on,spawn=deny')
gl_boot "VIRGL_APIR_SERVER=$WORK/workers.sock" "VIRGL_APIR_LOG_TO_FILE=$WORK/apir.log"

denied() {
    local qemu
    must_have "$WORK/apir.log" "virglrenderer's own start failed (-1): trying without Venus"
    qemu=$(pgrep -f "[-]sandbox on,spawn=deny .*|[-]sandbox on,spawn=deny\$" | while read -r p; do
        [ "$(cat "/proc/$p/comm")" != qemu-system-x86 ] || echo "$p"
    done)
    [ -n "$qemu" ] || fail "there is no such QEMU"
    grep -q '^Seccomp:[[:space:]]*2$' "/proc/$qemu/status" || fail "QEMU has no seccomp filter"
}
same_text() {
    guest "tests/complete $MODEL VirtGPU0 48"
    cmp "$text" "$job.out"
    must_have "$WORK/apir.log" "a worker of the server's"
    must_have "$WORK/workers.log" "(another process's): worker "
}
nonsense() {
    # A client of another protocol, at the wrong socket.
    GGML_VIRTGPU_SOCKET=$WORK/workers.sock GGML_BACKEND_PATH=$PLUGIN llama-bench --list-devices >"$WORK/nonsense.out" 2>&1
    must_have "$WORK/nonsense.out" "ggml-virtgpu: no device: $WORK/workers.sock: "
    must_have "$WORK/workers.log" "workers: no request came (Protocol error): is it VIRGL_APIR_SERVER of another program?"
    guest "llama-bench --list-devices"
    must_have "$job.out" "  VirtGPU0: ggml-virtgpu: "
}
listed() {
    list_in_guest newest
}

check "QEMU's seccomp filter is on" denied
check "the greedy text of 48 tokens is the native one, by the server's worker" same_text
check "the worker stands still in mid-generation: the program waits, and its text is the native one" stands_still 9 workers.log worker_of
check "who connects to the workers' socket by mistake is told, and nothing is lost" nonsense
check "the list over virtio-gpu-gl by the server's workers" listed
checks_end

#!/bin/bash
# SPDX-License-Identifier: MIT
# The distribution's virgl_test_server with the door preloaded serves the plugin's socket transport; and the door's
# declarations are those of the distribution's header.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh virgl-vtest "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh

DOOR=$BUILD/doors/virgl/libvirglrenderer-apir.so
text=$(native_text 48)
export VIRGL_APIR_WORKER=$BUILD/worker/ggml-virtgpu-worker VIRGL_APIR_BACKEND_LIBRARY=$BUILD/backend/libggml-virtgpu-backend.so
APIR_LLAMA_CPP_GGML_LIBRARY_PATH=$(cpu_library)
export APIR_LLAMA_CPP_GGML_LIBRARY_PATH GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so

header() {
    local kind
    for kind in ours real; do
        gcc -std=gnu11 -Wall -Werror -I. "-D${kind^^}_HEADER" tests/virgl/header.c -o "$WORK/header.$kind"
        "$WORK/header.$kind" >"$WORK/header.$kind.txt"
    done
    [ "$(wc -l <"$WORK/header.real.txt")" -ge 30 ] || fail "the table is short"
    diff "$WORK/header.ours.txt" "$WORK/header.real.txt"
}
list_over() {
    vtest_start "list.$1"
    list_here "$1" "$WORK/list.$1.sock"
}
# vtest_start NAME [OPTION…]
vtest_start() {
    local name=$1
    shift
    case_start "$WORK/$name.log" env LD_PRELOAD="$DOOR" VIRGL_APIR_LOG_TO_FILE="$WORK/$name.apir" \
        virgl_test_server --socket-path "$WORK/$name.sock" "$@"
    within 20 test -S "$WORK/$name.sock" || { cat "$WORK/$name.log"; fail "virgl_test_server doesn't listen"; }
    export GGML_VIRTGPU_SOCKET=$WORK/$name.sock
}
fails_without_us() {
    case_start "$WORK/alone.log" virgl_test_server --socket-path "$WORK/alone.sock"
    within 20 test -S "$WORK/alone.sock" || fail "virgl_test_server doesn't listen"
    GGML_VIRTGPU_SOCKET=$WORK/alone.sock llama-bench --list-devices >"$WORK/alone.out" 2>&1
    must_have "$WORK/alone.out" "ggml-virtgpu: no device: $WORK/alone.sock: "
    ! has "$WORK/alone.out" "  VirtGPU0: " || fail "it works without us, too"
}
serves() {
    vtest_start "$@"
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/$1.txt" 2>"$WORK/$1.err"
    cmp "$text" "$WORK/$1.txt"
    GGML_REMOTING_USE_APIR_CAPSET='' tests/complete "$MODEL" VirtGPU0 48 >"$WORK/$1.txt" 2>"$WORK/$1.err"
    cmp "$text" "$WORK/$1.txt"
    llama-bench --list-devices >"$WORK/$1.devices" 2>&1
    must_have "$WORK/$1.devices" "(over socket, capset 4,"
    GGML_REMOTING_USE_APIR_CAPSET='' llama-bench --list-devices >"$WORK/$1.devices" 2>&1
    must_have "$WORK/$1.devices" "(over socket, capset 10,"
}
two_clients() {
    local a
    vtest_start two
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/two.a" 2>"$WORK/two.a.err" &
    a=$!
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/two.b" 2>"$WORK/two.b.err"
    wait $a
    cmp "$text" "$WORK/two.a"
    cmp "$text" "$WORK/two.b"
}
# One server process for both, and so one struct apir.
multi_clients() {
    vtest_start multi --no-fork --multi-clients
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/multi.a" 2>"$WORK/multi.a.err" &
    local a=$!
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/multi.b" 2>"$WORK/multi.b.err"
    wait $a
    cmp "$text" "$WORK/multi.a"
    cmp "$text" "$WORK/multi.b"
}
other_path() {
    VIRGL_APIR_RENDERER_LIBRARY=/nonexistent/libvirglrenderer.so serves path
    must_have "$WORK/path.apir" "only APIR works: /nonexistent/libvirglrenderer.so: cannot open shared object file"
}
# As on a machine without EGL, where the real library would end the whole process.
no_egl() {
    local egl
    egl=$(echo /usr/lib/*/libEGL.so.1)
    [ -e "$egl" ] || fail "there is no libEGL to hide"
    case_start "$WORK/egl.log" unshare --mount --propagation unchanged sh -c "mount --bind /dev/null $(realpath "$egl") &&
        exec env LD_PRELOAD=$DOOR VIRGL_APIR_LOG_TO_FILE=$WORK/egl.apir virgl_test_server --socket-path $WORK/egl.sock"
    within 20 test -S "$WORK/egl.sock" || { cat "$WORK/egl.log"; fail "virgl_test_server doesn't listen"; }
    GGML_VIRTGPU_SOCKET=$WORK/egl.sock tests/complete "$MODEL" VirtGPU0 48 >"$WORK/egl.txt" 2>"$WORK/egl.err"
    cmp "$text" "$WORK/egl.txt"
    must_have "$WORK/egl.apir" "warning: virglrenderer cannot start without EGL, only APIR works: "
}
worker_killed() {
    local program
    vtest_start killed
    tests/complete "$MODEL" VirtGPU0 3900 >"$WORK/killed.txt" 2>"$WORK/killed.err" </dev/null &
    program=$!
    case_pids+=("$program")
    within 30 test -s "$WORK/killed.txt" || fail "no text came"
    loses "$(worker_of "$WORK/killed.apir")" "$WORK/killed.err" ended "$program"
    tests/complete "$MODEL" VirtGPU0 48 >"$WORK/killed.next" 2>"$WORK/killed.next.err"
    cmp "$text" "$WORK/killed.next"
}

check "the door's declarations are those of the distribution's header" header
check "virgl_test_server in its default mode fails without the door where there is no display" fails_without_us
check "with it preloaded it serves the plugin" serves default
check "the same with --no-virgl, so that the real library starts" serves no-virgl --no-virgl
check "the same with --venus" serves venus --no-virgl --venus
for protocol in "${PROTOCOLS[@]}"; do
    check "the list over virgl_test_server, protocol $protocol" list_over "$protocol"
done
check "two clients at once" two_clients
check "two clients of one server process" multi_clients
check "without EGL the door works, where the real library alone ends the process" no_egl
check "VIRGL_APIR_RENDERER_LIBRARY names the real library; without it APIR works alone" other_path
check "the worker killed in mid-generation: an error within 5 s, and the next program runs" worker_killed
checks_end

#!/bin/bash
# SPDX-License-Identifier: MIT
# The test list over what can be reached without a guest: our socket door, and a host that knows only the two callbacks
# of APIR 0.2 (tests/doors/minimal.c), each with the newest protocol and with plain APIR 0.2.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh doors "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh

over_socket() {
    serve_start "socket.$1" --socket "$WORK/socket.$1.sock" -o ggml.threads=1
    list_here "$1" "$WORK/socket.$1.sock"
    list_rings "$1" "$WORK/list.$1.socket.$1.sock"
}

# minimal_start NAME: a minimal host beside the case, at $WORK/NAME.sock, its log in $WORK/NAME.log
minimal_start() {
    VIRGL_APIR_BACKEND_LIBRARY=$BUILD/backend/libggml-virtgpu-backend.so APIR_LLAMA_CPP_GGML_LIBRARY_PATH=$CPU_LIBRARY \
        case_start "$WORK/$1.log" "$BUILD/tests/minimal" "$WORK/$1.sock"
    within 20 has "$WORK/$1.log" ": serving " || { cat "$WORK/$1.log"; fail "it doesn't serve"; }
}
# minimal_asked LOG BYTES HIGHEST: its one client said so much in the handshake, the highest function it called is HIGHEST (a pattern),
# and made the backend library say once that it can't check what guests say.
minimal_asked() {
    within 20 has "$1" ": handshake of " || { cat "$1"; fail "the client doesn't leave"; }
    [ "$(grep -c ': handshake of ' "$1")" = 1 ] || { cat "$1"; fail "not one client"; }
    note "$(sed -n 's/^minimal [0-9]*: \(handshake of\)/\1/p' "$1")"
    must_have "$1" ": handshake of $2 bytes, "
    sed -n 's/.*the highest function is //p' "$1" | grep -qxE "$3" || fail "its highest function isn't $3"
    [ "$(grep -c 'this host does not tell the sizes of blobs: it trusts its guests' "$1")" = 1 ] ||
        { cat "$1"; fail "not one warning"; }
}
# What goes beyond 0.2: a greeting of 12 bytes behind the version, and functions from 0x100 on.
over_minimal() {
    local log=$WORK/minimal.$1.log
    minimal_start "minimal.$1"
    list_here "$1" "$WORK/minimal.$1.sock"
    if [ "$1" = 0.2 ]; then
        minimal_asked "$log" 8 22
    else
        minimal_asked "$log" 20 '2(5[6-9]|[6-9][0-9])'
    fi
}
minimal_text() {
    minimal_start text
    GGML_VIRTGPU_PROTOCOL=0.2 GGML_VIRTGPU_SOCKET=$WORK/text.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so \
        tests/complete "$MODEL" VirtGPU0 48 >"$WORK/text" 2>"$WORK/text.err"
    cmp "$(native_text 48)" "$WORK/text"
    minimal_asked "$WORK/text.log" 8 22
}
# The plugin, not the server, says what is allowed; the list can't pass without a device.
other_protocol() {
    local status=0
    serve_start other --socket "$WORK/other.sock" -o ggml.threads=1
    GGML_VIRTGPU_PROTOCOL=0.3 GGML_VIRTGPU_SOCKET=$WORK/other.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so \
        "$LIST" >"$WORK/other.out" 2>"$WORK/other.err" || status=$?
    [ "$status" = 1 ] || fail "the list ended with status $status"
    must_have "$WORK/other.out" "Bail out! there is no VirtGPU0"
    [ "$(grep -c 'ggml-virtgpu: ' "$WORK/other.err")" = 1 ] || { cat "$WORK/other.err"; fail "not one line of ours"; }
    must_have "$WORK/other.err" "ggml-virtgpu: no device: GGML_VIRTGPU_PROTOCOL is '0.3': set it to 0.2 "
}

CPU_LIBRARY=$(cpu_library)
[ -e "$CPU_LIBRARY" ] || { echo "Bail out! ggml loads no CPU library"; exit 1; }
for protocol in "${PROTOCOLS[@]}"; do
    check "the list over the socket, protocol $protocol" over_socket "$protocol"
    check "the list with a host of two callbacks, protocol $protocol: it warns once" over_minimal "$protocol"
done
check "the greedy text of 48 tokens with a host of two callbacks is the native one" minimal_text
check "another protocol is no device, and one line says what is allowed" other_protocol
checks_end

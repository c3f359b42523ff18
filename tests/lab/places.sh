#!/bin/bash
# SPDX-License-Identifier: MIT
# Nothing depends on where the checkout lies: a read-only one in a home that others can't enter, under a long path with a
# space, with its build elsewhere, gives scripts what they need.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh "places${2:+-$2}" "${1:-build}"

# What scripts do with paths, run from there.
inner() {
    local path
    touch x 2>/dev/null && fail "the checkout isn't read-only"
    for path in "$BUILD" "$WORK" "$LAB" "$MODEL"; do
        [[ $path = /plain/* ]] || fail "$path isn't plain"
        [[ $path != *[[:space:],:]* ]] || fail "$path would be taken apart"
    done
    serve_start serve --socket "$WORK/serve.sock"
    GGML_VIRTGPU_SOCKET=$WORK/serve.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so llama-bench --list-devices >"$WORK/devices" 2>&1
    must_have "$WORK/devices" "  VirtGPU0: ggml-virtgpu: "
    LD_PRELOAD=$BUILD/doors/virgl/libvirglrenderer-apir.so true 2>"$WORK/preload"
    [ ! -s "$WORK/preload" ] || { cat "$WORK/preload"; fail "the door can't be preloaded"; }
    setpriv --reuid 65534 --regid 65534 --clear-groups cmp "$BUILD/guest/libggml-virtgpu.so" "$BUILD/guest/libggml-virtgpu.so"
}
from_there() {
    local home folder
    home="$WORK/a home that is root's" folder="$WORK/a home that is root's/$(printf 'x %.0s' {1..50})"
    mkdir -p "$folder/checkout" "$folder/build"
    chmod 700 "$home"
    # In a namespace of its own, so that nothing is there when the folder is removed.
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation unchanged sh -ec '
        mount --bind "$1" "$3/checkout"
        mount -o remount,bind,ro "$3/checkout"
        mount --bind "$2" "$3/build"
        exec "$3/checkout/tests/lab/places.sh" "$3/build" inner
    ' - "$PWD" "$BUILD" "$folder"
}

if [ "${2:-}" = inner ]; then
    check "inner" inner
else
    check "scripts run from a read-only checkout in a closed home, under a long path with spaces, with the build elsewhere" from_there
fi
checks_end

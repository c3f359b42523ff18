#!/bin/bash
# SPDX-License-Identifier: MIT
# Our declarations of ggml's ABI against the ggml that the lab has: its public headers at compile time, and every slot of
# its private structs by calling the shipped library. (Natively, test "slots" does the latter with plugin API 2.)
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh abi "${1:-build}"

headers() {
    gcc -std=gnu11 -Wall -Wextra -Werror -I. -o "$WORK/headers" tests/abi/test_headers.c -lggml-base
    "$WORK/headers"
}
slots() {
    local lib
    lib=$(gcc -print-file-name=libggml-base.so)
    gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -o "$WORK/slots" tests/abi/test_slots.c ggml-abi/*.c proto/cursor.c -ldl
    "$WORK/slots" "$lib" >"$WORK/slots.out" || { grep -v '^ok' "$WORK/slots.out"; fail "see $WORK/slots.out"; }
    must_have "$WORK/slots.out" "plugin API 3"
    note "$(tail -n 1 "$WORK/slots.out")"
}
uid() {
    local lib
    lib=$(gcc -print-file-name=ggml/backends0/libggml-cpu-x64.so)
    gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -o "$WORK/uid" tests/abi/test_uid.c ggml-abi/*.c proto/cursor.c -ldl
    "$WORK/uid" "$lib" >"$WORK/uid.out" || { grep -v '^ok' "$WORK/uid.out"; fail "see $WORK/uid.out"; }
    note "$(tail -n 1 "$WORK/uid.out")"
}

check "every offset and value as in ggml's public headers" headers
check "every slot of ggml's private structs is where we declare it" slots
check "a graph's uid is where ggml's scheduler writes it" uid
checks_end

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by those who run llama.cpp's test-backend-ops: its output as tables, one line "RESULT CASE" a case, with
# RESULT one of ok, unsupported, failed.

TEST_OPS=$(echo /usr/libexec/*/ggml/test-backend-ops)

# ops_table: from test-backend-ops' output
ops_table() {
    # The jump makes the `t` below forget that colours were taken away.
    sed -nE 's/\x1b\[[0-9;]*m//g
        t colourless
        :colourless
        s/^  ([A-Z0-9_]+\(.*\)): OK$/ok \1/p
        s/^  ([A-Z0-9_]+\(.*\)): not supported .*$/unsupported \1/p
        s/^  ([A-Z0-9_]+\(.*\)):.*FAIL.*$/failed \1/p
        t
        s/^.*  ([A-Z0-9_]+\(.*\)): .*FAIL.*$/failed \1/p' | LC_ALL=C sort
}

# ops_count RESULT TABLE
ops_count() {
    grep -c "^$1 " "$2" || true
}

# ops_same REFERENCE TABLE LOG AT_LEAST: the tables agree, and test-backend-ops itself counted as many in LOG
ops_same() {
    local passed counted
    passed=$(ops_count ok "$2")
    counted=$(sed -n 's/\x1b\[[0-9;]*m//g; s/^ *\([0-9]*\)\/[0-9]* tests passed$/\1/p' "$3")
    if [ -z "$counted" ]; then
        tail -n 10 "$3"
        fail "test-backend-ops came to no end"
    fi
    grep '^failed ' "$2" || true
    [ "$(ops_count failed "$2")" = 0 ] || fail "$(ops_count failed "$2") operations failed"
    [ "$counted" = "$passed" ] || fail "test-backend-ops counted $counted, we read $passed"
    [ "$passed" -ge "$4" ] || fail "$passed operations passed, at least $4 were expected"
    diff "$1" "$2" | head -n 20
    cmp -s "$1" "$2" || fail "the results differ from the reference's"
    note "$passed passed, $(ops_count unsupported "$2") not supported, 0 failed: the same as the reference's"
}

# ops_native LOG BACKEND OP PARAMS: the native table
ops_native() {
    "$TEST_OPS" test -b "$2" -o "$3" ${4:+-p "$4"} >"$1" 2>&1 || { tail -n 5 "$1" >&2; return 1; }
    ops_table <"$1"
}

# ops_reference BACKEND OP PARAMS: the native table, computed once for each llama.cpp
ops_reference() {
    local version table
    version=$(stat -c %Y-%s "$TEST_OPS")
    table=$BUILD/check/reference/$(printf '%s\n' "$version" "$@" | sha256sum | cut -c1-16)
    once "$table" ops_native "$table.log" "$1" "$2" "${3:-}" || fail "native $2" >&2
    echo "$table"
}

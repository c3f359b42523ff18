#!/bin/bash
# SPDX-License-Identifier: MIT
# ggml-virtgpu run and serve as a user meets them: statuses, signals, sockets, refusals; nothing is left behind.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh cli "${1:-build}"

# Everything below is started with a TMPDIR of its own, by which it can be found, and in which `run` makes its socket.
export TMPDIR=$WORK/tmp
mkdir "$TMPDIR"

# Processes started with our TMPDIR that aren't this shell, its parents or what looks for them.
leftovers() {
    local p
    for p in /proc/[0-9]*; do
        case $(readlink "$p/exe" 2>/dev/null) in
        */ggml-virtgpu* | */llama-* | */complete | */sleep)
            ! tr '\0' '\n' <"$p/environ" 2>/dev/null | grep -qxF "TMPDIR=$TMPDIR" || echo "$p $(tr '\0' ' ' <"$p/cmdline")"
            ;;
        esac
    done
}
nothing_left() {
    # A worker may still be on its way out.
    # shellcheck disable=SC2317
    none() { [ -z "$(leftovers)" ]; }
    within 5 none || fail "processes are left: $(leftovers)"
    [ -z "$(ls -A "$TMPDIR")" ] || fail "files are left: $(ls "$TMPDIR")"
}
# status_is N CMD…
status_is() {
    local want=$1 got=0
    shift
    "$@" || got=$?
    [ "$got" = "$want" ] || fail "ended with $got, not $want: $*"
}
# refused TEXT CMD…: status 2 and a line with TEXT
refused() {
    local text=$1
    shift
    status_is 2 "$@" >"$WORK/refused.out" 2>&1
    must_have "$WORK/refused.out" "$text"
}

run_statuses() {
    status_is 0 "$CLI" run -- true
    status_is 7 "$CLI" run -- sh -c 'exit 7'
    status_is 137 "$CLI" run -- sh -c 'kill -KILL $$'
    status_is 127 "$CLI" run -- /nonexistent/program
    status_is 126 "$CLI" run -- /etc/passwd
    nothing_left
}
run_gives_a_device() {
    "$CLI" run -- llama-bench --list-devices >"$WORK/devices" 2>&1
    must_have "$WORK/devices" "  VirtGPU0: ggml-virtgpu: "
    nothing_left
}
# installed CMD…: in a mount namespace where the plugin lies in ggml's folder
installed() {
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --propagation unchanged bash -ec '
        folder=$(echo /usr/lib/*/ggml/backends0)
        mkdir -p "$1"
        cp "$folder"/* "$2" "$1"
        mount --bind "$1" "$folder"
        exec "${@:3}"
    ' - "$WORK/folder" "$BUILD/guest/libggml-virtgpu.so" "$@"
}
# test-opt takes the last device for the CPU, which a plugin by GGML_BACKEND_PATH comes after.
run_tells_the_plugin() {
    local opt log=$WORK/plugin
    opt=$(echo /usr/libexec/*/llama.cpp-tests/test-opt)
    [ -x "$opt" ] || skip "there is no $opt"
    status_is 134 "$CLI" run --verbose -- env GGML_NO_BACKTRACE=1 "$opt" >"$log.path" 2>&1
    must_have "$log.path" "ggml-virtgpu: plugin: $BUILD/guest/libggml-virtgpu.so, by GGML_BACKEND_PATH: after the CPU"
    must_have "$log.path" "ggml-virtgpu: the command aborted. It had the plugin by GGML_BACKEND_PATH"
    must_have "$log.path" "copy $BUILD/guest/libggml-virtgpu.so to /usr/lib/"
    status_is 0 installed "$CLI" run --verbose -- "$opt" >"$log.folder" 2>&1
    grep -qE "^ggml-virtgpu: plugin: /usr/lib/.*/ggml/backends0/libggml-virtgpu.so, from ggml's folder; " "$log.folder" || fail "$(grep ': plugin' "$log.folder")"
    has "$log.folder" '4/4 backend*optimizer passed' || { tail "$log.folder"; fail "no result"; }
    grep -qE ' [1-9][0-9]* graphs computed' "$log.folder" || fail "the host computed nothing"
    status_is 134 "$CLI" run -- sh -c 'kill -ABRT $$' >"$log.quiet" 2>&1
    has "$log.quiet" "plugin: " && fail "without --verbose it tells where the plugin is"
    must_have "$log.quiet" "the command aborted"
    nothing_left
}
run_passes_signals() {
    local signal out
    for signal in TERM INT HUP; do
        out=$WORK/signal.$signal.out
        case_start "$out" env --default-signal="$signal" "$CLI" run -- bash -c "trap 'echo got $signal; exit 42' $signal; echo ready; while :; do sleep 0.1; done"
        within 20 has "$out" ready || fail "the command didn't start"
        kill -$signal "$started"
        ended "$started"
        must_have "$out" "got $signal"
        [ "$status" = 42 ] || fail "after $signal run ended with $status"
    done
    nothing_left
}
run_ends_a_device_in_use() {
    local out=$WORK/inuse.out
    case_start "$out" "$CLI" run --verbose -o ggml.threads=1 -- tests/complete "$MODEL" VirtGPU0 3000
    within 30 has "$out" ": worker " || fail "no worker"
    sleep 1
    kill -TERM "$started"
    ended "$started"
    [ "$status" != 0 ] || fail "it ended with 0"
    nothing_left
}
serve_ends_on_sigterm() {
    local program
    serve_start term --socket "$WORK/term.a" --socket "$WORK/term.b" --vhost-user "$WORK/term.c" -o ggml.threads=1
    [ "$(find "$WORK" -name 'term.[abc]' -type s | wc -l)" = 3 ] || fail "not three sockets"
    [ "$(stat -c %a "$WORK/term.a")" = 700 ] || fail "others may connect: $(stat -c %a "$WORK/term.a")"
    GGML_VIRTGPU_SOCKET=$WORK/term.b GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so \
        case_start "$WORK/term.out" tests/complete "$MODEL" VirtGPU0 3000
    program=$started
    within 30 has "$WORK/term.log" ": worker " || fail "no worker"
    kill -TERM "$serve"
    ended "$serve"
    [ "$status" = 0 ] || fail "serve ended with $status"
    [ "$(find "$WORK" -name 'term.[abc]' | wc -l)" = 0 ] || fail "sockets are left"
    ended "$program"
    [ "$status" != 0 ] || fail "the program went on without its host"
    [ "$status" -lt 128 ] || fail "the program died of a signal: $status"
    nothing_left
}
stale_socket() {
    perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die' "$WORK/stale"
    [ -S "$WORK/stale" ] || fail "no stale socket was made"
    serve_start stale --socket "$WORK/stale"
    GGML_VIRTGPU_SOCKET=$WORK/stale GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so llama-bench --list-devices >"$WORK/devices" 2>&1
    must_have "$WORK/devices" "  VirtGPU0: "
    status_is 1 "$CLI" serve --socket "$WORK/stale" >"$WORK/live.out" 2>&1
    must_have "$WORK/live.out" "'$WORK/stale' is being served already: stop that server or choose another path"
    [ -S "$WORK/stale" ] || fail "the live socket was removed"
}
not_a_socket() {
    echo keep >"$WORK/file"
    status_is 1 "$CLI" serve --socket "$WORK/file" >"$WORK/file.out" 2>&1
    must_have "$WORK/file.out" "'$WORK/file' exists and is no socket: remove it or choose another path"
    has "$WORK/file" keep || fail "the file is gone"
}
refusals() {
    refused "give KEY=VALUE with a key of: apir.load_library.path, ggml.library.path" "$CLI" serve --socket "$WORK/x" -o nonsense=1
    refused "give KEY=VALUE with a key of:" "$CLI" run -o ggml.threads -- true
    refused "give a power of two such as 8G" "$CLI" serve --vhost-user "$WORK/x" --window 3G
    refused "give a door: --vhost-user PATH, --socket PATH or --workers PATH" "$CLI" serve
    refused "unexpected argument extra" "$CLI" serve --socket "$WORK/x" extra
    refused "usage: ggml-virtgpu serve" "$CLI" serve --nonsense
    refused "usage: ggml-virtgpu run" "$CLI" run --nonsense
    refused "give a command to run" "$CLI" run
    refused "'fly' is no verb" "$CLI" fly
    refused "usage: ggml-virtgpu VERB" "$CLI"
    [ ! -e "$WORK/x" ] || fail "a refused server left a socket"
    nothing_left
}
helps() {
    status_is 0 "$CLI" --help >"$WORK/help"
    must_have "$WORK/help" "usage: ggml-virtgpu VERB"
    status_is 0 "$CLI" serve --help >"$WORK/help"
    must_have "$WORK/help" "--vhost-user PATH"
    status_is 0 "$CLI" run --help >"$WORK/help"
    must_have "$WORK/help" "--ggml PATH|auto"
}
# without_device TEXT [ENV…] -- [RUN OPTION…]: the program goes on with no device of ours and one line that has TEXT
without_device() {
    local text=$1 out=$WORK/without.out
    shift
    local -a vars=()
    while [ "$1" != -- ]; do
        vars+=("$1")
        shift
    done
    shift
    env ${vars[@]+"${vars[@]}"} "$CLI" run "$@" -- tests/complete "$MODEL" auto 4 -v >"$out" 2>"$out.log" || fail "the program ended with $?"
    [ -s "$out" ] || fail "no text"
    [ "$(grep -c 'ggml-virtgpu: no device: ' "$out.log")" = 1 ] || { grep virtgpu "$out.log" || true; fail "not one line"; }
    grep 'ggml-virtgpu: no device: ' "$out.log"
    must_have "$out.log" "$text"
}
library_missing() {
    without_device "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH and the log on the host" -- --ggml /nonexistent.so
    must_have "$WORK/without.out.log" "cannot open the GGML library (APIR_LLAMA_CPP_GGML_LIBRARY_PATH)"
}
# A library that has an accelerator and nothing else, as libggml-blas.so.
accelerator_named() {
    without_device "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, ggml.devices and the log on the host" \
        "LD_LIBRARY_PATH=$BUILD/ggml-api2" -- --ggml "$BUILD/tests/libggml-accel.so"
    must_have "$WORK/without.out.log" "is an accelerator (ACCEL), which computes some operations beside a CPU"
}
# Where it is installed, --ggml auto passes it over for the CPU's library.
accelerator_installed() {
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --propagation unchanged bash -ec '
        mount -t tmpfs none /usr/local/lib
        cp "$1/tests/libggml-accel.so" /usr/local/lib/libggml-opencl.so
        LD_LIBRARY_PATH=$1/ggml-api2 "$2" run --ggml auto -- llama-bench --list-devices
    ' - "$BUILD" "$CLI" >"$WORK/installed.out" 2>&1 || { cat "$WORK/installed.out"; fail "no device was listed"; }
    must_have "$WORK/installed.out" "  VirtGPU0: ggml-virtgpu: "
}
backend_missing() {
    without_device "check VIRGL_APIR_BACKEND_LIBRARY and the log on the host" -- --backend /nonexistent.so
    must_have "$WORK/without.out.log" "cannot open the APIR backend library (VIRGL_APIR_BACKEND_LIBRARY)"
}
worker_missing() {
    without_device "socket" -- --worker /nonexistent
    must_have "$WORK/without.out.log" "cannot start the worker '/nonexistent'"
}
# What llama.cpp says itself, behind our line that tells why and what to do.
invalid_device() {
    local out=$WORK/invalid.out
    status_is 1 "$CLI" run --ggml /nonexistent.so -- llama-bench -m "$MODEL" -dev VirtGPU0 >"$out" 2>&1
    must_have "$out" "; programs go on with the CPU, but llama.cpp given '-dev VirtGPU0' ends with 'invalid device'"
    must_have "$out" "invalid device: VirtGPU0"
}
path_empty() {
    without_device "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, APIR_LLAMA_CPP_GGML_LIBRARY_REG and the log on the host" APIR_LLAMA_CPP_GGML_LIBRARY_PATH= --
    must_have "$WORK/without.out.log" "cannot open the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_PATH' not defined"
}
reg_empty() {
    without_device "check APIR_LLAMA_CPP_GGML_LIBRARY_PATH, APIR_LLAMA_CPP_GGML_LIBRARY_REG and the log on the host" APIR_LLAMA_CPP_GGML_LIBRARY_REG= --
    must_have "$WORK/without.out.log" "cannot register the GGML library: env var 'APIR_LLAMA_CPP_GGML_LIBRARY_REG' not defined"
}

check "run ends as its command does and leaves nothing behind" run_statuses
check "run gives its command VirtGPU0" run_gives_a_device
check "run tells which plugin its command gets, and what an abort may come from" run_tells_the_plugin
check "run passes signals on" run_passes_signals
check "run that is stopped in mid-generation leaves nothing behind" run_ends_a_device_in_use
check "serve ends cleanly on SIGTERM, with a program connected" serve_ends_on_sigterm
check "a stale socket is replaced, a live one is refused" stale_socket
check "a file that is no socket is refused and kept" not_a_socket
check "refused options say what is allowed" refusals
check "help is help" helps
check "no GGML library: one line, and the program goes on" library_missing
check "--ggml with an accelerator only: one line, and llama.cpp goes on" accelerator_named
check "--ggml auto passes over an accelerator that is installed" accelerator_installed
check "no backend library: one line, and the program goes on" backend_missing
check "no worker: one line, and the program goes on" worker_missing
check "no device, but asked for by name: our line foretells llama.cpp's" invalid_device
check "an empty library path is an undefined one" path_empty
check "an empty registration function is named" reg_empty
checks_end

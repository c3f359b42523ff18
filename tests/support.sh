# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the test scripts of tests/lab and tests/vm as `. tests/support.sh NAME BUILD`, in the repository's root.
# A script's output is TAP; a case is a function that fails by ending with a status other than 0.
#   BUILD  the build folder   WORK   this script's own empty folder in it
#   CLI    ggml-virtgpu       MODEL  the model that texts come from
#                             TINY   a model of one layer, for programs that only have to run
# These and LAB are short paths without spaces, wherever the checkout lies (lab/plain.sh).
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 BUILD" >&2; exit 2; }
build_outside=$(realpath "$2")
[ -x "$build_outside/cli/ggml-virtgpu" ] || { echo "$0: there is no $build_outside/cli/ggml-virtgpu: build first" >&2; exit 2; }
# shellcheck source-path=SCRIPTDIR/.. source=lab/plain.sh
. lab/plain.sh
BUILD=$(plain "$1" "$build_outside")
LAB=$(plain "$1.lab" "$LAB")
CLI=$BUILD/cli/ggml-virtgpu
# shellcheck disable=SC2034 # for those who source this file
MODEL=$LAB/models/toy.gguf TINY=$LAB/models/tiny.gguf
WORK=$BUILD/check/$1
mkdir -p "$BUILD/check/reference"
exec 9>"$WORK.lock" # held by whatever this script leaves running, too
flock -w 60 9 || { echo "$0 is running already in $BUILD" >&2; exit 2; }
rm -rf "$WORK"
mkdir -p "$WORK"

# Threads of a computation wait for each other by spinning, which takes long where others compute too.
export APIR_LLAMA_CPP_GGML_THREADS=1

# What a case says. The first ends it as failed, the second as skipped, the third is printed whatever the outcome.
fail() {
    echo "FAILED: $*"
    exit 1
}
skip() {
    echo "$*"
    exit 77
}
note() {
    echo "note: $*"
}

cases=0 cases_failed=0

# Scripts may run side by side (tests/run); what measures time must not. turn_take shared|exclusive, turn_end: shared turns
# overlap, an exclusive one is alone, and whoever comes while it waits waits behind it.
exec {turn_gate}>>"$BUILD/check/turn.gate" {turn}>>"$BUILD/check/turn"
turn_take() {
    flock "$turn_gate"
    flock "--$1" "$turn"
    flock -u "$turn_gate"
}
turn_end() {
    flock -u "$turn" # whoever has inherited it
}

# check PROMISE FUNCTION [ARGUMENT…]: one case, in a subshell. What it prints is shown when it fails.
check() {
    case_run shared "$@"
}
# check_timed …: the same for a case that measures how much time something takes or costs: no other runs meanwhile. A limit that is
# ten times what is usual needs none.
check_timed() {
    case_run exclusive "$@"
}

case_run() {
    local promise=$2 log status start
    turn_take "$1"
    start=$SECONDS
    shift 2
    cases=$((cases + 1))
    log=$WORK/case-$cases.log
    # Not "if (…)", in which bash would go on after a command that fails.
    set +e
    (
        set -e
        trap case_stop EXIT
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    turn_end
    case $status in
    0) echo "ok $cases - $promise ($((SECONDS - start)) s)" ;;
    77) echo "ok $cases - $promise # SKIP $(tail -n 1 "$log")" ;;
    *)
        cases_failed=$((cases_failed + 1))
        echo "not ok $cases - $promise (status $status, $build_outside${log#"$BUILD"})"
        tail -n 25 "$log" | cut -c 1-400 | sed 's/^/#    /'
        ;;
    esac
    sed -n 's/^note: /#  /p' "$log"
}

# The last line of a script.
checks_end() {
    echo "1..$cases"
    [ "$cases_failed" = 0 ] || exit 1
}

# case_start FILE CMD…: runs CMD beside the case, its output in FILE; sets `started`. It ends with the case.
case_pids=()
case_start() {
    local out=$1
    shift
    "$@" >"$out" 2>&1 </dev/null &
    started=$!
    case_pids+=("$started")
}
# shellcheck disable=SC2317 # called by a trap
case_stop() {
    local pid
    for pid in ${case_pids[@]+"${case_pids[@]}"}; do
        kill "$pid" 2>/dev/null || true
    done
    wait
}

# within SECONDS CMD…: waits until CMD succeeds
within() {
    local limit=$1 i
    shift
    for ((i = 0; i < limit * 10; i++)); do
        ! "$@" || return 0
        sleep 0.1
    done
    return 1
}

# now: milliseconds
now() {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# is_gone PID: no such process, or a zombie
is_gone() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    [[ ${stat##*) } = Z* ]]
}

# ended PID [SECONDS]: waits for our child; its status goes to `status`
ended() {
    within "${2:-20}" is_gone "$1" || fail "process $1 doesn't end"
    status=0
    wait "$1" || status=$?
}

# has FILE TEXT: FILE holds TEXT
has() {
    grep -qF -- "$2" "$1" 2>/dev/null
}
# must_have FILE TEXT
must_have() {
    has "$1" "$2" || { tail -n 15 "$1"; fail "$1 lacks: $2"; }
}

# tells_loss LOG: what a program whose host went away said says so.
tells_loss() {
    must_have "$1" "the host is gone"
}

# loses PID ERR ENDED [ARGUMENT…]: that process of the host's is killed under a program that generates, whose stderr is ERR.
# ENDED waits for the program's end and sets `status`; it must come within 5 s, with an error status and a word about it.
loses() {
    local victim=$1 err=$2 start took
    shift 2
    [ -n "$victim" ] || fail "the log doesn't name the process"
    start=$(now)
    kill -KILL "$victim"
    "$@"
    took=$(($(now) - start))
    note "ended with status $status after $took ms"
    cat "$err"
    [ "$status" != 0 ] || fail "the program doesn't tell of the loss"
    [ "$status" -lt 124 ] || fail "the program was ended by a signal, or too late ($status)"
    [ $took -le 5000 ] || fail "it took $took ms"
    tells_loss "$err"
}

# serve_start NAME [SERVE OPTION…]: a server beside the case, its log in $WORK/NAME.log; sets `serve`
serve_start() {
    local log=$WORK/$1.log
    shift
    case_start "$log" "$CLI" serve --verbose "$@"
    serve=$started
    # shellcheck disable=SC2317
    serving() { has "$log" "serving " || is_gone "$serve"; }
    within 60 serving || true
    is_gone "$serve" || return 0
    cat "$log"
    fail "serve ended"
}

# The process ids in a server's log: of the newest context's worker, and of its door.
worker_of() {
    sed -n 's/.*: context [0-9]* (.*): worker \([0-9]*\)$/\1/p' "$1" | tail -n 1
}
door_of() {
    sed -n 's/.*ggml-virtgpu [a-z-]* \([0-9]*\): context [0-9]* (.*): worker [0-9]*$/\1/p' "$1" | tail -n 1
}

# The host's own CPU library, as llama.cpp picks it natively.
cpu_library() {
    llama-bench --list-devices 2>&1 | sed -n 's/^load_backend: loaded CPU backend from //p' | sort -u
}

# once FILE CMD…: FILE, which CMD writes, unless it is there; of several at once one makes it
once() {
    local file=$1
    shift
    (
        flock 9
        [ -s "$file" ] || { "$@" >"$file.new" && mv "$file.new" "$file"; }
    ) 9>"$file.lock"
}

# The native text that others are compared with, in $BUILD/check/reference/text.N.
native_text() {
    local text=$BUILD/check/reference/text.$1
    if [ "$MODEL" -nt "$text" ] || [ "$LAB/bin/complete" -nt "$text" ]; then
        rm -f "$text"
    fi
    once "$text" tests/complete "$MODEL" none "$1" 2>"$text.log" || return
    echo "$text"
}

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the scripts beside it: where things are, and how to say no.
#   REPO   the repository         BUILD  the build folder (default: build in the repository)
#   LAB    everything that the lab makes (default: lab in BUILD)
#   ROOT   the Debian root in LAB
umask 022 # the root is for other users, too

# shellcheck disable=SC2034 # for those who source this file
LAB_DIR=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
REPO=$(dirname "$LAB_DIR")
BUILD=$(realpath -m "${BUILD:-$REPO/build}")
LAB=$(realpath -m "${LAB:-$BUILD/lab}")
ROOT=$LAB/root
INSIDE=/etc/ggml-virtgpu-lab # exists in the root only

say() {
    printf 'lab: %s\n' "$*" >&2
}

# die STATUS MESSAGE…
die() {
    local status=$1
    shift
    printf 'lab/%s: %s\n' "${0##*/}" "$*" >&2
    exit "$status"
}

case $REPO:$BUILD:$LAB in
*:*:*:* | *$'\n'*) die 2 "a path with a colon or a newline in it can't be mounted: move the repository, BUILD or LAB elsewhere" ;;
esac

need_root() {
    [ "$(id -u)" = 0 ] || die 2 "needs root: it mounts and changes root; run it with sudo or in a container as root"
}

need_made() {
    [ -e "$ROOT$INSIDE" ] || die 2 "there is no lab in $LAB yet; run lab/make first"
}

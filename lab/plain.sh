# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced inside the lab's root by scripts whose folders may lie anywhere.

# plain NAME FOLDER: mounts FOLDER at /plain/NAME, for this mount namespace, and prints that path. It is short, as a
# socket's must be (107 bytes), has no character that LD_PRELOAD, QEMU or an unquoted word would take apart, and no
# folder above it that only root may enter.
plain() {
    (
        umask 022
        mkdir -p "/plain/$1"
        mount --bind "$2" "/plain/$1"
    ) || exit
    echo "/plain/$1"
}

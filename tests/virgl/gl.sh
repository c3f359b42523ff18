# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by this folder's scripts behind tests/vm/vm.sh: a guest whose device is QEMU's own virtio-gpu-gl, with the door
# preloaded into an unmodified QEMU.

# shellcheck disable=SC2034 # for those who source this file
BACKEND=$BUILD/backend/libggml-virtgpu-backend.so
DOOR=$BUILD/doors/virgl/libvirglrenderer-apir.so
WORKER=$BUILD/worker/ggml-virtgpu-worker

# display_start: an X server, since virtio-gpu-gl wants a display with GL; sets DISPLAY
display_start() {
    Xvfb -displayfd 5 -screen 0 640x480x24 5>"$WORK/display" >"$WORK/xvfb.log" 2>&1 9>&- &
    vm_servers+=($!)
    within 20 test -s "$WORK/display" || { cat "$WORK/xvfb.log"; echo "Bail out! no X server"; exit 1; }
    DISPLAY=:$(<"$WORK/display")
    export DISPLAY
}

# gl_boot [VARIABLE=VALUE…]: with these variables for QEMU besides the display's
gl_boot() {
    local variable options=()
    display_start
    for variable in "DISPLAY=$DISPLAY" "LD_PRELOAD=$DOOR" "VIRGL_APIR_WORKER=$WORKER" "$@"; do
        options+=(--qemu-env "$variable")
    done
    # shellcheck disable=SC2034 # for vm_boot
    boot_options=("${options[@]}")
    vm_boot -display sdl,gl=on -device virtio-gpu-gl-pci,venus=on,blob=on,hostmem=2G ${GL_QEMU_ARGS[@]+"${GL_QEMU_ARGS[@]}"}
}
# gl_boot_apir: as the reference's complete example has it, Venus routed to APIR; logs in $WORK
gl_boot_apir() {
    gl_boot VIRGL_ROUTE_VENUS_TO_APIR=1 "VIRGL_APIR_BACKEND_LIBRARY=$BACKEND" \
        "APIR_LLAMA_CPP_GGML_LIBRARY_PATH=$(cpu_library)" APIR_LLAMA_CPP_GGML_LIBRARY_REG=ggml_backend_init \
        "VIRGL_APIR_LOG_TO_FILE=$WORK/apir.log" "APIR_LLAMA_CPP_LOG_TO_FILE=$WORK/backend.log"
}

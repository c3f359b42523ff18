#!/bin/bash
# SPDX-License-Identifier: MIT
# What runs on the host, in the lab's root: the server, QEMU, and native measurements. The guest and the host take turns
# (the guest asks for each native measurement), so that a machine whose speed drifts treats both alike.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR/.. source=lab/plain.sh
. lab/plain.sh
# shellcheck source-path=SCRIPTDIR/.. source=demo/qemu.sh
. demo/qemu.sh
build=$(plain demo "${BUILD:?}")
LAB=$(plain demo.lab "$LAB")
WORK=$build/demo MODEL=$LAB/models/toy.gguf THREADS=1
export WORK MODEL THREADS

say() { echo "== $*"; }
# fail MESSAGE LOG: and what that log ends with
fail() {
    echo "demo: $1:"
    tail -n 10 "$2" | sed 's/^/  /'
    exit 1
}
stop() {
    [ -z "${boot:-}" ] || kill "$boot" 2>/dev/null || true
    [ -z "${serve:-}" ] || kill "$serve" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 130' INT TERM

if [ ! -s "$MODEL" ]; then
    say "making a model of 22 layers"
    mkdir -p "${MODEL%/*}"
    "$LAB/bin/mkmodel" "$MODEL.new" --layers 22 --embd 256 --heads 4 --ff 512 --vocab 512 --type f16 >"$WORK/model.log" 2>&1 ||
        fail "the model could not be made" "$WORK/model.log"
    mv "$MODEL.new" "$MODEL"
fi

say "starting ggml-virtgpu serve"
"$build/cli/ggml-virtgpu" serve --verbose --ggml auto -o ggml.threads=$THREADS --vhost-user "$WORK/gpu.sock" 2>"$WORK/serve.log" &
serve=$!
for _ in $(seq 300); do
    [ ! -S "$WORK/gpu.sock" ] || break
    kill -0 $serve 2>/dev/null || fail "serve ended" "$WORK/serve.log"
    sleep 0.1
done

say "booting the guest"
lab/boot --timeout 540 -e "WORK=$WORK" -e "MODEL=$MODEL" -e "THREADS=$THREADS" -e "PLUGIN=$build/guest/libggml-virtgpu.so" \
    demo/guest.sh -virtfs "local,path=$WORK,mount_tag=work,security_model=none" \
    -chardev "socket,id=gpu,path=$WORK/gpu.sock" \
    -device vhost-user-test-device-pci,chardev=gpu,virtio-id=16,num_vqs=2,config_size=20,vq_size=256 2>"$WORK/qemu.log" &
boot=$!

# Serves the guest's requests for native measurements, in the order of asking.
turn=1
while kill -0 $boot 2>/dev/null; do
    if [ -e "$WORK/ask.$turn" ]; then
        demo/measure native "$turn" || true
        demo/measure native_unrestricted "$turn" || true
        touch "$WORK/done.$turn"
        turn=$((turn + 1))
    fi
    sleep 0.1
done
wait $boot && status=0 || status=$?
boot=''
[ "$status" = 0 ] || fail "the guest's script ended with status $status" "$WORK/qemu.log"
qemu_lines "$WORK/qemu.log"
kill $serve
wait $serve || true
serve=''

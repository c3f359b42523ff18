#!/bin/bash
# SPDX-License-Identifier: MIT
# Without VIRGL_ROUTE_VENUS_TO_APIR: Vulkan by Mesa's Venus and APIR over one device of one guest, at the same time.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh virgl-venus "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/cases.sh
. tests/vm/cases.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/ops.sh
. tests/ops.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/virgl/gl.sh
. tests/virgl/gl.sh

text=$(native_text 48)
gl_boot "VIRGL_APIR_BACKEND_LIBRARY=$BACKEND" "APIR_LLAMA_CPP_GGML_LIBRARY_PATH=$(cpu_library)" \
    "VIRGL_APIR_LOG_TO_FILE=$WORK/apir.log" "APIR_LLAMA_CPP_LOG_TO_FILE=$WORK/backend.log"

# For the guest's Vulkan programs: Venus' driver, whose device ggml would leave out since a CPU computes for it here.
venus="VK_DRIVER_FILES=/usr/share/vulkan/icd.d/virtio_icd.json GGML_VK_VISIBLE_DEVICES=0"
params='type=f(16|32),ne=\[10,5,4,[13]\],nr=\[1,1,1,1\]'

both_devices() {
    guest "$venus llama-bench --list-devices"
    cat "$job.out"
    must_have "$job.out" "  VirtGPU0: ggml-virtgpu: "
    grep -E '^ *Vulkan0: .*Venus' "$job.out" || fail "there is no Vulkan device of Venus"
    must_have "$WORK/apir.log" "is of capset 4, beside Venus"
}
# A Vulkan program computes while another is busy on VirtGPU0; both are right.
at_the_same_time() {
    local reference
    reference=$(ops_reference CPU ADD "$params")
    guest "llama-bench -m $MODEL -t 1 -p 64 -n 64 -r 200 -ngl 99 -dev VirtGPU0 -o jsonl >/tmp/bench.out 2>/tmp/bench.err &
bench=\$!
while ! grep -q 'VirtGPU0\\|over virtio-gpu' /tmp/bench.err; do sleep 0.1; done
status=0
env -u GGML_BACKEND_PATH $venus $TEST_OPS test -b Vulkan0 -o ADD -p '$params' 2>&1 || status=\$?
kill -0 \$bench || { echo 'the one on VirtGPU0 had ended'; cat /tmp/bench.err; status=99; }
kill \$bench
exit \$status"
    ops_table <"$job.out" >"$WORK/ops.table"
    ops_same "$reference" "$WORK/ops.table" "$job.out" 2
}

check "one guest sees Venus' Vulkan device and VirtGPU0" both_devices
check "the greedy text of 48 tokens on VirtGPU0 is the native one" same_text
check "Vulkan over Venus computes right while llama-bench runs on VirtGPU0" at_the_same_time
check "after that llama-bench still works on VirtGPU0" bench_in_guest
checks_end

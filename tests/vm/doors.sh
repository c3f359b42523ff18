#!/bin/bash
# SPDX-License-Identifier: MIT
# The test list in a stock guest, over the doors that have a virtio-gpu device: with the newest protocol and with plain
# APIR 0.2.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh vm-doors "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/vm/vm.sh
. tests/vm/vm.sh
# shellcheck source-path=SCRIPTDIR/../.. source=tests/doors/list.sh
. tests/doors/list.sh

vm_serve gpu
# shellcheck disable=SC2046 # several words
vm_boot $(device gpu)

over_vhost_user() {
    list_in_guest "$1"
    must_have "$job.err" "(over virtio-gpu, capset 10, "
}

for protocol in "${PROTOCOLS[@]}"; do
    check "the list over vhost-user, protocol $protocol" over_vhost_user "$protocol"
done
checks_end

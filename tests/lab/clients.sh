#!/bin/bash
# SPDX-License-Identifier: MIT
# What llama.cpp's server and programs do with the device, compared with the CPU's answer: the short ones of all-clients.
[ -e /etc/ggml-virtgpu-lab ] || exec "$(dirname "$0")/../enter" "$0" "$@"
cd "$(dirname "$(realpath "$0")")/../.." || exit
# shellcheck source-path=SCRIPTDIR/../.. source=tests/support.sh
. tests/support.sh clients "${1:-build}"
# shellcheck source-path=SCRIPTDIR/../.. source=tests/clients/cases.sh
. tests/clients/cases.sh

check "llama-server: 80 requests at once in 4 slots are the CPU's tokens" llama_server
check "a prompt cache is taken up" prompt_cache
check "KV caches of other types" kv_types q8_0 q4_0
check "a context that shifts" context_shift
check "LoRA adapters at three scales" lora
check "a control vector" control_vector
check "a slot is saved and restored" slots
check "embeddings are the CPU's to the last digit" embeddings
check "speculative decoding with a draft model" speculative
check "router mode loads and drops three models" router
checks_end

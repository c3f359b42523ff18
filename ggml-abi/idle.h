/* SPDX-License-Identifier: MIT */
/*
 * The operations that compute nothing: their tensor is another way to look at one that is there already. ggml's
 * scheduler leaves them among a backend's nodes wherever that tensor lies, and backends pass over them.
 */
#ifndef GGML_ABI_IDLE_H
#define GGML_ABI_IDLE_H

#include "ggml-abi/symbols.h"

/* By name: numbers differ between versions. */
void abi_idle_learn(const struct abi_symbols *s, bool idle[ABI_N_OPS]);

#endif

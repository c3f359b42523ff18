/* SPDX-License-Identifier: MIT */
/*
 * What an operation writes beside its result. In place means that the result views what is written (CPY, SET_ROWS, OPT_STEP_SGD
 * and many more); of all operations up to ggml 0.27 one writes to other sources, too.
 */
#ifndef GGML_ABI_WRITTEN_H
#define GGML_ABI_WRITTEN_H

#include "ggml-abi/symbols.h"

/* A bit for each source. By name: numbers differ between versions. */
void abi_written_learn(const struct abi_symbols *s, uint16_t written[ABI_N_OPS]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * A backend's slot graph_optimize: ggml's scheduler has it put a graph's nodes in another order before they are given memory.
 * The slot's arguments differ between versions and nothing but the version tells them; the order is changed in the graph's
 * private array, where that is what we know, which is checked first.
 */
#ifndef GGML_ABI_OPTIMIZE_H
#define GGML_ABI_OPTIMIZE_H

#include "ggml-abi/symbols.h"

enum abi_optimize {
	ABI_OPTIMIZE_UNKNOWN, /* the slot must be neither called nor filled, and nothing below called */
	ABI_OPTIMIZE_PLAIN,   /* backend and graph */
	ABI_OPTIMIZE_DEPS,    /* and struct abi_optimize_params */
};

/* Looks at the version, and has a small graph's nodes change places. */
enum abi_optimize abi_optimize_learn(const struct abi_symbols *s);
/* Puts the tensor in the i-th node's place. */
void abi_optimize_place(struct abi_graph *graph, uint32_t i, struct abi_tensor *t);

#endif

/* SPDX-License-Identifier: MIT */
/* A graph's private layout: ggml 0.25.1 and 0.27.0 as shipped, the same in both. counts.c and uid.c check what they use of it. */
#ifndef GGML_ABI_CGRAPH_H
#define GGML_ABI_CGRAPH_H

#include "ggml-abi/abi.h"

/* Its set of tensors: open addressing, linear probing, by address. */
struct abi_cgraph {
	int32_t size, n_nodes, n_leafs;
	struct abi_tensor **nodes, **grads, **grad_accs, **leafs;
	int32_t *use_counts; /* by the set's slots */
	size_t set_size;
	uint32_t *set_used; /* a bit a slot */
	struct abi_tensor **set_keys;
	int32_t order;
	uint64_t uid;
};
static_assert(offsetof(struct abi_cgraph, use_counts) == 0x30, "ggml_cgraph");
static_assert(offsetof(struct abi_cgraph, set_keys) == 0x48, "ggml_cgraph");
static_assert(offsetof(struct abi_cgraph, uid) == 0x58 && sizeof(struct abi_cgraph) == 0x60, "ggml_cgraph");

static inline struct abi_cgraph *abi_cgraph_of(struct abi_graph *g)
{
	return (struct abi_cgraph *)(void *)g;
}

#endif

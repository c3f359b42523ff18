/* SPDX-License-Identifier: MIT */
/*
 * A graph's use counts: how often each tensor is read, by which backends decide what may be fused. ggml has no
 * public access to them, so the graph's private layout is used where it is what we know, which is checked first.
 */
#ifndef GGML_ABI_COUNTS_H
#define GGML_ABI_COUNTS_H

#include "ggml-abi/symbols.h"

/* Builds a small graph with ggml's own functions and looks whether its counts are where we expect them. `handle` is
 * dlopen's of that ggml. Where this is false the functions below must not be called. */
bool abi_counts_check(const struct abi_symbols *s, void *handle);

/* The tensor's count in the graph; 0: it isn't counted there. */
int32_t abi_count_get(const struct abi_graph *graph, const struct abi_tensor *t);
/* How many tensors are counted: a count changes only when another tensor is. */
size_t abi_counted(const struct abi_graph *graph);
/* Counts a tensor that isn't counted yet. False: the graph has no room for it. */
bool abi_count_set(struct abi_graph *graph, struct abi_tensor *t, int32_t count);

#endif

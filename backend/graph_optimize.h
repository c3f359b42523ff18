/* SPDX-License-Identifier: MIT */
/* Has the library say in which order it wants a graph's nodes, before the guest gives them memory. */
#ifndef BACKEND_GRAPH_OPTIMIZE_H
#define BACKEND_GRAPH_OPTIMIZE_H

#include <stdint.h>

struct backend_context;

/* The graph in the blob's bytes, over which the answer is written: APIR_FN_GRAPH_OPTIMIZE. An enum apir_fn_code. */
uint32_t graph_optimize(struct backend_context *ctx, void *shared, uint64_t size, uint32_t *n_deps);

#endif

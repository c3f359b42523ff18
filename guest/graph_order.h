/* SPDX-License-Identifier: MIT */
/* In which order the host wants a graph's nodes, and what is to keep its memory for longer than it is read. */
#ifndef GUEST_GRAPH_ORDER_H
#define GUEST_GRAPH_ORDER_H

#include "guest/graph_outline.h"

struct graph_order {
	uint32_t n_nodes, n_deps;
	uint32_t *nodes; /* which comes there */
	struct apir_dep *deps;
};

/* What lies in `bytes`, the host's answer about the outline. NULL: nothing is to change; or what it says can't be: nodes that
 * aren't the graph's, or come before what they read; or there is no memory. Freed by free(). */
struct graph_order *graph_order_take(const struct graph_outline *o, const void *bytes, uint32_t n_deps);
/* Has the graph, which was written to the outline, in that order. params: NULL: the program's ggml doesn't ask what keeps its
 * memory. */
void graph_order_apply(const struct graph_order *order, const struct graph_outline *o, struct abi_graph *graph,
	const struct abi_optimize_params *params);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Before ggml's scheduler gives a graph memory, the host's library says in which order it wants the nodes: it fuses and
 * overlaps what then comes together. It is asked once for each graph that is another by its operations and shapes.
 */
#ifndef GUEST_GRAPH_OPTIMIZE_H
#define GUEST_GRAPH_OPTIMIZE_H

#include "guest/graph_order.h"
#include "proto/graph_key.h"

#define ORDERS_KEPT 512

/* A device's. Zeroed: the host wasn't asked yet. Under the session's lock. */
struct graph_optimizer {
	struct graph_outline outline; /* of the graph at hand */
	struct kept_order {
		struct graph_key key;      /* of the outline */
		struct graph_order *order; /* owned; NULL: it stays as it is */
		uint64_t last_used;
	} kept[ORDERS_KEPT];
	size_t n;
	uint64_t clock;
	bool useful;      /* something was to be changed once */
	uint64_t in_vain; /* else: nodes that the host was asked about */
};

/* Has the graph as the host wants it, or leaves it as it is. */
void graph_optimize(struct graph_optimizer *o, struct host *host, struct abi_graph *graph,
	const struct abi_optimize_params *params);

#endif

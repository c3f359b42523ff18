/* SPDX-License-Identifier: MIT */
/* See graph_order.h. */
#include "guest/graph_order.h"

#include <stdlib.h>
#include <string.h>

#include "ggml-abi/optimize.h"

static struct graph_order *order_new(uint32_t n_nodes, uint32_t n_deps)
{
	size_t nodes = n_nodes * sizeof(uint32_t);
	struct graph_order *order = malloc(sizeof *order + nodes + n_deps * sizeof *order->deps);

	if (!order)
		return NULL;
	*order = (struct graph_order){ .n_nodes = n_nodes, .n_deps = n_deps, .nodes = (uint32_t *)(void *)(order + 1) };
	order->deps = (struct apir_dep *)(void *)(order->nodes + n_nodes);
	return order;
}

static bool order_changes(const struct graph_order *order)
{
	for (uint32_t i = 0; i < order->n_nodes; i++) {
		if (order->nodes[i] != i)
			return true;
	}
	return order->n_deps > 0;
}

/* Whether what has the id has its turn before `place`, if it is a node at all. */
static bool source_is_before(const struct graph_outline *o, const uint32_t *places, uint64_t id, uint32_t place)
{
	uint32_t node = id ? o->node_of[id - 1] : OUTLINE_NO_NODE;

	return node == OUTLINE_NO_NODE || places[node] < place;
}

/* Each node has one place, behind what it reads. places[n_nodes] are filled. */
static bool order_is_one(const struct graph_order *order, const struct graph_outline *o, uint32_t *places)
{
	memset(places, 0xff, order->n_nodes * sizeof *places);
	for (uint32_t i = 0; i < order->n_nodes; i++) {
		uint32_t node = order->nodes[i];

		if (node >= order->n_nodes || places[node] != UINT32_MAX)
			return false;
		places[node] = i;
	}
	for (uint32_t node = 0; node < order->n_nodes; node++) {
		const struct apir_tensor *w = &o->wire[o->tensor_of[node]];

		for (int s = 0; s < ABI_SRCS; s++) {
			if (w->src[s] != w->id && !source_is_before(o, places, w->src[s], places[node]))
				return false;
		}
		if (!source_is_before(o, places, w->view_src, places[node]))
			return false;
	}
	for (uint32_t i = 0; i < order->n_deps; i++) {
		if (order->deps[i].tensor >= o->n_tensors || order->deps[i].until >= o->n_nodes)
			return false;
	}
	return true;
}

struct graph_order *graph_order_take(const struct graph_outline *o, const void *bytes, uint32_t n_deps)
{
	const size_t nodes = o->n_nodes * sizeof(uint32_t);
	AUTO_FREE uint32_t *places = malloc(nodes);
	struct graph_order *order = places ? order_new(o->n_nodes, n_deps) : NULL;

	if (!order)
		return NULL;
	memcpy(order->nodes, bytes, nodes + n_deps * sizeof *order->deps);
	if (order_changes(order) && order_is_one(order, o, places))
		return order;
	free(order);
	return NULL;
}

void graph_order_apply(const struct graph_order *order, const struct graph_outline *o, struct abi_graph *graph,
	const struct abi_optimize_params *params)
{
	for (uint32_t i = 0; i < order->n_nodes; i++)
		abi_optimize_place(graph, i, o->tensors[o->tensor_of[order->nodes[i]]]);
	for (uint32_t i = 0; params && params->add_alloc_dep && i < order->n_deps; i++)
		params->add_alloc_dep(params->user_data, o->tensors[order->deps[i].tensor],
			o->tensors[o->tensor_of[order->deps[i].until]]);
}

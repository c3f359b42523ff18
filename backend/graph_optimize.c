/* SPDX-License-Identifier: MIT */
/*
 * See graph_optimize.h. The graph is made of the guest's bytes as one that is to be computed (graph_build.h), but for its
 * memory, of which it has none: nothing can be read or written by it. It is asked about and never computed.
 */
#include "backend/graph_optimize.h"

#include <string.h>

#include "backend/context.h"
#include "backend/graph_build.h"

#define NO_NODE UINT32_MAX

struct optimization {
	struct graph *graph;
	uint32_t *places; /* of each tensor among the nodes; NO_NODE */
	uint32_t *order;
	struct apir_dep *deps; /* behind it */
	uint64_t n_deps, room;
	bool failed;
};

/* Which of the graph's tensors it is; n_tensors: none. */
static uint32_t tensor_index(const struct graph *g, const struct abi_tensor *t)
{
	uintptr_t at = (uintptr_t)t - (uintptr_t)g->tensors;

	return at < g->n_tensors * sizeof *t ? (uint32_t)(at / sizeof *t) : g->n_tensors;
}

static void dep_add(void *user_data, struct abi_tensor *tensor, struct abi_tensor *until)
{
	struct optimization *o = user_data;
	uint32_t kept = tensor_index(o->graph, tensor), node = tensor_index(o->graph, until);

	if (kept == o->graph->n_tensors || node == o->graph->n_tensors || o->places[node] == NO_NODE ||
		o->n_deps == o->room)
		o->failed = true;
	else
		o->deps[o->n_deps++] = (struct apir_dep){ kept, o->places[node] };
}

static const char *operand_fault(const struct backend_context *ctx, const struct abi_tensor *node)
{
	const struct ops *ops = &ctx->lib.ops;
	const char *why;

	if (!ops->computes[node->op])
		return NULL;
	if (!ops_check_srcs(ops, node, &why) || !ops_check_layout(ops, node, &why))
		return why;
	for (int s = 0; s < ABI_SRCS; s++) {
		if (node->src[s] && !ops_check_layout(ops, node->src[s], &why))
			return why;
	}
	return NULL;
}

static bool optimization_nodes(struct backend_context *ctx, struct optimization *o)
{
	const struct graph_incoming *in = &ctx->incoming;

	memset(o->places, 0xff, in->n_tensors * sizeof *o->places);
	for (uint32_t i = 0; i < in->n_nodes; i++) {
		const char *why;
		uint32_t at;

		if (!idmap_find(&in->ids, graph_incoming_node(in, i), &at) || o->places[at] != NO_NODE) {
			context_refuse(ctx, "graph_optimize: node %u is no tensor of the graph, or another node", i);
			return false;
		}
		why = operand_fault(ctx, &o->graph->tensors[at]);
		if (why) {
			context_refuse(ctx, "graph_optimize: node %u: %s", i, why);
			return false;
		}
		o->places[at] = i;
		ctx->lib.fn.graph_add_node(o->graph->ggml, &o->graph->tensors[at]);
	}
	return true;
}

static bool has_no_memory(struct backend_context *ctx)
{
	const struct graph_incoming *in = &ctx->incoming;

	for (uint32_t i = 0; i < in->n_tensors; i++) {
		if (in->tensors[i].buffer) {
			context_refuse(ctx, "graph_optimize: tensor %u has memory", i);
			return false;
		}
	}
	return true;
}

static bool optimization_run(struct backend_context *ctx, struct optimization *o)
{
	const struct abi_symbols *fn = &ctx->lib.fn;
	struct graph *g = o->graph, *last = ctx->optimized;
	struct abi_optimize_params params = { dep_add, o };

	ctx->lib.backend->iface.graph_optimize(ctx->lib.backend, g->ggml, &params);
	/* CUDA's remembers what it has seen last, by address: another graph's nodes must not come to lie there. */
	ctx->optimized = g;
	if (last)
		graph_free(fn, last);
	if (fn->graph_n_nodes(g->ggml) != (int)g->n_nodes)
		return false;
	for (uint32_t i = 0; i < g->n_nodes; i++) {
		uint32_t at = tensor_index(g, fn->graph_node(g->ggml, (int)i));

		if (at == g->n_tensors || o->places[at] == NO_NODE)
			return false;
		o->order[i] = o->places[at];
		o->places[at] = NO_NODE; /* it has its place */
	}
	return !o->failed;
}

uint32_t graph_optimize(struct backend_context *ctx, void *shared, uint64_t size, uint32_t *n_deps)
{
	struct graph_incoming *in = &ctx->incoming;
	AUTO_FREE uint32_t *order = NULL, *places = NULL;
	struct optimization o;
	struct graph *g;

	if (!graph_incoming_copy(in, shared, size))
		return APIR_FN_FAILED;
	if (!graph_incoming_read(in)) {
		context_refuse(
			ctx, "graph_optimize: %llu bytes don't hold what they announce", (unsigned long long)size);
		return APIR_FN_REFUSED;
	}
	order = malloc(size);
	places = malloc((in->n_tensors + 1) * sizeof *places);
	g = order && places ? graph_new(&ctx->lib.fn, NULL, in->n_nodes, in->n_tensors) : NULL;
	if (!g)
		return APIR_FN_FAILED;
	o = (struct optimization){ .graph = g,
		.places = places,
		.order = order,
		.deps = (struct apir_dep *)(void *)(order + in->n_nodes),
		.room = (size - in->n_nodes * sizeof *order) / sizeof *o.deps };
	if (!has_no_memory(ctx) || !graph_build_tensors(ctx, in, g) || !optimization_nodes(ctx, &o)) {
		graph_free(&ctx->lib.fn, g);
		return APIR_FN_REFUSED;
	}
	if (ctx->features & APIR_FEATURE_USE_COUNTS)
		graph_build_counts(in, g);
	if (!optimization_run(ctx, &o))
		return APIR_FN_FAILED;
	*n_deps = (uint32_t)o.n_deps;
	memcpy(shared, order, in->n_nodes * sizeof *order + o.n_deps * sizeof *o.deps);
	return APIR_FN_OK;
}

/* SPDX-License-Identifier: MIT */
/* See optimize.h. */
#include "ggml-abi/optimize.h"

#include <stdio.h>

#include "ggml-abi/cgraph.h"

/* As shipped: the third argument came with 0.25. */
static enum abi_optimize optimize_of_version(const char *version)
{
	unsigned major = 0, minor = 0;

	if (sscanf(version, "%u.%u", &major, &minor) != 2 || major != 0 || minor < 21 || minor > 27)
		return ABI_OPTIMIZE_UNKNOWN;
	return minor < 25 ? ABI_OPTIMIZE_PLAIN : ABI_OPTIMIZE_DEPS;
}

void abi_optimize_place(struct abi_graph *graph, uint32_t i, struct abi_tensor *t)
{
	abi_cgraph_of(graph)->nodes[i] = t;
}

static bool nodes_change_places(const struct abi_symbols *s)
{
	struct abi_context *ctx = s->init((struct abi_init_params){
		.mem_size = 2 * s->tensor_overhead() + s->graph_overhead_custom(16, false), .no_alloc = true });
	struct abi_tensor *a, *b;
	const struct abi_cgraph *l;
	struct abi_graph *g;
	bool ok;

	if (!ctx)
		return false;
	a = s->new_tensor_4d(ctx, 0, 1, 1, 1, 1);
	b = s->new_tensor_4d(ctx, 0, 1, 1, 1, 1);
	g = s->new_graph_custom(ctx, 16, false);
	s->graph_add_node(g, a);
	s->graph_add_node(g, b);
	l = abi_cgraph_of(g);
	/* The nodes' array comes behind the struct, but for a view's. */
	ok = l->size == 16 && l->n_nodes == 2 && (const char *)l->nodes - (const char *)l == sizeof *l;
	if (ok) {
		abi_optimize_place(g, 0, b);
		abi_optimize_place(g, 1, a);
		ok = s->graph_node(g, 0) == b && s->graph_node(g, 1) == a;
	}
	s->free(ctx);
	return ok;
}

enum abi_optimize abi_optimize_learn(const struct abi_symbols *s)
{
	enum abi_optimize kind = optimize_of_version(s->version());

	return kind != ABI_OPTIMIZE_UNKNOWN && nodes_change_places(s) ? kind : ABI_OPTIMIZE_UNKNOWN;
}

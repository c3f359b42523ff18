/* SPDX-License-Identifier: MIT */
/* See counts.h. */
#include "ggml-abi/counts.h"

#include <dlfcn.h>
#include <string.h>

#include "ggml-abi/cgraph.h"

static bool graph_slot_used(const struct abi_cgraph *g, size_t i)
{
	return g->set_used[i / 32] >> (i % 32) & 1;
}

/* The tensor's slot, or the free one where it would go; set_size: neither. */
static size_t graph_slot(const struct abi_cgraph *g, const struct abi_tensor *t)
{
	size_t start, i;

	if (!g->set_size)
		return 0;
	i = start = ((uintptr_t)t >> 4) % g->set_size;
	while (graph_slot_used(g, i) && g->set_keys[i] != t) {
		i = (i + 1) % g->set_size;
		if (i == start)
			return g->set_size;
	}
	return i;
}

int32_t abi_count_get(const struct abi_graph *graph, const struct abi_tensor *t)
{
	const struct abi_cgraph *g = (const void *)graph;
	size_t i = graph_slot(g, t);

	return i < g->set_size && graph_slot_used(g, i) ? g->use_counts[i] : 0;
}

size_t abi_counted(const struct abi_graph *graph)
{
	const struct abi_cgraph *g = (const void *)graph;
	size_t n = 0;

	for (size_t i = 0; i < (g->set_size + 31) / 32; i++)
		n += (size_t)__builtin_popcount(g->set_used[i]);
	return n;
}

bool abi_count_set(struct abi_graph *graph, struct abi_tensor *t, int32_t count)
{
	const struct abi_cgraph *g = (const void *)graph;
	size_t i = graph_slot(g, t);

	if (i >= g->set_size)
		return false;
	g->set_used[i / 32] |= UINT32_C(1) << (i % 32);
	g->set_keys[i] = t;
	g->use_counts[i] = count;
	return true;
}

bool abi_counts_check(const struct abi_symbols *s, void *handle)
{
	struct abi_tensor *(*add)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	void (*expand)(struct abi_graph *, struct abi_tensor *);
	void *f = dlsym(handle, "ggml_add"), *e = dlsym(handle, "ggml_build_forward_expand");
	struct abi_tensor *a, *b, *c, *d;
	struct abi_context *ctx;
	const struct abi_cgraph *l;
	struct abi_graph *g;
	bool ok;

	if (!f || !e)
		return false;
	memcpy(&add, &f, sizeof f);
	memcpy(&expand, &e, sizeof e);
	ctx = s->init((struct abi_init_params){
		.mem_size = 8 * s->tensor_overhead() + s->graph_overhead_custom(16, false), .no_alloc = true });
	if (!ctx)
		return false;
	a = s->new_tensor_4d(ctx, 0, 1, 1, 1, 1);
	b = s->new_tensor_4d(ctx, 0, 1, 1, 1, 1);
	c = add(ctx, a, b);
	d = add(ctx, c, a);
	g = s->new_graph_custom(ctx, 16, false);
	expand(g, d);
	l = abi_cgraph_of(g);
	ok = l->size == 16 && l->n_nodes == 2 && l->n_leafs == 2 && l->nodes[1] == d && l->set_size >= 16 &&
	     l->set_size < 4096 && abi_count_get(g, a) == 2 && abi_count_get(g, b) == 1 && abi_count_get(g, c) == 1 &&
	     abi_count_get(g, d) == 0;
	s->free(ctx);
	return ok;
}

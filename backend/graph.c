/* SPDX-License-Identifier: MIT */
/*
 * See graph.h. The order of checks: sizes, ids, every tensor by itself, sources (always earlier in the list than
 * their users, so there are no cycles and no recursion), nodes, and the device's own supports_op.
 */
#include "backend/graph.h"

#include <string.h>

#include "backend/context.h"
#include "backend/log.h"
#include "backend/tensor.h"
#include "ggml-abi/counts.h"
#include "proto/cursor.h"

/* A graph as it lies in its bytes. The tensors behind the ids may be unaligned: copy each before use. */
struct graph_view {
	uint32_t n_nodes, n_tensors;
	const uint8_t *nodes, *tensors;
};

static bool graph_view_read(uint8_t *bytes, uint64_t size, struct graph_view *v)
{
	struct cursor c = cursor_over(bytes, size);

	return cursor_read_u32(&c, &v->n_nodes) && v->n_nodes > 0 && v->n_nodes <= GRAPH_MAX_NODES &&
	       (v->nodes = cursor_take(&c, v->n_nodes * sizeof(uint64_t))) && cursor_read_u32(&c, &v->n_tensors) &&
	       v->n_tensors <= GRAPH_MAX_NODES * 2 &&
	       (v->tensors = cursor_take(&c, (size_t)v->n_tensors * sizeof(struct apir_tensor)));
}

/* ggml's cast is a CPY whose second source is itself; nothing else may read what it writes. */
static bool own_source(
	const struct backend_context *ctx, const struct apir_tensor *w, const struct abi_tensor *t, int s)
{
	return s == 1 && w->src[s] == w->id && t->op == ctx->lib.ops.cpy;
}

/* An id's tensor, which must come before tensor `user`. */
static bool tensor_earlier(
	const struct idmap *ids, struct abi_tensor *tensors, uint64_t id, uint32_t user, struct abi_tensor **out)
{
	uint32_t i;

	if (!idmap_find(ids, id, &i) || i >= user)
		return false;
	*out = &tensors[i];
	return true;
}

static bool tensors_build(struct backend_context *ctx, const struct graph_view *v, struct graph *g)
{
	struct abi_tensor *tensors = g->tensors;
	struct idmap *ids = &ctx->graphs.ids;

	if (idmap_reset(ids, v->n_tensors) < 0)
		return false;
	for (uint32_t i = 0; i < v->n_tensors; i++) {
		struct abi_tensor *t = &tensors[i];
		struct apir_tensor w;
		const char *why;

		memcpy(&w, v->tensors + (size_t)i * sizeof w, sizeof w);
		if (!w.id || idmap_add(ids, w.id, i) != i) {
			context_refuse(ctx, "graph: tensor %u: an id that is 0 or not unique", i);
			return false;
		}
		if (!tensor_decode_node(ctx, &w, t, &why)) {
			context_refuse(ctx, "graph: tensor %u: %s", i, why);
			return false;
		}
		if (t->buffer)
			graph_refers(g, handle_get(&ctx->handles, w.buffer, OBJ_BUFFER));
		for (int s = 0; s < ABI_SRCS; s++) {
			if (own_source(ctx, &w, t, s))
				t->src[s] = t;
			else if (w.src[s] && !tensor_earlier(ids, tensors, w.src[s], i, &t->src[s])) {
				context_refuse(ctx, "graph: tensor %u: source %d is unknown or comes later", i, s);
				return false;
			}
		}
		if (w.view_src && (!tensor_earlier(ids, tensors, w.view_src, i, &t->view_src) ||
					  t->view_src->buffer != t->buffer)) {
			context_refuse(
				ctx, "graph: tensor %u: it views a tensor that is unknown or in another buffer", i);
			return false;
		}
		/* Some devices take a view's place from what it views: both must say the same. */
		if (w.view_src && t->data && (char *)t->data - (char *)t->view_src->data != (int64_t)w.view_offs) {
			context_refuse(ctx, "graph: tensor %u: it lies elsewhere than its view says", i);
			return false;
		}
		t->view_offs = w.view_src ? w.view_offs : 0;
	}
	return true;
}

/* What is read or written by a node that computes: it has data, which lies as kernels expect. NULL, or why not. */
static const char *operand_fault(const struct backend_context *ctx, const struct abi_tensor *t)
{
	const char *why = NULL;

	if (!t->data)
		return "it lies in no buffer";
	ops_check_layout(&ctx->lib.ops, t, &why);
	return why;
}

/* A node that computes, its sources and what it views can be used; the device says that it can compute it. */
static bool node_check(struct backend_context *ctx, const struct abi_tensor *node, uint32_t i)
{
	const char *why;

	if (!ctx->lib.ops.computes[node->op])
		return true;
	if (!ops_check_srcs(&ctx->lib.ops, node, &why) || (why = operand_fault(ctx, node)) ||
		(node->view_src && (why = operand_fault(ctx, node->view_src)))) {
		context_refuse(ctx, "graph: node %u (%s): %s", i, ctx->lib.fn.op_name(node->op), why);
		return false;
	}
	for (int s = 0; s < ABI_SRCS; s++) {
		why = node->src[s] ? operand_fault(ctx, node->src[s]) : NULL;
		if (why) {
			context_refuse(
				ctx, "graph: node %u (%s): source %d: %s", i, ctx->lib.fn.op_name(node->op), s, why);
			return false;
		}
	}
	if (!ctx->lib.fn.dev_supports_op(ctx->lib.device, node)) {
		context_refuse(
			ctx, "graph: node %u: the device does not support this %s", i, ctx->lib.fn.op_name(node->op));
		return false;
	}
	return true;
}

/* Once each, in an order in which what is viewed comes before its views. Those that no kernel is to touch, and that may
 * lie oddly, are left alone. */
static bool tensors_init(struct backend_context *ctx, const struct graph_view *v, struct abi_tensor *tensors)
{
	AUTO_FREE bool *done = calloc(v->n_tensors ? v->n_tensors : 1, sizeof *done);

	for (uint32_t i = 0; done && i < v->n_tensors; i++) {
		struct abi_tensor *t = &tensors[i];
		struct apir_tensor w;
		const char *why;

		memcpy(&w, v->tensors + (size_t)i * sizeof w, sizeof w);
		if (operand_fault(ctx, t) || (t->view_src && !done[t->view_src - tensors]))
			continue;
		if (!tensor_init(ctx, &w, t, &done[i], &why)) {
			context_refuse(ctx, "graph: tensor %u: %s", i, why);
			return false;
		}
	}
	return done != NULL;
}

/* With all nodes before it. */
static bool work_check(struct backend_context *ctx, const struct abi_tensor *node, uint32_t i, uint64_t *sum)
{
	const struct work *w = &ctx->lib.work;

	if (!ctx->lib.ops.computes[node->op])
		return true;
	*sum = work_add(w, node, *sum);
	if (*sum <= w->most)
		return true;
	context_refuse(ctx,
		"graph: up to node %u (%s) it is %llu multiply-adds' work, and %llu are allowed: raise "
		"ggml.graph.work",
		i, ctx->lib.fn.op_name(node->op), (unsigned long long)*sum, (unsigned long long)w->most);
	return false;
}

/* How often the guest's whole graph reads each tensor: without it the device fuses nothing; counted here, it would
 * miss the readers in other splits. */
static void counts_set(const struct graph_view *v, struct graph *g)
{
	for (uint32_t i = 0; i < v->n_tensors; i++) {
		uint32_t n;

		memcpy(&n, v->tensors + i * sizeof(struct apir_tensor) + offsetof(struct apir_tensor, use_count),
			sizeof n);
		if (n && n <= INT32_MAX)
			abi_count_set(g->ggml, &g->tensors[i], (int32_t)n);
	}
}

/* Fills g from v; on failure g holds what the caller frees. */
static bool graph_fill(struct backend_context *ctx, const struct graph_view *v, struct graph *g)
{
	const struct abi_symbols *fn = &ctx->lib.fn;
	/* its set holds nodes and leaves */
	size_t room = v->n_nodes > v->n_tensors ? v->n_nodes : v->n_tensors, overhead;
	uint64_t work = 0;

	g->n_tensors = v->n_tensors;
	g->tensors = calloc(v->n_tensors ? v->n_tensors : 1, sizeof *g->tensors);
	if (!g->tensors || !tensors_build(ctx, v, g))
		return false;
	overhead = fn->graph_overhead_custom(room, false) + 1024;
	g->holder = fn->init((struct abi_init_params){ .mem_size = overhead, .no_alloc = true });
	if (!g->holder)
		return false;
	g->ggml = fn->new_graph_custom(g->holder, room, false);
	g->n_nodes = v->n_nodes;
	g->cost = sizeof *g + v->n_tensors * sizeof *g->tensors + overhead;
	for (uint32_t i = 0; i < v->n_nodes; i++) {
		uint64_t id;
		uint32_t at;

		memcpy(&id, v->nodes + (size_t)i * sizeof id, sizeof id);
		if (!idmap_find(&ctx->graphs.ids, id, &at)) {
			context_refuse(ctx, "graph: node %u is no tensor of the graph", i);
			return false;
		}
		if (!node_check(ctx, &g->tensors[at], i) || !work_check(ctx, &g->tensors[at], i, &work))
			return false;
		fn->graph_add_node(g->ggml, &g->tensors[at]);
	}
	if (ctx->features & APIR_FEATURE_USE_COUNTS)
		counts_set(v, g);
	return tensors_init(ctx, v, g->tensors);
}

/* Copies the bytes out of shared memory: from here on nobody can change them. */
static bool incoming_copy(struct graph_store *s, const void *shared, uint64_t size)
{
	if (s->incoming_room < size) {
		free(s->incoming);
		s->incoming_room = 0;
		s->incoming = malloc(size);
		if (!s->incoming)
			return false;
		s->incoming_room = size;
	}
	memcpy(s->incoming, shared, size);
	return true;
}

/* The graph in the incoming bytes, which are its own from then on. NULL: refused, or, where *status says so, no memory. */
static struct graph *graph_build(struct backend_context *ctx, uint64_t size, int32_t *status)
{
	struct graph_store *s = &ctx->graphs;
	struct graph_view v;
	struct graph *g;

	if (!graph_view_read(s->incoming, size, &v)) {
		context_refuse(ctx, "graph: %llu bytes don't hold what they announce", (unsigned long long)size);
		return NULL;
	}
	g = calloc(1, sizeof *g);
	if (!g) {
		*status = ABI_STATUS_ALLOC_FAILED;
		return NULL;
	}
	if (!graph_fill(ctx, &v, g)) {
		graph_free(&ctx->lib.fn, g);
		return NULL;
	}
	g->bytes = s->incoming;
	g->size = size;
	g->cost += s->incoming_room;
	s->incoming = NULL;
	s->incoming_room = 0;
	return g;
}

bool graph_compute(struct backend_context *ctx, const struct graph_place *at, int32_t *status)
{
	struct graph_store *s = &ctx->graphs;
	struct graph *g;

	*status = ABI_STATUS_SUCCESS;
	if (at->size == 0 || at->size > GRAPH_MAX_BYTES) {
		context_refuse(ctx, "graph: %llu bytes are none or too many", (unsigned long long)at->size);
		return false;
	}
	/* A match is computed from our own copy, so that it doesn't matter what becomes of the guest's meanwhile. */
	g = at->again ? graph_store_again(s, at->res, at->size) : NULL;
	if (g)
		ctx->counters.graphs_again++;
	else
		g = graph_store_find(s, at->bytes, at->size);
	if (g) {
		ctx->counters.graphs_reused++;
	} else {
		if (!incoming_copy(s, at->bytes, at->size)) {
			*status = ABI_STATUS_ALLOC_FAILED;
			return true;
		}
		g = graph_build(ctx, at->size, status);
		if (!g)
			return *status != ABI_STATUS_SUCCESS;
		graph_store_add(s, &ctx->lib.fn, g);
	}
	if (g->res != at->res)
		graph_store_place(s, g, at->res);
	ctx->counters.graphs++;
	ctx->counters.nodes += g->n_nodes;
	*status = ctx->lib.fn.graph_compute(ctx->lib.backend, g->ggml);
	return true;
}

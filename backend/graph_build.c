/* SPDX-License-Identifier: MIT */
/*
 * See graph_build.h. The order of checks: sizes, ids, every tensor by itself, sources (always earlier in the list than
 * their users, so there are no cycles and no recursion), nodes, and the device's own supports_op.
 */
#include "backend/graph_build.h"

#include "backend/context.h"
#include "backend/graph_check.h"
#include "backend/graph_init.h"
#include "backend/tensor.h"
#include "ggml-abi/counts.h"
#include "ggml-abi/uid.h"

/* ggml's cast is a CPY whose second source is itself; nothing else may read what it writes. */
static bool source_is_own(
	const struct backend_context *ctx, const struct apir_tensor *w, const struct abi_tensor *t, int s)
{
	return s == 1 && w->src[s] == w->id && t->op == ctx->lib.ops.cpy;
}

#define NEAR 4

/* An id's tensor, which must come before tensor `user`. Most are among the last few. */
static bool tensor_earlier(const struct graph_incoming *in, struct abi_tensor *tensors, uint64_t id, uint32_t user,
	struct abi_tensor **out)
{
	uint32_t i = user;

	for (int near = 0; near < NEAR && i > 0; near++) {
		if (in->tensors[--i].id == id) {
			*out = &tensors[i];
			return true;
		}
	}
	if (!idmap_find(&in->ids, id, &i) || i >= user)
		return false;
	*out = &tensors[i];
	return true;
}

/* A node's tensor. Most come in the order of the nodes, *at being the last one's. */
static bool node_find(const struct graph_incoming *in, uint64_t id, uint32_t *at)
{
	for (uint32_t i = *at; i < *at + NEAR && i < in->n_tensors; i++) {
		if (in->tensors[i].id == id) {
			*at = i;
			return true;
		}
	}
	return idmap_find(&in->ids, id, at);
}

bool graph_build_tensors(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g)
{
	struct abi_tensor *tensors = g->tensors;
	struct idmap *ids = &ctx->incoming.ids;

	if (idmap_reset(ids, in->n_tensors) < 0)
		return false;
	for (uint32_t i = 0; i < in->n_tensors; i++) {
		struct abi_tensor *t = &tensors[i];
		const struct apir_tensor *w = &in->tensors[i];
		const char *why;

		if (!w->id || idmap_add(ids, w->id, i) != i) {
			context_refuse(ctx, "graph: tensor %u: an id that is 0 or not unique", i);
			return false;
		}
		if (!tensor_decode_node(ctx, w, t, &why)) {
			context_refuse(ctx, "graph: tensor %u: %s", i, why);
			return false;
		}
		if (t->buffer && !graph_touch(g, handle_get(&ctx->handles, w->buffer, OBJ_BUFFER)))
			return false;
		for (int s = 0; s < ABI_SRCS; s++) {
			if (source_is_own(ctx, w, t, s))
				t->src[s] = t;
			else if (w->src[s] && !tensor_earlier(in, tensors, w->src[s], i, &t->src[s])) {
				context_refuse(ctx, "graph: tensor %u: source %d is unknown or comes later", i, s);
				return false;
			}
		}
		if (w->view_src && (!tensor_earlier(in, tensors, w->view_src, i, &t->view_src) ||
					   t->view_src->buffer != t->buffer)) {
			context_refuse(
				ctx, "graph: tensor %u: it views a tensor that is unknown or in another buffer", i);
			return false;
		}
		/* Some devices take a view's place from what it views: both must say the same. */
		if (w->view_src && t->data && (char *)t->data - (char *)t->view_src->data != (int64_t)w->view_offs) {
			context_refuse(ctx, "graph: tensor %u: it lies elsewhere than its view says", i);
			return false;
		}
		t->view_offs = w->view_src ? w->view_offs : 0;
	}
	return true;
}

static bool graph_build_nodes(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g)
{
	uint64_t work = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < in->n_nodes; i++) {
		if (!node_find(in, graph_incoming_node(in, i), &at)) {
			context_refuse(ctx, "graph: node %u is no tensor of the graph", i);
			return false;
		}
		if (!graph_node_check(ctx, &g->tensors[at], i, &work))
			return false;
		ctx->lib.fn.graph_add_node(g->ggml, &g->tensors[at]);
	}
	return true;
}

void graph_build_counts(const struct graph_incoming *in, struct graph *g)
{
	for (uint32_t i = 0; i < in->n_tensors; i++) {
		const uint32_t n = in->tensors[i].use_count;

		if (n && n <= INT32_MAX)
			abi_count_set(g->ggml, &g->tensors[i], (int32_t)n);
	}
}

static bool graph_build_into(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g)
{
	if (!graph_build_tensors(ctx, in, g) || !graph_build_nodes(ctx, in, g))
		return false;
	if (ctx->features & APIR_FEATURE_USE_COUNTS)
		graph_build_counts(in, g);
	if (g->inits && !graph_init(ctx, in, g))
		return false;
	if (ctx->lib.has_uid)
		abi_uid_renew(g->ggml); /* for good: nothing about it changes as long as it is kept */
	return true;
}

struct graph *graph_build(struct backend_context *ctx, int32_t *status)
{
	struct graph_incoming *in = &ctx->incoming;
	struct graph *g;

	if (!graph_incoming_read(in)) {
		context_refuse(ctx, "graph: %llu bytes don't hold what they announce", (unsigned long long)in->size);
		return NULL;
	}
	g = graph_new(&ctx->lib.fn, &ctx->spare, in->n_nodes, in->n_tensors);
	if (!g) {
		*status = ABI_STATUS_ALLOC_FAILED;
		return NULL;
	}
	if (graph_build_into(ctx, in, g))
		return g;
	graph_free(&ctx->lib.fn, g);
	return NULL;
}

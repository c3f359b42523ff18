/* SPDX-License-Identifier: MIT */
#include "backend/graph_run.h"

#include "backend/context.h"
#include "backend/graph_build.h"

struct graph *graph_request_find(struct backend_context *ctx, const struct graph_request *at, int32_t *status)
{
	struct graph_store *s = &ctx->graphs;
	struct graph_key key;
	struct graph *g;

	*status = ABI_STATUS_SUCCESS;
	if (at->size == 0 || at->size > GRAPH_MAX_BYTES) {
		context_refuse(ctx, "graph: %llu bytes are none or too many", (unsigned long long)at->size);
		return NULL;
	}
	/* A match is what was checked once, so that it doesn't matter what becomes of the guest's bytes meanwhile. */
	g = at->again ? graph_store_again(s, at->res, at->size) : NULL;
	if (g) {
		ctx->counters.graphs_again++;
	} else {
		key = graph_key_of(at->bytes, at->size);
		g = graph_store_find(s, &key);
	}
	if (g) {
		ctx->counters.graphs_reused++;
	} else {
		if (!graph_incoming_copy(&ctx->incoming, at->bytes, at->size)) {
			*status = ABI_STATUS_ALLOC_FAILED;
			return NULL;
		}
		context_drain(ctx); /* what is made anew is initialised, and others may have to go for it */
		g = graph_build(ctx, status);
		if (!g)
			return NULL;
		g->key = key;
		graph_store_add(s, &ctx->lib.fn, g);
	}
	graph_store_place(s, g, at->res);
	return g;
}

bool graph_request_run(struct backend_context *ctx, const struct graph_request *at, int32_t *status)
{
	struct graph *g = graph_request_find(ctx, at, status);

	if (!g)
		return *status != ABI_STATUS_SUCCESS;
	ctx->counters.graphs++;
	ctx->counters.nodes += g->n_nodes;
	*status = ctx->lib.fn.graph_compute_async(ctx->lib.backend, g->ggml);
	ctx->computing = true;
	graph_spare_prepare(&ctx->spare, g);
	if (!(ctx->features & APIR_FEATURE_ASYNC))
		context_drain(ctx);
	return true;
}

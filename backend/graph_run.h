/* SPDX-License-Identifier: MIT */
/* Computes graphs: each is checked once, when it comes first, and kept (graph_store.h). */
#ifndef BACKEND_GRAPH_RUN_H
#define BACKEND_GRAPH_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct backend_context;
struct graph;

/* Where a graph's bytes are: a blob (guest-writable: copied before it is looked into). */
struct graph_request {
	uint32_t res;
	const void *bytes;
	uint64_t size;
	bool again; /* it holds what it did when it was computed last, says the guest */
};

/* The graph that is to be computed, kept already or built and kept now. NULL: it was refused as malformed, or, where *status
 * says so, there is no memory. */
struct graph *graph_request_find(struct backend_context *ctx, const struct graph_request *at, int32_t *status);
/* Computes it. Returns false when it was refused as malformed; else *status is ggml's. */
bool graph_request_run(struct backend_context *ctx, const struct graph_request *at, int32_t *status);

#endif

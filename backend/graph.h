/* SPDX-License-Identifier: MIT */
/* Graphs: checked once, when they come first, and kept (graph_store.h). */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

struct backend_context;

#define GRAPH_MAX_BYTES (UINT64_C(64) << 20)
#define GRAPH_MAX_NODES (UINT32_C(1) << 20)

/* Where a graph's bytes are: a blob (guest-writable: copied before it is looked into). */
struct graph_place {
	uint32_t res;
	const void *bytes;
	uint64_t size;
	bool again; /* it holds what it did when it was computed last, says the guest */
};

/* Computes that graph. Returns false when it was refused as malformed; else *status is ggml's. */
bool graph_compute(struct backend_context *ctx, const struct graph_place *at, int32_t *status);

#endif

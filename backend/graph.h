/* SPDX-License-Identifier: MIT */
/*
 * Graphs: checked once, kept, and recognised by their bytes.
 *
 * A decoding program sends the same graph for every token. The store keeps the last few with the bytes they came
 * in; the same bytes compute the same ggml_cgraph again, whose tensors stay where they were, so that a library's
 * own caches (CUDA graphs) stay warm. A graph refers to buffers: freeing any buffer empties the store.
 */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include "ggml-abi/abi.h"
#include "proto/idmap.h"

struct backend_context;

#define GRAPHS_KEPT     8
#define GRAPH_MAX_BYTES (UINT64_C(64) << 20)
#define GRAPH_MAX_NODES (UINT32_C(1) << 20)

struct graph {
	uint8_t *bytes; /* as they came; owned */
	uint64_t size;
	struct abi_tensor *tensors; /* owned */
	struct abi_context *holder; /* owns the ggml_cgraph */
	struct abi_graph *ggml;
	uint32_t n_nodes;
	uint64_t last_used;
};

struct graph_store {
	struct graph kept[GRAPHS_KEPT];
	uint64_t clock;
	uint8_t *incoming; /* the private copy of the bytes at hand; owned */
	uint64_t incoming_room;
	bool outdated; /* a buffer's usage has changed: a graph that was made before may be computed otherwise now */
	struct idmap ids;
};

/* Computes the graph in `shared` (guest-writable: copied here before it is looked into). Returns false when it was refused as
 * malformed; else *status is ggml's. */
bool graph_compute(struct backend_context *ctx, const void *shared, uint64_t size, int32_t *status);
/* Drops every kept graph. */
void graph_store_empty(struct backend_context *ctx);
void graph_store_fini(struct backend_context *ctx);

#endif

/* SPDX-License-Identifier: MIT */
/* A graph of the library's, with its tensors and the bytes it came in, and which buffers they lie in. */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include "backend/buffer.h"

/* That a graph touches a buffer: in the lists of both. */
struct graph_link {
	struct graph *graph;
	struct graph_link *next;                /* of the graph's */
	struct graph_link *older, **from_newer; /* of the buffer's, and what points here */
};

struct graph {
	uint8_t *bytes; /* as they came; owned */
	uint64_t size;
	uint32_t res;               /* the blob that they lie in, 0: another graph's do now */
	struct abi_tensor *tensors; /* owned */
	uint32_t n_tensors, n_nodes;
	struct abi_context *holder; /* owns the ggml_cgraph */
	struct abi_graph *ggml;
	struct graph_link *links; /* owned */
	uint64_t cost;            /* bytes that it takes */
	bool kept;                /* it is in a store, where */
	struct graph *newer, *older;
};

/* Notes that one of its tensors lies there; one graph is made at a time. False: no memory. */
bool graph_touch(struct graph *g, struct buffer *b);
/* Frees one that isn't kept, as far as it was made. */
void graph_free(const struct abi_symbols *fn, struct graph *g);

#endif

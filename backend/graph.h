/* SPDX-License-Identifier: MIT */
/* A graph of the library's, with its tensors, and which buffers they lie in. One piece of memory, but for the links. */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include "backend/buffer.h"
#include "proto/graph_key.h"

/* That a graph touches a buffer: in the lists of both. */
struct graph_link {
	struct graph *graph;
	struct graph_link *next;                /* of the graph's */
	struct graph_link *older, **from_newer; /* of the buffer's, and what points here */
};

struct graph {
	struct graph_key key; /* of the bytes that it came in */
	uint32_t res;         /* the blob that they lie in, 0: another graph's do now */
	uint32_t n_tensors, n_nodes;
	struct abi_tensor *tensors;
	struct abi_context *holder; /* owns the ggml_cgraph */
	struct abi_graph *ggml;
	struct graph_link *links; /* owned */
	bool inits;               /* one of its buffers wants its tensors initialised */
	uint64_t cost;            /* bytes that it takes */
	bool kept;                /* it is in a store, where */
	struct graph *newer, *older, *next_key, *next_res;
};

/* Memory for the next graph, made ready while the device computes the last: pages that a process hasn't touched yet take longer
 * than all that is done with them. */
struct graph_spare {
	void *memory; /* owned */
	size_t size;
};
void graph_spare_prepare(struct graph_spare *s, const struct graph *like);

/* With room for so many, whose contents are undefined, and a ggml_cgraph without nodes. spare may be NULL. NULL: no memory. */
struct graph *graph_new(const struct abi_symbols *fn, struct graph_spare *spare, uint32_t n_nodes, uint32_t n_tensors);
/* Notes that one of its tensors lies there; one graph is made at a time. False: no memory. */
bool graph_touch(struct graph *g, struct buffer *b);
/* Frees one that isn't kept, as far as it was made. */
void graph_free(const struct abi_symbols *fn, struct graph *g);

#endif

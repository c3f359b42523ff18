/* SPDX-License-Identifier: MIT */
/*
 * The graphs that a context keeps, recognised by the bytes they came in: a decoding program sends the same for every token,
 * as many as its model has splits. One that is found again is the same ggml_cgraph, whose tensors stay where they
 * were, so that a library's own caches (CUDA graphs) stay warm.
 *
 * What they take is bounded; those that weren't used for longest go first. A graph goes with any buffer that it touches.
 */
#ifndef BACKEND_GRAPH_STORE_H
#define BACKEND_GRAPH_STORE_H

#include "backend/graph.h"

#define GRAPHS_KEPT_BYTES (UINT64_C(128) << 20) /* tensors and nodes of all */
#define GRAPHS_KEPT       1024

struct graph_store {
	struct graph *newest, *oldest;
	struct graph *by_key[GRAPHS_KEPT], *by_res[GRAPHS_KEPT]; /* chains, by the remainder */
	uint64_t cost;
	size_t n;
};

/* The graph that came in the bytes of that key, the newest from now on; NULL: none. */
struct graph *graph_store_find(struct graph_store *s, const struct graph_key *key);
/* The graph that this blob holds, by the guest's word that it hasn't changed it; NULL: none that is known. */
struct graph *graph_store_again(struct graph_store *s, uint32_t res, uint64_t size);
/* Notes that the blob holds this one of the store's. */
void graph_store_place(struct graph_store *s, struct graph *g, uint32_t res);
/* Takes the graph, and room for it from others. */
void graph_store_add(struct graph_store *s, const struct abi_symbols *fn, struct graph *g);
/* Drops those that touch the buffer; one that is being made isn't in the store. */
void graph_store_leave(struct graph_store *s, const struct abi_symbols *fn, const struct buffer *b);
/* Drops all. */
void graph_store_clear(struct graph_store *s, const struct abi_symbols *fn);

#endif

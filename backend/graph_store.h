/* SPDX-License-Identifier: MIT */
/*
 * The graphs that a context keeps, recognised by the bytes they came in: a decoding program sends the same for every token,
 * as many as its model has splits. One that is found again is the same ggml_cgraph, whose tensors stay where they
 * were, so that a library's own caches (CUDA graphs) stay warm.
 *
 * What they take is bounded; those that weren't used for longest go first. A graph goes with any buffer that it refers to.
 */
#ifndef BACKEND_GRAPH_STORE_H
#define BACKEND_GRAPH_STORE_H

#include "ggml-abi/abi.h"
#include "ggml-abi/symbols.h"
#include "proto/idmap.h"

struct buffer;

#define GRAPHS_KEPT_BYTES (UINT64_C(256) << 20) /* tensors, nodes and bytes of all */
#define GRAPHS_KEPT       1024
#define GRAPH_BUFFERS     64

struct graph {
	uint8_t *bytes; /* as they came; owned */
	uint64_t size;
	uint32_t res;               /* the blob that they lie in, 0: another graph's do now */
	struct abi_tensor *tensors; /* owned */
	uint32_t n_tensors, n_nodes;
	struct abi_context *holder; /* owns the ggml_cgraph */
	struct abi_graph *ggml;
	const struct buffer *buffers[GRAPH_BUFFERS]; /* that its tensors lie in */
	size_t n_buffers;
	bool any_buffer; /* they are more: it goes with any */
	uint64_t cost;   /* bytes that it takes */
	struct graph *newer, *older;
};

struct graph_store {
	struct graph *newest, *oldest;
	uint64_t cost;
	size_t n;
	/* What serves every graph that is made: a private copy of its bytes, owned, and its tensors' ids. */
	uint8_t *incoming;
	uint64_t incoming_room;
	struct idmap ids;
};

/* Notes that one of the graph's tensors lies there. */
void graph_refers(struct graph *g, const struct buffer *b);
/* Frees a graph that isn't in a store, as far as it was made. */
void graph_free(const struct abi_symbols *fn, struct graph *g);

/* The graph that came in these bytes, the newest from now on; NULL: none. */
struct graph *graph_store_find(struct graph_store *s, const void *bytes, uint64_t size);
/* The graph that this blob holds, by the guest's word that it hasn't changed it; NULL: none that is known. */
struct graph *graph_store_again(struct graph_store *s, uint32_t res, uint64_t size);
/* Notes that the blob holds this one of the store's. */
void graph_store_place(struct graph_store *s, struct graph *g, uint32_t res);
/* Takes the graph, and room for it from others. */
void graph_store_add(struct graph_store *s, const struct abi_symbols *fn, struct graph *g);
/* Drops those that refer to the buffer; NULL: all. */
void graph_store_drop(struct graph_store *s, const struct abi_symbols *fn, const struct buffer *b);
/* Drops all, and frees what the store has. */
void graph_store_fini(struct graph_store *s, const struct abi_symbols *fn);

#endif

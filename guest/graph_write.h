/* SPDX-License-Identifier: MIT */
/* Writing a graph into shared memory, as it goes to the host. */
#ifndef GUEST_GRAPH_WRITE_H
#define GUEST_GRAPH_WRITE_H

#include "guest/host.h"
#include "proto/idmap.h"

enum graph_written {
	GRAPH_WRITTEN,
	GRAPH_NEEDS_IDS,  /* more than max_ids: again, with more */
	GRAPH_NEEDS_ROOM, /* a larger shm */
	GRAPH_CANNOT_BE,
};

/* Where what lies. */
struct graph_bytes {
	size_t size, tensors;
	uint32_t n_nodes, n_tensors;
};

/* Writes the graph to shm. ids is empty and has room for max_ids. Unless it is GRAPH_WRITTEN, `why` says why not. */
enum graph_written graph_write(const struct host *host, struct abi_graph *graph, struct idmap *ids, uint32_t max_ids,
	const struct shm *shm, struct graph_bytes *out, char *why, size_t why_size);

/* The id of a written graph's node, which is its tensor's address. */
uint64_t graph_node_id(const void *bytes, uint32_t i);

/* How often the graph reads the tensor, where the host wants to know; else 0. */
int32_t graph_count_of(const struct host *host, const struct abi_graph *graph, const struct abi_tensor *t);

/* As long as this is the same, so are the counts of nodes that are; where the host doesn't want to know, 0. */
size_t graph_counted(const struct host *host, const struct abi_graph *graph);

#endif

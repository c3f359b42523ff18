/* SPDX-License-Identifier: MIT */
/*
 * A graph that has no memory yet, in bytes: what the host is asked about then. There are no addresses in it, so that the same
 * graph built anew, elsewhere, is the same bytes.
 */
#ifndef GUEST_GRAPH_OUTLINE_H
#define GUEST_GRAPH_OUTLINE_H

#include "guest/host.h"
#include "proto/idmap.h"

#define OUTLINE_TENSORS (APIR_OPTIMIZE_MAX / sizeof(struct apir_tensor)) /* of which more fit nowhere */
#define OUTLINE_NO_NODE UINT32_MAX

/* Zeroed: empty. Its memory is made when it is used first, and serves every graph. */
struct graph_outline {
	uint8_t *bytes;
	size_t size;
	uint32_t n_nodes, n_tensors;
	struct apir_tensor *wire;    /* the tensors in the bytes, the i-th of which has the id i + 1 */
	struct abi_tensor **tensors; /* the same as they are here */
	uint32_t *tensor_of;         /* each node's place among the tensors */
	uint32_t *node_of;           /* and the other way round; OUTLINE_NO_NODE */
	struct idmap ids;            /* addresses' places */
};

/* Writes the graph. False: it can't be, or there is nothing about it to be asked. */
bool graph_outline_write(struct graph_outline *o, const struct host *host, struct abi_graph *graph);

#endif

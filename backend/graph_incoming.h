/* SPDX-License-Identifier: MIT */
/* A graph's bytes on their way in: a private copy, and where what lies in it. It serves every graph that is made. */
#ifndef BACKEND_GRAPH_INCOMING_H
#define BACKEND_GRAPH_INCOMING_H

#include "proto/apir_wire.h"
#include "proto/idmap.h"

#define GRAPH_MAX_BYTES (UINT64_C(64) << 20)
#define GRAPH_MAX_NODES (UINT32_C(1) << 20)

struct graph_incoming {
	uint8_t *bytes; /* owned */
	uint64_t size, room;
	struct idmap ids; /* the tensors' */
	uint32_t n_nodes, n_tensors;
	const uint8_t *nodes;              /* unaligned */
	const struct apir_tensor *tensors; /* behind them: two numbers and the ids of 8 bytes each */
};

/* Copies the bytes out of shared memory: from here on nobody can change them. False: no memory. */
bool graph_incoming_copy(struct graph_incoming *in, const void *shared, uint64_t size);
/* Finds nodes and tensors. False: the bytes don't hold what they announce. */
bool graph_incoming_read(struct graph_incoming *in);
uint64_t graph_incoming_node(const struct graph_incoming *in, uint32_t i);
void graph_incoming_fini(struct graph_incoming *in);

#endif

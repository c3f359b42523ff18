/* SPDX-License-Identifier: MIT */
/* From the bytes that a guest sent to a graph that the library may compute. */
#ifndef BACKEND_GRAPH_BUILD_H
#define BACKEND_GRAPH_BUILD_H

#include "backend/graph.h"
#include "backend/graph_incoming.h"

struct backend_context;

/* The graph in the incoming bytes. NULL: refused, or, where *status says so, no memory. */
struct graph *graph_build(struct backend_context *ctx, int32_t *status);

/* Its steps. The tensors, each checked by itself, with their sources and what they view. False: refused, or no memory. */
bool graph_build_tensors(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g);
/* How often the guest's whole graph reads each tensor: without it the device fuses nothing; counted here, it would
 * miss the readers in other splits. */
void graph_build_counts(const struct graph_incoming *in, struct graph *g);

#endif

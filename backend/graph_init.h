/* SPDX-License-Identifier: MIT */
/* Has the library initialise the tensors of a graph. */
#ifndef BACKEND_GRAPH_INIT_H
#define BACKEND_GRAPH_INIT_H

#include "backend/graph.h"
#include "backend/graph_incoming.h"

struct backend_context;

/* Once each, in an order in which what is viewed comes before its views. Those that no kernel is to touch, and that may
 * lie oddly, are left alone. False: refused, or no memory. */
bool graph_init(struct backend_context *ctx, const struct graph_incoming *in, struct graph *g);

#endif

/* SPDX-License-Identifier: MIT */
/* From the bytes that a guest sent to a graph that the library may compute. */
#ifndef BACKEND_GRAPH_BUILD_H
#define BACKEND_GRAPH_BUILD_H

#include "backend/graph.h"

struct backend_context;

/* The graph in the incoming bytes. NULL: refused, or, where *status says so, no memory. */
struct graph *graph_build(struct backend_context *ctx, int32_t *status);

#endif

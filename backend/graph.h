/* SPDX-License-Identifier: MIT */
/* Graphs: checked once, when they come first, and kept (graph_store.h). */
#ifndef BACKEND_GRAPH_H
#define BACKEND_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

struct backend_context;

#define GRAPH_MAX_BYTES (UINT64_C(64) << 20)
#define GRAPH_MAX_NODES (UINT32_C(1) << 20)

/* Computes the graph in `shared` (guest-writable: copied here before it is looked into). Returns false when it was refused as
 * malformed; else *status is ggml's. */
bool graph_compute(struct backend_context *ctx, const void *shared, uint64_t size, int32_t *status);
#endif

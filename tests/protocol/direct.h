/* SPDX-License-Identifier: MIT */
/* The backend in this process, over ggml's CPU library: its context, and one blob. */
#ifndef TESTS_PROTOCOL_DIRECT_H
#define TESTS_PROTOCOL_DIRECT_H

#include "backend/context.h"

/* NULL where there is no library. Features, such as hello agrees on, are the caller's to set. */
struct backend_context *direct_open(void);
/* A buffer of zeros; its handle. */
uint64_t direct_buffer(struct backend_context *ctx, uint64_t size);

/* A graph of the wire in one piece of memory. */
struct direct_graph {
	uint32_t n_nodes, n_tensors;
	uint64_t nodes[16];
	struct apir_tensor tensors[16];
};
/* Appends a contiguous f32 tensor at `data`, the result of an operation ("NONE": of none) on those with the ids; its id. */
uint64_t direct_tensor(struct direct_graph *g, const char *op, uint64_t buffer, uint64_t data, uint32_t ne0,
	uint32_t ne1, uint64_t src0, uint64_t src1);
/* Its bytes, the caller's to free. */
uint8_t *direct_bytes(const struct direct_graph *g, size_t *size);

#endif

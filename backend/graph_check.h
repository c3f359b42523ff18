/* SPDX-License-Identifier: MIT */
/* What must be true of a graph's node, its sources being in place, before the device computes it. */
#ifndef BACKEND_GRAPH_CHECK_H
#define BACKEND_GRAPH_CHECK_H

#include "ggml-abi/abi.h"

struct backend_context;

/* What is read or written by a node that computes: it has data, which lies as kernels expect. NULL, or why not. */
const char *graph_operand_fault(const struct backend_context *ctx, const struct abi_tensor *t);
/* The i-th node, its sources and what it views can be used, the device says that it can compute it, and *work, the sum of
 * those before it, is no more than allowed with it. False, having said why. */
bool graph_node_check(struct backend_context *ctx, const struct abi_tensor *node, uint32_t i, uint64_t *work);

#endif

/* SPDX-License-Identifier: MIT */
/* From a tensor on the wire to one that ggml may see: every field is checked on the way. */
#ifndef BACKEND_TENSOR_H
#define BACKEND_TENSOR_H

#include "ggml-abi/abi.h"
#include "proto/apir_wire.h"
#include "proto/cursor.h"

struct backend_context;

/*
 * Checks *w (a private copy) and fills *t; sources and view (its offset too) are left empty for the caller. A tensor that has a
 * buffer lies wholly within it. On refusal returns false and *why says what was wrong. *extent (may be NULL) gets
 * the tensor's bytes.
 */
bool tensor_decode(struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, size_t *extent,
	const char **why);

/* The same for a tensor of a graph, whose elements' layout matters only where it is read or written: see node_check() in graph.c. */
bool tensor_decode_node(
	struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, const char **why);

/*
 * Has the library initialise a graph's tensor, as ggml does when it gives it memory: the library may hang something of its
 * own on it, and clears what it wants clear behind a quantised one. So one that may be a part of another, which any of a
 * plain APIR 0.2 guest's may be, isn't if it is quantised. *done: it was, and so can be what views it.
 */
bool tensor_init(
	struct backend_context *ctx, const struct apir_tensor *w, struct abi_tensor *t, bool *done, const char **why);

/* The raw ggml_tensor structs of supports_op and get_alloc_size: a tensor, what it views, its sources. Shapes
 * only: no buffer, no data. room holds 2 + ABI_SRCS tensors; room[0] is the operation. */
bool tensor_decode_raw(struct backend_context *ctx, struct cursor *in, struct abi_tensor *room, const char **why);

#define TENSOR_RAW_ROOM (2 + ABI_SRCS)

#endif

/* SPDX-License-Identifier: MIT */
/* A buffer of the library's that a guest has made; the graphs that touch it go with it (graph.h). */
#ifndef BACKEND_BUFFER_H
#define BACKEND_BUFFER_H

#include "ggml-abi/symbols.h"

struct graph_link;

struct buffer {
	struct abi_buffer *ggml;
	char *base;                /* in our address space; the guest never learns it */
	uint64_t size;             /* bytes */
	uint64_t fake;             /* the base that upstream's guests are told */
	int32_t usage;             /* as the guest told it last */
	void *mapping;             /* our own mapping of a blob, for buffers on guest memory; else NULL */
	uint32_t res;              /* then: the blob, */
	uint64_t blob;             /* and which of those that were called so */
	struct graph_link *graphs; /* that touch it, the newest first */
};

/* Takes `ggml` and the mapping; NULL, having freed both: no memory. */
struct buffer *buffer_adopt(
	const struct abi_symbols *fn, struct abi_buffer *ggml, void *mapping, uint64_t mapping_size);
/* No graph touches it any more. */
void buffer_release(const struct abi_symbols *fn, struct buffer *b);

#endif

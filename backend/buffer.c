/* SPDX-License-Identifier: MIT */
#include "backend/buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

struct buffer *buffer_adopt(const struct abi_symbols *fn, struct abi_buffer *ggml, void *mapping, uint64_t mapping_size)
{
	struct buffer *b = malloc(sizeof *b);

	if (!b) {
		fn->buffer_free(ggml);
		if (mapping)
			munmap(mapping, mapping_size);
		return NULL;
	}
	*b = (struct buffer){ .ggml = ggml, .size = fn->buffer_get_size(ggml), .mapping = mapping };
	b->base = b->size ? fn->buffer_get_base(ggml) : NULL;
	return b;
}

void buffer_release(const struct abi_symbols *fn, struct buffer *b)
{
	fn->buffer_free(b->ggml);
	if (b->mapping)
		munmap(b->mapping, b->size);
	free(b);
}

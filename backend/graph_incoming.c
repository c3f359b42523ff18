/* SPDX-License-Identifier: MIT */
#include "backend/graph_incoming.h"

#include <stdlib.h>
#include <string.h>

#include "proto/cursor.h"

bool graph_incoming_copy(struct graph_incoming *in, const void *shared, uint64_t size)
{
	if (in->room < size) {
		free(in->bytes);
		in->room = 0;
		in->bytes = malloc(size);
		if (!in->bytes)
			return false;
		in->room = size;
	}
	memcpy(in->bytes, shared, size);
	in->size = size;
	return true;
}

bool graph_incoming_read(struct graph_incoming *in)
{
	struct cursor c = cursor_over(in->bytes, in->size);

	return cursor_read_u32(&c, &in->n_nodes) && in->n_nodes > 0 && in->n_nodes <= GRAPH_MAX_NODES &&
	       (in->nodes = cursor_take(&c, in->n_nodes * sizeof(uint64_t))) && cursor_read_u32(&c, &in->n_tensors) &&
	       in->n_tensors <= GRAPH_MAX_NODES * 2 &&
	       (in->tensors = cursor_take(&c, (size_t)in->n_tensors * sizeof(struct apir_tensor)));
}

uint64_t graph_incoming_node(const struct graph_incoming *in, uint32_t i)
{
	uint64_t id;

	memcpy(&id, in->nodes + (size_t)i * sizeof id, sizeof id);
	return id;
}

void graph_incoming_fini(struct graph_incoming *in)
{
	free(in->bytes);
	idmap_fini(&in->ids);
	*in = (struct graph_incoming){ 0 };
}

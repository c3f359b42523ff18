/* SPDX-License-Identifier: MIT */
/* See uid.h. */
#include "ggml-abi/uid.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-abi/cgraph.h"

#define OURS (UINT64_C(1) << 63) /* ggml's own count from 1 */

bool abi_uid_check(const struct abi_symbols *s)
{
	size_t room = s->graph_overhead_custom(16, false) + s->tensor_overhead();
	struct abi_context *ctx;
	struct abi_graph *graph;
	void *memory = malloc(room);
	bool ok = false;

	if (!memory)
		return false;
	memset(memory, 0xaa, room); /* what ggml leaves alone isn't 0 */
	ctx = s->init((struct abi_init_params){ .mem_size = room, .mem_buffer = memory, .no_alloc = true });
	if (ctx) {
		const struct abi_cgraph *g = abi_cgraph_of(graph = s->new_graph_custom(ctx, 16, false));

		/* The nodes' array comes behind the struct. */
		ok = (const char *)g->nodes - (const char *)g == sizeof *g && g->size == 16 && g->uid == 0;
		s->free(ctx);
	}
	free(memory);
	return ok;
}

uint64_t abi_uid_get(struct abi_graph *graph)
{
	return abi_cgraph_of(graph)->uid;
}

uint64_t abi_uid_of_split(struct abi_graph *graph)
{
	const struct abi_cgraph *g = abi_cgraph_of(graph);

	return g->size == 0 ? g->uid : 0; /* a view has no room of its own */
}

void abi_uid_renew(struct abi_graph *graph)
{
	static _Atomic uint64_t last = OURS;

	abi_cgraph_of(graph)->uid = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

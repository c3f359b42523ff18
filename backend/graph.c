/* SPDX-License-Identifier: MIT */
#include "backend/graph.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 16 /* ggml's */
static_assert(sizeof(struct graph) % ALIGN == 0 && sizeof(struct abi_tensor) % ALIGN == 0, "what comes behind");

#define SPARE_MOST (16u << 20)

void graph_spare_prepare(struct graph_spare *s, const struct graph *like)
{
	if (s->memory || like->cost > SPARE_MOST)
		return;
	s->size = like->cost;
	s->memory = malloc(s->size);
	if (s->memory)
		memset(s->memory, 0xff,
			s->size); /* not 0, or the compiler makes a calloc() of it, which touches nothing */
}

/* The spare memory where it fits, other memory else. */
static void *graph_spare_take(struct graph_spare *s, size_t size)
{
	void *memory = s ? s->memory : NULL;

	if (s)
		s->memory = NULL;
	if (memory && size <= s->size && size >= s->size - s->size / 8) /* cost counts what is asked for */
		return memory;
	free(memory);
	return malloc(size);
}

struct graph *graph_new(const struct abi_symbols *fn, struct graph_spare *spare, uint32_t n_nodes, uint32_t n_tensors)
{
	/* its set holds nodes and leaves */
	size_t room = n_nodes > n_tensors ? n_nodes : n_tensors, ggml = fn->graph_overhead_custom(room, false);
	size_t tensors = n_tensors * sizeof(struct abi_tensor);
	struct graph *g = graph_spare_take(spare, sizeof *g + tensors + ggml);

	if (!g)
		return NULL;
	*g = (struct graph){ .n_nodes = n_nodes, .n_tensors = n_tensors, .cost = sizeof *g + tensors + ggml };
	g->tensors = (struct abi_tensor *)(void *)(g + 1);
	g->holder = fn->init((struct abi_init_params){
		.mem_size = ggml, .mem_buffer = (char *)g->tensors + tensors, .no_alloc = true });
	if (!g->holder) {
		free(g);
		return NULL;
	}
	g->ggml = fn->new_graph_custom(g->holder, room, false);
	return g;
}

bool graph_touch(struct graph *g, struct buffer *b)
{
	struct graph_link *link;

	if (b->graphs && b->graphs->graph == g)
		return true;
	link = malloc(sizeof *link);
	if (!link)
		return false;
	*link = (struct graph_link){ .graph = g, .next = g->links, .older = b->graphs, .from_newer = &b->graphs };
	if (link->older)
		link->older->from_newer = &link->older;
	g->links = b->graphs = link;
	g->cost += sizeof *link;
	g->inits |= b->ggml->iface.init_tensor != NULL;
	return true;
}

static void graph_untouch(struct graph *g)
{
	struct graph_link *link = g->links;

	g->links = link->next;
	*link->from_newer = link->older;
	if (link->older)
		link->older->from_newer = link->from_newer;
	free(link);
}

void graph_free(const struct abi_symbols *fn, struct graph *g)
{
	while (g->links)
		graph_untouch(g);
	fn->free(g->holder);
	free(g);
}

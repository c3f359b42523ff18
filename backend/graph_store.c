/* SPDX-License-Identifier: MIT */
/* See graph_store.h. A list, the newest first: a program's next graph is the last one's again, or the one that is longest ago. */
#include "backend/graph_store.h"

#include <string.h>

static void graph_store_unlink(struct graph_store *s, struct graph *g)
{
	*(g->newer ? &g->newer->older : &s->newest) = g->older;
	*(g->older ? &g->older->newer : &s->oldest) = g->newer;
}

static void graph_store_link(struct graph_store *s, struct graph *g)
{
	g->newer = NULL;
	g->older = s->newest;
	*(g->older ? &g->older->newer : &s->oldest) = g;
	s->newest = g;
}

static void graph_store_drop(struct graph_store *s, const struct abi_symbols *fn, struct graph *g)
{
	graph_store_unlink(s, g);
	s->cost -= g->cost;
	s->n--;
	graph_free(fn, g);
}

static struct graph *graph_store_use(struct graph_store *s, struct graph *g)
{
	if (g && g != s->newest) {
		graph_store_unlink(s, g);
		graph_store_link(s, g);
	}
	return g;
}

struct graph *graph_store_find(struct graph_store *s, const void *bytes, uint64_t size)
{
	struct graph *g = s->newest;

	while (g && (g->size != size || memcmp(g->bytes, bytes, size) != 0))
		g = g->older;
	return graph_store_use(s, g);
}

struct graph *graph_store_again(struct graph_store *s, uint32_t res, uint64_t size)
{
	struct graph *g = s->newest;

	while (g && (!res || g->res != res || g->size != size))
		g = g->older;
	return graph_store_use(s, g);
}

void graph_store_place(struct graph_store *s, struct graph *g, uint32_t res)
{
	for (struct graph *other = s->newest; other; other = other->older) {
		if (other->res == res)
			other->res = 0;
	}
	g->res = res;
}

void graph_store_add(struct graph_store *s, const struct abi_symbols *fn, struct graph *g)
{
	while (s->oldest &&
		(s->n >= GRAPHS_KEPT || g->cost > GRAPHS_KEPT_BYTES || s->cost > GRAPHS_KEPT_BYTES - g->cost))
		graph_store_drop(s, fn, s->oldest);
	graph_store_link(s, g);
	g->kept = true;
	s->cost += g->cost;
	s->n++;
}

void graph_store_leave(struct graph_store *s, const struct abi_symbols *fn, const struct buffer *b)
{
	struct graph_link *older;

	for (struct graph_link *link = b->graphs; link; link = older) {
		older = link->older; /* another graph's */
		if (link->graph->kept)
			graph_store_drop(s, fn, link->graph);
	}
}

void graph_store_clear(struct graph_store *s, const struct abi_symbols *fn)
{
	while (s->newest)
		graph_store_drop(s, fn, s->newest);
}

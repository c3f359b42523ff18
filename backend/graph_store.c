/* SPDX-License-Identifier: MIT */
/* See graph_store.h. A list, the newest first: a program's next graph is the last one's again, or the one that is longest ago. */
#include "backend/graph_store.h"

#include <string.h>

#include "proto/util.h"

void graph_refers(struct graph *g, const struct buffer *b)
{
	/* Neighbours lie together mostly. */
	for (size_t i = g->n_buffers; i-- > 0;) {
		if (g->buffers[i] == b)
			return;
	}
	if (g->n_buffers < GRAPH_BUFFERS)
		g->buffers[g->n_buffers++] = b;
	else
		g->any_buffer = true;
}

static bool graph_has(const struct graph *g, const struct buffer *b)
{
	if (!b || g->any_buffer)
		return true;
	for (size_t i = 0; i < g->n_buffers; i++) {
		if (g->buffers[i] == b)
			return true;
	}
	return false;
}

void graph_free(const struct abi_symbols *fn, struct graph *g)
{
	if (g->holder)
		fn->free(g->holder);
	free(g->tensors);
	free(g->bytes);
	free(g);
}

static void graph_unlink(struct graph_store *s, struct graph *g)
{
	*(g->newer ? &g->newer->older : &s->newest) = g->older;
	*(g->older ? &g->older->newer : &s->oldest) = g->newer;
}

static void graph_link(struct graph_store *s, struct graph *g)
{
	g->newer = NULL;
	g->older = s->newest;
	*(g->older ? &g->older->newer : &s->oldest) = g;
	s->newest = g;
}

static void graph_drop(struct graph_store *s, const struct abi_symbols *fn, struct graph *g)
{
	graph_unlink(s, g);
	s->cost -= g->cost;
	s->n--;
	graph_free(fn, g);
}

static struct graph *graph_use(struct graph_store *s, struct graph *g)
{
	if (g && g != s->newest) {
		graph_unlink(s, g);
		graph_link(s, g);
	}
	return g;
}

struct graph *graph_store_find(struct graph_store *s, const void *bytes, uint64_t size)
{
	struct graph *g = s->newest;

	while (g && (g->size != size || memcmp(g->bytes, bytes, size) != 0))
		g = g->older;
	return graph_use(s, g);
}

struct graph *graph_store_again(struct graph_store *s, uint32_t res, uint64_t size)
{
	struct graph *g = s->newest;

	while (g && (!res || g->res != res || g->size != size))
		g = g->older;
	return graph_use(s, g);
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
		graph_drop(s, fn, s->oldest);
	graph_link(s, g);
	s->cost += g->cost;
	s->n++;
}

void graph_store_drop(struct graph_store *s, const struct abi_symbols *fn, const struct buffer *b)
{
	struct graph *next;

	for (struct graph *g = s->newest; g; g = next) {
		next = g->older;
		if (graph_has(g, b))
			graph_drop(s, fn, g);
	}
}

void graph_store_fini(struct graph_store *s, const struct abi_symbols *fn)
{
	graph_store_drop(s, fn, NULL);
	free(s->incoming);
	idmap_fini(&s->ids);
	*s = (struct graph_store){ 0 };
}

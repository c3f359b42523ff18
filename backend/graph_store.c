/* SPDX-License-Identifier: MIT */
/* See graph_store.h. A list, the newest first: a program's next graph is the last one's again, or the one that is longest ago. */
#include "backend/graph_store.h"

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

static struct graph **graph_store_by_key(struct graph_store *s, const struct graph_key *key)
{
	return &s->by_key[key->low % GRAPHS_KEPT];
}

static struct graph **graph_store_by_res(struct graph_store *s, uint32_t res)
{
	return &s->by_res[res % GRAPHS_KEPT];
}

/* The blob, if it held this one, holds none that is known. */
static void graph_store_displace(struct graph_store *s, struct graph *g)
{
	struct graph **at = graph_store_by_res(s, g->res);

	if (!g->res)
		return;
	while (*at != g)
		at = &(*at)->next_res;
	*at = g->next_res;
	g->res = 0;
}

static void graph_store_drop(struct graph_store *s, const struct abi_symbols *fn, struct graph *g)
{
	struct graph **at = graph_store_by_key(s, &g->key);

	while (*at != g)
		at = &(*at)->next_key;
	*at = g->next_key;
	graph_store_displace(s, g);
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

struct graph *graph_store_find(struct graph_store *s, const struct graph_key *key)
{
	struct graph *g = *graph_store_by_key(s, key);

	while (g && !graph_key_same(&g->key, key))
		g = g->next_key;
	return graph_store_use(s, g);
}

static struct graph *graph_store_in(struct graph_store *s, uint32_t res)
{
	struct graph *g = res ? *graph_store_by_res(s, res) : NULL;

	while (g && g->res != res)
		g = g->next_res;
	return g;
}

struct graph *graph_store_again(struct graph_store *s, uint32_t res, uint64_t size)
{
	struct graph *g = graph_store_in(s, res);

	return g && g->key.size == size ? graph_store_use(s, g) : NULL;
}

void graph_store_place(struct graph_store *s, struct graph *g, uint32_t res)
{
	struct graph *was = graph_store_in(s, res), **first = graph_store_by_res(s, res);

	if (was == g)
		return;
	if (was)
		graph_store_displace(s, was);
	graph_store_displace(s, g);
	if (!res)
		return;
	g->res = res;
	g->next_res = *first;
	*first = g;
}

void graph_store_add(struct graph_store *s, const struct abi_symbols *fn, struct graph *g)
{
	while (s->oldest &&
		(s->n >= GRAPHS_KEPT || g->cost > GRAPHS_KEPT_BYTES || s->cost > GRAPHS_KEPT_BYTES - g->cost))
		graph_store_drop(s, fn, s->oldest);
	graph_store_link(s, g);
	g->next_key = *graph_store_by_key(s, &g->key);
	*graph_store_by_key(s, &g->key) = g;
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

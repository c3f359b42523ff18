/* SPDX-License-Identifier: MIT */
#include "backend/graph.h"

#include <stdlib.h>

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
	if (g->holder)
		fn->free(g->holder);
	free(g->tensors);
	free(g->bytes);
	free(g);
}

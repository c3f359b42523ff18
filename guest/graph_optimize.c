/* SPDX-License-Identifier: MIT */
/* See graph_optimize.h. Whatever fails, the graph stays as it is: that is right, too. */
#include "guest/graph_optimize.h"

#include <stdlib.h>
#include <string.h>

#include "guest/transfer.h"
#include "guest/turn.h"

/* A library that had nothing to change about so many nodes, which are some models' graphs, isn't asked any more: there are
 * those whose slot does nothing unless they are told to. */
#define IN_VAIN_MOST 8192

static bool optimizer_gave_up(const struct graph_optimizer *o)
{
	return !o->useful && o->in_vain >= IN_VAIN_MOST;
}

static struct kept_order *order_find(struct graph_optimizer *o, const struct graph_key *key)
{
	for (size_t i = 0; i < o->n; i++) {
		if (graph_key_same(&o->kept[i].key, key))
			return &o->kept[i];
	}
	return NULL;
}

/* Keeps it, in the place of the one that wasn't used for longest if need be. */
static struct kept_order *order_keep(struct graph_optimizer *o, const struct graph_key *key, struct graph_order *order)
{
	struct kept_order *k = o->kept;

	if (o->n < ORDERS_KEPT) {
		k = &o->kept[o->n++];
	} else {
		for (size_t i = 1; i < o->n; i++) {
			if (o->kept[i].last_used < k->last_used)
				k = &o->kept[i];
		}
		free(k->order);
	}
	*k = (struct kept_order){ .key = *key, .order = order };
	return k;
}

static struct graph_order *order_ask(struct call *c, const struct graph_outline *outline)
{
	struct shm *shm = transfer_blob(c);
	AUTO_FREE void *answer = NULL;
	uint32_t n_deps;
	size_t size;

	if (!shm)
		return NULL;
	memcpy(shm->ptr, outline->bytes, outline->size);
	call_u32(c, shm->res_id);
	call_u64(c, outline->size);
	c->expects = sizeof n_deps;
	if (call_try(c) < 0 || !cursor_read_u32(&c->reply, &n_deps))
		return NULL;
	size = outline->n_nodes * sizeof(uint32_t) + n_deps * sizeof(struct apir_dep);
	answer = size <= outline->size ? malloc(size) : NULL;
	if (!answer)
		return NULL;
	memcpy(answer, shm->ptr, size); /* the host may change it */
	return session_alive(c->session) ? graph_order_take(outline, answer, n_deps) : NULL;
}

/* The graph's, which is in the outline. */
static const struct graph_order *order_of(struct graph_optimizer *o, struct call *c)
{
	const struct graph_key key = graph_key_of(o->outline.bytes, o->outline.size);
	struct kept_order *k = order_find(o, &key);

	if (!k) {
		struct graph_order *order = order_ask(c, &o->outline);

		o->useful |= order != NULL;
		o->in_vain += o->outline.n_nodes;
		k = order_keep(o, &key, order);
	}
	k->last_used = ++o->clock;
	return k->order;
}

void graph_optimize(
	struct graph_optimizer *o, struct host *host, struct abi_graph *graph, const struct abi_optimize_params *params)
{
	const struct graph_order *order;
	struct call c;

	turn_begin(&c, &host->session, APIR_FN_GRAPH_OPTIMIZE, "graph_optimize");
	if (session_alive(&host->session) && !optimizer_gave_up(o) && graph_outline_write(&o->outline, host, graph)) {
		order = order_of(o, &c);
		if (order)
			graph_order_apply(order, &o->outline, graph, params);
	}
	turn_end(&c);
}

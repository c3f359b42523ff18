/* SPDX-License-Identifier: MIT */
/* See graph_outline.h. As in graph_write.c, sources come before their users, and what the nodes read but the graph doesn't
 * compute is data. */
#include "guest/graph_outline.h"

#include <stdlib.h>
#include <string.h>

#include "guest/graph_write.h"
#include "guest/own_ggml.h"
#include "guest/tensor.h"

struct outliner {
	struct graph_outline *o;
	const struct host *host;
	const struct abi_graph *graph;
	uint32_t most; /* tensors that there is room for */
};

static bool outline_room(struct graph_outline *o)
{
	if (!o->bytes)
		o->bytes = malloc(APIR_OPTIMIZE_MAX);
	if (!o->tensors)
		o->tensors = calloc(OUTLINE_TENSORS, sizeof(struct abi_tensor *));
	if (!o->tensor_of)
		o->tensor_of = calloc(OUTLINE_TENSORS, sizeof *o->tensor_of);
	if (!o->node_of)
		o->node_of = calloc(OUTLINE_TENSORS, sizeof *o->node_of);
	return o->bytes && o->tensors && o->tensor_of && o->node_of && idmap_reset(&o->ids, OUTLINE_TENSORS) == 0;
}

/* The tensor's place; false: it has none. */
static bool outline_find(const struct outliner *w, const struct abi_tensor *t, uint32_t *at)
{
	return idmap_find(&w->o->ids, (uintptr_t)t, at);
}

/* The next place is the tensor's, of which *out gets what is true of it as data; NULL: it can't be written. */
static struct apir_tensor *outline_add(struct outliner *w, struct abi_tensor *t)
{
	struct graph_outline *o = w->o;
	struct apir_tensor *out = &o->wire[o->n_tensors];

	if (o->n_tensors == w->most || !tensor_encode_shape(w->host, t, out))
		return NULL;
	/* What lies behind a name's end may be an older one's. */
	memcpy(out->name, t->name, strnlen(t->name, sizeof t->name));
	out->use_count = (uint32_t)graph_count_of(w->host, w->graph, t);
	idmap_set(&o->ids, (uintptr_t)t, o->n_tensors);
	o->tensors[o->n_tensors] = t;
	o->node_of[o->n_tensors++] = OUTLINE_NO_NODE;
	out->id = o->n_tensors;
	return out;
}

/* What the tensor views, which is no view itself, is there; *id gets its id, *offs where the view begins. */
static bool outline_view(struct outliner *w, const struct abi_tensor *t, uint64_t *id, uint64_t *offs)
{
	uint32_t at;

	*id = *offs = 0;
	if (!t->view_src)
		return true;
	if (!outline_find(w, t->view_src, &at)) {
		if (t->view_src->view_src || !outline_add(w, t->view_src))
			return false;
		at = w->o->n_tensors - 1;
	}
	*id = at + 1;
	*offs = t->view_offs;
	return true;
}

/* Its sources and what it views are there before it; `src` has their ids. */
static bool outline_tensor(struct outliner *w, struct abi_tensor *t, const uint64_t src[ABI_SRCS], bool node)
{
	uint64_t view, offs;
	struct apir_tensor *out;

	if (!outline_view(w, t, &view, &offs))
		return false;
	out = outline_add(w, t);
	if (!out || (node && !tensor_encode_op(w->host, t, out)))
		return false;
	out->view_src = view;
	out->view_offs = offs;
	for (int i = 0; i < ABI_SRCS; i++)
		out->src[i] = src[i] == UINT64_MAX ? out->id : src[i];
	return true;
}

static bool outline_node(struct outliner *w, uint32_t i, struct abi_tensor *t)
{
	static const uint64_t none[ABI_SRCS];
	uint64_t src[ABI_SRCS] = { 0 };
	uint32_t at;

	for (int s = 0; s < ABI_SRCS; s++) {
		if (t->src[s] == t) { /* a cast's */
			src[s] = UINT64_MAX;
		} else if (t->src[s]) {
			if (!outline_find(w, t->src[s], &at)) {
				if (!outline_tensor(w, t->src[s], none, false))
					return false;
				at = w->o->n_tensors - 1;
			}
			src[s] = at + 1;
		}
	}
	/* One that is there already is in the graph twice, or was read before its turn. */
	if (outline_find(w, t, &at) || !outline_tensor(w, t, src, true))
		return false;
	at = w->o->n_tensors - 1;
	w->o->tensor_of[i] = at;
	w->o->node_of[at] = i;
	return true;
}

bool graph_outline_write(struct graph_outline *o, const struct host *host, struct abi_graph *graph)
{
	const uint32_t n = (uint32_t)own.fn.graph_n_nodes(graph);
	struct outliner w = { .o = o, .host = host, .graph = graph };
	size_t tensors = 2 * sizeof n + n * sizeof(uint64_t);

	if (n < 2 || n > OUTLINE_TENSORS || !outline_room(o)) /* of one there is one order */
		return false;
	o->n_nodes = n;
	o->n_tensors = 0;
	o->wire = (struct apir_tensor *)(void *)(o->bytes + tensors);
	w.most = (uint32_t)((APIR_OPTIMIZE_MAX - tensors) / sizeof *o->wire);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id;

		if (!outline_node(&w, i, own.fn.graph_node(graph, (int)i)))
			return false;
		id = o->tensor_of[i] + UINT64_C(1);
		memcpy(o->bytes + sizeof n + i * sizeof id, &id, sizeof id);
	}
	memcpy(o->bytes, &n, sizeof n);
	memcpy(o->bytes + tensors - sizeof n, &o->n_tensors, sizeof n);
	o->size = tensors + o->n_tensors * sizeof *o->wire;
	return true;
}

/* SPDX-License-Identifier: MIT */
/* See kept.h. */
#include "guest/kept.h"

#include <stdlib.h>
#include <string.h>

#include "guest/buffer.h"
#include "guest/own_ggml.h"
#include "guest/tensor.h"

/* A tensor as it was when its graph was written. */
struct seen {
	const struct abi_tensor *tensor;
	struct abi_tensor copy;
	int32_t count;   /* how often it is read in the whole graph */
	uint32_t memory; /* what its memory was for: APIR_MEMORY_* */
	bool sent;       /* false: a node that was left out, of which nothing matters but that it computes nothing */
};

static bool seen_same(const struct seen *s, const struct host *host, const struct abi_graph *graph)
{
	if (!s->sent)
		return s->tensor->op == s->copy.op;
	return !memcmp(s->tensor, &s->copy, sizeof s->copy) && graph_count_of(host, graph, s->tensor) == s->count &&
	       tensor_memory_told(host, s->tensor) == s->memory;
}

/* Each tensor is looked at only after what vouches that it is still there: the graph has its nodes, an unchanged node
 * has its sources, and an unchanged view, which comes behind what it views, has that. */
bool kept_is(const struct kept *k, const struct host *host, struct abi_graph *graph, uint32_t n_nodes)
{
	if (!k->known || k->n_nodes != n_nodes)
		return false;
	for (uint32_t i = 0; i < n_nodes; i++) {
		if (own.fn.graph_node(graph, (int)i) != k->seen[i].tensor || !seen_same(&k->seen[i], host, graph))
			return false;
	}
	for (uint32_t i = k->n_seen; i-- > n_nodes;) {
		if (!seen_same(&k->seen[i], host, graph))
			return false;
	}
	return true;
}

static bool seen_add(
	struct kept *k, const struct host *host, const struct abi_graph *graph, const struct abi_tensor *t, bool sent)
{
	struct seen *s;

	if (k->n_seen == k->room) {
		uint32_t more = k->room ? k->room * 2 : 1024;
		struct seen *seen = realloc(k->seen, more * sizeof *seen);

		if (!seen)
			return false;
		k->seen = seen;
		k->room = more;
	}
	s = &k->seen[k->n_seen++];
	s->tensor = t;
	s->copy = *t;
	s->count = graph_count_of(host, graph, t);
	s->memory = tensor_memory_told(host, t);
	s->sent = sent;
	return true;
}

static bool touched_add(struct kept *k, struct buffer *b, bool written)
{
	struct touched *t = &k->touched;
	size_t i = 0;

	while (b && i < t->n && t->buffers[i] != b)
		i++;
	if (!b || i < t->n_written || (i < t->n && !written))
		return true;
	if (i == k->touched_room) {
		size_t more = i ? i * 2 : 16;
		struct buffer **buffers = realloc(t->buffers, more * sizeof(struct buffer *));

		if (!buffers)
			return false;
		t->buffers = buffers;
		k->touched_room = more;
	}
	if (i == t->n)
		t->n++;
	t->buffers[i] = b;
	if (written) {
		t->buffers[i] = t->buffers[t->n_written];
		t->buffers[t->n_written++] = b;
	}
	return true;
}

/* What it writes are its nodes' results, and what an optimiser keeps beside them. Nodes that compute nothing neither write nor read. */
bool kept_touch(struct kept *k, struct abi_graph *graph)
{
	bool ok = true;

	k->touched.n = k->touched.n_written = 0;
	for (uint32_t i = 0; ok && i < k->n_nodes; i++) {
		const struct abi_tensor *t = own.fn.graph_node(graph, (int)i);

		if (own_op_idle(t))
			continue;
		ok = touched_add(k, buffer_of(t), true);
		for (int n = 0; ok && n < ABI_SRCS; n++)
			ok = !t->src[n] || touched_add(k, buffer_of(t->src[n]), own_op_writes(t, n));
	}
	return ok;
}

void kept_written(struct kept *k, const struct host *host, struct abi_graph *graph, const struct graph_bytes *g,
	const struct idmap *ids)
{
	uint32_t next = 0, unused;
	bool ok = true;

	k->n_seen = 0;
	k->size = g->size;
	k->n_sent = g->n_nodes;
	for (uint32_t i = 0; ok && i < k->n_nodes; i++) {
		const struct abi_tensor *t = own.fn.graph_node(graph, (int)i);
		bool sent = next < g->n_nodes && graph_node_id(k->shm.ptr, next) == (uintptr_t)t;

		next += sent;
		ok = seen_add(k, host, graph, t, sent);
	}
	for (uint32_t i = 0; ok && i < g->n_tensors; i++) {
		struct apir_tensor w;

		memcpy(&w, (const uint8_t *)k->shm.ptr + g->tensors + i * sizeof w, sizeof w);
		if (!session_alive(&host->session)) /* then it isn't what was written */
			ok = false;
		else if (w.op == 0) /* data; a node is in the list already */
			ok = idmap_find(ids, w.id, &unused) &&
			     seen_add(k, host, graph, (const struct abi_tensor *)(uintptr_t)w.id, true);
	}
	k->known = ok && session_alive(&host->session);
}

size_t kept_bytes(const struct kept *k)
{
	return k->shm.size + k->room * sizeof *k->seen;
}

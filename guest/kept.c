/* SPDX-License-Identifier: MIT */
/* See kept.h. */
#include "guest/kept.h"

#include <stdlib.h>
#include <string.h>

#include "ggml-abi/uid.h"
#include "guest/buffer.h"
#include "guest/own_ggml.h"
#include "guest/tensor.h"

/*
 * A tensor as it was when its graph was written. In a part that ggml's scheduler has made, whose uid is the same, only the
 * program can have changed one, and what it could be computed by is looked at even so; of weights, which are many and no
 * node, only where they lie. Those bytes are read at each compute, from memory that has gone cold: they lie close together.
 */
#define LIVE_FROM  offsetof(struct abi_tensor, ne)
#define PLACE_FROM offsetof(struct abi_tensor, view_src)
#define LIVE_TO    offsetof(struct abi_tensor, name)
#define AHEAD      8 /* tensors, asked of the memory before they are looked at */
#define LINE       64

struct live {
	const struct abi_tensor *tensor;
	uint8_t bytes[LIVE_TO - LIVE_FROM];
	bool weight;
};

struct rest {
	uint8_t head[LIVE_FROM], tail[sizeof(struct abi_tensor) - LIVE_TO];
	int32_t count; /* how often it is read in the whole graph */
	bool sent;     /* false: a node that was left out, of which nothing matters but that it computes nothing */
};

/* A buffer that tensors of it lie in, and what the host was told of its memory. */
struct home {
	const struct buffer *buffer;
	uint32_t memory;
};

/* A tensor's bytes [from, to) and those of its copy. */
static bool bytes_same(const struct abi_tensor *t, size_t from, size_t to, const uint8_t *copy)
{
	return !memcmp((const char *)t + from, copy, to - from);
}

static bool tensor_same(
	const struct kept *k, uint32_t i, const struct host *host, const struct abi_graph *graph, bool same_uid)
{
	const struct live *l = &k->live[i];
	const struct rest *r = &k->rest[i];

	if (same_uid && l->weight)
		return bytes_same(l->tensor, PLACE_FROM, LIVE_TO, l->bytes + PLACE_FROM - LIVE_FROM);
	if (!bytes_same(l->tensor, LIVE_FROM, LIVE_TO, l->bytes))
		return !r->sent && own_op_idle(l->tensor);
	return same_uid || !r->sent ||
	       (bytes_same(l->tensor, 0, LIVE_FROM, r->head) &&
		       bytes_same(l->tensor, LIVE_TO, sizeof *l->tensor, r->tail) &&
		       graph_count_of(host, graph, l->tensor) == r->count);
}

static bool homes_same(const struct kept *k, const struct host *host)
{
	for (size_t i = 0; i < k->n_homes; i++) {
		if (tensor_memory_told(host, k->homes[i].buffer) != k->homes[i].memory)
			return false;
	}
	return true;
}

/* A hint, to memory that needn't be there. */
static void tensor_fetch(const struct abi_tensor *t, size_t from)
{
	for (size_t i = from; i < LIVE_TO; i += LINE)
		__builtin_prefetch((const char *)t + i);
}

static void kept_identify(struct kept *k, const struct host *host, struct abi_graph *graph, uint64_t uid)
{
	k->uid = uid;
	k->counted = uid ? graph_counted(host, graph) : 0;
}

static uint64_t uid_of(struct abi_graph *graph)
{
	return own.has_uid ? abi_uid_of_split(graph) : 0;
}

/* Each tensor is looked at only after what vouches that it is still there: the graph has its nodes, an unchanged node
 * has its sources, and an unchanged view, which comes behind what it views, has that. */
bool kept_is(struct kept *k, const struct host *host, struct abi_graph *graph, uint32_t n_nodes)
{
	uint64_t uid = uid_of(graph);
	bool same_uid = uid && uid == k->uid && graph_counted(host, graph) == k->counted;

	if (!k->known || k->n_nodes != n_nodes)
		return false;
	for (uint32_t i = 0; i < n_nodes; i++) {
		if (i + AHEAD < n_nodes)
			tensor_fetch(k->live[i + AHEAD].tensor, LIVE_FROM);
		if (own.fn.graph_node(graph, (int)i) != k->live[i].tensor || !tensor_same(k, i, host, graph, same_uid))
			return false;
	}
	for (uint32_t i = k->n_seen; i-- > n_nodes;) {
		if (i >= n_nodes + AHEAD)
			tensor_fetch(k->live[i - AHEAD].tensor, k->live[i - AHEAD].weight ? PLACE_FROM : LIVE_FROM);
		if (!tensor_same(k, i, host, graph, same_uid))
			return false;
	}
	if (!homes_same(k, host))
		return false;
	if (!same_uid)
		kept_identify(k, host, graph, uid);
	return true;
}

bool kept_lies_in(const struct kept *k, const struct buffer *b)
{
	for (size_t i = 0; i < k->n_homes; i++) {
		if (k->homes[i].buffer == b)
			return true;
	}
	return false;
}

static bool home_add(struct kept *k, const struct host *host, const struct buffer *b)
{
	if (kept_lies_in(k, b))
		return true;
	if (k->n_homes == k->homes_room) {
		size_t more = k->n_homes ? k->n_homes * 2 : 16;
		struct home *homes = realloc(k->homes, more * sizeof *homes);

		if (!homes)
			return false;
		k->homes = homes;
		k->homes_room = more;
	}
	k->homes[k->n_homes++] = (struct home){ b, tensor_memory_told(host, b) };
	return true;
}

static bool seen_room(struct kept *k)
{
	uint32_t more = k->room ? k->room * 2 : 1024;
	struct live *live;
	struct rest *rest;

	if (k->n_seen < k->room)
		return true;
	live = realloc(k->live, more * sizeof *live);
	if (live)
		k->live = live;
	rest = live ? realloc(k->rest, more * sizeof *rest) : NULL;
	if (!rest)
		return false;
	k->rest = rest;
	k->room = more;
	return true;
}

static bool seen_add(
	struct kept *k, const struct host *host, const struct abi_graph *graph, const struct abi_tensor *t, bool sent)
{
	const char *bytes = (const char *)t;
	struct live *l;
	struct rest *r;

	if (!seen_room(k))
		return false;
	l = &k->live[k->n_seen];
	r = &k->rest[k->n_seen++];
	l->tensor = t;
	memcpy(l->bytes, bytes + LIVE_FROM, sizeof l->bytes);
	memcpy(r->head, bytes, sizeof r->head);
	memcpy(r->tail, bytes + LIVE_TO, sizeof r->tail);
	l->weight = k->n_seen > k->n_nodes && buffer_under(t)->usage == ABI_USAGE_WEIGHTS;
	r->count = graph_count_of(host, graph, t);
	r->sent = sent;
	return !sent || home_add(k, host, buffer_of(t));
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

	kept_identify(k, host, graph, uid_of(graph));
	k->n_seen = 0;
	k->n_homes = 0;
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
	return k->shm.size + k->room * (sizeof *k->live + sizeof *k->rest);
}

/* What takes less than is usual counts at once, and what takes more little: to sleep too long costs more than to look. */
void kept_took(struct kept *k, int64_t ns)
{
	bool less = !k->usual || ns < k->usual;

	k->usual = less ? ns : k->usual + (ns - k->usual) / 8;
}

/* SPDX-License-Identifier: MIT */
/*
 * See kept.h. How many there are is bounded by what they take. A program that builds a new graph for every step, in the same
 * memory, would fill that with what never comes again: of graphs that begin with the same tensor a few are kept.
 */
#include "guest/kept.h"

#include <stdio.h>
#include <string.h>

#include "guest/blob.h"

#define KEPT_MAPPED  96  /* where each takes a mapping of the VMM's, which are few and every program's */
#define KEPT_MOST    256 /* each is a mapping of the host's in the guest */
#define KEPT_BYTES   ((size_t)128 << 20) /* blobs and copies */
#define KEPT_ALIKE   4                   /* of those that begin with the same tensor */
#define KEPT_GRANULE ((size_t)64 << 10)

/* A tensor as it was when its graph was written. */
struct seen {
	const struct abi_tensor *tensor;
	struct abi_tensor copy;
	int32_t count;   /* how often it is read in the whole graph */
	uint32_t memory; /* what its memory was for: APIR_MEMORY_* */
	bool sent;       /* false: a node that was left out, of which nothing matters but that it computes nothing */
};

static struct kept *all[KEPT_MOST];
static size_t n_all,
	most = KEPT_MOST; /* fewer where there was no memory for another: asking costs, and fills the host's log */
static uint64_t clock_now;

static bool same(const struct seen *s, const struct abi_graph *graph)
{
	if (!s->sent)
		return s->tensor->op == s->copy.op;
	return !memcmp(s->tensor, &s->copy, sizeof s->copy) && graph_count_of(graph, s->tensor) == s->count &&
	       tensor_memory_told(s->tensor) == s->memory;
}

/* Each tensor is looked at only after what vouches that it is still there: the graph has its nodes, an unchanged node
 * has its sources, and an unchanged view, which comes behind what it views, has that. */
static bool unchanged(const struct kept *k, struct abi_graph *graph, uint32_t n_nodes)
{
	if (!k->known || k->n_nodes != n_nodes || k->epoch != buffers_epoch())
		return false;
	for (uint32_t i = 0; i < n_nodes; i++) {
		if (plugin.fn.graph_node(graph, (int)i) != k->seen[i].tensor || !same(&k->seen[i], graph))
			return false;
	}
	for (uint32_t i = k->n_seen; i-- > n_nodes;) {
		if (!same(&k->seen[i], graph))
			return false;
	}
	return true;
}

struct kept *kept_find(struct abi_graph *graph, uint32_t n_nodes)
{
	for (size_t i = 0; i < n_all; i++) {
		if (unchanged(all[i], graph, n_nodes)) {
			all[i]->last_used = ++clock_now;
			return all[i];
		}
	}
	return NULL;
}

static bool remember(struct kept *k, const struct abi_graph *graph, const struct abi_tensor *t, bool sent)
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
	s->count = graph_count_of(graph, t);
	s->memory = tensor_memory_told(t);
	s->sent = sent;
	return true;
}

static bool touch(struct kept *k, struct buffer *b, bool written)
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
		const struct abi_tensor *t = plugin.fn.graph_node(graph, (int)i);

		if (op_idle(t))
			continue;
		ok = touch(k, buffer_of(t), true);
		for (int n = 0; ok && n < ABI_SRCS; n++)
			ok = !t->src[n] || touch(k, buffer_of(t->src[n]), op_writes(t, n));
	}
	return ok;
}

void kept_written(struct kept *k, struct abi_graph *graph, const struct graph_bytes *g, const struct idmap *ids)
{
	uint32_t next = 0, unused;
	bool ok = true;

	k->n_seen = 0;
	k->size = g->size;
	k->n_sent = g->n_nodes;
	k->epoch = buffers_epoch();
	for (uint32_t i = 0; ok && i < k->n_nodes; i++) {
		const struct abi_tensor *t = plugin.fn.graph_node(graph, (int)i);
		bool sent = next < g->n_nodes && graph_node_id(k->shm.ptr, next) == (uintptr_t)t;

		next += sent;
		ok = remember(k, graph, t, sent);
	}
	for (uint32_t i = 0; ok && i < g->n_tensors; i++) {
		struct apir_tensor w;

		memcpy(&w, (const uint8_t *)k->shm.ptr + g->tensors + i * sizeof w, sizeof w);
		if (!session_alive(&plugin.session)) /* then it isn't what was written */
			ok = false;
		else if (w.op == 0) /* data; a node is in the list already */
			ok = idmap_find(ids, w.id, &unused) &&
			     remember(k, graph, (const struct abi_tensor *)(uintptr_t)w.id, true);
	}
	k->known = ok && session_alive(&plugin.session);
}

static size_t bytes_of(const struct kept *k)
{
	return k->shm.size + k->room * sizeof *k->seen;
}

/* Its buffers are no more, or it could never be found again. */
static bool is_stale(const struct kept *k)
{
	return !k->known || k->epoch != buffers_epoch();
}

static struct kept *older(struct kept *a, struct kept *b)
{
	return !a || b->last_used < a->last_used ? b : a;
}

/* Which is to give way to a graph that begins with this tensor; NULL: none need. */
static struct kept *giving_way(const struct abi_tensor *first)
{
	struct kept *oldest = NULL, *alike = NULL, *stale = NULL;
	size_t n_alike = 0, bytes = 0;

	for (size_t i = 0; i < n_all; i++) {
		struct kept *k = all[i];

		bytes += bytes_of(k);
		oldest = older(oldest, k);
		if (is_stale(k))
			stale = older(stale, k);
		if (k->first == first) {
			alike = older(alike, k);
			n_alike++;
		}
	}
	if (stale)
		return stale;
	if (n_alike >= KEPT_ALIKE)
		return alike;
	return n_all >= most || bytes >= KEPT_BYTES ? oldest : NULL;
}

static struct kept *oldest_with_room(size_t size)
{
	struct kept *oldest = NULL;

	for (size_t i = 0; i < n_all; i++) {
		if (all[i]->shm.size >= size)
			oldest = older(oldest, all[i]);
	}
	return oldest;
}

static size_t room_for(size_t size)
{
	return (size + KEPT_GRANULE - 1) / KEPT_GRANULE * KEPT_GRANULE;
}

bool kept_grow(struct session *s, struct kept *k, size_t size)
{
	if (!session_alive(s)) /* no ioctl any more: it might not return */
		return false;
	if (k->shm.ptr)
		blob_drop(&s->blobs, &k->shm);
	k->shm = (struct shm){ 0 };
	return blob_need(&s->blobs, room_for(size), "a graph", &k->shm) == 0;
}

/* One more, with its blob. NULL: there is no memory for it, on one side or the other, which is told of the first: then
 * others can do. */
static struct kept *kept_more(struct session *s, size_t size)
{
	struct kept *k = calloc(1, sizeof *k);
	int err;

	if (!k)
		return NULL;
	err = n_all ? blob_make(&s->blobs, room_for(size), &k->shm)
	            : blob_need(&s->blobs, room_for(size), "a graph", &k->shm);
	if (err < 0) {
		if (n_all)
			most = n_all;
		free(k);
		return NULL;
	}
	if (!k->shm.stays && most > KEPT_MAPPED)
		most = KEPT_MAPPED;
	all[n_all++] = k;
	return k;
}

/* One whose blob holds so much, whatever it has to give up for it. */
static struct kept *kept_choose(struct session *s, const struct abi_tensor *first, size_t size)
{
	struct kept *k = giving_way(first);

	if (!k)
		k = kept_more(s, size);
	if (!k)
		k = oldest_with_room(size);
	if (!k)
		k = oldest_with_room(0);
	if (!k || k->shm.size >= size || kept_grow(s, k, size))
		return k;
	k->known = false;
	return oldest_with_room(size);
}

struct kept *kept_new(struct session *s, struct abi_graph *graph, uint32_t n_nodes, size_t size)
{
	const struct abi_tensor *first = n_nodes ? plugin.fn.graph_node(graph, 0) : NULL;
	struct kept *k = kept_choose(s, first, size);

	if (!k)
		return NULL;
	k->known = k->proven = false;
	k->first = first;
	k->n_nodes = n_nodes;
	k->last_used = ++clock_now;
	return k;
}

/* SPDX-License-Identifier: MIT */
/*
 * Graphs are computed on the host. The last few are kept as they were written, each in a blob of its own with a copy of
 * every tensor in it. A program that decodes computes the same graph again: comparing is cheaper than writing, and the
 * host recognises the bytes.
 */
#include "guest/graph.h"

#include <stdio.h>
#include <string.h>

#include "guest/blob.h"
#include "guest/say.h"

#define MAX_TENSORS    (UINT32_C(1) << 21)
#define GRAPHS_KEPT    4
#define GRAPH_ROOM_MIN ((size_t)1 << 20)
#define GRAPH_ROOM_MAX ((size_t)1 << 30)

/* A tensor as it was when its graph was written. */
struct seen {
	const struct abi_tensor *tensor;
	struct abi_tensor copy;
	int32_t count;   /* how often it is read in the whole graph */
	uint32_t memory; /* what its memory was for: APIR_MEMORY_* */
	bool sent;       /* false: a node that was left out, of which nothing matters but that it computes nothing */
};

struct kept {
	struct shm shm;
	size_t size;       /* bytes written; 0: nothing of use */
	struct seen *seen; /* the nodes, then what they read besides */
	uint32_t n_nodes, n_seen, room;
	uint32_t n_sent; /* of the nodes */
	uint64_t last_used, epoch;
	bool proven; /* the host has computed it once */
	struct touched touched;
	size_t touched_room;
};

static struct kept kept[GRAPHS_KEPT]; /* under the session's lock, as all below */
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
	if (!k->size || k->n_nodes != n_nodes || k->epoch != buffers_epoch())
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
static bool touched_find(struct kept *k, struct abi_graph *graph, uint32_t n_nodes)
{
	bool ok = true;

	k->touched.n = k->touched.n_written = 0;
	for (uint32_t i = 0; ok && i < n_nodes; i++) {
		const struct abi_tensor *t = plugin.fn.graph_node(graph, (int)i);

		if (op_idle(t))
			continue;
		ok = touch(k, buffer_of(t), true);
		for (int n = 0; ok && n < ABI_SRCS; n++)
			ok = !t->src[n] || touch(k, buffer_of(t->src[n]), op_writes(t, n));
	}
	return ok;
}

/* A graph whose copy doesn't fit in memory is written anew each time. ids: the tensors' that are in it; the host could
 * have put others there meanwhile. */
static void keep(
	struct kept *k, struct abi_graph *graph, uint32_t n_nodes, const struct graph_bytes *g, const struct idmap *ids)
{
	uint32_t next = 0, unused;
	bool ok = true;

	k->n_seen = 0;
	k->n_nodes = n_nodes;
	k->n_sent = g->n_nodes;
	k->epoch = buffers_epoch();
	for (uint32_t i = 0; ok && i < n_nodes; i++) {
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
	k->size = ok && session_alive(&plugin.session) ? g->size : 0;
}

static struct kept *oldest(void)
{
	struct kept *k = &kept[0];

	for (size_t i = 1; i < GRAPHS_KEPT; i++) {
		if (kept[i].last_used < k->last_used)
			k = &kept[i];
	}
	return k;
}

/* Room for at least `size` bytes in the graph's own blob. */
static bool room_make(struct session *s, struct kept *k, size_t size)
{
	if (k->shm.ptr && k->shm.size >= size)
		return true;
	if (!session_alive(s)) /* no ioctl any more: it might not return */
		return false;
	if (k->shm.ptr)
		blob_drop(s, &k->shm);
	k->shm = (struct shm){ 0 };
	return blob_need(s, size, "a graph", &k->shm) == 0;
}

/* The graph in a blob: found there or written; *size bytes. NULL: it can't be, and why says it, if anything does. */
static struct kept *graph_place(
	struct call *c, struct session *s, struct abi_graph *graph, size_t *size, char *why, size_t why_size)
{
	static struct idmap ids;
	static uint32_t max_ids = 8192;
	uint32_t n_nodes = (uint32_t)plugin.fn.graph_n_nodes(graph);
	size_t room = GRAPH_ROOM_MIN;
	struct graph_bytes g;
	struct kept *k;

	for (size_t i = 0; i < GRAPHS_KEPT; i++) {
		if (unchanged(&kept[i], graph, n_nodes)) {
			*size = kept[i].size;
			kept[i].last_used = ++clock_now;
			return &kept[i];
		}
	}
	k = oldest();
	k->size = 0;
	k->proven = false;
	call_settle(c); /* the blob may be about to be read */
	for (;;) {
		enum graph_written written;

		if (!room_make(s, k, room))
			return NULL; /* which was told */
		if (idmap_reset(&ids, max_ids) < 0 || !touched_find(k, graph, n_nodes)) {
			snprintf(why, why_size, "there is no memory for it");
			return NULL;
		}
		written = graph_write(graph, &ids, max_ids, &k->shm, &g, why, why_size);
		if (written == GRAPH_WRITTEN)
			break;
		if (written == GRAPH_NEEDS_IDS && max_ids < MAX_TENSORS)
			max_ids *= 2;
		else if (written == GRAPH_NEEDS_ROOM && room < GRAPH_ROOM_MAX)
			room = k->shm.size * 4;
		else
			return NULL;
	}
	*size = g.size;
	keep(k, graph, n_nodes, &g, &ids);
	k->last_used = ++clock_now;
	return k;
}

/*
 * A graph that the host has computed before is posted: its result is waited for when something is read, or by
 * synchronize. Should it fail then, what is read is zeros and the stream's next compute fails.
 */
static bool graph_post(struct call *c, struct stream *stream, const struct kept *k)
{
	struct slot *slot = call_slot(c, false);

	if (!slot)
		return false;
	slot->owner = stream;
	slot->touched = k->touched;
	return call_post(c, slot, POST_STATUS);
}

/* Whether the stream has to be told of a loss: what it would compute from isn't what it should be. */
static bool graph_lost(struct call *c, struct stream *stream, const struct touched *t)
{
	if (!loss_due(stream, t))
		return false;
	call_settle(c);
	loss_told(stream, t);
	return true;
}

static int32_t graph_run(struct call *c, struct stream *stream, struct kept *k, size_t size)
{
	int32_t status;

	if (graph_lost(c, stream, &k->touched))
		return ABI_STATUS_FAILED;
	if (k->n_sent == 0)
		return ABI_STATUS_SUCCESS; /* there is nothing to compute */
	call_header(c, APIR_FN_GRAPH_COMPUTE);
	call_u32(c, k->shm.res_id);
	call_u64(c, size);
	if (k->proven && graph_post(c, stream, k))
		return ABI_STATUS_SUCCESS;
	c->expects = sizeof status;
	if (call_run_long(c) < 0 || !cursor_read_i32(&c->reply, &status) || graph_lost(c, stream, &k->touched))
		return ABI_STATUS_FAILED;
	return status;
}

int32_t graph_compute(struct stream *stream, struct abi_graph *graph)
{
	struct session *s = &plugin.session;
	int32_t status = ABI_STATUS_FAILED;
	char why[512] = "";
	struct kept *k;
	struct call c;
	size_t n;

	call_begin(&c, s, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	k = session_alive(s) ? graph_place(&c, s, graph, &n, why, sizeof why) : NULL;
	if (k) {
		status = graph_run(&c, stream, k, n);
		k->proven = status == ABI_STATUS_SUCCESS;
	} else if (why[0]) {
		say_error("graph_compute: this graph cannot go to the host: %s", why);
	}
	if (!session_alive(s)) /* memory may have gone away meanwhile */
		status = ABI_STATUS_FAILED;
	call_end(&c);
	return status;
}

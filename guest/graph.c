/* SPDX-License-Identifier: MIT */
/* Graphs are computed on the host: found among those that it knows (kept.h) or written, then sent. */
#include <stdio.h>

#include "guest/kept.h"
#include "guest/say.h"

#define MAX_TENSORS    (UINT32_C(1) << 21)
#define GRAPH_ROOM_MAX ((size_t)1 << 30)

/* What a graph of so many nodes takes, guessed: a node reads one tensor that is no node. */
static size_t room_guess(uint32_t n_nodes)
{
	return 64 + n_nodes * (sizeof(uint64_t) + 2 * sizeof(struct apir_tensor));
}

/* The graph in a blob, written. NULL: it can't be, and why says it, if anything does. */
static struct kept *graph_place(struct call *c, struct abi_graph *graph, uint32_t n_nodes, char *why, size_t why_size)
{
	static struct idmap ids;
	static uint32_t max_ids = 8192;
	struct session *s = c->session;
	struct graph_bytes g;
	struct kept *k;

	queue_settle(&c->session->queue); /* the blob may be about to be read */
	k = kept_new(s, graph, n_nodes, room_guess(n_nodes));
	if (!k)
		return NULL; /* which was told */
	for (;;) {
		enum graph_written written;

		if (idmap_reset(&ids, max_ids) < 0 || !kept_touch(k, graph)) {
			snprintf(why, why_size, "there is no memory for it");
			return NULL;
		}
		written = graph_write(graph, &ids, max_ids, &k->shm, &g, why, why_size);
		if (written == GRAPH_WRITTEN)
			break;
		if (written == GRAPH_NEEDS_IDS && max_ids < MAX_TENSORS)
			max_ids *= 2;
		else if (written != GRAPH_NEEDS_ROOM || k->shm.size >= GRAPH_ROOM_MAX)
			return NULL;
		else if (!kept_grow(s, k, k->shm.size * 2))
			return NULL; /* which was told */
	}
	kept_written(k, graph, &g, &ids);
	return k;
}

/*
 * A graph that the host has computed before is posted: its result is waited for when something is read, or by
 * synchronize. Should it fail then, what is read is zeros and the stream's next compute fails.
 */
static bool graph_post(struct call *c, struct stream *stream, const struct kept *k)
{
	struct slot *slot = queue_slot(&c->session->queue, false);

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
	queue_settle(&c->session->queue);
	loss_told(stream, t);
	return true;
}

static int32_t graph_run(struct call *c, struct stream *stream, struct kept *k)
{
	int32_t status;

	if (graph_lost(c, stream, &k->touched))
		return ABI_STATUS_FAILED;
	if (k->n_sent == 0)
		return ABI_STATUS_SUCCESS; /* there is nothing to compute */
	call_header(c,
		k->proven && c->session->features & APIR_FEATURE_AGAIN ? APIR_FN_GRAPH_AGAIN : APIR_FN_GRAPH_COMPUTE);
	call_u32(c, k->shm.res_id);
	call_u64(c, k->size);
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
	uint32_t n_nodes = (uint32_t)plugin.fn.graph_n_nodes(graph);

	turn_begin(&c, s, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	k = session_alive(s) ? kept_find(graph, n_nodes) : NULL;
	if (!k && session_alive(s))
		k = graph_place(&c, graph, n_nodes, why, sizeof why);
	if (k) {
		status = graph_run(&c, stream, k);
		k->proven = status == ABI_STATUS_SUCCESS;
	} else if (why[0]) {
		say_error("graph_compute: this graph cannot go to the host: %s", why);
	}
	if (!session_alive(s)) /* memory may have gone away meanwhile */
		status = ABI_STATUS_FAILED;
	turn_end(&c);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* See graph.h. */
#include "guest/graph.h"

#include <stdio.h>

#include "guest/loss.h"
#include "guest/own_ggml.h"
#include "guest/say.h"
#include "guest/turn.h"

#define MAX_TENSORS    (UINT32_C(1) << 21)
#define GRAPH_ROOM_MAX ((size_t)1 << 30)

/* What a graph of so many nodes takes, guessed: a node reads one tensor that is no node. */
static size_t room_guess(uint32_t n_nodes)
{
	return 64 + n_nodes * (sizeof(uint64_t) + 2 * sizeof(struct apir_tensor));
}

/* The graph in a blob, written. NULL: it can't be, and why says it, if anything does. */
static struct kept *graph_place(
	struct call *c, struct kept_store *store, struct abi_graph *graph, uint32_t n_nodes, char *why, size_t why_size)
{
	struct idmap *ids = &store->ids;
	struct graph_bytes g;
	struct kept *k;

	queue_settle(&c->session->queue); /* the blob may be about to be read */
	k = kept_store_new(store, graph, n_nodes, room_guess(n_nodes));
	if (!k)
		return NULL; /* which was told */
	for (;;) {
		enum graph_written written;

		if (idmap_reset(ids, store->max_ids) < 0 || !kept_touch(k, graph)) {
			snprintf(why, why_size, "there is no memory for it");
			return NULL;
		}
		written = graph_write(store->host, graph, ids, store->max_ids, &k->shm, &g, why, why_size);
		if (written == GRAPH_WRITTEN)
			break;
		if (written == GRAPH_NEEDS_IDS && store->max_ids < MAX_TENSORS)
			store->max_ids *= 2;
		else if (written != GRAPH_NEEDS_ROOM || k->shm.size >= GRAPH_ROOM_MAX)
			return NULL;
		else if (!kept_store_grow(store, k, k->shm.size * 2))
			return NULL; /* which was told */
	}
	kept_written(k, store->host, graph, &g, ids);
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

int32_t graph_send(struct kept_store *kept, struct stream *stream, struct abi_graph *graph)
{
	struct session *s = &kept->host->session;
	int32_t status = ABI_STATUS_FAILED;
	char why[512] = "";
	struct kept *k;
	struct call c;
	uint32_t n_nodes = (uint32_t)own.fn.graph_n_nodes(graph);

	turn_begin(&c, s, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	k = session_alive(s) ? kept_store_find(kept, graph, n_nodes) : NULL;
	if (!k && session_alive(s))
		k = graph_place(&c, kept, graph, n_nodes, why, sizeof why);
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

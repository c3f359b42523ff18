/* SPDX-License-Identifier: MIT */
/* See graph.h. */
#include "guest/graph.h"

#include <stdio.h>

#include "guest/loss.h"
#include "guest/own_ggml.h"
#include "guest/say.h"
#include "guest/turn.h"

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
	const bool again = k->proven && c->session->features & APIR_FEATURE_AGAIN;
	struct queue *q = &c->session->queue;
	int32_t status;

	if (graph_lost(c, stream, &k->touched))
		return ABI_STATUS_FAILED;
	if (k->n_sent == 0)
		return ABI_STATUS_SUCCESS; /* there is nothing to compute */
	c->session->counters.graphs++;
	c->session->counters.graphs_again += again;
	call_header(c, again ? APIR_FN_GRAPH_AGAIN : APIR_FN_GRAPH_COMPUTE);
	call_u32(c, k->shm.res_id);
	call_u64(c, k->size);
	if (k->turn && k->turn == q->timed)
		kept_took(k, q->took);
	queue_expect(q, k->usual);
	if (k->proven && graph_post(c, stream, k)) {
		k->turn = q->turns;
		return ABI_STATUS_SUCCESS;
	}
	c->expects = sizeof status;
	if (call_run_graph(c) < 0 || !cursor_read_i32(&c->reply, &status) || graph_lost(c, stream, &k->touched))
		return ABI_STATUS_FAILED;
	return status;
}

static void graph_written(struct session *s, const struct kept *k)
{
	s->counters.graphs_written++;
	s->counters.nodes_written += k->n_sent;
	s->counters.graph_bytes += k->size;
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
	if (!k && session_alive(s)) {
		queue_settle(&s->queue); /* a blob may be about to be read */
		k = kept_store_put(kept, graph, n_nodes, why, sizeof why);
		if (k)
			graph_written(s, k);
	}
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

/* SPDX-License-Identifier: MIT */
/*
 * A graph on its way to the host: written straight into shared memory, sources before their users.
 *
 * What the graph's nodes read but doesn't compute itself (weights, inputs, another split's results) travels as
 * plain data, without the operation that once made it: only what is to be computed is sent.
 */
#include "guest/guest.h"

#include <errno.h>
#include <string.h>

#include "guest/say.h"

struct writer {
	struct idmap *ids;
	uint32_t max_ids;
	uint8_t *tensors; /* where the first goes, unaligned */
	size_t n_tensors, max_tensors;
	const char *why; /* what made it impossible */
};

#define MAX_TENSORS (UINT32_C(1) << 21)

/* Two reasons that the caller can do something about. */
static const char no_ids[] = "it has too many tensors";
static const char no_shm[] = "it is too large for the shared memory";

/* Room for the tensor, under its address as id; NULL: none, or it is there already. */
static uint8_t *tensor_place(struct writer *w, const struct abi_tensor *t)
{
	if (w->n_tensors == w->max_ids || w->n_tensors == w->max_tensors) {
		w->why = w->n_tensors == w->max_ids ? no_ids : no_shm;
		return NULL;
	}
	if (idmap_add(w->ids, (uintptr_t)t, (uint32_t)w->n_tensors) != w->n_tensors) {
		w->why = "a node is used before it is computed";
		return NULL;
	}
	return w->tensors + w->n_tensors++ * sizeof(struct apir_tensor);
}

static bool tensor_put(struct writer *w, const struct abi_tensor *t, struct apir_tensor *out)
{
	uint8_t *at = tensor_place(w, t);

	if (!at)
		return false;
	memcpy(at, out, sizeof *out);
	return true;
}

static bool known(const struct writer *w, const struct abi_tensor *t)
{
	uint32_t i;

	return idmap_find(w->ids, (uintptr_t)t, &i);
}

/* Data that the graph doesn't compute. */
static bool leaf_put(struct writer *w, const struct abi_tensor *t)
{
	struct apir_tensor out;

	if (known(w, t))
		return true;
	if (t->view_src && !leaf_put(w, t->view_src)) /* a view's source is no view: one step */
		return false;
	if (!tensor_encode(t, &out)) {
		w->why = "a tensor is another backend's, or too large for the protocol";
		return false;
	}
	out.op = 0;
	memset(out.op_params, 0, sizeof out.op_params);
	if (t->view_src) {
		out.view_src = (uintptr_t)t->view_src;
		out.view_offs = t->view_offs;
	}
	return tensor_put(w, t, &out);
}

static bool node_put(struct writer *w, const struct abi_tensor *t)
{
	struct apir_tensor out;

	for (int i = 0; i < ABI_SRCS; i++) {
		if (t->src[i] && !leaf_put(w, t->src[i]))
			return false;
	}
	if (t->view_src && !leaf_put(w, t->view_src))
		return false;
	if (!tensor_encode(t, &out)) {
		w->why = "a tensor is another backend's, or too large for the protocol";
		return false;
	}
	for (int i = 0; i < ABI_SRCS; i++)
		out.src[i] = (uintptr_t)t->src[i];
	out.view_src = (uintptr_t)t->view_src;
	out.view_offs = t->view_offs;
	return tensor_put(w, t, &out);
}

/* Writes the graph to shm; its size in bytes, or 0 and *why. */
static size_t graph_write(struct abi_graph *graph, struct idmap *ids, uint32_t max_ids, const struct shm *shm, const char **why)
{
	uint32_t n_nodes = (uint32_t)plugin.fn.graph_n_nodes(graph), n_tensors;
	size_t head = sizeof n_nodes + n_nodes * sizeof(uint64_t) + sizeof n_tensors;
	uint8_t *p = shm->ptr;
	struct writer w = { .ids = ids, .max_ids = max_ids, .tensors = p + head };

	*why = no_shm;
	if (shm->size < head)
		return 0;
	w.max_tensors = (shm->size - head) / sizeof(struct apir_tensor);
	memcpy(p, &n_nodes, sizeof n_nodes);
	for (uint32_t i = 0; i < n_nodes; i++) {
		const struct abi_tensor *t = plugin.fn.graph_node(graph, (int)i);
		uint64_t id = (uintptr_t)t;

		memcpy(p + sizeof n_nodes + i * sizeof id, &id, sizeof id);
		if (!node_put(&w, t)) {
			*why = w.why;
			return 0;
		}
	}
	n_tensors = (uint32_t)w.n_tensors;
	memcpy(p + head - sizeof n_tensors, &n_tensors, sizeof n_tensors);
	return head + w.n_tensors * sizeof(struct apir_tensor);
}

/* Writes the graph into the data blob or, where that is too small, into one of its own. Under the session's lock. */
static size_t graph_place(struct session *s, struct abi_graph *graph, struct shm *own, const char **why)
{
	static struct idmap ids;
	static uint32_t max_ids = 8192;

	for (;;) {
		const struct shm *shm = own->ptr ? own : &s->data;
		size_t n, more = shm->size * 4;

		if (idmap_reset(&ids, max_ids) < 0) {
			*why = "out of memory";
			return 0;
		}
		n = graph_write(graph, &ids, max_ids, shm, why);
		if (n)
			return n;
		if (*why == no_ids && max_ids < MAX_TENSORS) {
			max_ids *= 2;
			continue;
		}
		if (*why != no_shm || more > (size_t)1 << 30)
			return 0;
		if (own->ptr)
			s->transport->ops->blob_destroy(s->transport, own);
		*own = (struct shm){ 0 };
		if (s->transport->ops->blob_create(s->transport, more, own) < 0)
			return 0;
	}
}

int32_t graph_compute(struct abi_graph *graph)
{
	struct session *s = &plugin.session;
	struct shm own = { 0 };
	int32_t status = ABI_STATUS_FAILED;
	const char *why = NULL;
	struct call c;
	size_t n;

	if (session_take_loss(s) || !session_alive(s))
		return ABI_STATUS_FAILED;
	call_begin(&c, s, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	n = graph_place(s, graph, &own, &why);
	if (n) {
		call_u32(&c, own.ptr ? own.res_id : s->data.res_id);
		call_u64(&c, n);
		if (call_run(&c) < 0 || !cursor_read_i32(&c.reply, &status))
			status = ABI_STATUS_FAILED;
	} else {
		say_error("graph_compute: this graph cannot go to the host: %s", why);
	}
	if (own.ptr && session_alive(s))
		s->transport->ops->blob_destroy(s->transport, &own);
	call_end(&c);
	return status;
}

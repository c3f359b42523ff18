/* SPDX-License-Identifier: MIT */
/*
 * See graph_write.h. A graph is written straight into shared memory, sources before their users.
 *
 * What the graph's nodes read but doesn't compute itself (weights, inputs, another split's results) travels as
 * plain data, without the operation that once made it: only what is to be computed is sent.
 *
 * Nodes that compute nothing are sent where they can be, since devices look for them when they fuse operations; others
 * of them, such as the views of other backends' tensors that ggml's scheduler leaves between our nodes, are left out.
 * A node that computes, and all that it reads, must lie in a buffer of ours.
 */
#include "guest/graph_write.h"

#include <stdio.h>
#include <string.h>

#include "ggml-abi/counts.h"
#include "guest/own_ggml.h"
#include "guest/tensor.h"

/* What `ids` says of a tensor that is written: as a node, or as data only. Of a node that is still to come it says its
 * place in the graph, and of one that is left out nothing. */
#define PLACED UINT32_MAX
#define LEAF   (UINT32_MAX - 1)

struct writer {
	const struct host *host;
	const struct abi_graph *graph;
	struct idmap *ids;
	uint32_t max_ids;
	uint8_t *tensors; /* where the first goes, unaligned */
	size_t n_tensors, max_tensors;
	uint32_t at; /* the node at hand, and its tensor */
	const struct abi_tensor *node;
	enum graph_written result; /* what made it impossible, and in words */
	char *why;
	size_t why_size;
};

static bool fail(struct writer *w, enum graph_written result, const char *text)
{
	w->result = result;
	snprintf(w->why, w->why_size, "%s", text);
	return false;
}

static bool tensor_refused(struct writer *w, const struct abi_tensor *t, const char *fault)
{
	w->result = GRAPH_CANNOT_BE;
	snprintf(w->why, w->why_size, "node %u (%s of '%.64s'): tensor '%.64s' %s", w->at, own.fn.op_name(w->node->op),
		w->node->name, t->name, fault);
	return false;
}

static const char no_such_op[] = "is the result of an operation that the host's ggml doesn't have: update the older of "
				 "the two";

static bool is_placed(const struct writer *w, const struct abi_tensor *t)
{
	uint32_t at;

	return idmap_find(w->ids, (uintptr_t)t, &at) && at >= LEAF;
}

/* A node that isn't computed yet: nobody can read its result now, only what lies where it will be. */
static bool is_to_come(const struct writer *w, const struct abi_tensor *t)
{
	uint32_t at;

	return !own_op_idle(t) && idmap_find(w->ids, (uintptr_t)t, &at) && at < LEAF;
}

/* Blocks side by side, as the host wants them of what is read. */
static bool is_plain(const struct abi_tensor *t)
{
	int64_t blck = own.fn.blck_size(t->type);
	size_t size = own.fn.type_size(t->type);

	return blck > 0 && t->ne[0] % blck == 0 && t->nb[0] >= size && (blck == 1 || t->nb[0] == size);
}

int32_t graph_count_of(const struct host *host, const struct abi_graph *graph, const struct abi_tensor *t)
{
	return host->session.features & APIR_FEATURE_USE_COUNTS ? abi_count_get(graph, t) : 0;
}

size_t graph_counted(const struct host *host, const struct abi_graph *graph)
{
	return host->session.features & APIR_FEATURE_USE_COUNTS ? abi_counted(graph) : 0;
}

/* Writes the tensor under its address as id. */
static bool tensor_put(struct writer *w, const struct abi_tensor *t, struct apir_tensor *out)
{
	uint32_t unused;

	if (w->n_tensors == w->max_tensors)
		return fail(w, GRAPH_NEEDS_ROOM, "it is too large for the shared memory");
	if (w->ids->n_used == w->max_ids && !idmap_find(w->ids, (uintptr_t)t, &unused))
		return fail(w, GRAPH_NEEDS_IDS, "it has too many tensors");
	if (idmap_add(w->ids, (uintptr_t)t, LEAF) != LEAF)
		idmap_set(w->ids, (uintptr_t)t, PLACED);
	out->use_count = (uint32_t)graph_count_of(w->host, w->graph, t);
	memcpy(w->tensors + w->n_tensors++ * sizeof *out, out, sizeof *out);
	return true;
}

static bool leaf_put(struct writer *w, const struct abi_tensor *t);

/*
 * What the tensor views, written before it. A view of what is computed later, or of what can't travel as a whole, goes
 * as a tensor of its own that lies there.
 */
static bool viewed_put(struct writer *w, const struct abi_tensor *t, struct apir_tensor *out)
{
	if (!t->view_src)
		return true;
	if (!is_placed(w, t->view_src) && (is_to_come(w, t->view_src) || tensor_fault(w->host, t->view_src))) {
		if (out->memory)
			out->memory |= APIR_MEMORY_PART;
		return true;
	}
	if (!leaf_put(w, t->view_src)) /* a view's source is no view: one step */
		return false;
	out->view_src = (uintptr_t)t->view_src;
	out->view_offs = t->view_offs;
	return true;
}

/* Data that the graph doesn't compute. */
static bool leaf_put(struct writer *w, const struct abi_tensor *t)
{
	struct apir_tensor out;

	if (is_placed(w, t))
		return true;
	if (is_to_come(w, t))
		return tensor_refused(w, t, "is read before it is computed");
	if (!tensor_encode(w->host, t, &out))
		return tensor_refused(w, t, tensor_fault(w->host, t));
	return viewed_put(w, t, &out) && tensor_put(w, t, &out);
}

static bool node_put(struct writer *w, const struct abi_tensor *t)
{
	struct apir_tensor out;

	if (!tensor_encode(w->host, t, &out))
		return tensor_refused(w, t, tensor_fault(w->host, t));
	if (!tensor_encode_op(w->host, t, &out))
		return tensor_refused(w, t, no_such_op);
	for (int i = 0; i < ABI_SRCS; i++) {
		const struct abi_tensor *src = t->src[i];

		/* Where nothing is read, what can't be sent needn't be. */
		if (!src || (own_op_idle(t) && !is_placed(w, src) &&
				    (is_to_come(w, src) || tensor_fault(w->host, src) || !is_plain(src))))
			continue;
		/* a cast is a CPY whose second source is itself */
		if (src != t && !leaf_put(w, src))
			return false;
		out.src[i] = (uintptr_t)src;
	}
	return viewed_put(w, t, &out) && tensor_put(w, t, &out);
}

/* Whether the node is to be sent, not only passed over. */
static bool is_sent(const struct writer *w, const struct abi_tensor *t)
{
	return !own_op_idle(t) || (!tensor_fault(w->host, t) && is_plain(t));
}

/* Announces the nodes that are to be sent; their number goes to *n. */
static bool nodes_announce(struct writer *w, struct abi_graph *graph, uint32_t n_nodes, uint32_t *n)
{
	*n = 0;
	for (uint32_t i = 0; i < n_nodes; i++) {
		const struct abi_tensor *t = own.fn.graph_node(graph, (int)i);

		if (!is_sent(w, t))
			continue;
		if (w->ids->n_used == w->max_ids)
			return fail(w, GRAPH_NEEDS_IDS, "it has too many tensors");
		w->at = i;
		w->node = t;
		if (idmap_add(w->ids, (uintptr_t)t, i) != i)
			return tensor_refused(w, t, "is in the graph twice");
		++*n;
	}
	return true;
}

uint64_t graph_node_id(const void *bytes, uint32_t i)
{
	uint64_t id;

	memcpy(&id, (const uint8_t *)bytes + sizeof(uint32_t) + i * sizeof id, sizeof id);
	return id;
}

enum graph_written graph_write(const struct host *host, struct abi_graph *graph, struct idmap *ids, uint32_t max_ids,
	const struct shm *shm, struct graph_bytes *out, char *why, size_t why_size)
{
	uint32_t n_nodes = (uint32_t)own.fn.graph_n_nodes(graph), n_tensors;
	struct writer w = {
		.host = host, .graph = graph, .ids = ids, .max_ids = max_ids, .why = why, .why_size = why_size
	};
	uint8_t *ids_at = (uint8_t *)shm->ptr + sizeof n_nodes;

	if (!nodes_announce(&w, graph, n_nodes, &out->n_nodes))
		return w.result;
	out->tensors = sizeof n_nodes + out->n_nodes * sizeof(uint64_t) + sizeof n_tensors;
	if (shm->size < out->tensors) {
		fail(&w, GRAPH_NEEDS_ROOM, "it is too large for the shared memory");
		return w.result;
	}
	w.tensors = (uint8_t *)shm->ptr + out->tensors;
	w.max_tensors = (shm->size - out->tensors) / sizeof(struct apir_tensor);
	memcpy(shm->ptr, &out->n_nodes, sizeof out->n_nodes);
	for (uint32_t i = 0; i < n_nodes; i++) {
		uint32_t known;
		uint64_t id;

		w.at = i;
		w.node = own.fn.graph_node(graph, (int)i);
		if (!idmap_find(ids, (uintptr_t)w.node, &known) || known == LEAF)
			continue;
		/* One that computes nothing may have been read before its turn: it is data then, which it was anyway. */
		if (known != PLACED && !node_put(&w, w.node))
			return w.result;
		id = (uintptr_t)w.node;
		memcpy(ids_at, &id, sizeof id);
		ids_at += sizeof id;
	}
	n_tensors = out->n_tensors = (uint32_t)w.n_tensors;
	memcpy(ids_at, &n_tensors, sizeof n_tensors);
	out->size = out->tensors + w.n_tensors * sizeof(struct apir_tensor);
	return GRAPH_WRITTEN;
}

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

#include "ggml-abi/counts.h"
#include "guest/blob.h"
#include "guest/say.h"

struct writer {
	const struct abi_graph *graph;
	struct idmap *ids;
	uint32_t max_ids;
	uint8_t *tensors; /* where the first goes, unaligned */
	size_t n_tensors, max_tensors;
	const char *why; /* what made it impossible */
};

#define MAX_TENSORS    (UINT32_C(1) << 21)
#define GRAPHS_KEPT    4
#define GRAPH_ROOM_MIN ((size_t)1 << 20)
#define GRAPH_ROOM_MAX ((size_t)1 << 30)

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

static int32_t count_of(const struct abi_graph *graph, const struct abi_tensor *t)
{
	return plugin.session.features & APIR_FEATURE_USE_COUNTS ? abi_count_get(graph, t) : 0;
}

static bool tensor_put(struct writer *w, const struct abi_tensor *t, struct apir_tensor *out)
{
	uint8_t *at = tensor_place(w, t);

	if (!at)
		return false;
	out->use_count = (uint32_t)count_of(w->graph, t);
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
		/* a cast is a CPY whose second source is itself */
		if (t->src[i] && t->src[i] != t && !leaf_put(w, t->src[i]))
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
static size_t graph_write(
	struct abi_graph *graph, struct idmap *ids, uint32_t max_ids, const struct shm *shm, const char **why)
{
	uint32_t n_nodes = (uint32_t)plugin.fn.graph_n_nodes(graph), n_tensors;
	size_t head = sizeof n_nodes + n_nodes * sizeof(uint64_t) + sizeof n_tensors;
	uint8_t *p = shm->ptr;
	struct writer w = { .graph = graph, .ids = ids, .max_ids = max_ids, .tensors = p + head };

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

/*
 * The last few graphs as they were written, each in a blob of its own with a copy of every tensor in it. A program
 * that decodes computes the same graph again: comparing is cheaper than writing, and the host recognises the bytes.
 */
struct kept {
	struct shm shm;
	size_t size; /* bytes written; 0: nothing of use */
	uint32_t n_nodes, n_tensors;
	const struct abi_tensor **tensors; /* the nodes, then what they read besides */
	struct abi_tensor *copies;
	int32_t *counts; /* how often each is read in the whole graph */
	uint32_t room;
	uint64_t last_used, epoch;
	bool proven; /* the host has computed it once */
};

static struct kept kept[GRAPHS_KEPT]; /* under the session's lock, as all below */
static uint64_t clock_now;

static bool same(const struct kept *k, const struct abi_graph *graph, uint32_t i)
{
	return !memcmp(k->tensors[i], &k->copies[i], sizeof k->copies[i]) &&
	       count_of(graph, k->tensors[i]) == k->counts[i];
}

/* Each tensor is looked at only after what vouches that it is still there: the graph has its nodes, an unchanged node
 * has its sources, and an unchanged view, which comes behind what it views, has that. */
static bool unchanged(const struct kept *k, struct abi_graph *graph, uint32_t n_nodes)
{
	if (!k->size || k->n_nodes != n_nodes || k->epoch != buffers_epoch())
		return false;
	for (uint32_t i = 0; i < n_nodes; i++) {
		if (plugin.fn.graph_node(graph, (int)i) != k->tensors[i])
			return false;
	}
	for (uint32_t i = 0; i < n_nodes; i++) {
		if (!same(k, graph, i))
			return false;
	}
	for (uint32_t i = k->n_tensors; i-- > n_nodes;) {
		if (!same(k, graph, i))
			return false;
	}
	return true;
}

static bool remember(struct kept *k, const struct abi_graph *graph, const struct abi_tensor *t)
{
	if (k->n_tensors == k->room) {
		uint32_t more = k->room ? k->room * 2 : 1024;
		const struct abi_tensor **tensors = realloc(k->tensors, more * sizeof(const struct abi_tensor *));
		struct abi_tensor *copies;
		int32_t *counts;

		if (!tensors)
			return false;
		k->tensors = tensors;
		copies = realloc(k->copies, more * sizeof *copies);
		if (!copies)
			return false;
		k->copies = copies;
		counts = realloc(k->counts, more * sizeof *counts);
		if (!counts)
			return false;
		k->counts = counts;
		k->room = more;
	}
	k->tensors[k->n_tensors] = t;
	k->counts[k->n_tensors] = count_of(graph, t);
	k->copies[k->n_tensors++] = *t;
	return true;
}

/* A graph whose copy doesn't fit in memory is written anew each time. */
static void keep(struct kept *k, struct abi_graph *graph, uint32_t n_nodes, size_t size)
{
	const uint8_t *tensors =
		(const uint8_t *)k->shm.ptr + sizeof n_nodes + n_nodes * sizeof(uint64_t) + sizeof(uint32_t);
	size_t n = (size_t)(((const uint8_t *)k->shm.ptr + size) - tensors) / sizeof(struct apir_tensor);
	bool ok = true;

	k->n_tensors = 0;
	k->n_nodes = n_nodes;
	k->epoch = buffers_epoch();
	for (uint32_t i = 0; ok && i < n_nodes; i++)
		ok = remember(k, graph, plugin.fn.graph_node(graph, (int)i));
	for (size_t i = 0; ok && i < n; i++) {
		struct apir_tensor w;

		memcpy(&w, tensors + i * sizeof w, sizeof w);
		if (!session_alive(&plugin.session)) /* then it isn't what was written */
			ok = false;
		else if (w.op == 0) /* data; a node is in the list already */
			ok = remember(k, graph, (const struct abi_tensor *)(uintptr_t)w.id);
	}
	k->size = ok ? size : 0;
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
	return blob_make(s, size, &k->shm) == 0;
}

/* The graph in a blob: found there or written; *size bytes. NULL: it can't be, and *why says it. */
static struct kept *graph_place(
	struct call *c, struct session *s, struct abi_graph *graph, size_t *size, const char **why)
{
	static struct idmap ids;
	static uint32_t max_ids = 8192;
	uint32_t n_nodes = (uint32_t)plugin.fn.graph_n_nodes(graph);
	size_t room = GRAPH_ROOM_MIN;
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
		if (!room_make(s, k, room) || idmap_reset(&ids, max_ids) < 0) {
			if (session_alive(s))
				*why = "there is no memory for it";
			return NULL;
		}
		*size = graph_write(graph, &ids, max_ids, &k->shm, why);
		if (*size)
			break;
		if (*why == no_ids && max_ids < MAX_TENSORS)
			max_ids *= 2;
		else if (*why == no_shm && room < GRAPH_ROOM_MAX)
			room = k->shm.size * 4;
		else
			return NULL;
	}
	keep(k, graph, n_nodes, *size);
	k->last_used = ++clock_now;
	return k;
}

/*
 * A graph that the host has computed before is posted: its result is waited for when something is read, or by
 * synchronize. Should it fail then, what is read is zeros and the next compute fails.
 */
static bool graph_post(struct call *c)
{
	struct slot *slot = call_slot(c, false);

	return slot && call_post(c, slot, POST_STATUS);
}

int32_t graph_compute(struct abi_graph *graph, uint64_t *losses_seen)
{
	struct session *s = &plugin.session;
	int32_t status = ABI_STATUS_FAILED;
	const char *why = NULL;
	struct kept *k;
	struct call c;
	size_t n;

	call_begin(&c, s, APIR_FN_GRAPH_COMPUTE, "graph_compute");
	k = session_alive(s) ? graph_place(&c, s, graph, &n, &why) : NULL;
	if (k) {
		call_u32(&c, k->shm.res_id);
		call_u64(&c, n);
		if (k->proven && graph_post(&c))
			status = ABI_STATUS_SUCCESS;
		else if (call_run_long(&c) < 0 || !cursor_read_i32(&c.reply, &status))
			status = ABI_STATUS_FAILED;
		k->proven = status == ABI_STATUS_SUCCESS;
	} else if (why) {
		say_error("graph_compute: this graph cannot go to the host: %s", why);
	}
	/* Inputs that didn't arrive: whatever was computed is not what was asked for. */
	if (session_take_loss(s, losses_seen) || !session_alive(s))
		status = ABI_STATUS_FAILED;
	call_end(&c);
	return status;
}

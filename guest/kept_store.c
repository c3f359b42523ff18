/* SPDX-License-Identifier: MIT */
/*
 * See kept_store.h. How many there are is bounded by what they take. A program that builds a new graph for every step, in the
 * same memory, would fill that with what never comes again: of graphs that begin with the same tensor a few are kept.
 */
#include "guest/kept_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "guest/blob.h"
#include "guest/own_ggml.h"

#define KEPT_MAPPED  96 /* where each takes a mapping of the VMM's, which are few and every program's */
#define KEPT_BYTES   ((size_t)128 << 20) /* blobs and copies */
#define KEPT_ALIKE   24 /* of those that begin with the same tensor: a server batches as many tokens as it has clients */
#define KEPT_GRANULE ((size_t)64 << 10)
#define MAX_TENSORS  (UINT32_C(1) << 21) /* of a graph */
#define MAX_BLOB     ((size_t)1 << 30)

void kept_store_init(struct kept_store *s, struct host *host)
{
	*s = (struct kept_store){ .host = host, .most = KEPT_MOST, .max_ids = 8192 };
}

void kept_store_forget(struct kept_store *s, const struct buffer *b)
{
	for (size_t i = 0; i < s->n; i++)
		s->all[i]->known &= !kept_lies_in(s->all[i], b);
}

struct kept *kept_store_find(struct kept_store *s, struct abi_graph *graph, uint32_t n_nodes)
{
	for (size_t i = 0; i < s->n; i++) {
		if (kept_is(s->all[i], s->host, graph, n_nodes)) {
			s->all[i]->last_used = ++s->clock;
			return s->all[i];
		}
	}
	return NULL;
}

static struct kept *older(struct kept *a, struct kept *b)
{
	return !a || b->last_used < a->last_used ? b : a;
}

/* Which is to give way to a graph that begins with this tensor; NULL: none need. */
static struct kept *giving_way(const struct kept_store *s, const struct abi_tensor *first)
{
	struct kept *oldest = NULL, *alike = NULL, *stale = NULL;
	size_t n_alike = 0, bytes = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct kept *k = s->all[i];

		bytes += kept_bytes(k);
		oldest = older(oldest, k);
		if (!k->known)
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
	return s->n >= s->most || bytes >= KEPT_BYTES ? oldest : NULL;
}

static struct kept *oldest_with_room(const struct kept_store *s, size_t size)
{
	struct kept *oldest = NULL;

	for (size_t i = 0; i < s->n; i++) {
		if (s->all[i]->shm.size >= size)
			oldest = older(oldest, s->all[i]);
	}
	return oldest;
}

static size_t room_for(size_t size)
{
	return (size + KEPT_GRANULE - 1) / KEPT_GRANULE * KEPT_GRANULE;
}

/* A larger blob for it. False: none is to be had, which was told. */
static bool kept_grow(struct kept_store *s, struct kept *k, size_t size)
{
	struct session *session = &s->host->session;

	if (!session_alive(session)) /* no ioctl any more: it might not return */
		return false;
	if (k->shm.ptr)
		blob_drop(&session->blobs, &k->shm);
	k->shm = (struct shm){ 0 };
	return blob_need(&session->blobs, room_for(size), "a graph", &k->shm) == 0;
}

/* One more, with its blob. NULL: there is no memory for it, on one side or the other, which is told of the first: then
 * others can do. */
static struct kept *kept_more(struct kept_store *s, size_t size)
{
	struct session *session = &s->host->session;
	struct kept *k = calloc(1, sizeof *k);
	int err;

	if (!k)
		return NULL;
	err = s->n ? blob_make(&session->blobs, room_for(size), &k->shm)
	           : blob_need(&session->blobs, room_for(size), "a graph", &k->shm);
	if (err < 0) {
		if (s->n)
			s->most = s->n;
		free(k);
		return NULL;
	}
	if (!k->shm.stays && s->most > KEPT_MAPPED)
		s->most = KEPT_MAPPED;
	s->all[s->n++] = k;
	return k;
}

/* One whose blob holds so much, whatever it has to give up for it. */
static struct kept *kept_choose(struct kept_store *s, const struct abi_tensor *first, size_t size)
{
	struct kept *k = giving_way(s, first);

	if (!k)
		k = kept_more(s, size);
	if (!k)
		k = oldest_with_room(s, size);
	if (!k)
		k = oldest_with_room(s, 0);
	if (!k || k->shm.size >= size || kept_grow(s, k, size))
		return k;
	k->known = false;
	return oldest_with_room(s, size);
}

/* Room for a graph: empty, with a blob of at least `size` bytes. NULL: none is to be had, which was told. */
static struct kept *kept_new(struct kept_store *s, struct abi_graph *graph, uint32_t n_nodes, size_t size)
{
	const struct abi_tensor *first = n_nodes ? own.fn.graph_node(graph, 0) : NULL;
	struct kept *k = kept_choose(s, first, size);

	if (!k)
		return NULL;
	k->known = k->proven = false;
	k->turn = 0;
	k->usual = 0;
	k->first = first;
	k->n_nodes = n_nodes;
	k->last_used = ++s->clock;
	return k;
}

/* What a graph of so many nodes takes, guessed: a node reads one tensor that is no node. */
static size_t room_guess(uint32_t n_nodes)
{
	return 64 + n_nodes * (sizeof(uint64_t) + 2 * sizeof(struct apir_tensor));
}

struct kept *kept_store_put(struct kept_store *s, struct abi_graph *graph, uint32_t n_nodes, char *why, size_t why_size)
{
	struct kept *k = kept_new(s, graph, n_nodes, room_guess(n_nodes));
	struct graph_bytes g;

	if (!k)
		return NULL;
	for (;;) {
		enum graph_written written;

		if (idmap_reset(&s->ids, s->max_ids) < 0 || !kept_touch(k, graph)) {
			snprintf(why, why_size, "there is no memory for it");
			return NULL;
		}
		written = graph_write(s->host, graph, &s->ids, s->max_ids, &k->shm, &g, why, why_size);
		if (written == GRAPH_WRITTEN)
			break;
		if (written == GRAPH_NEEDS_IDS && s->max_ids < MAX_TENSORS)
			s->max_ids *= 2;
		else if (written != GRAPH_NEEDS_ROOM || k->shm.size >= MAX_BLOB)
			return NULL;
		else if (!kept_grow(s, k, k->shm.size * 2))
			return NULL;
	}
	kept_written(k, s->host, graph, &g, &s->ids);
	return k;
}

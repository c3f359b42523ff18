/* SPDX-License-Identifier: MIT */
/*
 * The graphs that are kept as they were written, each in a blob of its own with a copy of every tensor in it. A program
 * that decodes computes the same ones again, as many a token as its model has splits: comparing is cheaper than writing, and
 * the host recognises the bytes. Under the session's lock.
 */
#ifndef GUEST_KEPT_H
#define GUEST_KEPT_H

#include "guest/graph_write.h"

struct seen;

struct kept {
	struct shm shm;
	size_t size;                    /* bytes written */
	bool known;                     /* what is written can be found again */
	const struct abi_tensor *first; /* its first node */
	struct seen *seen;              /* the nodes, then what they read besides */
	uint32_t n_nodes, n_seen, room;
	uint32_t n_sent; /* of the nodes */
	uint64_t last_used, epoch;
	bool proven; /* the host has computed it once */
	struct touched touched;
	size_t touched_room;
};

/* The one that holds this graph, unchanged; NULL: none does. */
struct kept *kept_find(struct abi_graph *graph, uint32_t n_nodes);
/*
 * Room for a graph that isn't there: empty, with a blob of at least `size` bytes. Nothing that was posted is on its way any
 * more. NULL: no blob is to be had, which was told.
 */
struct kept *kept_new(struct session *s, struct abi_graph *graph, uint32_t n_nodes, size_t size);
/* A larger blob for it. False: none is to be had, which was told. */
bool kept_grow(struct session *s, struct kept *k, size_t size);
/* Finds what the graph touches. False: there is no memory. */
bool kept_touch(struct kept *k, struct abi_graph *graph);
/* Its graph lies in the blob now. Where memory is short, or the host has put other tensors there than `ids` says, it will be
 * written anew each time. */
void kept_written(struct kept *k, struct abi_graph *graph, const struct graph_bytes *g, const struct idmap *ids);

#endif

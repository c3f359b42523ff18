/* SPDX-License-Identifier: MIT */
/*
 * A graph that is kept as it was written, in a blob of its own with a copy of every tensor in it: comparing is cheaper than
 * writing, and the host recognises the bytes. Under the session's lock.
 */
#ifndef GUEST_KEPT_H
#define GUEST_KEPT_H

#include "guest/graph_write.h"

struct home;
struct live;
struct rest;

struct kept {
	struct shm shm;
	size_t size;                    /* bytes written */
	bool known;                     /* what is written can be found again */
	bool proven;                    /* the host has computed it once */
	const struct abi_tensor *first; /* its first node */
	struct live *live;              /* the nodes, then what they read besides */
	struct rest *rest;
	uint32_t n_nodes, n_seen, room;
	uint32_t n_sent; /* of the nodes */
	uint64_t last_used;
	uint64_t uid;   /* of the scheduler's split that it was last; 0: none */
	size_t counted; /* and of its counts: graph_counted() */
	struct home *homes;
	size_t n_homes, homes_room;
	uint64_t turn; /* in the queue, when it was computed last */
	int64_t usual; /* how long that takes, ns; 0: it isn't known */
	struct touched touched;
	size_t touched_room;
};

/* Whether it is this graph, unchanged. */
bool kept_is(struct kept *k, const struct host *host, struct abi_graph *graph, uint32_t n_nodes);
/* Whether any tensor of it does. */
bool kept_lies_in(const struct kept *k, const struct buffer *b);
/* Finds what the graph touches. False: there is no memory. */
bool kept_touch(struct kept *k, struct abi_graph *graph);
/* The graph lies in the blob now. Where memory is short, or the host has put other tensors there than `ids` says, it will be
 * written anew each time. */
void kept_written(struct kept *k, const struct host *host, struct abi_graph *graph, const struct graph_bytes *g,
	const struct idmap *ids);
/* It took so long. */
void kept_took(struct kept *k, int64_t ns);
/* Of the blob and the copies. */
size_t kept_bytes(const struct kept *k);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The graphs that a device keeps. A program that decodes computes the same ones again, as many a token as its model has splits.
 * Under the session's lock.
 */
#ifndef GUEST_KEPT_STORE_H
#define GUEST_KEPT_STORE_H

#include "guest/kept.h"

#define KEPT_MOST 256 /* each is a mapping of the host's in the guest */

struct kept_store {
	struct host *host;
	struct kept *all[KEPT_MOST];
	size_t n, most; /* fewer where there was no memory for another: asking costs, and fills the host's log */
	uint64_t clock;
	/* What serves every graph that is written: its tensors' ids, and room for how many. */
	struct idmap ids;
	uint32_t max_ids;
};

void kept_store_init(struct kept_store *s, struct host *host);
/* The buffer is gone, and its addresses may mean something else soon: nothing that lies in it is found again. */
void kept_store_forget(struct kept_store *s, const struct buffer *b);
/* The one that holds this graph, unchanged; NULL: none does. */
struct kept *kept_store_find(struct kept_store *s, struct abi_graph *graph, uint32_t n_nodes);
/*
 * Writes one that isn't there. Nothing that was posted is on its way any more. NULL: it can't be, and why says it, unless that
 * was told.
 */
struct kept *kept_store_put(
	struct kept_store *s, struct abi_graph *graph, uint32_t n_nodes, char *why, size_t why_size);

#endif

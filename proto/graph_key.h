/* SPDX-License-Identifier: MIT */
/*
 * Tells graphs by the bytes they came in, without keeping these. Different bytes have different keys, but for one chance in 2^64;
 * who seeks two of the same finds some, and computes one graph of his own for another, which was checked as well.
 */
#ifndef PROTO_GRAPH_KEY_H
#define PROTO_GRAPH_KEY_H

#include <stdbool.h>
#include <stdint.h>

struct graph_key {
	uint64_t size, low, high;
};

/* May be asked of memory that is being written. */
struct graph_key graph_key_of(const void *bytes, uint64_t size);

static inline bool graph_key_same(const struct graph_key *a, const struct graph_key *b)
{
	return a->size == b->size && a->low == b->low && a->high == b->high;
}

#endif
